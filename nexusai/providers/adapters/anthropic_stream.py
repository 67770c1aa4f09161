"""Answers of Anthropic's Messages API, whole and streamed, read purely."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from nexusai._internal._streaming import ServerSentEvent
from nexusai.providers.adapters.anthropic_errors import error_of
from nexusai.providers.adapters.anthropic_messages import CONTENT, THOUGHTS
from nexusai.providers.adapters.openai_stream import estimated_usage, loads
from nexusai.providers.adapters.openai_wire import failure
from nexusai.providers.adapters.reading import count_of, text_of
from nexusai.providers.config import ProviderConfig
from nexusai.providers.tokens import TokenTally
from nexusai.providers.types import ChatRequest, FinishReason, StreamChunk, Usage

__all__ = [
    "JSON_TOOL",
    "UNREADABLE",
    "ChatStream",
    "arguments_of",
    "blocks_to_return",
    "finish_reason",
    "usage_of",
]

Block = dict[str, Any]

JSON_TOOL: Final = "answer_as_json"
"""The tool that a model without JSON schemas is made to answer by; its arguments are the content."""
UNREADABLE: Final = (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError)
"""What reading an answer of another shape than the API promises ends in."""

_FINISH: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",  # the vendor's own tools took too long: there is more to come
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_LEVELS: Final = 64
"""Blocks nested deeper than this could not be written as JSON again."""


class ChatStream:
    """`done` once the vendor said `message_stop`; `end()` when it did, or when the body is over."""

    def __init__(self, config: ProviderConfig, request: ChatRequest, *, by_tool: bool = False) -> None:
        self.done: bool = False
        self._config = config
        self._request = request
        self._by_tool = by_tool
        """Whether the answer comes as the arguments of `JSON_TOOL`."""
        self._model: str | None = None
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, Block] = {}
        self._pieces: dict[int, list[str]] = {}
        self._calls: dict[int, int] = {}
        """The place among the answer's calls of each block that is one."""
        self._held: list[str] = []
        self._text = TokenTally()
        self._finished = False

    def feed(self, event: ServerSentEvent) -> Sequence[StreamChunk]:
        """The chunks of one event. Raises the `AdapterError` that an error inside the stream stands for."""
        try:
            body = loads(event.data)
        except ValueError:
            raise failure(self._config, self._request.model, "sent a chunk that is not JSON") from None
        if not isinstance(body, dict):
            return ()
        kind = body.get("type")
        if kind == "error" or (kind is None and body.get("error")):
            raise error_of(self._config, self._request.model, 200, {}, body)
        return self._readable(self._read, kind, body)

    def end(self) -> Sequence[StreamChunk]:
        """The last chunks. Raises `RetryableError` when the vendor stopped in the middle."""
        if not self._finished and not self.done:
            said = "ended the stream early, with neither stop_reason nor message_stop"
            raise failure(self._config, self._request.model, said)
        usage = usage_of(self._usage) or estimated_usage(self._request, self._text.tokens)
        last = StreamChunk(usage=usage, model=self._model)
        return [last] if self._finished else [*self._readable(self._finish, None), last]

    def _readable(self, read: Callable[..., Sequence[StreamChunk]], *found: Any) -> Sequence[StreamChunk]:
        try:
            return read(*found)
        except UNREADABLE:
            raise failure(self._config, self._request.model, "sent a chunk of an unknown shape") from None

    def _read(self, kind: Any, body: Block) -> Sequence[StreamChunk]:
        if kind == "content_block_delta":
            return self._delta(body["index"], body["delta"])
        if kind == "content_block_start":
            return self._start(body["index"], body["content_block"])
        if kind == "content_block_stop":
            self._stop(body["index"])
        elif kind == "message_start":
            message = body["message"]
            self._model = text_of(message.get("model")) or self._model
            self._count(message.get("usage"))
        elif kind == "message_delta":
            self._count(body.get("usage"))
            reason = body["delta"].get("stop_reason")
            return self._finish(reason) if reason else ()
        elif kind == "message_stop":
            self.done = True
        return ()

    def _start(self, index: int, block: Block) -> Sequence[StreamChunk]:
        self._blocks[index], self._pieces[index] = dict(block), []
        kind = block["type"]
        if kind == "text":
            return self._said(block.get("text") or "")
        if kind == "thinking" and block.get("thinking"):
            return [StreamChunk(reasoning=str(block["thinking"]), model=self._model)]
        if kind != "tool_use":
            return ()
        if self._is_answer(block):
            return ()
        self._calls[index] = len(self._calls)
        whole = arguments_of(block["input"]) if block.get("input") else ""
        function = {"name": _text(block["name"]), "arguments": whole}
        return self._fragment(index, id=_text(block["id"]), type="function", function=function)

    def _delta(self, index: int, delta: Block) -> Sequence[StreamChunk]:
        kind, block = delta["type"], self._blocks[index]
        if kind == "text_delta":
            self._pieces[index].append(delta["text"])
            return self._said(delta["text"])
        if kind == "thinking_delta":
            self._pieces[index].append(delta["thinking"])
            thought = _text(delta["thinking"])
            return [StreamChunk(reasoning=thought, model=self._model)] if thought else ()
        if kind == "signature_delta":
            block["signature"] = (block.get("signature") or "") + delta["signature"]
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        elif kind == "input_json_delta":
            piece = _text(delta["partial_json"])
            self._pieces[index].append(piece)
            if self._is_answer(block) and piece:
                return self._tell(piece)
            if index in self._calls and piece:
                return self._fragment(index, function={"arguments": piece})
        return ()

    def _stop(self, index: int) -> None:
        """Put the block together, as it may have to go back."""
        block, pieces = self._blocks[index], "".join(self._pieces.pop(index))
        for kind in ("text", "thinking"):
            if block["type"] == kind:
                block[kind] = (block.get(kind) or "") + pieces
        if pieces and "input" in block:
            try:
                block["input"] = loads(pieces)
            except ValueError:  # cut off by max_tokens
                block["input"] = None

    def _finish(self, reason: Any) -> Sequence[StreamChunk]:
        self._finished = True
        held, self._held = "".join(self._held), []
        answered = any(self._is_answer(block) for block in self._blocks.values())
        last = StreamChunk(
            finish_reason=finish_reason(reason, called=bool(self._calls), answered=answered),
            reasoning_blocks=blocks_to_return([self._blocks[index] for index in sorted(self._blocks)]),
            model=self._model,
        )
        return [*self._tell(held), last] if held and not answered else [last]

    def _is_answer(self, block: Block) -> bool:
        return self._by_tool and block["type"] == "tool_use" and block.get("name") == JSON_TOOL

    def _said(self, text: str) -> Sequence[StreamChunk]:
        if not self._by_tool:
            return self._tell(_text(text))
        self._held.append(_text(text))
        return ()

    def _tell(self, text: str) -> Sequence[StreamChunk]:
        if not text:
            return ()
        self._text.add(text)
        return [StreamChunk(delta=text, model=self._model)]

    def _fragment(self, index: int, **facts: Any) -> Sequence[StreamChunk]:
        return [StreamChunk(tool_calls=[{"index": self._calls[index], **facts}], model=self._model)]

    def _count(self, usage: Any) -> None:
        """Counts are of the whole answer so far: none of them ever falls."""
        for name, found in usage.items() if isinstance(usage, Mapping) else ():
            count = count_of(found)
            if isinstance(found, Mapping) or (count is not None and count > self._usage.get(name, -1)):
                self._usage[name] = found if count is None else count


