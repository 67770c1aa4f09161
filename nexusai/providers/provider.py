"""Providers as the platform holds them: awaited, on a transport that belongs to the caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from nexusai.providers.calls import Calls
from nexusai.providers.config import ProviderConfig
from nexusai.providers.drivers import AsyncDriver
from nexusai.providers.endpoint import Endpoint, OperationName
from nexusai.providers.reliability.breaker import CircuitState
from nexusai.providers.transport import Transport
from nexusai.providers.types import (
    Capability,
    ChatRequest,
    ChatResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    ImageRequest,
    ImageResponse,
    ModerationRequest,
    ModerationResponse,
    RelayApi,
    RelayChunk,
    RelayRequest,
    RelayResponse,
    SoundLimit,
    SpeechRequest,
    SpeechResponse,
    StreamChunk,
    TranscriptionRequest,
    TranscriptionResponse,
)

__all__ = ["AsyncProvider", "open_provider", "open_providers"]

_RELAYED: Final[Mapping[RelayApi, OperationName]] = {"embeddings": "embeddings"}
"""The operation that a call to an API is; elsewhere it is a chat."""


class AsyncProvider:
    """One of the providers behind a `Calls`. Every method raises `AdapterError`s only."""

    def __init__(self, endpoint: Endpoint, calls: Calls, driver: AsyncDriver) -> None:
        self.name: str = endpoint.name
        self.capabilities: frozenset[Capability] = endpoint.capabilities
        self.key_required: bool = endpoint.vendor.key_required
        self.protocol: str = endpoint.vendor.adapter
        """The adapter that speaks the vendor's API."""
        self.models: Mapping[Capability, str] = endpoint.config.models
        self._endpoint = endpoint
        self._calls = calls
        self._driver = driver

    def default_model(self, capability: Capability) -> str | None:
        """The model used when the caller names none."""
        return self._endpoint.default_model(capability)

    def sound_limit(self, model: str) -> SoundLimit:
        """What `transcribe` takes at once."""
        return self._endpoint.sound_limit(model)

    def circuits(self) -> dict[str, CircuitState]:
        """The state of the breaker of each model that was called."""
        return self._calls.states(self.name)

    async def chat(self, request: ChatRequest) -> ChatResponse:
        answer: ChatResponse = await self._driver.run(self._calls.call_at(self.name, "chat", request))
        return answer

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamChunk, None]:
        """The answer in pieces. Closing the iterator closes the connection at once."""
        return self._driver.stream(self._calls.call_at(self.name, "stream", request))

    async def generate_images(self, request: ImageRequest) -> ImageResponse:
        """Pictures that the vendor answers as links are fetched, without our key."""
        answer: ImageResponse = await self._driver.run(self._calls.call_at(self.name, "images", request))
        return answer

    async def synthesize(self, request: SpeechRequest) -> SpeechResponse:
        answer: SpeechResponse = await self._driver.run(self._calls.call_at(self.name, "speech", request))
        return answer

    async def transcribe(self, request: TranscriptionRequest) -> TranscriptionResponse:
        flow = self._calls.call_at(self.name, "transcription", request)
        answer: TranscriptionResponse = await self._driver.run(flow)
        return answer

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        answer: EmbeddingResponse = await self._driver.run(
            self._calls.call_at(self.name, "embeddings", request)
        )
        return answer

    async def moderate(self, request: ModerationRequest) -> ModerationResponse:
        answer: ModerationResponse = await self._driver.run(
            self._calls.call_at(self.name, "moderation", request)
        )
        return answer

    def relays(self, request: RelayRequest) -> bool:
        """Whether the vendor speaks that API, and understands all that is asked for in it."""
        return self._endpoint.relays(request)

    async def relay(self, request: RelayRequest) -> RelayResponse:
        """The answer as the vendor gives it."""
        flow = self._calls.call_at(self.name, _RELAYED.get(request.api, "chat"), request)
        answer: RelayResponse = await self._driver.run(flow)
        return answer

    def relay_stream(self, request: RelayRequest) -> AsyncGenerator[RelayChunk, None]:
        """The events as the vendor sends them. Closing the iterator closes the connection at once."""
        return self._driver.stream(self._calls.call_at(self.name, "stream", request))

    async def aclose(self) -> None:
        """Let the threads go; the transport is the caller's."""
        self._driver.release()


def open_provider(
    config: ProviderConfig, transport: Transport | None = None, **policies: Any
) -> AsyncProvider:
    """The provider that a configuration stands for; the transport stays the caller's."""
    return open_providers({config.provider: config}, transport, **policies)[config.provider]


def open_providers(
    configs: Mapping[str, ProviderConfig], transport: Transport | None = None, **policies: Any
) -> dict[str, AsyncProvider]:
    """Providers that share breakers, limits, prices and records: `policies` are arguments of `Calls`."""
    endpoints = {name: Endpoint.of(config, name) for name, config in configs.items()}
    calls, driver = Calls(endpoints, **policies), AsyncDriver(transport)
    return {name: AsyncProvider(endpoint, calls, driver) for name, endpoint in endpoints.items()}
