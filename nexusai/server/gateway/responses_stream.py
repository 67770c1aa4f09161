"""An answer as the items and the events of OpenAI's Responses API. Pure: chunks in, events out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from nexusai.providers.types import ChatResponse, FinishReason, StreamChunk, Usage
from nexusai.server.gateway.responses_items import sealed
from nexusai.server.ids import new_id
from nexusai.server.responses.models import Item

__all__ = ["EventWriter", "chunk_of", "usage_of", "wire"]

Event = dict[str, Any]
Piece = tuple[str, dict[str, Any]]
"""The kind of an event, and what it says beside which item it is about."""

_CUT: Final[Mapping[FinishReason, str]] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
_OF_A_CALL: Final = frozenset({"id", "index", "type", "function"})


def chunk_of(answer: ChatResponse) -> StreamChunk:
    """A whole answer as the one chunk of a stream: so both ways come to the same response."""
    return StreamChunk(
        delta=answer.content,
        reasoning=answer.reasoning,
        tool_calls=[{"index": index, **call} for index, call in enumerate(answer.tool_calls or ())],
        reasoning_blocks=answer.reasoning_blocks,
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        model=answer.model,
        extra=answer.extra,
        provider=answer.provider,
    )


def wire(event: Mapping[str, Any]) -> bytes:
    """An event as it is sent."""
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"


def usage_of(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens,
    }


class _Said:
    """A message in the making."""

    def __init__(self) -> None:
        self.id = new_id("msg")
        self.text: list[str] = []

    def item(self, status: str) -> Item:
        content = [] if status == "in_progress" else [self._part("".join(self.text))]
        return {"id": self.id, "type": "message", "role": "assistant", "status": status, "content": content}

    def begun(self) -> Piece:
        return "content_part.added", {"content_index": 0, "part": self._part("")}

    def more(self, text: str) -> Piece:
        self.text.append(text)
        return "output_text.delta", {"content_index": 0, "delta": text, "logprobs": []}

    def ended(self) -> Sequence[Piece]:
        text = "".join(self.text)
        return (
            ("output_text.done", {"content_index": 0, "text": text, "logprobs": []}),
            ("content_part.done", {"content_index": 0, "part": self._part(text)}),
        )

    def _part(self, text: str) -> Item:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


class _Thought:
    """A thought in the making; `secret` is what its provider wants back of it."""

    def __init__(self) -> None:
        self.id = new_id("rs")
        self.text: list[str] = []
        self.secret: str | None = None

    def item(self, status: str) -> Item:
        summary = [] if status == "in_progress" or not self.text else [self._part("".join(self.text))]
        item: Item = {"id": self.id, "type": "reasoning", "summary": summary}
        return {**item, "encrypted_content": self.secret} if self.secret else item

    def begun(self) -> Piece:
        return "reasoning_summary_part.added", {"summary_index": 0, "part": self._part("")}

    def more(self, text: str) -> Piece:
        self.text.append(text)
        return "reasoning_summary_text.delta", {"summary_index": 0, "delta": text}

    def ended(self) -> Sequence[Piece]:
        text = "".join(self.text)
        return (
            ("reasoning_summary_text.done", {"summary_index": 0, "text": text}),
            ("reasoning_summary_part.done", {"summary_index": 0, "part": self._part(text)}),
        )

    def _part(self, text: str) -> Item:
        return {"type": "summary_text", "text": text}


class _Called:
    """A call of a function in the making; what else its provider says of it stays with it."""

    def __init__(self, call: Mapping[str, Any]) -> None:
        function = call.get("function") or {}
        self.id = new_id("fc")
        self.text: list[str] = []
        self._facts = {name: value for name, value in call.items() if name not in _OF_A_CALL}
        self._facts |= {"call_id": call.get("id") or new_id("call"), "name": function.get("name") or ""}

    def item(self, status: str) -> Item:
        arguments = "" if status == "in_progress" else self._arguments()
        return {
            "id": self.id,
            "type": "function_call",
            "status": status,
            "arguments": arguments,
            **self._facts,
        }

    def more(self, text: str) -> Piece:
        self.text.append(text)
        return "function_call_arguments.delta", {"delta": text}

    def ended(self) -> Piece:
        return "function_call_arguments.done", {"name": self._facts["name"], "arguments": self._arguments()}

    def _arguments(self) -> str:
        return "".join(self.text) or "{}"


_Item = _Said | _Thought | _Called


class EventWriter:
    """The events of one response, of which `head` is what is known beforehand.

    A message is done when something else begins. Calls are done at the end, since their pieces may come in
    turns, and so are thoughts, since a provider says last what it wants back of them.
    """

    def __init__(self, head: Mapping[str, Any], provider: str) -> None:
        self.response: dict[str, Any] = dict(head)
        """Whole after `close`."""
        self._provider = provider
        self._sent = 0
        self._items: list[_Item] = []
        self._done: dict[int, Item] = {}
        """By their places: those that do not change any more."""
        self._last: _Said | _Thought | None = None
        """What is being said or thought."""
        self._calls: dict[Any, _Called] = {}
        self._blocks: list[Mapping[str, Any]] = []
        self._reason: FinishReason = "stop"

    def begin(self) -> Iterator[Event]:
        yield self._event("response.created", response=dict(self.response))
        yield self._event("response.in_progress", response=dict(self.response))

    def write(self, chunk: StreamChunk) -> Iterator[Event]:
        self.response |= {**chunk.extra, "model": chunk.model or self.response["model"]}
        self.response["usage"] = usage_of(chunk.usage) or self.response["usage"]
        self._reason = chunk.finish_reason or self._reason
        self._provider = chunk.provider or self._provider  # of a route, who answers
        self._blocks += chunk.reasoning_blocks or ()
        if chunk.reasoning:
            yield from self._more(_Thought, chunk.reasoning)
        if chunk.delta:
            yield from self._more(_Said, chunk.delta)
        for call in chunk.tool_calls or ():
            yield from self._call(call)

    def close(self, completed_at: int) -> Iterator[Event]:
        """End what is open; `response` is whole then."""
        cut = _CUT.get(self._reason)
        status = "incomplete" if cut else "completed"
        if not self._items and not self._blocks:
            yield from self._begin(_Said)  # an answer of nothing is an empty message
        yield from self._settle(status)
        yield from self._seal()
        for item in self._items:
            yield from self._end(item, status)
        self.response |= {"status": status, "output": [self._done[place] for place in sorted(self._done)]}
        if cut:
            self.response["incomplete_details"] = {"reason": cut}
        else:
            self.response["completed_at"] = completed_at

    def end(self) -> Event:
        """The last event, of a response that is whole."""
        return self._event(f"response.{self.response['status']}", response=dict(self.response))

    def fail(self, code: str | None, message: str) -> Iterator[Event]:
        """The end of a response that broke, twice over: as its last state, and as the error of a stream."""
        output = [self._done.get(at) or item.item("incomplete") for at, item in enumerate(self._items)]
        error = {"code": code, "message": message}
        self.response |= {"status": "failed", "error": error, "output": output}
        yield self._event("response.failed", response=dict(self.response))
        told = {"type": "server_error", "param": None, **error}
        yield self._event("error", code=code, message=message, param=None, error=told)

    def _event(self, kind: str, **facts: Any) -> Event:
        event = {"type": kind, "sequence_number": self._sent, **facts}
        self._sent += 1
        return event

    def _about(self, item: _Item, *pieces: Piece) -> Iterator[Event]:
        place = self._items.index(item)
        for kind, facts in pieces:
            yield self._event(f"response.{kind}", item_id=item.id, output_index=place, **facts)

    def _added(self, item: _Item) -> Event:
        self._items.append(item)
        place = len(self._items) - 1
        return self._event("response.output_item.added", output_index=place, item=item.item("in_progress"))

    def _begin(self, kind: type[_Said] | type[_Thought]) -> Iterator[Event]:
        self._last = kind()
        yield self._added(self._last)
        yield from self._about(self._last, self._last.begun())

    def _more(self, kind: type[_Said] | type[_Thought], text: str) -> Iterator[Event]:
        if not isinstance(self._last, kind):
            yield from self._settle("completed")
            yield from self._begin(kind)
        if self._last is not None:
            yield from self._about(self._last, self._last.more(text))

    def _call(self, piece: Mapping[str, Any]) -> Iterator[Event]:
        index = piece.get("index") or 0
        call = self._calls.get(index)
        if call is None:
            yield from self._settle("completed")
            call = self._calls[index] = _Called(piece)
            yield self._added(call)
        if arguments := (piece.get("function") or {}).get("arguments"):
            yield from self._about(call, call.more(arguments))

    def _settle(self, status: str) -> Iterator[Event]:
        """End what is being said or thought, since something else begins."""
        item, self._last = self._last, None
        if item is not None:
            yield from self._about(item, *item.ended())
        if isinstance(item, _Said):
            yield from self._end(item, status)

    def _seal(self) -> Iterator[Event]:
        """What the provider wants back goes with its last thought, or is one of which nothing is shown."""
        if not self._blocks:
            return
        thoughts = [item for item in self._items if isinstance(item, _Thought)]
        if not thoughts:
            thoughts = [_Thought()]
            yield self._added(thoughts[0])
        thoughts[-1].secret = sealed(self._provider, self._blocks)

    def _end(self, item: _Item, status: str) -> Iterator[Event]:
        place = self._items.index(item)
        if place in self._done:
            return
        if isinstance(item, _Called):
            yield from self._about(item, item.ended())
        self._done[place] = item.item(status)
        yield self._event("response.output_item.done", output_index=place, item=self._done[place])
