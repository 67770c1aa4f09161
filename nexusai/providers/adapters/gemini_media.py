"""Gemini's pictures, sound and vectors. Written from the Gemini API reference (v1beta)."""

from __future__ import annotations

import base64
import io
import re
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import log
from typing import Any, Final

from nexusai.providers.adapters.gemini_request import inline, merged
from nexusai.providers.adapters.gemini_stream import finish_of, refuse_blocked, usage_of
from nexusai.providers.adapters.gemini_wire import (
    UNREADABLE,
    blocked,
    failure,
    model_name,
    object_of,
    post,
)
from nexusai.providers.adapters.openai_media import picture_of
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import CapabilityError
from nexusai.providers.flow import Flow
from nexusai.providers.media import audio_format, image_type
from nexusai.providers.tokens import estimate_tokens
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import (
    ChatRequest,
    EmbeddingRequest,
    EmbeddingResponse,
    GeneratedImage,
    ImageRequest,
    ImageResponse,
    SpeechRequest,
    SpeechResponse,
    Usage,
)

__all__ = ["embeddings", "images", "speech"]

_RATIOS: Final = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_IMAGEN_RATIOS: Final = ("1:1", "3:4", "4:3", "9:16", "16:9")
_VOICE: Final = "Kore"
"""The voice of the reference's examples; the API wants one."""
_RATE: Final = 24_000
_BATCH: Final = 100
"""Texts in one request for vectors, at most."""


def images(config: ProviderConfig, request: ImageRequest) -> Flow[ImageResponse]:
    """One request for each picture, as a model answers with one; Imagen makes all of them in one."""
    if request.mask is not None:
        message = "gemini changes pictures by words alone: leave out mask, and say what is to change"
        raise CapabilityError(message, provider=config.provider, model=request.model)
    if "imagen" in request.model:
        response: HttpResponse = yield _build_prediction(config, request)
        return ImageResponse(_predicted(config, request, response), request.model)
    found: list[GeneratedImage] = []
    usage: Usage | None = None
    for at in range(request.n):
        seed = None if request.seed is None else request.seed + at  # else all would be the same
        response = yield _build_image(config, replace(request, seed=seed))
        made, counted = _drawn(config, request, response)
        found += made
        usage = _sum(usage, counted)
    return ImageResponse(found[: request.n], request.model, usage)


def speech(config: ProviderConfig, request: SpeechRequest) -> Flow[SpeechResponse]:
    """WAV; or bare samples (16 bits, mono) where `pcm` is asked for and the model gives them."""
    if request.speed not in (None, 1.0):
        message = "gemini speaks at its own speed alone: leave out speed"
        raise CapabilityError(message, provider=config.provider, model=request.model)
    response: HttpResponse = yield _build_speech(config, request)
    body = object_of(config, request.model, response)
    try:
        refuse_blocked(config, request.model, body)
        data, media_type = _sound(body)
    except UNREADABLE:
        raise failure(config, request.model, "answered with sound that cannot be read") from None
    if not data:
        raise failure(config, request.model, "answered without sound")
    return _encoded(request, data, media_type)


def embeddings(config: ProviderConfig, request: EmbeddingRequest) -> Flow[EmbeddingResponse]:
    """As many requests as it takes. The tokens are estimated where the vendor does not count them."""
    vectors: list[list[float]] = []
    usage: Usage | None = None
    for start in range(0, len(request.texts), _BATCH):
        batch = replace(request, texts=request.texts[start : start + _BATCH])
        response: HttpResponse = yield _build_embeddings(config, batch)
        found, counted = _vectors(config, batch, response)
        vectors += found
        usage = _sum(usage, counted)
    return EmbeddingResponse(vectors, request.model, usage)


def _build_image(config: ProviderConfig, request: ImageRequest) -> HttpRequest:
    pictures = [inline(image_type(data) or "image/png", data) for data in request.images]
    made: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"]}
    if request.seed is not None:
        made["seed"] = request.seed
    if form := _form(request, _RATIOS):
        made["imageConfig"] = form
    body = {
        "contents": [{"role": "user", "parts": [*pictures, {"text": request.prompt}]}],
        "generationConfig": made,
    }
    return post(config, request.model, "generateContent", merged(request.extra, body))


def _form(request: ImageRequest, ratios: Sequence[str]) -> dict[str, str]:
    """Shape and size as the API names them; the nearest to what was asked for in pixels."""
    form: dict[str, str] = {}
    if ratio := request.aspect_ratio or (_nearest(request.size, ratios) if request.size else None):
        form["aspectRatio"] = ratio
    longest = max(request.size or (0,))
    if re.fullmatch(r"[124]K|512", request.quality or ""):
        form["imageSize"] = str(request.quality)
    elif longest > 1536:  # 1K goes unsaid: not every model takes a size
        form["imageSize"] = "4K" if longest > 3072 else "2K"
    return form


def _nearest(size: tuple[int, int], ratios: Sequence[str]) -> str:
    def distance(ratio: str) -> float:
        width, height = map(int, ratio.split(":"))
        return abs(log(size[0] / size[1] * height / width))

    return min(ratios, key=distance)


