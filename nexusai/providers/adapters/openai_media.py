"""OpenAI's Images and Audio APIs, and those of the vendors that speak them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from nexusai.providers.adapters.openai_wire import File, failure, object_of, parse_error, post, post_form
from nexusai.providers.adapters.reading import count_of, text_of
from nexusai.providers.adapters.registry import vendor_of
from nexusai.providers.adapters.relay import Events, carried
from nexusai.providers.adapters.vendor import Vendor
from nexusai.providers.adapters.vendors import sizes_of
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError, RetryableError, ValidationError
from nexusai.providers.flow import READ, Emit, Flow, Open, Operation, rest
from nexusai.providers.media import audio_format, image_type, ratio_of, size_for
from nexusai.providers.messages import data_uri
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import (
    GeneratedImage,
    ImageLink,
    ImageRequest,
    ImageResponse,
    Segment,
    SpeechChunk,
    SpeechRequest,
    SpeechResponse,
    TranscriptionRequest,
    TranscriptionResponse,
    Usage,
)

__all__ = [
    "build_images",
    "build_speech",
    "build_transcription",
    "parse_images",
    "parse_speech",
    "parse_transcription",
    "picture_of",
    "pictures",
    "speech_streamed",
]

_MOST_BYTES: Final = 64 * 1024 * 1024
"""The most that a picture behind a link may have."""


def build_images(config: ProviderConfig, request: ImageRequest) -> HttpRequest:
    """`request.extra` goes into the body as it is, under what the request itself says.

    Raises `ValidationError` for what the vendor has no place for.
    """
    vendor, is_gpt_image = vendor_of(config.provider), "gpt-image" in request.model
    # gpt-image models answer in base64 alone and refuse the question; they alone take a format
    extra = {"response_format": None if is_gpt_image else vendor.picture_form, **request.extra}
    body: dict[str, Any] = {
        "model": request.model,
        "prompt": request.prompt,
        "n": request.n,
        "quality": request.quality,
        "seed": request.seed,
        "output_format": request.format if is_gpt_image else None,
        **_size(vendor, request),
    }
    if not request.images:
        return post(config, request.model, "/images/generations", body, extra)
    if vendor.edits == "form":
        return post_form(config, request.model, "/images/edits", body, extra, _files(request))
    if request.mask is not None:
        raise ValidationError(f"{config.provider} takes no mask: describe what is to change")
    return post(config, request.model, "/images/generations", body | _sources(vendor, request), extra)


def _size(vendor: Vendor, request: ImageRequest) -> dict[str, Any]:
    ratio, size = request.aspect_ratio, request.size
    if size is not None and min(size) < 1:
        raise ValidationError(f"a picture of {size[0]} x {size[1]} has no pixels")
    if vendor.picture_size == "aspect_ratio":
        return {"aspect_ratio": ratio or (size and ratio_of(size))}
    size = size or (ratio and size_for(ratio, sizes_of(request.model))) or None
    if size is None:
        return {}
    if vendor.picture_size == "size":
        return {"size": "{}x{}".format(*size)}
    return {"width": size[0], "height": size[1]}


def _sources(vendor: Vendor, request: ImageRequest) -> dict[str, Any]:
    sources = [data_uri(image_type(data) or "image/png", data) for data in request.images]
    if vendor.edits == "list":
        return {"image": sources}
    return {f"image{at if at > 1 else ''}": source for at, source in enumerate(sources, 1)}


def _files(request: ImageRequest) -> Sequence[File]:
    name = "image" if len(request.images) == 1 else "image[]"
    files = [_file(name, f"image-{at}", data) for at, data in enumerate(request.images)]
    return [*files, _file("mask", "mask", request.mask)] if request.mask is not None else files


def _file(name: str, stem: str, data: bytes) -> File:
    media_type = image_type(data) or "image/png"
    return File(name, f"{stem}.{media_type.removeprefix('image/')}", media_type, data)


def parse_images(
    config: ProviderConfig, request: ImageRequest, response: HttpResponse
) -> tuple[list[GeneratedImage | ImageLink], Usage | None]:
    """The pictures, or links from which they are still to be fetched, and the tokens where counted."""
    body = object_of(config, request.model, response)
    try:
        found = [
            _picture(config, request.model, item) for item in body.get("data") or body.get("images") or ()
        ]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise failure(config, request.model, "answered with a picture that cannot be read") from None
    if not found:
        raise failure(config, request.model, "answered without a picture")
    return found, _usage(body.get("usage"))


def pictures(
    build: Callable[[ProviderConfig, ImageRequest], HttpRequest] = build_images,
) -> Operation[ImageRequest, ImageResponse]:
    """The flow of a picture: what is answered as a link is fetched, without our key."""

    def operation(config: ProviderConfig, request: ImageRequest) -> Flow[ImageResponse]:
        response: HttpResponse = yield build(config, request)
        found, usage = parse_images(config, request, response)
        images = []
        for item in found:
            images.append((yield from _fetched(config, request.model, item)))
        return ImageResponse(images, request.model, usage)

    return operation


def _fetched(config: ProviderConfig, model: str, item: GeneratedImage | ImageLink) -> Flow[GeneratedImage]:
    if isinstance(item, GeneratedImage):
        return item
    try:
        response: HttpResponse = yield HttpRequest("GET", item.url, timeout=config.timeout)
    except AdapterError as error:
        if error.status is None:
            raise
        kind = RetryableError if error.retryable else AdapterError
        message = f"{config.provider}: its picture answered {error.status}"
        raise kind(message, provider=config.provider, model=model, status=error.status) from None
    if len(response.body) > _MOST_BYTES:
        raise AdapterError(f"{config.provider}: its picture has more than {_MOST_BYTES} bytes")
    return picture_of(config, model, response.body, item.revised_prompt)


def picture_of(config: ProviderConfig, model: str, data: bytes, prompt: str | None = None) -> GeneratedImage:
    """Raises `AdapterError` when the bytes are no picture."""
    media_type = image_type(data)
    if media_type is None:
        message = f"{config.provider} answered with something that is no picture"
        raise AdapterError(message, provider=config.provider, model=model)
    return GeneratedImage(data, media_type, prompt)


def build_speech(config: ProviderConfig, request: SpeechRequest) -> HttpRequest:
    """`request.extra` goes into the body as it is, under what the request itself says."""
    body: dict[str, Any] = {
        "model": request.model,
        "input": request.text,
        "voice": request.voice,
        "response_format": request.format,
        "speed": request.speed,
    }
    extra = {"voice": vendor_of(config.provider).voice, **request.extra}
    return post(config, request.model, "/audio/speech", body, extra)


def parse_speech(config: ProviderConfig, request: SpeechRequest, response: HttpResponse) -> SpeechResponse:
    """`format` is what the sound is, which may differ from what was asked."""
    if response.status >= 300 or "json" in response.headers.get("content-type", ""):
        raise parse_error(config, request.model, response)
    if not response.body:
        raise failure(config, request.model, "answered without sound")
    return SpeechResponse(response.body, audio_format(response.body) or request.format, request.model)


def speech_streamed(
    build: Callable[[ProviderConfig, SpeechRequest], HttpRequest] = build_speech,
) -> Operation[SpeechRequest, None]:
    """The flow of sound that is handed on as it comes; where `extra` asks for it, in events."""

    def operation(config: ProviderConfig, request: SpeechRequest) -> Flow[None]:
        sent = build(config, request)
        head: HttpResponse = yield Open(sent)
        kind = head.headers.get("content-type", "")
        if "json" in kind:
            body = yield from rest(sent)
            raise parse_error(config, request.model, HttpResponse(head.status, head.headers, body))
        if "event-stream" in kind:
            yield from _told(config, request)
            return
        form = ""
        while data := (yield READ):
            form = form or audio_format(data) or request.format
            yield Emit([SpeechChunk(data, form, model=request.model)])
        if not form:
            raise failure(config, request.model, "answered without sound")

    return operation


def _told(config: ProviderConfig, request: SpeechRequest) -> Flow[None]:
    """Sound in events, the last of which says what it took."""
    events, done = Events(), False
    while not done and (data := (yield READ)):
        try:
            whole = [(raw, carried(raw)) for raw in events.feed(data)]
        except ValueError:
            raise failure(config, request.model, "sent an event of an unknown shape") from None
        for raw, event in whole:
            told = event if isinstance(event, dict) else {}
            if told.get("error"):
                raise parse_error(config, request.model, HttpResponse(500, {}, json.dumps(told).encode()))
            done = done or told.get("type") == "speech.audio.done"
            usage = _usage(told.get("usage"))
            yield Emit([SpeechChunk(raw, request.format, True, request.model, usage)])
    if not done:
        raise failure(config, request.model, "stopped in the middle of the sound")


def build_transcription(config: ProviderConfig, request: TranscriptionRequest) -> HttpRequest:
    """Times are asked for where vendor and model have them: OpenAI's models after Whisper have none."""
    segments = None if request.model.startswith("gpt-") else vendor_of(config.provider).segments
    takes_list = request.model.startswith("gpt-transcribe")
    body = {
        "model": request.model,
        "language": None if takes_list else request.language,
        "languages": [request.language] if takes_list and request.language else None,
        "prompt": request.prompt,
        **(segments if segments and request.timestamps else {}),
    }
    media_type = f"audio/{audio_format(request.audio) or 'octet-stream'}"
    file = File("file", request.filename, media_type, request.audio)
    return post_form(config, request.model, "/audio/transcriptions", body, request.extra, [file])


