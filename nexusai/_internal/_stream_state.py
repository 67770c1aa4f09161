"""What is known of a stream of text. Pure: it reads events, and knows how to go on when they break off."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json

from nexusai._internal._flow import Call, at, create
from nexusai._internal._poller import ended_badly
from nexusai._internal._retry import pause_before
from nexusai._internal._streaming import ServerSentEvent, SSEDecoder
from nexusai.error import (
    CODES,
    APIConnectionError,
    APIError,
    APITimeoutError,
    StreamError,
    TaskTimeoutError,
    class_for_status,
)
from nexusai.models import StreamChunk, Task, TaskFailure, TextResponse

__all__ = ["StreamState"]

_EVENTS = {"Accept": "text/event-stream"}
_OF_A_CHUNK = frozenset(StreamChunk.model_fields)


class StreamState:
    """What is known of one stream. It reads bytes, and says what to ask for next when the bytes run out.

    `idle` is the longest silence in seconds: of events, since comments only show that the line is up.
    """

    def __init__(self, body: Mapping[str, Any], *, retries: int, idle: float) -> None:
        self.finished: bool = False  # well or badly
        self.task_id: str | None = None
        self.model: str | None = None
        self.provider: str | None = None
        self._submission = create("/invoke", json={**body, "stream": True}, headers=_EVENTS, timeout=idle)
        self._retries = retries
        self._idle = idle
        self._decoder = SSEDecoder()
        self._heard = 0.0
        self._last_event_id: str | None = None
        self._resumed_after = -1
        self._fruitless = 0
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tool_calls: list[dict[str, Any]] = []
        self._last: StreamChunk | None = None
        self._whole = False

    @property
    def text(self) -> str:
        return "".join(self._text)

    def connect(self, now: float) -> Call:
        """The request that opens the stream, or opens it again after the last event that arrived."""
        self._decoder = SSEDecoder()
        self._heard = now
        if self.task_id is None:
            return self._submission
        self._resumed_after = _number(self._last_event_id)
        resume = {} if self._last_event_id is None else {"Last-Event-ID": self._last_event_id}
        path = at("tasks", self.task_id, "events")
        return Call("GET", path, headers={**_EVENTS, **resume}, timeout=self._idle, retry=False)

    def read(self, data: bytes, now: float) -> Iterator[StreamChunk]:
        """The chunks that `data` completes. Raises the error that the stream tells of, or that it is idle."""
        try:
            events = self._decoder.feed(data)
        except ValueError as error:
            raise self._end(StreamError(f"The stream cannot be read: {error}.")) from None
        if events:
            self._heard = now
        elif now - self._heard > self._idle:
            raise self._end(self._silent())
        for event in events:
            chunk = self._take(event)
            if chunk is not None:
                yield chunk

    def broke(self, error: APIError | None) -> float:
        """Seconds to wait before `connect`, after an error or an end that came too early.

        Raises when there is no going on: what ended the stream, or `StreamError`.
        """
        if error is not None and (self.finished or self.task_id is None):
            raise error
        if isinstance(error, APITimeoutError):
            raise self._end(self._silent()) from None
        self._fruitless += 1
        pause = None
        if self.task_id is not None:
            reason = error or APIConnectionError("", retryable=True)
            chance = random.uniform(0.5, 1.0)
            pause = pause_before(self._fruitless, reason, most=self._retries, left=math.inf, chance=chance)
        if pause is None:
            raise self._end(self._cut_off()) from error
        return pause

    def response(self) -> TextResponse:
        """All of it. Raises `StreamError` before the end."""
        if not self._whole:
            raise StreamError("The stream was closed before its last event: its text is not whole.")
        last = self._last or StreamChunk()
        return TextResponse(
            text=self.text,
            finish_reason=last.finish_reason,
            usage=last.usage,
            cost=last.cost,
            tool_calls=self._tool_calls or None,
            reasoning="".join(self._reasoning) or None,
            model=self.model,
            provider=self.provider,
            task_id=self.task_id,
        )

    def _take(self, event: ServerSentEvent) -> StreamChunk | None:
        if event.id is not None:
            if self._resumed_after >= 0 and 0 <= _number(event.id) <= self._resumed_after:
                return None  # a platform that starts over in place of resuming
            self._last_event_id = event.id
        self._fruitless = 0
        if event.event == "error":
            raise self._end(self._failure(event.data))
        if event.event != "message":
            return None
        if event.data == "[DONE]":
            self.finished = self._whole = True
            return None
        try:
            chunk = StreamChunk.model_validate_json(event.data)
        except ValueError:
            raise self._end(StreamError("The stream has an event that is no chunk of text.")) from None
        if chunk.model_extra:
            self._learn(chunk)
        return None if chunk.model_fields_set.isdisjoint(_OF_A_CHUNK) else self._gather(chunk)

    def _learn(self, chunk: StreamChunk) -> None:
        """The first event names the task, and who runs it."""
        self.task_id = chunk.get("task_id", self.task_id)
        self.model = chunk.get("model", self.model)
        self.provider = chunk.get("provider", self.provider)

    def _gather(self, chunk: StreamChunk) -> StreamChunk:
        delta = chunk.delta
        if delta.content:
            self._text.append(delta.content)
        if delta.reasoning_content:
            self._reasoning.append(delta.reasoning_content)
        for piece in delta.tool_calls or ():
            _join(self._tool_calls, piece)
        if chunk.finish_reason is not None or chunk.usage is not None:
            self._last = chunk
        return chunk

    def _end(self, error: APIError) -> APIError:
        self.finished = True
        return error

    def _failure(self, data: str) -> APIError:
        """What an `event: error` says."""
        try:
            failure = TaskFailure.model_validate(from_json(data)["error"])
        except (ValueError, LookupError, TypeError):
            failure = TaskFailure(message="The stream ended with an error that it does not describe.")
        known = CODES.get(failure.code or "")
        if known is not None and self.task_id is not None:
            status = "cancelled" if failure.code == "CANCELLED" else "failed"
            return ended_badly(self._task(status, failure))
        kind = StreamError if known is None else class_for_status(known.status)
        message = f"{failure.message}{self._elsewhere()}".lstrip()
        return kind(message, error_code=failure.code, retryable=failure.retryable)

    def _silent(self) -> APIError:
        message = f"The stream had no event for {self._idle:g} s."
        if self.task_id is None:
            return APITimeoutError(message, retryable=True)
        message += f" Its task may yet finish: client.tasks.wait({self.task_id!r}) waits for it."
        return TaskTimeoutError(message, task=self._task("running"), retryable=True)

    def _cut_off(self) -> StreamError:
        message = "The stream ended before its last event, and could not be taken up again."
        return StreamError(message + self._elsewhere(), retryable=True)

    def _elsewhere(self) -> str:
        if self.task_id is None:
            return ""
        return f" client.tasks.wait({self.task_id!r}) has the whole answer once it exists."

    def _task(self, status: str, failure: TaskFailure | None = None) -> Task:
        return Task(
            task_id=self.task_id or "",
            task_type="text_generation",
            status=status,
            error=failure,
            model=self.model,
            provider=self.provider,
        )


def _number(event_id: str | None) -> int:
    """Ids increase; one that is no number cannot be compared."""
    return int(event_id) if event_id and event_id.isascii() and event_id.isdigit() else -1


def _join(calls: list[dict[str, Any]], piece: Mapping[str, Any]) -> None:
    """Put a piece of a tool call to its call: the `arguments` of one `index` are one string in pieces."""
    index = piece.get("index")
    call = next((call for call in calls if index is not None and call.get("index") == index), None)
    if call is None:
        calls.append({**piece, "function": {**(piece.get("function") or {})}})
        return
    function = piece.get("function") or {}
    whole = call["function"]
    whole["arguments"] = whole.get("arguments", "") + (function.get("arguments") or "")
    if function.get("name"):
        whole["name"] = function["name"]
