"""Calls whose caller may hang up, or that may take too long: they are cut off."""

from __future__ import annotations

import asyncio
import math
from contextvars import Context
from typing import Final, Protocol

from starlette.types import Receive

from nexusai.server.http import ClientGone, Problem, stay

__all__ = ["Attended", "too_slow"]

QUICK: Final = 0.02
"""Seconds in which a quick call is over: so long nobody looks whether its caller is still there."""


class Cut(Protocol):
    """A stream, which is told why it ends."""

    late: bool


class Attended:
    """What is done inside is cut off when the caller hangs up; then this raises `ClientGone`.

    So it is after `longest` seconds: a stream then says so at its end, else this raises a 408 `Problem`.
    """

    def __init__(self, receive: Receive, longest: float = math.inf, stream: Cut | None = None) -> None:
        self._receive = receive
        self._longest = longest
        self._stream = stream
        self._gone = False
        self._late = False
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._working = asyncio.current_task(loop)
        self._rounds = _rounds_of(loop)
        self._rounds.add(self)

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._rounds.remove(self)
        watching, self._watching = self._watching, None  # it holds this, in its error too
        if watching is not None:
            watching.cancel()
        if (self._gone or self._late) and kind is asyncio.CancelledError:
            stay()
            if self._gone or self._stream is not None:  # a stream that nobody reads
                raise ClientGone
            raise too_slow(self._longest)

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch over it from now on."""
        self._watching = loop.create_task(self._watch())

    async def _watch(self) -> None:
        try:
            await asyncio.wait_for(self._hung_up(), None if self._longest == math.inf else self._longest)
            self._gone = True
        except asyncio.TimeoutError:
            self._late = True
            if self._stream is not None:
                self._stream.late = True
        if self._working is not None and self._watching is not None:  # else it was over at the same moment
            self._working.cancel()

    async def _hung_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _Rounds:
    """Finds the calls of a loop that are not quick: one timer for all of them, not one for each."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._new: set[Attended] = set()
        self._known: set[Attended] = set()
        """Those that were there at the last round."""
        self._going = False

    def add(self, call: Attended) -> None:
        self._new.add(call)
        if not self._going:
            self._going = True
            self._next()

    def remove(self, call: Attended) -> None:
        self._new.discard(call)
        self._known.discard(call)

    def _next(self) -> None:
        self.loop.call_later(QUICK, self._go, context=Context())  # that of a call would be held by it

    def _go(self) -> None:
        late, self._known, self._new = self._known, self._new, set()
        for call in late:
            call.begin(self.loop)
        if self._known:
            self._next()
        else:
            self._going = False


_latest: _Rounds | None = None


def _rounds_of(loop: asyncio.AbstractEventLoop) -> _Rounds:
    """A process has one loop that serves, as a rule; another one has rounds of its own."""
    global _latest
    rounds = _latest
    if rounds is None or rounds.loop is not loop:
        rounds = _latest = _Rounds(loop)
    return rounds


def too_slow(longest: float) -> Problem:
    detail = f"The answer took longer than {longest:g} s, which is the platform's limit."
    return Problem("TIMEOUT", detail, headers={"x-should-retry": "false"})  # it would be as slow again