def parse_transcription(
    config: ProviderConfig, request: TranscriptionRequest, response: HttpResponse
) -> TranscriptionResponse:
    """Raises `RetryableError` when the answer has no text."""
    body = object_of(config, request.model, response)
    text, duration, spoken = body.get("text"), body.get("duration"), body.get("language")
    if not isinstance(text, str):
        raise failure(config, request.model, "answered without a text")
    try:
        segments = [_segment(item) for item in body.get("segments") or ()]
        usage = body.get("usage") or {}
        counted = (duration, usage.get("seconds"), usage.get("prompt_audio_seconds"))
        seconds = next((count for count in counted if count is not None), None)
        return TranscriptionResponse(
            text=text,
            model=request.model,
            language=text_of(spoken) or request.language,
            duration=None if seconds is None else float(seconds),
            segments=segments or None,
            usage=_usage(usage),
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise failure(config, request.model, "answered with segments that cannot be read") from None


def _segment(item: Mapping[str, Any]) -> Segment:
    return Segment(float(item["start"]), float(item["end"]), str(item["text"]).strip())


def _usage(usage: Any) -> Usage | None:
    """What it cost, where that is counted in tokens: as OpenAI names them, or as Mistral."""
    for asked, answered in (("input_tokens", "output_tokens"), ("prompt_tokens", "completion_tokens")):
        count = count_of(usage.get(asked)) if isinstance(usage, Mapping) else None
        if count is not None:
            return Usage(count, count_of(usage.get(answered)) or 0)
    return None


def _picture(config: ProviderConfig, model: str, item: Mapping[str, Any]) -> GeneratedImage | ImageLink:
    prompt, source = text_of(item.get("revised_prompt")), item.get("b64_json") or item["url"]
    if source.startswith(("http://", "https://")):
        return ImageLink(source, prompt)
    data = base64.b64decode("".join((source.partition("base64,")[2] or source).split()), validate=True)
    return picture_of(config, model, data, prompt)
