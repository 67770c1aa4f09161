"""OpenAI's Chat Completions, Embeddings and Moderations APIs, and every vendor and server that speaks them.

Pure: requests are built and answers are read here, sent and awaited elsewhere. What differs between vendors
is data in `vendors.py`; pictures and sound are in `openai_media.py`. Written from OpenAI's API reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from nexusai.providers.adapters.adapter import Adapter
from nexusai.providers.adapters.openai_media import (
    build_images,
    build_speech,
    build_transcription,
    parse_images,
    parse_speech,
    parse_transcription,
    pictures,
    speech_streamed,
)
from nexusai.providers.adapters.openai_relay import RELAYS, understood
from nexusai.providers.adapters.openai_stream import (
    FAILED,
    ChatStream,
    estimated_usage,
    finish_reason,
    split_content,
    thoughts_of,
    tool_calls_of,
    usage_of,
)
from nexusai.providers.adapters.openai_wire import dumps, failure, object_of, parse_error, post
from nexusai.providers.adapters.reading import count_of, text_of
from nexusai.providers.adapters.registry import vendor_of
from nexusai.providers.adapters.vendor import Vendor
from nexusai.providers.adapters.vendors import is_reasoning
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import ValidationError
from nexusai.providers.flow import exchange, streaming
from nexusai.providers.messages import plain
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import (
    ChatRequest,
    ChatResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    Judgement,
    Message,
    ModerationRequest,
    ModerationResponse,
)

__all__ = [
    "ADAPTER",
    "THINKING_TOKENS",
    "build_chat",
    "build_embeddings",
    "build_images",
    "build_moderation",
    "build_speech",
    "build_stream",
    "build_transcription",
    "parse_chat",
    "parse_embeddings",
    "parse_error",
    "parse_images",
    "parse_moderation",
    "parse_speech",
    "parse_transcription",
]

_SAMPLING: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_CHAT_FIELDS: Final = (*_SAMPLING, "max_tokens", "stop", "seed", "tools", "tool_choice")
THINKING_TOKENS: Final[Mapping[str, int]] = {"minimal": 1024, "low": 4096, "medium": 12288, "high": 24576}
"""The budget that a `reasoning_effort` stands for; above these the model has all that it takes."""


def build_chat(config: ProviderConfig, request: ChatRequest, *, stream: bool = False) -> HttpRequest:
    """`request.extra` goes into the body as it is, under what the request itself says.

    Whether it is streamed is ours to say. Raises `ValidationError` for what cannot be sent.
    """
    vendor = vendor_of(config.provider)
    body: dict[str, Any] = {name: getattr(request, name) for name in _CHAT_FIELDS}
    if is_reasoning(request.model):
        body["max_completion_tokens"] = body.pop("max_tokens")
    if _samples_as_it_likes(vendor, request):
        body |= dict.fromkeys(_SAMPLING)
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True} if vendor.stream_options else None
        body["tool_stream"] = True if vendor.tool_stream and request.tools else None
    messages = [_message(vendor, message) for message in plain(request.messages)]
    body |= _thinking(vendor, request.reasoning_effort)
    body |= {"model": request.model, "messages": messages, "response_format": request.response_format}
    extra = {name: value for name, value in request.extra.items() if not name.startswith("stream")}
    return post(config, request.model, "/chat/completions", body | _format(vendor, body), extra)


def build_stream(config: ProviderConfig, request: ChatRequest) -> HttpRequest:
    return build_chat(config, request, stream=True)


def parse_chat(config: ProviderConfig, request: ChatRequest, response: HttpResponse) -> ChatResponse:
    """Raises `RetryableError` when the answer is not what the API promises."""
    body = object_of(config, request.model, response)
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text, thought = split_content(message)
        calls, reason = tool_calls_of(message), choice.get("finish_reason")
        if reason in FAILED:
            raise failure(config, request.model, f"broke off with finish_reason {reason!r}")
        thoughts = thoughts_of(message, field) if (field := vendor_of(config.provider).thoughts) else []
        return ChatResponse(
            content=text,
            model=text_of(body.get("model")) or request.model,
            finish_reason=finish_reason(reason or ("tool_calls" if calls else "stop")),
            usage=usage_of(body) or usage_of(choice) or estimated_usage(request, text + (thought or "")),
            id=text_of(body.get("id")),
            created=count_of(body.get("created")),
            reasoning=thought,
            tool_calls=calls,
            reasoning_blocks=thoughts or None,
            raw=body,
        )
    except (KeyError, IndexError, TypeError, AttributeError):
        raise failure(config, request.model, "answered without a choice that holds a message") from None


def build_embeddings(config: ProviderConfig, request: EmbeddingRequest) -> HttpRequest:
    """`request.extra` goes into the body as it is, under what the request itself says."""
    body = {"model": request.model, "input": list(request.texts), "dimensions": request.dimensions}
    return post(config, request.model, "/embeddings", body, request.extra)


def parse_embeddings(
    config: ProviderConfig, request: EmbeddingRequest, response: HttpResponse
) -> EmbeddingResponse:
    """Raises `RetryableError` when there is not one vector for each text."""
    body = object_of(config, request.model, response)
    try:
        items = sorted(body["data"], key=lambda item: item.get("index") or 0)
        vectors = [[float(number) for number in item["embedding"]] for item in items]
        usage = usage_of(body)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise failure(config, request.model, "answered with vectors that cannot be read") from None
    if len(vectors) != len(request.texts):
        what = f"answered with {len(vectors)} vectors for {len(request.texts)} texts"
        raise failure(config, request.model, what)
    return EmbeddingResponse(vectors, text_of(body.get("model")) or request.model, usage)


def build_moderation(config: ProviderConfig, request: ModerationRequest) -> HttpRequest:
    """`request.extra` goes into the body as it is, under what the request itself says."""
    body = {"model": request.model, "input": list(request.texts)}
    return post(config, request.model, "/moderations", body, request.extra)


def parse_moderation(
    config: ProviderConfig, request: ModerationRequest, response: HttpResponse
) -> ModerationResponse:
    """Raises `RetryableError` when there is not one judgement for each text."""
    body = object_of(config, request.model, response)
    try:
        results = [_judgement(item) for item in body["results"]]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise failure(config, request.model, "answered with judgements that cannot be read") from None
    if len(results) != len(request.texts):
        what = f"answered with {len(results)} judgements for {len(request.texts)} texts"
        raise failure(config, request.model, what)
    return ModerationResponse(results, text_of(body.get("model")) or request.model)


def _samples_as_it_likes(vendor: Vendor, request: ChatRequest) -> bool:
    """Whether the model refuses to be told how to sample."""
    if is_reasoning(request.model):
        return request.reasoning_effort != "none"
    return bool(vendor.fixed_sampling and re.search(vendor.fixed_sampling, request.model))


def _thinking(vendor: Vendor, effort: str | None) -> dict[str, Any]:
    if effort is None:
        return {}
    effort = vendor.efforts.get(effort, effort)
    if vendor.thinking == "effort":
        return {"reasoning_effort": effort}
    if vendor.thinking == "switch":
        off = {"thinking": {"type": "disabled"}}
        return off if effort == "none" else {"thinking": {"type": "enabled"}, "reasoning_effort": effort}
    return {"enable_thinking": effort != "none", "thinking_budget": THINKING_TOKENS.get(effort)}


def _format(vendor: Vendor, body: Mapping[str, Any]) -> dict[str, Any]:
    """For a vendor without JSON schemas: its JSON mode, and the schema as part of the prompt."""
    wanted = body["response_format"] or {}
    if vendor.json_schema == "native" or wanted.get("type") != "json_schema":
        return {}
    schema = (wanted.get("json_schema") or {}).get("schema")
    if not isinstance(schema, Mapping):
        raise ValidationError("a response_format of type json_schema has the schema in json_schema.schema")
    told = f"Answer with one JSON object, and nothing else, that follows this JSON schema:\n{dumps(schema)}"
    messages = [{"role": "system", "content": told}, *body["messages"]]
    return {"messages": messages, "response_format": {"type": "json_object"}}


def _message(vendor: Vendor, message: Message) -> Message:
    """The thoughts of an assistant's message are where the vendor wants them, if it wants any."""
    if "reasoning_blocks" not in message:
        return message
    blocks = message["reasoning_blocks"] or ()
    told = {name: value for name, value in message.items() if name != "reasoning_blocks"}
    if vendor.thoughts == "reasoning_content":
        thought = "".join(block.get("reasoning_content") or "" for block in blocks)
        return {**told, "reasoning_content": thought} if thought else told
    if vendor.thoughts == "reasoning_details":
        details = [block for block in blocks if str(block.get("type")).startswith("reasoning.")]
        return {**told, "reasoning_details": details} if details else told
    return told


def _judgement(item: Mapping[str, Any]) -> Judgement:
    categories = {name: bool(value) for name, value in item["categories"].items()}
    return Judgement(
        bool(item["flagged"] if "flagged" in item else any(categories.values())),
        categories,
        {name: float(value) for name, value in (item.get("category_scores") or {}).items()},
    )


ADAPTER: Final = Adapter(
    chat=exchange(build_chat, parse_chat),
    stream=streaming(build_stream, ChatStream, parse_chat),
    images=pictures(),
    speech=exchange(build_speech, parse_speech),
    speech_stream=speech_streamed(),
    transcription=exchange(build_transcription, parse_transcription),
    embeddings=exchange(build_embeddings, parse_embeddings),
    moderation=exchange(build_moderation, parse_moderation),
    relays=RELAYS,
    understood=understood,
    parse_error=parse_error,
)
