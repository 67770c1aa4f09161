"""Usage as the API offers it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from nexusai.server.usage.models import Span, Sum
from nexusai.server.usage.recorder import Recorder
from nexusai.server.usage.store import UsageStore

__all__ = ["UsageService"]

PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class UsageService:
    """Sums of all calls that are over, those of this moment included."""

    store: UsageStore
    recorder: Recorder

    async def page(self, span: Span, group: str | None, after: int, limit: int) -> tuple[list[Sum], bool]:
        """The sums after the first `after`, and whether there are more."""
        await self.recorder.flush()
        sums = await self.store.sums(span, group, after, limit + 1)
        return sums[:limit], len(sums) > limit

    async def all(self, span: Span, group: str | None) -> AsyncIterator[Sum]:
        after, more = 0, True
        while more:
            sums, more = await self.page(span, group, after, PAGE)
            for found in sums:
                yield found
            after += len(sums)
