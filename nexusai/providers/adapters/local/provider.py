"""The provider: chooses the model, waits, draws and speaks off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from nexusai.providers.adapters.local import image, simulate, speech, text
from nexusai.providers.adapters.local.prompt import pieces, text_of
from nexusai.providers.adapters.local.reply import Reply
from nexusai.providers.errors import ValidationError
from nexusai.providers.types import (
    Capability,
    ChatRequest,
    ChatResponse,
    Cost,
    ImageRequest,
    ImageResponse,
    SpeechRequest,
    SpeechResponse,
    StreamChunk,
)

__all__ = ["LocalProvider"]

_DEFAULTS: Final[Mapping[str, str]] = {
    "chat": "text",
    "stream": "text",
    "images": "image",
    "speech": "speech",
}

FREE: Final = Cost(0.0)

_LONG: Final = 20_000
"""Characters from which reading a prompt would hold up the event loop."""

_BREATH: Final = 256
"""Pieces that a stream without a pace gives before others have a turn."""


class LocalProvider:
    """Demo text, simulated text, placeholder pictures and a robot's voice: no key, no network."""

    name: str = "local"
    capabilities: frozenset[Capability] = frozenset({"chat", "stream", "images", "speech"})

    def __init__(self) -> None:
        self._drawing = ThreadPoolExecutor(2, "nexus-local-image")
        self._speaking = ThreadPoolExecutor(2, "nexus-local-speech")

    def default_model(self, capability: Capability) -> str | None:
        return _DEFAULTS.get(capability)

    async def chat(self, request: ChatRequest) -> ChatResponse:
        reply = await _reply(request)
        await _wait(reply, reply.interval * reply.usage.completion_tokens)
        return ChatResponse(
            content=reply.content,
            model=request.model,
            finish_reason=reply.finish_reason,
            usage=reply.usage,
            cost=FREE,
            extra=reply.extra,
        )

    async def stream(self, request: ChatRequest) -> AsyncIterator[StreamChunk]:
        reply = await _reply(request)
        await _wait(reply, 0.0)
        model = request.model
        clock = asyncio.get_running_loop().time
        start = clock()
        for count, piece in enumerate(pieces(reply.content), 1):
            yield StreamChunk(delta=piece, model=model)
            if reply.interval or count % _BREATH == 0:
                await asyncio.sleep(max(0.0, start + count * reply.interval - clock()))
        yield StreamChunk(finish_reason=reply.finish_reason, model=model)
        yield StreamChunk(usage=reply.usage, cost=FREE, model=model, extra=reply.extra)

    async def generate_images(self, request: ImageRequest) -> ImageResponse:
        _expect(request.model, "image", ("image",))
        order = image.order(request)
        loop = asyncio.get_running_loop()
        drawn = [loop.run_in_executor(self._drawing, image.draw, order, n) for n in range(request.n)]
        images = await asyncio.gather(*drawn)
        return ImageResponse(images=images, model=request.model, cost=FREE, extra={"demo": True})

    async def synthesize(self, request: SpeechRequest) -> SpeechResponse:
        _expect(request.model, "speech", ("speech",))
        speaker = speech.Speaker(speech.order(request))
        loop = asyncio.get_running_loop()
        try:
            wav = await loop.run_in_executor(self._speaking, speaker.speak)
        finally:
            speaker.stop()
        return SpeechResponse(data=wav, format="wav", model=request.model, cost=FREE, extra={"demo": True})

    async def aclose(self) -> None:
        self._drawing.shutdown(wait=False)
        self._speaking.shutdown(wait=False)


async def _reply(request: ChatRequest) -> Reply:
    if request.model == "simulate":
        return simulate.reply(request)
    _expect(request.model, "chat", ("text", "simulate"))
    if sum(len(text_of(message)) for message in request.messages) < _LONG:
        return text.reply(request)
    return await asyncio.to_thread(text.reply, request)


async def _wait(reply: Reply, more: float) -> None:
    if reply.error is not None:
        more = 0.0
    if reply.latency + more:
        await asyncio.sleep(reply.latency + more)
    if reply.error is not None:
        raise reply.error


def _expect(model: str, kind: str, known: tuple[str, ...]) -> None:
    if model not in known:
        names = " and ".join(f"local/{name}" for name in known)
        raise ValidationError(f"no {kind} model local/{model[:100]} here: there is {names}", provider="local")
