"""OpenAI itself: chat by the Responses API where that is better, all else as `openai_compatible` has it.

Reasoning models think on between the calls of tools only where their reasoning is given back to them, which
Chat Completions cannot do, and some of them answer by Responses alone.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from nexusai.providers.adapters import openai_compatible
from nexusai.providers.adapters.adapter import Adapter
from nexusai.providers.adapters.openai_relay import understood
from nexusai.providers.adapters.openai_responses import (
    CHAT_ONLY,
    build_count,
    build_responses,
    build_responses_stream,
    parse_count,
    parse_responses,
)
from nexusai.providers.adapters.openai_responses_relay import RESPONSES
from nexusai.providers.adapters.openai_responses_stream import ResponsesStream
from nexusai.providers.adapters.openai_stream import ChatStream
from nexusai.providers.adapters.vendors import is_reasoning
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import ValidationError
from nexusai.providers.flow import StreamParser, exchange, streaming
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import ChatRequest, ChatResponse, RelayRequest

__all__ = ["ADAPTER", "build_chat", "build_stream", "by_responses", "parse_chat", "stream_parser"]

_OWN_HOST: Final = re.compile(r"(^|\.)api\.openai\.com$")


def by_responses(config: ProviderConfig, request: ChatRequest) -> bool:
    """Whether a chat goes by the Responses API.

    The rule: reasoning models do, unless they are asked for what Chat Completions alone has, at OpenAI's own
    address. What else speaks this API, behind another base URL, may have Chat Completions only. An `api` of
    `responses` or `chat`, in the request's `extra` or in the configuration's options, is obeyed.
    """
    wanted = request.extra.get("api") or config.options.get("api")
    if wanted not in (None, "responses", "chat"):
        raise ValidationError(f"api is 'responses' or 'chat', not {str(wanted)[:40]!r}")
    if wanted is not None:
        return bool(wanted == "responses")
    at_home = _OWN_HOST.search(urlsplit(config.base_url or "").hostname or "")
    plain = all(getattr(request, name) is None for name in CHAT_ONLY)
    return bool(at_home) and plain and is_reasoning(request.model)


def build_chat(config: ProviderConfig, request: ChatRequest) -> HttpRequest:
    build = build_responses if by_responses(config, request) else openai_compatible.build_chat
    return build(config, _sent(request))


def build_stream(config: ProviderConfig, request: ChatRequest) -> HttpRequest:
    build = build_responses_stream if by_responses(config, request) else openai_compatible.build_stream
    return build(config, _sent(request))


def parse_chat(config: ProviderConfig, request: ChatRequest, response: HttpResponse) -> ChatResponse:
    parse = parse_responses if by_responses(config, request) else openai_compatible.parse_chat
    return parse(config, request, response)


def stream_parser(config: ProviderConfig, request: ChatRequest) -> StreamParser:
    return (ResponsesStream if by_responses(config, request) else ChatStream)(config, request)


def _understood(config: ProviderConfig, request: RelayRequest) -> bool:
    """What is configured to be spoken to by Chat Completions may have nothing else."""
    if request.api == "responses":
        return config.options.get("api") != "chat"
    return understood(config, request)


def _sent(request: ChatRequest) -> ChatRequest:
    """Without what is said to us alone."""
    extra = {name: value for name, value in request.extra.items() if name != "api"}
    return replace(request, extra=extra)


ADAPTER: Final[Adapter] = replace(
    openai_compatible.ADAPTER,
    chat=exchange(build_chat, parse_chat),
    stream=streaming(build_stream, stream_parser, parse_chat),
    count_tokens=exchange(build_count, parse_count),
    relays={**openai_compatible.ADAPTER.relays, "responses": RESPONSES},
    understood=_understood,
)
