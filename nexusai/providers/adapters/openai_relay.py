"""What passes to and from OpenAI's APIs as it is, at whatever vendor speaks them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from nexusai.providers.adapters.openai_errors import error_from
from nexusai.providers.adapters.openai_stream import (
    FAILED,
    finish_reason,
    split_content,
    tool_calls_of,
    usage_of,
)
from nexusai.providers.adapters.openai_wire import failure, object_of, post_bytes
from nexusai.providers.adapters.reading import text_of
from nexusai.providers.adapters.registry import vendor_of
from nexusai.providers.adapters.relay import DONE, body_of, estimated, field_of, relaying
from nexusai.providers.config import ProviderConfig
from nexusai.providers.flow import Operation
from nexusai.providers.transport import HttpRequest
from nexusai.providers.types import FinishReason, RelayApi, RelayRequest, RelayResponse, Usage

__all__ = ["RELAYS", "ChatTap", "build_relay", "chat_facts", "embedding_facts", "understood"]

_PATHS: Final[Mapping[RelayApi, str]] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
}


def understood(config: ProviderConfig, request: RelayRequest) -> bool:
    """Whether the vendor has no other words for what is asked than OpenAI has."""
    vendor, fields = vendor_of(config.provider), request.fields
    if request.api == "completions":
        return bool(vendor.completions and re.search(vendor.completions, request.model))
    if "reasoning_effort" in fields and vendor.thinking != "effort":
        return False
    if vendor.json_schema != "native" and b"json_schema" in fields.get("response_format", b""):
        return False
    return not vendor.renames or vendor.renames.keys().isdisjoint(fields)


def build_relay(config: ProviderConfig, request: RelayRequest) -> HttpRequest:
    """A stream is always asked for what it used, as far as the vendor lets one ask."""
    put = {}
    if request.stream and request.api != "embeddings" and vendor_of(config.provider).stream_options:
        put["stream_options"] = {**_stream_options(request), "include_usage": True}
    return post_bytes(config, request.model, _PATHS[request.api], body_of(request, **put))


def chat_facts(
    config: ProviderConfig, request: RelayRequest, body: Mapping[str, Any]
) -> tuple[Usage, FinishReason | None]:
    choice = body["choices"][0]
    message, reason = choice.get("message"), choice.get("finish_reason")
    if reason in FAILED:
        raise failure(config, request.model, f"broke off with finish_reason {reason!r}")
    text = choice["text"] if message is None else message.get("content")
    usage = usage_of(body) or usage_of(choice)
    if usage is None:
        text = text if message is None else "".join(filter(None, split_content(message)))
        usage = estimated(request, text)
    return usage, finish_reason(reason or "stop")


def embedding_facts(
    config: ProviderConfig, request: RelayRequest, body: Mapping[str, Any]
) -> tuple[Usage, FinishReason | None]:
    if not isinstance(body["data"], list):
        raise TypeError("no list of vectors")
    return usage_of(body) or estimated(request, ""), None


class ChatTap:
    """`done` once the vendor said `[DONE]`."""

    def __init__(self, config: ProviderConfig, request: RelayRequest) -> None:
        self.done: bool = False
        self.model: str | None = None
        self.id: str | None = None
        self.finish_reason: FinishReason | None = None
        self._config = config
        self._request = request
        self._usage: Usage | None = None
        self._shows_usage = bool(_stream_options(request).get("include_usage"))

    def read(self, event: Mapping[str, Any]) -> str | None:
        if self.model is not None and (text := _plain_text(event)):
            return text
        if DONE in event:
            self.done = True
            return ""
        if event.get("error"):
            raise error_from(self._config, self._request.model, 200, {}, event)
        if self.model is None:
            self.model, self.id = text_of(event.get("model")), text_of(event.get("id"))
        choices = event.get("choices")
        if event.get("usage"):
            self._usage = usage_of(event) or self._usage
            if not choices and not self._shows_usage and self._usage is not None:
                return None
        return "".join([self._said(choice) for choice in choices or ()])

    def end(self) -> tuple[Usage | None, bytes]:
        if self.done:
            return self._usage, b""
        if self.finish_reason is None:
            what = "ended the stream early, with neither finish_reason nor [DONE]"
            raise failure(self._config, self._request.model, what)
        return self._usage, b"data: [DONE]\n\n"

    def _said(self, choice: Mapping[str, Any]) -> str:
        delta = choice.get("delta") or choice
        reason = choice.get("finish_reason")
        if reason:
            if reason in FAILED:
                raise failure(self._config, self._request.model, f"broke off with finish_reason {reason!r}")
            self.finish_reason = finish_reason(reason)
        if choice.get("usage"):
            self._usage = usage_of(choice) or self._usage
        content = delta.get("content")
        if type(content) is str and content:
            return content
        text, thought = split_content(delta)
        calls = tool_calls_of(delta) or ()
        told = [(call.get("function") or {}).get("arguments") or "" for call in calls]
        return "".join([text, thought or "", delta.get("text") or "", *told])


def _plain_text(event: Mapping[str, Any]) -> str | None:
    """That of an event which says nothing else, as nearly all of them do."""
    choices = event.get("choices")
    if not choices or len(choices) > 1 or event.get("usage") or "error" in event:
        return None
    delta = choices[0].get("delta")
    if not delta or choices[0].get("finish_reason"):
        return None
    text = delta.get("content")
    return text if type(text) is str else None


def _stream_options(request: RelayRequest) -> Mapping[str, Any]:
    options = field_of(request, "stream_options")
    return options if isinstance(options, dict) else {}


RELAYS: Final[Mapping[RelayApi, Operation[RelayRequest, RelayResponse | None]]] = {
    "chat": relaying(build_relay, object_of, chat_facts, ChatTap),
    "completions": relaying(build_relay, object_of, chat_facts, ChatTap),
    "embeddings": relaying(build_relay, object_of, embedding_facts),
}
