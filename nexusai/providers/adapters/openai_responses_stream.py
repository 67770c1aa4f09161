"""A streamed answer of OpenAI's Responses API, read purely: events in, chunks out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nexusai._internal._streaming import ServerSentEvent
from nexusai.providers.adapters.openai_responses import (
    UNREADABLE,
    block_of,
    call_of,
    error_in,
    finish_of,
    usage_of,
)
from nexusai.providers.adapters.openai_stream import estimated_usage, loads
from nexusai.providers.adapters.openai_wire import failure
from nexusai.providers.adapters.reading import text_of
from nexusai.providers.config import ProviderConfig
from nexusai.providers.tokens import TokenTally
from nexusai.providers.types import ChatRequest, FinishReason, StreamChunk, Usage

__all__ = ["ResponsesStream"]

_TEXT: Final = frozenset({"response.output_text.delta", "response.refusal.delta"})
_THOUGHT: Final = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_text.delta"})
_OVER: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class ResponsesStream:
    """`done` once the response is over, well or not."""

    def __init__(self, config: ProviderConfig, request: ChatRequest) -> None:
        self.done: bool = False
        self._config = config
        self._request = request
        self._model: str | None = None
        self._usage: Usage | None = None
        self._calls: dict[Any, int] = {}
        """By the place of their item in the output: which call it is."""
        self._unwritten: set[int] = set()
        """Calls of which no argument has come yet."""
        self._text = TokenTally()
        self._thought = False

    def feed(self, event: ServerSentEvent) -> list[StreamChunk]:
        """The chunks of one event. Raises the `AdapterError` that an error inside the stream stands for."""
        if self.done or event.data == "[DONE]":  # which gateways send after all
            return []
        try:
            body = loads(event.data)
        except ValueError:
            raise failure(self._config, self._request.model, "sent an event that is not JSON") from None
        if not isinstance(body, dict):
            return []
        if body.get("type") == "error" or body.get("error"):
            raise error_in(self._config, self._request.model, body.get("error") or body)
        try:
            chunk = self._chunk(str(body.get("type")), body)
        except UNREADABLE:
            raise failure(self._config, self._request.model, "sent an event of an unknown shape") from None
        return [] if chunk is None else [chunk]

    def end(self) -> list[StreamChunk]:
        """The last chunk. Raises `RetryableError` when the vendor stopped in the middle."""
        if not self.done:
            raise failure(self._config, self._request.model, "ended the stream early, with the response open")
        usage = self._usage or estimated_usage(self._request, self._text.tokens)
        return [StreamChunk(usage=usage, model=self._model)]

    def _chunk(self, kind: str, body: Mapping[str, Any]) -> StreamChunk | None:
        if kind in _TEXT:
            return self._said(body["delta"])
        if kind in _THOUGHT:
            self._thought = True
            return self._emit(reasoning=self._kept(body["delta"]))
        if kind == "response.function_call_arguments.delta":
            return self._arguments(self._calls[body["output_index"]], body["delta"])
        if kind == "response.reasoning_summary_part.added" and self._thought:
            return self._emit(reasoning="\n\n")  # between two parts of the summary
        if kind == "response.output_item.added" and body["item"]["type"] == "function_call":
            return self._called(body["output_index"], body["item"])
        if kind == "response.output_item.done":
            return self._finished_item(body["output_index"], body["item"])
        if kind in _OVER:
            return self._over(body["response"])
        self._model = text_of((body.get("response") or {}).get("model")) or self._model
        return None

    def _said(self, text: str) -> StreamChunk:
        return self._emit(delta=self._kept(text))

    def _kept(self, text: Any) -> str:
        if not isinstance(text, str):
            raise TypeError("no text")
        self._text.add(text)
        return text

    def _called(self, place: Any, item: Mapping[str, Any]) -> StreamChunk:
        index = self._calls[place] = len(self._calls)
        self._unwritten.add(index)
        call = call_of({**item, "arguments": ""})
        return self._emit(tool_calls=[{"index": index, **call}])

    def _arguments(self, index: int, piece: Any) -> StreamChunk:
        self._unwritten.discard(index)
        return self._emit(tool_calls=[{"index": index, "function": {"arguments": self._kept(piece)}}])

    def _finished_item(self, place: Any, item: Mapping[str, Any]) -> StreamChunk | None:
        if item.get("type") == "reasoning":
            block = block_of(item, len(self._calls))
            return self._emit(reasoning_blocks=[block]) if block else None
        if item.get("type") == "function_call" and self._calls.get(place) in self._unwritten:
            return self._arguments(self._calls[place], item.get("arguments") or "")
        return None

    def _over(self, response: Mapping[str, Any]) -> StreamChunk:
        self._model = text_of(response.get("model")) or self._model
        self._usage = usage_of(response)
        called = bool(self._calls)
        reason: FinishReason = finish_of(self._config, self._request.model, response, called=called)
        self.done = True
        return self._emit(finish_reason=reason)

    def _emit(self, **fields: Any) -> StreamChunk:
        return StreamChunk(model=self._model, **fields)
