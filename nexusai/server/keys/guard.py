"""Limits at work: what a key and its project may use is taken here before it is used."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from nexusai.server.clock import now_ms, rfc3339
from nexusai.server.http import Problem
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.limits import Change, Lanes, Ledger, Quota, Refusal, window
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

    def __init__(
        self, ledger: Ledger, quotas: Sequence[Quota], tokens: int, dollars: float | None, at: int
    ) -> None:
        self.counts_money: bool = dollars is not None
        """Whether it counts dollars wherever they are limited."""
        self._ledger = ledger
        self._quotas = quotas
        self._at = at
        self._open = True
        self._tokens = -tokens
        self._dollars = -(dollars or 0.0)
        self._reserved = tokens, dollars or 0.0

    def count(self, tokens: int, dollars: float) -> None:
        """What one of the deployments that were called used; after a fallback there are several."""
        self._tokens += tokens
        self._dollars += dollars

    def keep(self) -> None:
        """Leave it at what was taken, at least: nobody knows what was used."""
        tokens, dollars = self._reserved
        self._reserved = 0, 0.0
        self.count(tokens, dollars)

    def settle(self) -> None:
        """The call is over: count what was used in place of what was taken; nothing if it was never made."""
        if not self._open:
            return
        self._open = False
        tokens, dollars = self._tokens, self._dollars
        changes: list[Change] = [
            (subject, measure, tokens if measure == "tokens" else dollars)
            for subject, measure, _ in self._quotas
        ]
        self._ledger.settle(changes, self._at)


class Guard:
    """Every limit of every caller; what is unlimited costs nothing."""

    def __init__(self, ledger: Ledger, lanes: Lanes, traffic: Traffic | None = None) -> None:
        self.ledger = ledger
        self.lanes = lanes
        self.traffic: Traffic = traffic or Traffic()

    async def request(self, caller: Caller, counted: bool) -> Sequence[Header]:
        """The `X-RateLimit-*` headers of the answer, after counting the request. Raises a 429 `Problem`."""
        quotas = caller.requests
        if not quotas:
            return ()
        now = now_ms()
        if counted:
            used = await self.ledger.take(quotas, [1] * len(quotas), now)
            if isinstance(used, Refusal):
                told = {k.decode(): v.decode() for k, v in _told(used.quota, 0, now)}
                raise _refused(caller, used, now, told)
        else:
            used = [await self.ledger.used(quota.subject, "requests", now) for quota in quotas]
        scarcest, left = quotas[0], quotas[0].most - used[0]
        for quota, spent in zip(quotas[1:], used[1:], strict=True):
            if quota.most - spent < left:
                scarcest, left = quota, quota.most - spent
        return _told(scarcest, left, now)

    async def reserve(
        self, caller: Caller, tokens: int, dollars: float | None, patience: float = 0.0
    ) -> Reservation | None:
        """Take what a call will use at most; it may wait up to `patience` seconds for the next minute.

        Without `dollars` it is free. None when nothing of the caller's is limited. Raises a 429 `Problem`.
        """
        quotas = caller.metered
        if dollars is None:
            quotas = [quota for quota in quotas if quota.measure == "tokens"]
        if not quotas:
            return None
        amounts = [tokens if quota.measure == "tokens" else dollars or 0.0 for quota in quotas]
        while True:
            now = now_ms()
            refusal = await self.ledger.take(quotas, amounts, now)
            if not isinstance(refusal, Refusal):
                return Reservation(self.ledger, quotas, tokens, dollars, now)
            pause = (refusal.until - now) / 1000
            fits = refusal.amount <= refusal.quota.most
            if refusal.quota.measure != "tokens" or not fits or pause > patience:
                raise _refused(caller, refusal, now)
            patience -= pause
            await asyncio.sleep(pause)

    def spent(self, caller: Caller, dollars: float, reservation: Reservation | None) -> None:
        """Count money that the reservation does not: a budget that is set later begins with it."""
        counted = reservation is not None and reservation.counts_money
        money = caller.money(limited=not counted)
        self.ledger.settle([(subject, measure, dollars) for subject, measure in money], now_ms())

    def enter(self, caller: Caller) -> None:
        """Begin a call that counts as a running task, until `leave`. Raises a 429 `Problem`."""
        full = self.lanes.full(caller.lanes)
        if full is not None:
            whose = caller.named(full)
            raise Problem("RATE_LIMIT_EXCEEDED", f"This {whose} has as many calls under way as it may have.")
        self.lanes.enter(caller.lanes)

    def leave(self, caller: Caller) -> None:
        self.lanes.leave(caller.lanes)


def _told(quota: Quota, left: float, now: int) -> Sequence[Header]:
    reset = -(-(window(quota.measure, now)[1] - now) // 1000)
    return (
        (b"x-ratelimit-limit", b"%d" % quota.most),
        (b"x-ratelimit-remaining", b"%d" % max(0, left)),
        (b"x-ratelimit-reset", b"%d" % reset),
    )


def _refused(caller: Caller, refusal: Refusal, now: int, headers: dict[str, str] | None = None) -> Problem:
    quota, amount = refusal.quota, refusal.amount
    detail = f"This {caller.named(quota.subject)} may use {_WORDS[quota.measure].format(most=quota.most)}"
    if quota.measure != "requests":
        detail += f"; {refusal.used:g} are used or reserved, and this call may take {amount:.6g}"
    if amount > quota.most:
        detail += ", which is more than it may ever have"
        headers = {**(headers or {}), "x-should-retry": "false"}
    detail += f". The count begins anew at {rfc3339(refusal.until)}."
    retry_after = max(1, -(-(refusal.until - now) // 1000))
    return Problem("RATE_LIMIT_EXCEEDED", detail, retry_after=retry_after, headers=headers)
