"""Logged conversations as the API offers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nexusai.server.conversations.log import ConversationLog
from nexusai.server.conversations.models import ConversationRow, Search
from nexusai.server.conversations.store import ConversationStore
from nexusai.server.db.words import query_tokens
from nexusai.server.http import Problem
from nexusai.server.keys.caller import Caller

__all__ = ["ConversationService"]

PIECE: Final = 500
"""Rows that are deleted in one transaction: others want to write, too."""


@dataclass(frozen=True, slots=True)
class ConversationService:
    """Those that are over, those of this moment included."""

    store: ConversationStore
    log: ConversationLog

    async def page(self, search: Search, before: int, limit: int) -> tuple[list[ConversationRow], int]:
        """A page, newest first, and the number below which the next one begins: 0 after the last."""
        if search.q is not None and not query_tokens(search.q):
            raise Problem.field(["q"], "has a word to look for")
        await self.log.flush()
        rows, last = await self.store.page(search, before, limit + 1)
        if len(rows) <= limit:
            return rows, 0
        rows, last = await self.store.page(search, before, limit)
        return rows, last

    async def get(self, caller: Caller, conversation_id: str) -> ConversationRow:
        """Raises a 404 `Problem` for one that the caller does not reach."""
        await self.log.flush()
        row = await self.store.find(conversation_id)
        if row is None or not caller.reaches(row.project):
            raise Problem("NOT_FOUND", f"There is no conversation {conversation_id!r}.")
        return row

    async def delete(self, caller: Caller, conversation_id: str) -> None:
        await self.get(caller, conversation_id)
        await self.store.delete(conversation_id)

    async def delete_all(self, search: Search) -> int:
        """Delete all that are meant, and tell how many they were."""
        await self.log.flush()
        deleted = 0
        while (piece := await self.store.delete_some(search, PIECE)) > 0:
            deleted += piece
        return deleted
