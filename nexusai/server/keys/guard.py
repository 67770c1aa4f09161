"""Limits at work: what a key and its project may use is taken here before it is used."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Final

from nexusai.server.clock import now_ms, rfc3339
from nexusai.server.http import Problem
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.limits import Lanes, Ledger, Refusal, Want, window
from nexusai.server.traffic import Traffic

__all__ = ["Guard", "Reservation"]

Header = tuple[bytes, bytes]

_WORDS: Final = {
    "requests": "{most:g} requests a minute",
    "tokens": "{most:g} tokens a minute",
    "day": "{most:g} US dollars a day",
    "month": "{most:g} US dollars a month",
}


class Reservation:
    """Tokens and dollars that were taken for a call which is under way; to be settled once."""

    def __init__(self, ledger: Ledger, wants: Sequence[Want], at: int) -> None:
        self._ledger = ledger
        self._wants = wants
        self._at = at
        self._open = True
        self._taken = False
        self._used: list[float] = [0, 0.0]
        """Tokens and dollars."""

    @property
    def counts_money(self) -> bool:
        """Whether it counts dollars wherever they are limited."""
        return any(want.measure != "tokens" for want in self._wants)

    def count(self, tokens: int, dollars: float) -> None:
        """What one of the deployments that were called used; after a fallback there are several."""
        self._used[0] += tokens
        self._used[1] += dollars

    def keep(self) -> None:
        """Leave it at what was taken, at least: nobody knows what was used."""
        self._taken = True

    def settle(self) -> None:
        """The call is over: count what was used in place of what was taken; nothing if it was never made."""
        if not self._open:
            return
        self._open = False
        for want in self._wants:
            used = self._used[0] if want.measure == "tokens" else self._used[1]
            change = used if self._taken else used - want.amount
            self._ledger.settle(want.subject, want.measure, change, self._at)


class Guard:
    """Every limit of every caller; what is unlimited costs nothing."""

    def __init__(self, ledger: Ledger, lanes: Lanes, traffic: Traffic | None = None) -> None:
        self.ledger = ledger
        self.lanes = lanes
        self.traffic: Traffic = traffic or Traffic()

    async def request(self, caller: Caller, counted: bool) -> Sequence[Header]:
        """The `X-RateLimit-*` headers of the answer, after counting the request. Raises a 429 `Problem`."""
        wants = caller.requests
        if not wants:
            return ()
        now = now_ms()
        refusal = await self.ledger.take(wants, now) if counted else None
        if refusal is not None:
            told = self._told(refusal.want, 0, now)
            raise _refused(caller, refusal, now, {k.decode(): v.decode() for k, v in told})
        scarcest, least = wants[0], math.inf
        for want in wants:
            left = want.most - await self.ledger.used(want.subject, "requests", now)
            if left < least:
                scarcest, least = want, left
        return self._told(scarcest, least, now)

    async def reserve(
        self, caller: Caller, tokens: int, dollars: float | None, patience: float = 0.0
    ) -> Reservation | None:
        """Take what a call will use at most; it may wait up to `patience` seconds for the next minute.

        Without `dollars` it is free. None when nothing of the caller's is limited. Raises a 429 `Problem`.
        """
        wants = [
            Want(want.subject, want.measure, want.most, used)
            for want in caller.metered
            if (used := tokens if want.measure == "tokens" else dollars) is not None
        ]
        if not wants:
            return None
        while True:
            now = now_ms()
            refusal = await self.ledger.take(wants, now)
            if refusal is None:
                return Reservation(self.ledger, wants, now)
            pause = (refusal.until - now) / 1000
            fits = refusal.want.amount <= refusal.want.most
            if refusal.want.measure != "tokens" or not fits or pause > patience:
                raise _refused(caller, refusal, now)
            patience -= pause
            await asyncio.sleep(pause)

    def spent(self, caller: Caller, dollars: float, reservation: Reservation | None) -> None:
        """Count money that the reservation does not: a budget that is set later begins with it."""
        now = now_ms()
        counted = reservation is not None and reservation.counts_money
        for subject, measure in caller.money(limited=not counted):
            self.ledger.settle(subject, measure, dollars, now)

    def enter(self, caller: Caller) -> None:
        """Begin a call that counts as a running task, until `leave`. Raises a 429 `Problem`."""
        full = next((lane for lane in caller.lanes if self.lanes.room(lane) <= 0), None)
        if full is not None:
            whose = caller.named(full)
            raise Problem("RATE_LIMIT_EXCEEDED", f"This {whose} has as many calls under way as it may have.")
        self.lanes.enter(caller.lanes)

    def leave(self, caller: Caller) -> None:
        self.lanes.leave(caller.lanes)

    def _told(self, want: Want, left: float, now: int) -> Sequence[Header]:
        reset = max(1, -(-(window(want.measure, now)[1] - now) // 1000))
        return (
            (b"x-ratelimit-limit", b"%d" % int(want.most)),
            (b"x-ratelimit-remaining", b"%d" % max(0, int(left))),
            (b"x-ratelimit-reset", b"%d" % reset),
        )


def _refused(caller: Caller, refusal: Refusal, now: int, headers: dict[str, str] | None = None) -> Problem:
    want = refusal.want
    detail = f"This {caller.named(want.subject)} may use {_WORDS[want.measure].format(most=want.most)}"
    if want.measure != "requests":
        detail += f"; {refusal.used:g} are used or reserved, and this call may take {want.amount:.6g}"
    if want.amount > want.most:
        detail += ", which is more than it may ever have"
        headers = {**(headers or {}), "x-should-retry": "false"}
    detail += f". The count begins anew at {rfc3339(refusal.until)}."
    retry_after = max(1, -(-(refusal.until - now) // 1000))
    return Problem("RATE_LIMIT_EXCEEDED", detail, retry_after=retry_after, headers=headers)
