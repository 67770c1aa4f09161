"""Answers of Gemini's `generateContent`, whole and in pieces, read purely."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from nexusai._internal._streaming import ServerSentEvent
from nexusai.providers.adapters.gemini_wire import UNREADABLE, blocked, error_of, failure
from nexusai.providers.adapters.openai_stream import estimated_usage, loads
from nexusai.providers.adapters.reading import count_of, text_of
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import ValidationError
from nexusai.providers.tokens import TokenTally
from nexusai.providers.types import ChatRequest, FinishReason, StreamChunk, Usage

__all__ = ["ChatStream", "Pieces", "finish_of", "pieces_of", "refuse_blocked", "usage_of"]

FILTERED: Final = frozenset(
    {
        *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
    }
)
_CUT: Final = frozenset({"MAX_TOKENS", "CONTINUATION"})
_FAILED: Final = frozenset(
    {"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"}
)
"""Finish reasons that say the model broke; another try may go well."""


class Pieces(NamedTuple):
    """What the parts of a candidate say."""

    text: str
    thought: str | None
    calls: list[Mapping[str, Any]]
    blocks: list[Mapping[str, Any]]


def pieces_of(request: ChatRequest, candidate: Mapping[str, Any], calls_before: int = 0) -> Pieces:
    """Raises one of `UNREADABLE` when the parts are not what the API promises."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Mapping[str, Any]] = []
    blocks: list[Mapping[str, Any]] = []
    for part in (candidate.get("content") or {}).get("parts") or ():
        text, signature = part.get("text") or "", part.get("thoughtSignature")
        if part.get("functionCall"):
            # one without an id gets that of its place in the conversation
            own_id = f"call_{len(request.messages)}_{calls_before + len(calls)}"
            calls.append(_call(part["functionCall"], signature, own_id))
            continue
        (thoughts if part.get("thought") else texts).append(text)
        if isinstance(signature, str):
            thought = {"thought": True} if part.get("thought") else {}
            blocks.append({**thought, "text": text, "thoughtSignature": signature})
    return Pieces("".join(texts), "".join(thoughts) or None, calls, blocks)


def _call(call: Mapping[str, Any], signature: Any, own_id: str) -> dict[str, Any]:
    if not isinstance(call["name"], str) or not isinstance(call.get("id"), str | None):
        raise TypeError("no function call")
    arguments = json.dumps(call.get("args") or {}, ensure_ascii=False)
    function = {"name": call["name"], "arguments": arguments}
    made = {"id": call.get("id") or own_id, "type": "function", "function": function}
    if not isinstance(signature, str):
        return made
    return {**made, "extra_content": {"google": {"thought_signature": signature}}}


def finish_of(config: ProviderConfig, request: ChatRequest, reason: Any, *, called: bool) -> FinishReason:
    """A reason in our words. Raises the error that it stands for when the answer is none."""
    if reason in _FAILED:
        raise failure(config, request.model, f"broke off with finishReason {reason}")
    if reason == "MISSING_THOUGHT_SIGNATURE":
        message = f"{config.provider} wants the signatures of its thoughts back: go on with `answer.message`"
        raise ValidationError(message, provider=config.provider, model=request.model, code=reason)
    if reason in FILTERED:
        return "content_filter"
    if reason in _CUT:
        return "length"
    return "tool_calls" if called else "stop"


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """The tokens, where they were counted."""
    counts = body.get("usageMetadata")
    if not isinstance(counts, Mapping):
        return None

    def count(name: str) -> int | None:
        return count_of(counts.get(name))

    prompt = (count("promptTokenCount") or 0) + (count("toolUsePromptTokenCount") or 0)
    thoughts = count("thoughtsTokenCount")
    if not prompt:
        return None
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=(count("candidatesTokenCount") or 0) + (thoughts or 0),
        cached_tokens=count("cachedContentTokenCount"),
        reasoning_tokens=thoughts,
    )


def refuse_blocked(config: ProviderConfig, model: str, body: Mapping[str, Any]) -> None:
    """Raises `ContentFilterError` when the prompt was not let through."""
    reason = (body.get("promptFeedback") or {}).get("blockReason")
    if reason and not body.get("candidates"):
        raise blocked(config, model, reason)


class ChatStream:
    """Reads `streamGenerateContent?alt=sse`, whose end is the end of the body."""

    done = False

    def __init__(self, config: ProviderConfig, request: ChatRequest) -> None:
        self._config = config
        self._request = request
        self._model: str | None = None
        self._usage: Usage | None = None
        self._finished = False
        self._calls: Counter[int] = Counter()
        self._text = TokenTally()

    def feed(self, event: ServerSentEvent) -> list[StreamChunk]:
        """The chunks of one event. Raises the `AdapterError` that an error inside the stream stands for."""
        try:
            body = loads(event.data)
        except ValueError:
            raise failure(self._config, self._request.model, "sent a chunk that is not JSON") from None
        if not isinstance(body, dict):
            return []
        if body.get("error"):
            raise error_of(self._config, self._request.model, 200, {}, body)
        try:
            refuse_blocked(self._config, self._request.model, body)
            self._model = text_of(body.get("modelVersion")) or self._model
            self._usage = usage_of(body) or self._usage
            found = [self._chunk(candidate) for candidate in body.get("candidates") or ()]
        except UNREADABLE:
            raise failure(self._config, self._request.model, "sent a chunk of an unknown shape") from None
        return [chunk for chunk in found if chunk is not None]

    def end(self) -> list[StreamChunk]:
        """The last chunk. Raises `RetryableError` when the vendor stopped in the middle."""
        if not self._finished:
            what = "ended the stream early, without a finishReason"
            raise failure(self._config, self._request.model, what)
        usage = self._usage or estimated_usage(self._request, self._text.tokens)
        return [StreamChunk(usage=usage, model=self._model)]

    def _chunk(self, candidate: Mapping[str, Any]) -> StreamChunk | None:
        index, reason = candidate.get("index") or 0, candidate.get("finishReason")
        before = self._calls[index]
        pieces = pieces_of(self._request, candidate, before)
        self._calls[index] += len(pieces.calls)
        self._text.add(pieces.text + (pieces.thought or ""))
        self._finished = self._finished or bool(reason)
        if not any(pieces) and not reason:
            return None
        called = bool(self._calls[index])
        return StreamChunk(
            delta=pieces.text,
            reasoning=pieces.thought,
            tool_calls=[{"index": at, **call} for at, call in enumerate(pieces.calls, before)] or None,
            reasoning_blocks=pieces.blocks or None,
            index=index,
            finish_reason=finish_of(self._config, self._request, reason, called=called) if reason else None,
            model=self._model,
        )
