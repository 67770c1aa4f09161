"""A streamed chat answer in OpenAI's form, read purely: events in, chunks out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from nexusai._internal._streaming import ServerSentEvent
from nexusai.providers.adapters.openai_errors import error_from
from nexusai.providers.adapters.reading import count_of, text_of
from nexusai.providers.adapters.registry import vendor_of
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import RetryableError
from nexusai.providers.tokens import TokenTally, estimate_message_tokens, estimate_tokens
from nexusai.providers.types import ChatRequest, FinishReason, StreamChunk, Usage

try:
    import orjson as json
except ImportError:
    import json  # type: ignore[no-redef]

__all__ = [
    "FAILED",
    "ChatStream",
    "estimated_usage",
    "finish_reason",
    "joined",
    "loads",
    "split_content",
    "thoughts_of",
    "tool_calls_of",
    "usage_of",
]

_FINISH: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
}
_CALL_LEVELS: Final = 8
"""A call has two levels, with a vendor's own notes four; far deeper ones orjson could not write again."""
_PIECEWISE: Final = ("reasoning_content", "text", "summary", "data")
"""What of a thought comes in pieces."""
FAILED: Final = frozenset({"error", "network_error", "insufficient_system_resource"})
"""Finish reasons that say the vendor broke."""


class ChatStream:
    """`done` once the vendor said `[DONE]`; `end()` when it did, or when the body is over."""

    def __init__(self, config: ProviderConfig, request: ChatRequest) -> None:
        self.done: bool = False
        self._config = config
        self._request = request
        self._model: str | None = None
        self._usage: Usage | None = None
        self._finished = False
        self._called_tools = False
        self._text = TokenTally()
        self._field = vendor_of(config.provider).thoughts
        self._thoughts: list[Mapping[str, Any]] = []

    def feed(self, event: ServerSentEvent) -> list[StreamChunk]:
        """The chunks of one event. Raises the `AdapterError` that an error inside the stream stands for."""
        if event.data == "[DONE]":
            self.done = True
            return []
        try:
            body = loads(event.data)
        except ValueError:
            raise self._failure("sent a chunk that is not JSON") from None
        if not isinstance(body, dict):
            return []
        if body.get("error") or event.event == "error":
            raise error_from(self._config, self._request.model, 200, {}, body)
        try:
            self._model = text_of(body.get("model")) or self._model
            self._usage = usage_of(body) or self._usage
            choices = body.get("choices") or ()
            return [chunk for choice in choices if (chunk := self._chunk(choice)) is not None]
        except (AttributeError, TypeError):
            raise self._failure("sent a chunk of an unknown shape") from None

    def end(self) -> list[StreamChunk]:
        """The last chunks. Raises `RetryableError` when the vendor stopped in the middle."""
        if not self._finished and not self.done:
            raise self._failure("ended the stream early, with neither finish_reason nor [DONE]")
        usage = self._usage or estimated_usage(self._request, self._text.tokens)
        last = [StreamChunk(usage=usage, model=self._model, reasoning_blocks=joined(self._thoughts))]
        if self._finished:
            return last
        reason: FinishReason = "tool_calls" if self._called_tools else "stop"
        return [StreamChunk(finish_reason=reason, model=self._model), *last]

    def _chunk(self, choice: dict[str, Any]) -> StreamChunk | None:
        self._usage = usage_of(choice) or self._usage
        delta = choice.get("delta") or {}
        text, thought = split_content(delta)
        calls, reason = tool_calls_of(delta), choice.get("finish_reason")
        if self._field is not None:
            self._thoughts += thoughts_of(delta, self._field)
        if not (text or thought or calls or reason):
            return None
        self._text.add(text or thought or "")
        self._called_tools = self._called_tools or bool(calls)
        if reason in FAILED:
            raise self._failure(f"broke off with finish_reason {reason!r}")
        self._finished = self._finished or bool(reason)
        return StreamChunk(
            delta=text,
            reasoning=thought,
            tool_calls=calls,
            index=count_of(choice.get("index")) or 0,
            finish_reason=finish_reason(reason) if reason else None,
            model=self._model,
        )

    def _failure(self, what: str) -> RetryableError:
        provider = self._config.provider
        return RetryableError(f"{provider} {what}", provider=provider, model=self._request.model)


