"""Google's Gemini API (v1beta). Written from its reference.

Pure: requests are built and answers are read here, sent and awaited elsewhere. Messages become contents in
`gemini_request.py`, answers are read in `gemini_stream.py`; pictures, sound and vectors are in
`gemini_media.py`.
"""

from __future__ import annotations

from typing import Final

from nexusai.providers.adapters.adapter import Adapter
from nexusai.providers.adapters.gemini_media import embeddings, images, speech
from nexusai.providers.adapters.gemini_request import chat_body
from nexusai.providers.adapters.gemini_stream import (
    ChatStream,
    finish_of,
    pieces_of,
    refuse_blocked,
    usage_of,
)
from nexusai.providers.adapters.gemini_wire import (
    UNREADABLE,
    failure,
    model_name,
    object_of,
    parse_error,
    post,
)
from nexusai.providers.adapters.openai_stream import estimated_usage
from nexusai.providers.adapters.reading import text_of
from nexusai.providers.config import ProviderConfig
from nexusai.providers.flow import exchange, streaming
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import ChatRequest, ChatResponse

__all__ = ["ADAPTER", "build_chat", "build_count", "build_stream", "parse_chat", "parse_count", "parse_error"]

_COUNTED: Final = ("contents", "systemInstruction", "tools")


def build_chat(config: ProviderConfig, request: ChatRequest) -> HttpRequest:
    """`request.extra` goes into the body as it is, objects merged, under what the request itself says."""
    return post(config, request.model, "generateContent", chat_body(request))


def build_stream(config: ProviderConfig, request: ChatRequest) -> HttpRequest:
    return post(config, request.model, "streamGenerateContent?alt=sse", chat_body(request))


def parse_chat(config: ProviderConfig, request: ChatRequest, response: HttpResponse) -> ChatResponse:
    """Raises `ContentFilterError` when the prompt was blocked, `RetryableError` for no readable answer."""
    body = object_of(config, request.model, response)
    try:
        refuse_blocked(config, request.model, body)
        candidate = body["candidates"][0]
        pieces = pieces_of(request, candidate)
        reason = candidate.get("finishReason")
        return ChatResponse(
            content=pieces.text,
            model=text_of(body.get("modelVersion")) or request.model,
            finish_reason=finish_of(config, request, reason, called=bool(pieces.calls)),
            usage=usage_of(body) or estimated_usage(request, pieces.text + (pieces.thought or "")),
            id=text_of(body.get("responseId")),
            reasoning=pieces.thought,
            tool_calls=pieces.calls or None,
            reasoning_blocks=pieces.blocks or None,
            raw=body,
        )
    except UNREADABLE:
        raise failure(config, request.model, "answered without a candidate that can be read") from None


def build_count(config: ProviderConfig, request: ChatRequest) -> HttpRequest:
    """The whole request, so that instructions and tools are counted too."""
    counted = {name: value for name, value in chat_body(request).items() if name in _COUNTED}
    whole = {"model": model_name(request.model), **counted}
    return post(config, request.model, "countTokens", {"generateContentRequest": whole})


def parse_count(config: ProviderConfig, request: ChatRequest, response: HttpResponse) -> int:
    tokens = object_of(config, request.model, response).get("totalTokens")
    if not isinstance(tokens, int):
        raise failure(config, request.model, "answered without a count of tokens")
    return tokens


ADAPTER: Final = Adapter(
    chat=exchange(build_chat, parse_chat),
    stream=streaming(build_stream, ChatStream, parse_chat),
    images=images,
    speech=speech,
    embeddings=embeddings,
    count_tokens=exchange(build_count, parse_count),
    parse_error=parse_error,
)
