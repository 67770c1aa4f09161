"""Chat Completions: OpenAI's request to ours, our answer to OpenAI's. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from nexusai.providers.types import ChatRequest, ChatResponse, StreamChunk, Usage
from nexusai.server.gateway.bodies import ChatBody

__all__ = ["ChunkWriter", "answer_of", "request_of", "summed", "usage_of"]

_OPENAI_ALONE: Final = frozenset(
    {
        *("audio", "function_call", "functions", "logit_bias", "logprobs", "metadata", "modalities"),
        *("prediction", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier"),
        *("store", "top_logprobs", "user", "verbosity", "web_search_options"),
    }
)
"""Fields that other protocols have no word for; the client's library sends some of them by itself."""


def request_of(body: ChatBody, extra: Mapping[str, Any], model: str, *, same_protocol: bool) -> ChatRequest:
    """One answer's request; `same_protocol` is a provider that speaks Chat Completions itself."""
    if same_protocol:
        extra = {**extra, **({"n": body.n} if body.n and body.n > 1 else {})}
    else:
        extra = {name: value for name, value in extra.items() if name not in _OPENAI_ALONE}
    return ChatRequest(
        model=model,
        messages=body.messages,
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        stop=body.stop,
        seed=body.seed,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        tools=body.tools or None,
        tool_choice=body.tool_choice,
        response_format=body.response_format,
        reasoning_effort=body.reasoning_effort,
        extra=extra,
    )


def answer_of(answers: Sequence[ChatResponse], completion_id: str, created: int) -> dict[str, Any]:
    """A `chat.completion` of one choice for each answer."""
    first = answers[0]
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": first.model,
        "choices": [
            {
                "index": index,
                "message": _message(answer),
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
            for index, answer in enumerate(answers)
        ],
        "usage": summed([answer.usage for answer in answers]),
        **first.extra,
    }


def usage_of(usage: Usage) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        shown["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        shown["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return shown


def summed(usages: Sequence[Usage]) -> dict[str, Any]:
    """Of several answers to one prompt: each was billed for it."""
    shown = usage_of(usages[0])
    for usage in usages[1:]:
        for name, value in usage_of(usage).items():
            if isinstance(value, int):
                shown[name] = shown.get(name, 0) + value
            else:
                ours = shown.setdefault(name, {})
                for part, tokens in value.items():
                    ours[part] = ours.get(part, 0) + tokens
    return shown


def _message(answer: ChatResponse) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.content, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        message["tool_calls"] = answer.tool_calls
        message["content"] = answer.content or None
    return message


class ChunkWriter:
    """The chunks of one streamed answer: the role with the first delta, the usage, if wanted, at the end."""

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool) -> None:
        self._head = {"id": completion_id, "object": "chat.completion.chunk", "created": created}
        self._model = model
        self._include_usage = include_usage
        self._begun = False
        self._usage: Usage | None = None

    def write(self, chunk: StreamChunk) -> dict[str, Any] | None:
        """None for a chunk that has nothing for OpenAI's clients."""
        self._model = chunk.model or self._model
        self._usage = chunk.usage or self._usage
        delta: dict[str, Any] = {}
        if chunk.delta:
            delta["content"] = chunk.delta
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.tool_calls:
            delta["tool_calls"] = chunk.tool_calls
        if not (delta or chunk.finish_reason or chunk.extra):
            return None
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", "content": "", **delta}
        choice = {
            "index": chunk.index,
            "delta": delta,
            "logprobs": None,
            "finish_reason": chunk.finish_reason,
        }
        return {**self._headed([choice]), **chunk.extra}

    def end(self) -> dict[str, Any] | None:
        """The chunk with the usage, where it was asked for."""
        if not self._include_usage or self._usage is None:
            return None
        return {**self._headed([]), "usage": usage_of(self._usage)}

    def _headed(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        shown = {**self._head, "model": self._model, "choices": choices}
        return {**shown, "usage": None} if self._include_usage else shown