def loads(data: bytes | str) -> Any:
    """Raises `ValueError` for what is no JSON, or is nested beyond reading."""
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def finish_reason(reason: Any) -> FinishReason:
    """A vendor's word in ours; one that nobody knows is a stop."""
    return _FINISH.get(reason.lower(), "stop") if isinstance(reason, str) else "stop"


def split_content(message: Mapping[str, Any]) -> tuple[str, str | None]:
    """Text and thought of a message or delta; some vendors send the content as a list of typed parts."""
    content = message.get("content") or message.get("refusal") or ""
    thought = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(content, str):
        return content, thought if isinstance(thought, str) else None
    text = "".join(part.get("text") or "" for part in content if part.get("type") == "text")
    thoughts = (piece for part in content for piece in part.get("thinking") or ())
    return text, "".join(piece.get("text") or "" for piece in thoughts) or None


def thoughts_of(message: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    """The blocks that the vendor wants back in that field, whole or, of a delta, in pieces."""
    thought = message.get(field)
    if not thought:
        return []
    if isinstance(thought, str):
        return [{field: thought}]
    if not all(_is_thought(block) for block in thought):
        raise TypeError("no list of thoughts")
    return list(thought)


def joined(pieces: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]] | None:
    """The blocks that pieces make: those that follow each other under one type and index are one."""
    blocks: list[Mapping[str, Any]] = []
    for piece in pieces:
        if blocks and all(blocks[-1].get(name) == piece.get(name) for name in ("type", "index")):
            before = blocks[-1]
            texts = {name: (before.get(name) or "") + piece[name] for name in _PIECEWISE if piece.get(name)}
            blocks[-1] = {**before, **{name: value for name, value in piece.items() if value}, **texts}
        else:
            blocks.append(dict(piece))
    return blocks or None


def tool_calls_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """The calls of a message, or their fragments in a delta. Raises `TypeError` when they are neither."""
    calls = message.get("tool_calls") or None
    if calls is None:
        return None
    if not isinstance(calls, list) or not all(
        _is_call(call) and _nests(call, _CALL_LEVELS) for call in calls
    ):
        raise TypeError("no list of tool calls")
    return calls


def _is_thought(block: Any) -> bool:
    if not isinstance(block, Mapping) or not _nests(block, _CALL_LEVELS):
        return False
    return all(isinstance(block.get(name), str | None) for name in _PIECEWISE)


def _is_call(call: Any) -> bool:
    if not isinstance(call, Mapping):
        return False
    function = call.get("function") or {}
    return (
        isinstance(call.get("index"), int | None)
        and isinstance(call.get("id"), str | None)
        and isinstance(function, Mapping)
        and isinstance(function.get("name"), str | None)
        and isinstance(function.get("arguments"), str | None)
    )


def _nests(value: Any, levels: int) -> bool:
    """Whether the value has no more than that many levels of objects and lists."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if not isinstance(value, list | tuple):
        return True
    return levels > 0 and all(_nests(part, levels - 1) for part in value)


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """The usage in a body, chunk or choice, where it has one."""
    usage = body.get("usage") or (body.get("x_groq") or {}).get("usage")
    if not isinstance(usage, dict) or (prompt := count_of(usage.get("prompt_tokens"))) is None:
        return None
    completion = count_of(usage.get("completion_tokens"))
    if completion is None:
        completion = max(0, (count_of(usage.get("total_tokens")) or 0) - prompt)
    asked, answered = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    cached = count_of(asked.get("cached_tokens"))
    if cached is None:
        cached = count_of(usage.get("prompt_cache_hit_tokens"))
    if cached is None:
        cached = count_of(usage.get("cached_tokens"))
    thoughts = count_of(answered.get("reasoning_tokens"))
    return Usage(prompt, completion, cached, thoughts, count_of(asked.get("cache_write_tokens")))


def estimated_usage(request: ChatRequest, answer: str | int) -> Usage:
    """What the call would have counted, near enough, for a vendor that does not: `answer` or its tokens."""
    prompt = estimate_message_tokens(request.messages)
    tokens = estimate_tokens(answer) if isinstance(answer, str) else answer
    return Usage(prompt_tokens=prompt, completion_tokens=tokens, source="estimate")