def _drawn(
    config: ProviderConfig, request: ImageRequest, response: HttpResponse
) -> tuple[list[GeneratedImage], Usage | None]:
    body = object_of(config, request.model, response)
    try:
        refuse_blocked(config, request.model, body)
        found = [base64.b64decode(data["data"], validate=True) for data in _blobs(body)]
        usage, reason = usage_of(body), body["candidates"][0].get("finishReason")
        asked = ChatRequest(request.model, ())
        if not found and finish_of(config, asked, reason, called=False) == "content_filter":
            raise blocked(config, request.model, reason)
    except UNREADABLE:
        raise failure(config, request.model, "answered with a picture that cannot be read") from None
    if not found:
        raise failure(config, request.model, "answered without a picture")
    return [picture_of(config, request.model, data) for data in found], usage


def _blobs(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The bytes in an answer that are no sketches of its thoughts."""
    for part in (body["candidates"][0].get("content") or {}).get("parts") or ():
        if part.get("inlineData") and not part.get("thought"):
            yield part["inlineData"]


def _build_prediction(config: ProviderConfig, request: ImageRequest) -> HttpRequest:
    body = {
        "instances": [{"prompt": request.prompt}],
        "parameters": {"sampleCount": request.n, **_form(request, _IMAGEN_RATIOS)},
    }
    return post(config, request.model, "predict", merged(request.extra, body))


def _predicted(config: ProviderConfig, request: ImageRequest, response: HttpResponse) -> list[GeneratedImage]:
    body = object_of(config, request.model, response)
    try:
        made = body.get("predictions") or ()
        reasons = [item["raiFilteredReason"] for item in made if item.get("raiFilteredReason")]
        kept = (item["bytesBase64Encoded"] for item in made if "bytesBase64Encoded" in item)
        found = [base64.b64decode(data, validate=True) for data in kept]
    except UNREADABLE:
        raise failure(config, request.model, "answered with a picture that cannot be read") from None
    if not found and reasons:
        raise blocked(config, request.model, "RAI_FILTERED")
    if not found:
        raise failure(config, request.model, "answered without a picture")
    return [picture_of(config, request.model, data) for data in found]


def _build_speech(config: ProviderConfig, request: SpeechRequest) -> HttpRequest:
    voice = {"prebuiltVoiceConfig": {"voiceName": request.voice or _VOICE}}
    own = (request.extra.get("generationConfig") or {}).get("speechConfig")
    # voices that are several, or not prebuilt, come in the caller's own `speechConfig`
    config_of_speech = {"voiceConfig": voice} if request.voice or not own else None
    body = {
        "contents": [{"role": "user", "parts": [{"text": request.text}]}],
        "generationConfig": {"responseModalities": ["AUDIO"], "speechConfig": config_of_speech},
    }
    return post(config, request.model, "generateContent", merged(request.extra, body))


def _sound(body: Mapping[str, Any]) -> tuple[bytes, str]:
    blobs = list(_blobs(body))
    data = b"".join(base64.b64decode(blob["data"], validate=True) for blob in blobs)
    return data, str(blobs[0].get("mimeType") or "") if blobs else ""


def _encoded(request: SpeechRequest, data: bytes, media_type: str) -> SpeechResponse:
    """Older models answer with bare samples, newer ones with a WAV file."""
    is_bare = re.search(r"l16|pcm", media_type, re.I)
    known = None if is_bare else audio_format(data)  # samples can begin as any file does
    if known is not None or request.format == "pcm":
        return SpeechResponse(data, known or "pcm", request.model)
    rate = re.search(r"rate=(\d{4,6})", media_type)
    encoded = io.BytesIO()
    with wave.open(encoded, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(int(rate[1]) if rate else _RATE)
        sound.writeframes(data)
    return SpeechResponse(encoded.getvalue(), "wav", request.model)


def _build_embeddings(config: ProviderConfig, request: EmbeddingRequest) -> HttpRequest:
    named = {"model": model_name(request.model), "outputDimensionality": request.dimensions}
    requests = [merged(request.extra, {**named, "content": {"parts": [{"text": t}]}}) for t in request.texts]
    return post(config, request.model, "batchEmbedContents", {"requests": requests})


def _vectors(
    config: ProviderConfig, request: EmbeddingRequest, response: HttpResponse
) -> tuple[list[list[float]], Usage]:
    body = object_of(config, request.model, response)
    try:
        vectors = [[float(number) for number in item["values"]] for item in body["embeddings"]]
    except UNREADABLE:
        raise failure(config, request.model, "answered with vectors that cannot be read") from None
    if len(vectors) != len(request.texts):
        what = f"answered with {len(vectors)} vectors for {len(request.texts)} texts"
        raise failure(config, request.model, what)
    estimated = Usage(sum(map(estimate_tokens, request.texts)), 0, source="estimate")
    return vectors, usage_of(body) or estimated


def _sum(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        source=one.source if one.source == other.source else "estimate",
    )
