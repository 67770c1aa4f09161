"""The log of what passes under `/v1`: filled while a call goes on, written after it is over.

A call whose key logs nothing is asked one question. Of the others references to bytes are kept that pass
anyway; to read them, and to make rows of them, is left to a thread behind the calls.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from nexusai.providers.record import CallRecord
from nexusai.server.clock import now_ms
from nexusai.server.conversations.models import ConversationRow
from nexusai.server.db.backlog import Backlog
from nexusai.server.http import request_id
from nexusai.server.ids import new_id
from nexusai.server.keys.caller import Caller

__all__ = ["Conversation", "ConversationLog", "Tapped", "current_conversation"]

AT_ONCE: Final = 50
MOST_ROWS: Final = 10_000
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of requests and answers that wait to be written; of what comes on top of it only the facts are kept."""
LONGEST_REQUEST: Final = 4 * 1024 * 1024
"""Bytes of one request: while a text is searched for what is not kept of it, nothing else runs."""
LONGEST_ANSWER: Final = 4 * 1024 * 1024
"""Bytes of one answer as it is sent: a stream says each word in a few hundred of them."""

current_conversation: ContextVar[Conversation | None] = ContextVar("current_conversation", default=None)


class Conversation:
    """One call under way. `write` what is answered, then `end` it, once; what comes later is not heard."""

    def __init__(self, log: ConversationLog, caller: Caller, route: str) -> None:
        self.request: bytes | None = None
        self.parts: list[bytes] = []
        self.held: int = 0
        """Bytes that count in the log as held."""
        self.media_type: str = ""
        self.http_status: int | None = None
        self.truncated: bool = False
        self.answered: int = 0
        """Bytes of the answer, kept or not."""
        self._log = log
        self._full = caller.logging == "full"
        self._begun = time.perf_counter()
        self._row = ConversationRow(
            id=new_id("conv"),
            at=now_ms(),
            project=caller.project.id,
            key_id=caller.key.id if caller.key is not None else None,
            request_id=request_id.get(),
            route=route,
            provider=None,
            model=None,
            status="completed",
            http_status=None,
        )
        self._failed = self._cut = self._ended = False
        self._costs: dict[str, float] = {}
        """By currency: what was paid in several is no one sum."""

    @property
    def row(self) -> ConversationRow:
        """The facts, without what was said."""
        return self._row

    @property
    def is_full(self) -> bool:
        """Whether request and answer are logged, too."""
        return self._full

    def asked(self, body: bytes) -> None:
        """The request's body."""
        if not self._full:
            return
        self.truncated = len(body) > LONGEST_REQUEST
        kept = _ends_of(body) if self.truncated else body
        if self._hold(len(kept)):
            self.request = kept

    def answers(self, status: int, media_type: str) -> None:
        """The answer begins."""
        self.http_status, self.media_type = status, media_type

    def write(self, data: bytes) -> None:
        """Some more of the answer."""
        self.answered += len(data)
        readable = self._full and self.media_type.startswith(("application/json", "text/"))
        if readable and data and self.answered <= LONGEST_ANSWER and self._hold(len(data)):
            self.parts.append(data)
        elif readable and data:
            self.truncated = True

    def heard(self, record: CallRecord) -> None:
        """A call to a model that was made for it; there may be several."""
        if self._ended:
            return
        self._failed, self._cut = record.error is not None, self._cut or record.cut
        usage, cost, row = record.usage, record.cost, self._row
        if cost is not None:
            self._costs[cost.currency] = self._costs.get(cost.currency, 0.0) + cost.amount
        currency = next(iter(self._costs), None) if len(self._costs) == 1 else None
        self._row = row._replace(
            provider=record.provider,
            model=record.model,
            prompt_tokens=row.prompt_tokens + (usage.prompt_tokens if usage else 0),
            completion_tokens=row.completion_tokens + (usage.completion_tokens if usage else 0),
            cost=self._costs[currency] if currency is not None else None,
            currency=currency,
        )

    def end(self, *, cut: bool = False) -> None:
        """The answer is over; or cut, since its caller went away or it broke."""
        if self._ended:
            return
        self._ended = True
        failed = self._failed or (self.http_status or 0) >= 400
        self._row = self._row._replace(
            status="failed" if failed else "cut" if cut or self._cut else "completed",
            http_status=self.http_status,
            seconds=time.perf_counter() - self._begun,
        )
        self._log.add(self)

    def _hold(self, size: int) -> bool:
        if self._log.held + size > MOST_BYTES:
            self.truncated = True
            return False
        self._log.held += size
        self.held += size
        return True


class ConversationLog(Backlog[Conversation]):
    """What is under way, and what waits to be written."""

    def __init__(self, write: Callable[[Sequence[Conversation]], Awaitable[None]]) -> None:
        super().__init__(write, "conversations", MOST_ROWS, AT_ONCE)
        self.held: int = 0
        """Bytes of requests and answers in memory."""

    def begin(self, caller: Caller, route: str, body: bytes) -> Conversation | None:
        """The conversation of a request, where its key logs any."""
        if caller.logging == "off":
            return None
        conversation = Conversation(self, caller, route)
        conversation.asked(body)
        current_conversation.set(conversation)
        return conversation

    def heard(self, record: CallRecord) -> None:
        """A hook of the model layer."""
        conversation = record.context.get(current_conversation) if record.context is not None else None
        if conversation is not None:
            conversation.heard(record)

    def let_go(self, rows: Sequence[Conversation]) -> None:
        self.held -= sum(conversation.held for conversation in rows)


class Tapped(Response):
    """An answer that a conversation listens to, to its end or until its caller hangs up."""

    def __init__(self, answer: Response, conversation: Conversation) -> None:
        self.background: BackgroundTask | None = None
        self.status_code: int = answer.status_code
        self._answer = answer
        self._conversation = conversation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        conversation, whole = self._conversation, False

        async def heard(message: Message) -> None:
            nonlocal whole
            if message["type"] == "http.response.start":
                conversation.answers(message["status"], _media_type(message["headers"]))
            else:
                conversation.write(message.get("body", b""))
                whole = not message.get("more_body")
            await send(message)

        try:
            await self._answer(scope, receive, heard)
        finally:
            conversation.end(cut=not whole)


def _ends_of(body: bytes) -> bytes:
    """The beginning and the end, where a chat has its newest."""
    half = LONGEST_REQUEST // 2
    return b"%b[%d bytes left out]%b" % (body[:half], len(body) - 2 * half, body[-half:])


def _media_type(headers: Any) -> str:
    return next((value.decode("latin-1") for name, value in headers if name.lower() == b"content-type"), "")
