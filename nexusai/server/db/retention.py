"""Deletes what is older than it shall be kept: in small pieces, again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from nexusai.server.clock import now_ms

__all__ = ["Retention", "Rule"]

logger: logging.Logger = logging.getLogger("nexusai.server.db")

EVERY: Final = 3600.0
"""Seconds between two times of looking."""
PIECE: Final = 500
"""Rows that are deleted in one transaction: others want to write, too."""
DAY: Final = 24 * 3600 * 1000


class Rule(NamedTuple):
    """`delete` gets the moment (ms) before which all may go, and how many may at once; it tells how many."""

    what: str
    days: int
    delete: Callable[[int, int], Awaitable[int]]


class Retention:
    """Keeps to some rules from `start` to `stop`."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def purge(self, now: int | None = None) -> None:
        """Delete what is too old by now; a rule that fails keeps none of the others waiting."""
        now = now_ms() if now is None else now
        for rule in self._rules:
            try:
                while await rule.delete(now - rule.days * DAY, PIECE) == PIECE:
                    pass
            except Exception as error:
                logger.warning("%s that are too old cannot be deleted yet: %s", rule.what, error)

    async def _run(self) -> None:
        while True:
            await self.purge()
            await asyncio.sleep(EVERY)
