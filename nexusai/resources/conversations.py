"""What passed under `/v1`, where keys log it; each of these calls needs a key of the admin scope."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from nexusai._internal._dates import moment
from nexusai._internal._flow import Call, Flow, Reply, ask, at, given
from nexusai.models import Conversation, ConversationPage, ConversationsDeleted
from nexusai.resources._resource import AsyncResource, Slice, SyncResource, by_cursor

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import ConversationFilter

__all__ = ["AsyncConversations", "Conversations"]


def _list(
    q: str | None, only: Mapping[str, Any], limit: int | None, cursor: str | None
) -> Flow[ConversationPage]:
    dates = {name: moment(only.get(name)) for name in ("from_", "to")}
    params = given(**{**only, **dates, "q": q, "limit": limit, "cursor": cursor})
    return ask(Call("GET", "/conversations", params=params), ConversationPage)


def _slice(
    q: str | None, only: Mapping[str, Any], limit: int | None, cursor: str | None
) -> Flow[Slice[Conversation]]:
    return by_cursor(_list(q, only, limit, cursor))


def _get(conversation_id: str) -> Flow[Conversation]:
    return ask(Call("GET", at("conversations", conversation_id)), Conversation)


def _delete(conversation_id: str) -> Flow[None]:
    yield Call("DELETE", at("conversations", conversation_id))


def _delete_many(before: date | str | None, key_id: str | None) -> Flow[int]:
    reply: Reply = yield Call("DELETE", "/conversations", params=given(before=moment(before), key_id=key_id))
    return reply.parse(ConversationsDeleted).deleted_count


class Conversations(SyncResource):
    """The log of what passed under `/v1`. Every call here needs a key of the admin scope."""

    def list(
        self,
        q: str | None = None,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        **only: Unpack[ConversationFilter],
    ) -> ConversationPage:
        """A page of conversations, newest first, without `request` and `answer`: `get` has them.

        `q` are words that were all said, in prompts or answers; `page.next_cursor` goes into `cursor`.
        """
        return self._driver.run(_list(q, only, limit, cursor))

    def iter(
        self, q: str | None = None, *, limit: int | None = None, **only: Unpack[ConversationFilter]
    ) -> Generator[Conversation, None, None]:
        """All conversations that `list` would find, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice, q, only, limit))

    def get(self, conversation_id: str) -> Conversation:
        """A conversation, with what was said if its key logs that. Raises `NotFoundError`."""
        return self._driver.run(_get(conversation_id))

    def delete(self, conversation_id: str) -> None:
        """Delete a conversation. Raises `NotFoundError`."""
        self._driver.run(_delete(conversation_id))

    def delete_many(self, *, before: date | str | None = None, key_id: str | None = None) -> int:
        """Delete the conversations that began before a moment, or those of a key; how many they were."""
        return self._driver.run(_delete_many(before, key_id))


class AsyncConversations(AsyncResource):
    """The log of what passed under `/v1`. Every call here needs a key of the admin scope."""

    async def list(
        self,
        q: str | None = None,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        **only: Unpack[ConversationFilter],
    ) -> ConversationPage:
        """A page of conversations, newest first, without `request` and `answer`: `get` has them.

        `q` are words that were all said, in prompts or answers; `page.next_cursor` goes into `cursor`.
        """
        return await self._driver.run(_list(q, only, limit, cursor))

    def iter(
        self, q: str | None = None, *, limit: int | None = None, **only: Unpack[ConversationFilter]
    ) -> AsyncGenerator[Conversation, None]:
        """All conversations that `list` would find, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice, q, only, limit))

    async def get(self, conversation_id: str) -> Conversation:
        """A conversation, with what was said if its key logs that. Raises `NotFoundError`."""
        return await self._driver.run(_get(conversation_id))

    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation. Raises `NotFoundError`."""
        await self._driver.run(_delete(conversation_id))

    async def delete_many(self, *, before: date | str | None = None, key_id: str | None = None) -> int:
        """Delete the conversations that began before a moment, or those of a key; how many they were."""
        return await self._driver.run(_delete_many(before, key_id))
