"""Rows that are written behind what they tell of, in batches: never while somebody waits."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

__all__ = ["Backlog"]

logger: logging.Logger = logging.getLogger("nexusai.server.db")

Row = TypeVar("Row")

EVERY: Final = 0.25
"""Seconds for which rows are gathered before they are written."""
LONGEST_PAUSE: Final = 5.0


class Backlog(Generic[Row]):
    """Holds at most `most` rows while the database cannot be written; older ones are dropped, and counted."""

    def __init__(
        self, write: Callable[[Sequence[Row]], Awaitable[None]], what: str, most: int, at_once: int
    ) -> None:
        self.dropped: int = 0
        self._write = write
        self._what = what
        self._most = most
        self._at_once = at_once
        self._rows: deque[Row] = deque()
        self._loop: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._news = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Rows that are not written yet."""
        return len(self._rows)

    async def start(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what is left, if that can be done."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        try:
            await self.flush()
        except Exception as error:
            logger.error("%d rows of %s were not written: %s", len(self._rows), self._what, error)

    def add(self, row: Row) -> None:
        self._rows.append(row)
        self._news.set()
        if len(self._rows) > self._most:
            self.let_go((self._rows.popleft(),))
            self.dropped += 1

    def let_go(self, rows: Sequence[Row]) -> None:
        """Called with rows that are held no more: they are written, or dropped."""

    async def flush(self) -> None:
        """Write what is there now. Raises what the database raises; nothing is lost by that.

        It goes on when who waits for it goes away: what is being written would be written again.
        """
        await asyncio.shield(self._flush())

    async def _flush(self) -> None:
        async with self._writing:
            left = len(self._rows)  # what comes meanwhile is the next one's: this one is to end
            while self._rows and left > 0:
                rows = [self._rows.popleft() for _ in range(min(self._at_once, len(self._rows)))]
                try:
                    await self._write(rows)
                except BaseException:
                    self._rows.extendleft(reversed(rows))
                    raise
                self.let_go(rows)
                left -= len(rows)

    async def _run(self) -> None:
        pause = EVERY
        while True:
            await self._news.wait()
            await asyncio.sleep(pause)
            self._news.clear()
            try:
                await self.flush()
                pause = EVERY
            except Exception as error:
                self._news.set()
                pause = min(2 * pause, LONGEST_PAUSE)
                logger.warning(
                    "%s cannot be written yet (%d rows wait): %s", self._what, len(self._rows), error
                )