def finish_reason(reason: Any, *, called: bool, answered: bool) -> FinishReason:
    """A stop reason in our words. `called`: tools of the caller's; `answered`: by `JSON_TOOL`."""
    if reason is None:
        return "tool_calls" if called else "stop"
    found = _FINISH.get(reason, "stop") if isinstance(reason, str) else "stop"
    return "stop" if found == "tool_calls" and answered and not called else found


def usage_of(usage: Any) -> Usage | None:
    """None where nothing was counted: a gateway that does not count says zero."""
    if not isinstance(usage, Mapping):
        return None
    asked, answered = count_of(usage.get("input_tokens")), count_of(usage.get("output_tokens"))
    read = count_of(usage.get("cache_read_input_tokens"))
    written = count_of(usage.get("cache_creation_input_tokens"))
    prompt = (asked or 0) + (read or 0) + (written or 0)
    if asked is None or not (prompt or answered):
        return None
    details = usage.get("output_tokens_details")
    thought = count_of(details.get("thinking_tokens")) if isinstance(details, Mapping) else None
    return Usage(prompt, answered or 0, read, thought, written)


def blocks_to_return(content: Sequence[Block]) -> list[Block] | None:
    """What the vendor wants back with the next turn: its thoughts, and where their place could not be told
    from text and calls, or its own tools were at work, everything.

    Raises `ValueError` for blocks that are nested beyond writing.
    """
    kinds = [block.get("type") for block in content]
    first = next((at for at, kind in enumerate(kinds) if kind not in THOUGHTS), len(kinds))
    rest = kinds[first:]
    ours = all(kind in ("text", "tool_use") for kind in rest)
    in_order = rest.count("text") <= 1 and "text" not in rest[1:]
    whole = [block for block in content if block.get("type") != "text" or block.get("text")]
    if not _nest(whole, _LEVELS):
        raise ValueError("nested too deeply")
    readable = all(isinstance(block.get("input", {}), Mapping) for block in whole)
    if readable and not (ours and (in_order or not first)):
        return [{"type": CONTENT, "content": whole}]
    return [block for block in whole if block.get("type") in THOUGHTS] or None


def arguments_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _nest(value: Any, levels: int) -> bool:
    """Whether the value has no more than that many levels of objects and lists."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list):
        return True
    return levels > 0 and all(_nest(part, levels - 1) for part in value)
