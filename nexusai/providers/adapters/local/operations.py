"""What the embedded provider does, each marked as a demo: text, pictures, a robot's voice, half an ear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from nexusai.providers.adapters.adapter import Adapter
from nexusai.providers.adapters.local import embedding, image, rules, simulate, speech, text, words
from nexusai.providers.adapters.local.prompt import pieces, text_of
from nexusai.providers.adapters.local.reply import Reply
from nexusai.providers.adapters.local.transcribe import Heard, Listener
from nexusai.providers.adapters.vendor import Vendor
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import ValidationError
from nexusai.providers.flow import Emit, Flow, Now, Sleep, Work
from nexusai.providers.tokens import estimate_tokens
from nexusai.providers.types import (
    ChatRequest,
    ChatResponse,
    Cost,
    EmbeddingRequest,
    EmbeddingResponse,
    GeneratedImage,
    ImageRequest,
    ImageResponse,
    ModerationRequest,
    ModerationResponse,
    SpeechRequest,
    SpeechResponse,
    StreamChunk,
    TranscriptionRequest,
    TranscriptionResponse,
    Usage,
)

__all__ = ["ADAPTER", "VENDOR"]

T = TypeVar("T")

FREE: Final = Cost(0.0)

_LONG: Final = 20_000
"""Characters from which reading a prompt would hold up the event loop."""

_BREATH: Final = 256
"""Pieces that a stream without a pace gives before others have a turn."""


def chat(_config: ProviderConfig, request: ChatRequest) -> Flow[ChatResponse]:
    reply = yield from _reply(request)
    yield from _wait(reply, reply.interval * reply.usage.completion_tokens)
    return ChatResponse(
        content=reply.content,
        model=request.model,
        finish_reason=reply.finish_reason,
        usage=reply.usage,
        cost=FREE,
        extra=reply.extra,
    )


def stream(_config: ProviderConfig, request: ChatRequest) -> Flow[None]:
    reply = yield from _reply(request)
    yield from _wait(reply, 0.0)
    model = request.model
    start: float = yield Now()
    for count, piece in enumerate(pieces(reply.content), 1):
        yield Emit([StreamChunk(delta=piece, model=model)])
        if reply.interval or count % _BREATH == 0:
            now: float = yield Now()
            yield Sleep(max(0.0, start + count * reply.interval - now))
    yield Emit(
        [
            StreamChunk(finish_reason=reply.finish_reason, model=model),
            StreamChunk(usage=reply.usage, cost=FREE, model=model, extra=reply.extra),
        ]
    )


def images(_config: ProviderConfig, request: ImageRequest) -> Flow[ImageResponse]:
    _expect(request.model, "image", ("image",))
    order = image.order(request)
    drawn: list[GeneratedImage] = []
    for number in range(request.n):
        drawn.append((yield Work(partial(image.draw, order, number))))
    return ImageResponse(images=drawn, model=request.model, cost=FREE, extra={"demo": True})


def speak(_config: ProviderConfig, request: SpeechRequest) -> Flow[SpeechResponse]:
    _expect(request.model, "speech", ("speech",))
    speaker = speech.Speaker(speech.order(request))
    wav: bytes = yield Work(speaker.speak, speaker.stop)
    return SpeechResponse(data=wav, format="wav", model=request.model, cost=FREE, extra={"demo": True})


def transcribe(_config: ProviderConfig, request: TranscriptionRequest) -> Flow[TranscriptionResponse]:
    _expect(request.model, "transcription", ("transcribe",))
    listener = Listener(request)
    heard: Heard = yield Work(listener.listen, listener.stop)
    return TranscriptionResponse(
        text=heard.text,
        model=request.model,
        language="en",
        duration=heard.duration,
        segments=heard.segments if request.timestamps else None,
        cost=FREE,
        extra={"demo": True},
    )


def embed(_config: ProviderConfig, request: EmbeddingRequest) -> Flow[EmbeddingResponse]:
    _expect(request.model, "embedding", ("embedding",))
    dimensions = embedding.dimensions_of(request)
    vectors = yield from _each(partial(embedding.embed, dimensions=dimensions), request.texts)
    usage = Usage(sum(map(estimate_tokens, request.texts)), 0, source="estimate")
    return EmbeddingResponse(vectors, request.model, usage, FREE, {"demo": True})


def moderate(config: ProviderConfig, request: ModerationRequest) -> Flow[ModerationResponse]:
    _expect(request.model, "moderation", ("rules",))
    lists = words.word_lists(config.options.get("moderation_words"))
    results = yield from _each(partial(rules.judge, lists=lists), request.texts)
    return ModerationResponse(results, request.model, FREE, {"demo": True})


def _reply(request: ChatRequest) -> Flow[Reply]:
    if request.model == "simulate":
        return simulate.reply(request)
    _expect(request.model, "chat", ("text", "simulate"))
    length = sum(len(text_of(message)) for message in request.messages)
    return (yield from _unhurried(lambda: text.reply(request), length))


def _each(work: Callable[[str], T], texts: Sequence[str]) -> Flow[list[T]]:
    return _unhurried(lambda: [work(one) for one in texts], sum(map(len, texts)))


def _unhurried(work: Callable[[], T], characters: int) -> Flow[T]:
    """Read a short text here and now, a long one where it holds nobody up."""
    if characters < _LONG:
        return work()
    result: T = yield Work(work)
    return result


def _wait(reply: Reply, more: float) -> Flow[None]:
    if reply.error is not None:
        more = 0.0
    if reply.latency + more:
        yield Sleep(reply.latency + more)
    if reply.error is not None:
        raise reply.error


def _expect(model: str, kind: str, known: tuple[str, ...]) -> None:
    if model not in known:
        names = " and ".join(f"local/{name}" for name in known)
        raise ValidationError(f"no {kind} model local/{model[:100]} here: there is {names}", provider="local")


ADAPTER: Final = Adapter(
    chat=chat,
    stream=stream,
    images=images,
    speech=speak,
    transcription=transcribe,
    embeddings=embed,
    moderation=moderate,
)
VENDOR: Final = Vendor(
    base_url="",
    key="",
    models={
        "chat": "text",
        "images": "image",
        "speech": "speech",
        "transcription": "transcribe",
        "embeddings": "embedding",
        "moderation": "rules",
    },
    capabilities=frozenset(
        {"chat", "stream", "images", "speech", "transcription", "embeddings", "moderation"}
    ),
    adapter="local",
    features_by_model=True,  # `simulate` takes a recorded request as it is, `text` says how to get a model
    key_required=False,
    options={"moderation_words": "NEXUS_MODERATION_WORDS"},
    sound_seconds={"": 60.0},
)
