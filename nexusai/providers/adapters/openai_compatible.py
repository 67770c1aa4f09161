"""OpenAI's Chat Completions, Images and Speech APIs, and every vendor and server that speaks them.

Pure: requests are built and answers are read here, sent and awaited elsewhere. What differs between vendors
is data in `vendors.py`. Written from OpenAI's API reference.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from nexusai.providers.adapters.openai_errors import error_from
from nexusai.providers.adapters.openai_stream import (
    FAILED,
    ChatStream,
    estimated_usage,
    finish_reason,
    loads,
    split_content,
    tool_calls_of,
    usage_of,
)
from nexusai.providers.adapters.vendors import VENDORS, sizes_of
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError, AuthenticationError, RetryableError, ValidationError
from nexusai.providers.media import ImageLink, audio_format, image_type, size_for
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import (
    Capability,
    ChatRequest,
    ChatResponse,
    GeneratedImage,
    ImageRequest,
    SpeechRequest,
    SpeechResponse,
    Usage,
)

__all__ = [
    "build_chat",
    "build_images",
    "build_speech",
    "capabilities",
    "chat_stream",
    "parse_chat",
    "parse_error",
    "parse_images",
    "parse_speech",
]

_REASONING_MODEL: Final = re.compile(r"o\d|gpt-5")
_CHAT_FIELDS: Final = (
    *("temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty"),
    *("tools", "tool_choice", "response_format", "reasoning_effort"),
)


def capabilities(config: ProviderConfig) -> frozenset[Capability]:
    return VENDORS[config.provider].capabilities


def build_chat(config: ProviderConfig, request: ChatRequest, *, stream: bool = False) -> HttpRequest:
    """`request.extra` goes into the body as it is, and wins over all but model, messages and stream."""
    vendor = VENDORS[config.provider]
    body: dict[str, Any] = {name: getattr(request, name) for name in _CHAT_FIELDS}
    if _REASONING_MODEL.match(request.model):
        body["max_completion_tokens"] = body.pop("max_tokens")
    if stream and vendor.stream_options:
        body["stream_options"] = {"include_usage": True}
    body |= {**request.extra, "model": request.model, "messages": list(request.messages)}
    body["stream"] = True if stream else None
    return _post(config, request.model, "/chat/completions", body)


def parse_chat(config: ProviderConfig, request: ChatRequest, response: HttpResponse) -> ChatResponse:
    """Raises `RetryableError` when the answer is not what the API promises."""
    body = _object(config, request.model, response)
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text, thought = split_content(message)
        calls, reason = tool_calls_of(message), choice.get("finish_reason")
        if reason in FAILED:
            raise _failure(config, request.model, f"broke off with finish_reason {reason!r}")
        return ChatResponse(
            content=text,
            model=body.get("model") or request.model,
            finish_reason=finish_reason(reason or ("tool_calls" if calls else "stop")),
            usage=usage_of(body) or usage_of(choice) or estimated_usage(request, text + (thought or "")),
            id=body.get("id"),
            created=body.get("created"),
            reasoning=thought,
            tool_calls=calls,
            raw=body,
        )
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _failure(config, request.model, "answered without a choice that holds a message") from None


def chat_stream(config: ProviderConfig, request: ChatRequest) -> ChatStream:
    """What reads the events of a streamed answer."""
    return ChatStream(config, request)


def build_images(config: ProviderConfig, request: ImageRequest) -> HttpRequest:
    """`request.extra` goes into the body as it is, under what the request itself says."""
    vendor, is_gpt_image = VENDORS[config.provider], "gpt-image" in request.model
    # gpt-image models answer in base64 alone and refuse the question; they alone take a format
    extra = {"response_format": None if is_gpt_image else vendor.picture_form, **request.extra}
    body: dict[str, Any] = {
        "model": request.model,
        "prompt": request.prompt,
        "n": request.n,
        "quality": request.quality,
        "seed": request.seed,
        "output_format": request.format if is_gpt_image else None,
    }
    size = request.size or (request.aspect_ratio and size_for(request.aspect_ratio, sizes_of(request.model)))
    if size and vendor.picture_size == "size":
        body["size"] = "{}x{}".format(*size)
    elif size:
        body["width"], body["height"] = size
    return _post(config, request.model, "/images/generations", body, extra)


def parse_images(
    config: ProviderConfig, request: ImageRequest, response: HttpResponse
) -> tuple[list[GeneratedImage | ImageLink], Usage | None]:
    """The pictures, or links from which they are still to be fetched, and the tokens where counted."""
    body = _object(config, request.model, response)
    try:
        pictures = [
            _picture(config, request.model, item) for item in body.get("data") or body.get("images") or ()
        ]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise _failure(config, request.model, "answered with a picture that cannot be read") from None
    if not pictures:
        raise _failure(config, request.model, "answered without a picture")
    usage = body.get("usage")
    if not isinstance(usage, Mapping) or not isinstance(usage.get("input_tokens"), int):
        return pictures, None
    return pictures, Usage(usage["input_tokens"], usage.get("output_tokens") or 0)


def build_speech(config: ProviderConfig, request: SpeechRequest) -> HttpRequest:
    """`request.extra` goes into the body as it is, under what the request itself says."""
    body: dict[str, Any] = {
        "model": request.model,
        "input": request.text,
        "voice": request.voice,
        "response_format": request.format,
        "speed": request.speed,
    }
    extra = {"voice": VENDORS[config.provider].voice, **request.extra}
    return _post(config, request.model, "/audio/speech", body, extra)


def parse_speech(config: ProviderConfig, request: SpeechRequest, response: HttpResponse) -> SpeechResponse:
    """`format` is what the sound is, which may differ from what was asked."""
    if response.status != 200 or "json" in response.headers.get("content-type", ""):
        raise parse_error(config, request.model, response)
    if not response.body:
        raise _failure(config, request.model, "answered without sound")
    return SpeechResponse(response.body, audio_format(response.body) or request.format, request.model)


def parse_error(config: ProviderConfig, model: str, response: HttpResponse) -> AdapterError:
    try:
        body = loads(response.body)
    except ValueError:
        body = response.body.decode("utf-8", "replace")
    return error_from(config, model, response.status, response.headers, body)


def _post(
    config: ProviderConfig,
    model: str,
    path: str,
    body: Mapping[str, Any],
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> HttpRequest:
    """`body` wins over `extra` under the vendor's own names too, except where it is None."""
    names = VENDORS[config.provider].renames
    sent = {
        names.get(name, name): value
        for fields in (extra, body)
        for name, value in fields.items()
        if value is not None
    }
    try:
        data = json.dumps(sent, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        message = f"the request cannot be written as JSON: {error}"
        raise ValidationError(message, provider=config.provider, model=model) from None
    url = f"{config.base_url}{path}"
    return HttpRequest("POST", url, _headers(config, model), data.encode("utf-8", "replace"), config.timeout)


def _headers(config: ProviderConfig, model: str) -> dict[str, str]:
    headers = {"content-type": "application/json"}
    if config.api_key:
        if not (config.api_key.isascii() and config.api_key.isprintable()):
            message = f"the key in {VENDORS[config.provider].key} has characters that no key has"
            raise AuthenticationError(message, provider=config.provider, model=model)
        headers["authorization"] = f"Bearer {config.api_key}"
    return headers


def _object(config: ProviderConfig, model: str, response: HttpResponse) -> dict[str, Any]:
    try:
        body = loads(response.body)
    except ValueError:
        body = None
    if response.status != 200 or (isinstance(body, dict) and body.get("error")):
        raise parse_error(config, model, response)
    if not isinstance(body, dict):
        message = f"{config.provider} answered with something else than a JSON object: check the base URL"
        raise AdapterError(message, provider=config.provider, model=model, status=200)
    return body


def _picture(config: ProviderConfig, model: str, item: Mapping[str, Any]) -> GeneratedImage | ImageLink:
    prompt, source = item.get("revised_prompt"), item.get("b64_json") or item["url"]
    if source.startswith(("http://", "https://")):
        return ImageLink(source, prompt)
    data = base64.b64decode("".join((source.partition("base64,")[2] or source).split()), validate=True)
    media_type = image_type(data)
    if media_type is None:
        message = f"{config.provider} answered with something that is no picture"
        raise AdapterError(message, provider=config.provider, model=model)
    return GeneratedImage(data, media_type, prompt)


def _failure(config: ProviderConfig, model: str, what: str) -> RetryableError:
    return RetryableError(f"{config.provider} {what}", provider=config.provider, model=model)
