"""What is known of a stream of text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from nexusai._internal._events import EVENTS, EventState
from nexusai._internal._flow import create
from nexusai._internal._streaming import ServerSentEvent
from nexusai.error import StreamError
from nexusai.models import Delta, StreamChunk, Task, TaskFailure, TextResponse, Usage

__all__ = ["StreamState"]

_OF_A_CHUNK = frozenset(StreamChunk.model_fields)
_DELTA_ALONE, _CONTENT_ALONE = {"delta"}, {"content"}
_chunk_of = StreamChunk.__pydantic_validator__.validate_json  # a third faster than model_validate_json()


class StreamState(EventState[StreamChunk]):
    """A text as it comes. `body` goes to `path` under an idempotency `key`, or a new one."""

    def __init__(
        self,
        body: Mapping[str, Any],
        *,
        retries: int,
        idle: float,
        path: str = "/invoke",
        key: str | None = None,
    ) -> None:
        keyed = {} if key is None else {"Idempotency-Key": key}
        opening = create(path, json={**body, "stream": True}, headers={**EVENTS, **keyed}, timeout=idle)
        super().__init__(opening, retries=retries, idle=idle)
        self.model: str | None = None
        self.provider: str | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tool_calls: list[dict[str, Any]] = []
        self._citations: list[dict[str, Any]] = []
        self._last = StreamChunk()

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def finish_reason(self) -> str | None:
        return self._last.finish_reason

    @property
    def usage(self) -> Usage | None:
        return self._last.usage

    def response(self) -> TextResponse:
        """All of it. Raises `StreamError` before the end."""
        if not self._whole:
            raise StreamError("The stream was closed before its last event: its text is not whole.")
        last = self._last
        gathered = {
            "text": self.text,
            "reasoning": "".join(self._reasoning) or None,
            "tool_calls": [_without_index(call) for call in self._tool_calls] or None,
            "citations": self._citations or None,
            "model": self.model,
            "provider": self.provider,
            "task_id": self.task_id,
        }
        return TextResponse(
            finish_reason=last.finish_reason,
            usage=last.usage,
            cost=last.cost,
            **{**(last.model_extra or {}), **{name: value for name, value in gathered.items() if value}},
        )

    @override
    def _message(self, event: ServerSentEvent) -> StreamChunk | None:
        if event.event != "message":
            return None
        try:
            chunk: StreamChunk = _chunk_of(event.data)
        except ValueError:
            raise self._end(StreamError("The stream has an event that is no chunk of text.")) from None
        if chunk.__pydantic_fields_set__ != _DELTA_ALONE and not self._note(chunk):
            return None
        delta = chunk.delta
        if delta.__pydantic_fields_set__ == _CONTENT_ALONE:
            self._text.append(delta.content)
        else:
            self._gather(delta)
        return chunk

    def _note(self, chunk: StreamChunk) -> bool:
        """What the first event and the last one tell; whether the reader is to see this one."""
        if chunk.model_extra:
            for name in ("task_id", "model", "provider"):
                if isinstance(told := chunk.get(name), str):
                    setattr(self, name, told)
        if chunk.finish_reason is not None or chunk.usage is not None:
            self._last = chunk
        return not chunk.model_fields_set.isdisjoint(_OF_A_CHUNK)

    def _gather(self, delta: Delta) -> None:
        if delta.content:
            self._text.append(delta.content)
        if delta.reasoning_content:
            self._reasoning.append(delta.reasoning_content)
        for piece in delta.tool_calls or ():
            _join(self._tool_calls, piece)
        if delta.citations:
            self._citations.extend(delta.citations)

    @override
    def _task(self, status: str, failure: TaskFailure | None = None) -> Task:
        return Task(
            task_id=self.task_id or "",
            task_type="text_generation",
            status=status,
            error=failure,
            model=self.model,
            provider=self.provider,
        )


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


def _without_index(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call as an answer that is not streamed has it."""
    return {name: value for name, value in call.items() if name != "index"}
