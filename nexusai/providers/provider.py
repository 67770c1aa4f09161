"""Providers as the platform holds them: awaited, on a transport that belongs to the caller."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from nexusai.providers.calls import Calls
from nexusai.providers.config import ProviderConfig
from nexusai.providers.drivers import AsyncDriver
from nexusai.providers.endpoint import Endpoint, OperationName
from nexusai.providers.flow import Flow
from nexusai.providers.pricing import Prices
from nexusai.providers.reliability.breaker import CircuitState
from nexusai.providers.reliability.router import ROUTE, Deployment, Route, Router
from nexusai.providers.setup import Setup
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
    SpeechChunk,
    SpeechRequest,
    SpeechResponse,
    StreamChunk,
    TranscriptionRequest,
    TranscriptionResponse,
)

__all__ = ["AsyncProvider", "Opened", "RouteProvider", "open_provider", "open_providers"]

_RELAYED: Final[Mapping[RelayApi, OperationName]] = {"embeddings": "embeddings"}
"""The operation that a call to an API is; elsewhere it is a chat."""


class _Callable(ABC):
    """The operations of a provider, as flows that a driver runs. All raise `AdapterError`s only."""

    _driver: AsyncDriver

    @abstractmethod
    def _flow(self, operation: OperationName, request: Any) -> Flow[Any]:
        """Who is called, and how."""

    async def chat(self, request: ChatRequest) -> ChatResponse:
        answer: ChatResponse = await self._driver.run(self._flow("chat", request))
        return answer

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamChunk, None]:
        """The answer in pieces. Closing the iterator closes the connection at once."""
        return self._driver.stream(self._flow("stream", request))

    async def generate_images(self, request: ImageRequest) -> ImageResponse:
        """Pictures that the vendor answers as links are fetched, without our key."""
        answer: ImageResponse = await self._driver.run(self._flow("images", request))
        return answer

    async def synthesize(self, request: SpeechRequest) -> SpeechResponse:
        answer: SpeechResponse = await self._driver.run(self._flow("speech", request))
        return answer

    def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechChunk, None]:
        """The sound as it comes, or whole where the vendor has it so. Closing it closes the connection."""
        return self._driver.stream(self._flow("speech_stream", request))

    async def transcribe(self, request: TranscriptionRequest) -> TranscriptionResponse:
        flow = self._flow("transcription", request)
        answer: TranscriptionResponse = await self._driver.run(flow)
        return answer

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        answer: EmbeddingResponse = await self._driver.run(self._flow("embeddings", request))
        return answer

    async def moderate(self, request: ModerationRequest) -> ModerationResponse:
        answer: ModerationResponse = await self._driver.run(self._flow("moderation", request))
        return answer

    async def relay(self, request: RelayRequest) -> RelayResponse:
        """The answer as the vendor gives it."""
        flow = self._flow(_RELAYED.get(request.api, "chat"), request)
        answer: RelayResponse = await self._driver.run(flow)
        return answer

    def relay_stream(self, request: RelayRequest) -> AsyncGenerator[RelayChunk, None]:
        """The events as the vendor sends them. Closing the iterator closes the connection at once."""
        return self._driver.stream(self._flow("stream", request))

    async def aclose(self) -> None:
        """Let the threads go; the transport is the caller's."""
        self._driver.release()


class AsyncProvider(_Callable):
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

    def relays(self, request: RelayRequest) -> bool:
        """Whether the vendor speaks that API, and understands all that is asked for in it."""
        return self._endpoint.relays(request)

    def _flow(self, operation: OperationName, request: Any) -> Flow[Any]:
        return self._calls.call_at(self.name, operation, request)


class RouteProvider(_Callable):
    """The deployments of a route as one provider, whose one model is the route.

    Who answered stands in the answer, or in the first chunk.
    """

    def __init__(
        self, route: Route, reach: Sequence[Deployment], providers: Mapping[str, AsyncProvider]
    ) -> None:
        """`reach` are its deployments, and those that it falls back to."""
        members = [(providers[each.provider], each.model) for each in route.deployments]
        first = members[0][0]
        self.name: str = ROUTE
        self.route: str = route.alias
        self.capabilities: frozenset[Capability] = frozenset.intersection(
            *(member.capabilities for member, _ in members)
        )
        alike = len({member.protocol for member, _ in members}) == 1
        self.protocol: str = first.protocol if alike else ""
        """The adapter that speaks to all of them; none when they differ."""
        self._members = members
        self._reach = [(providers[each.provider], each.model) for each in reach]
        self._calls, self._driver = first._calls, first._driver

    def default_model(self, capability: Capability) -> str | None:
        """The route itself."""
        return self.route if capability in self.capabilities else None

    def sound_limit(self, model: str) -> SoundLimit:
        """What each of its deployments takes at once."""
        limits = [member.sound_limit(model) for member, model in self._members]
        seconds = [limit.seconds for limit in limits if limit.seconds is not None]
        return SoundLimit(min(limit.bytes for limit in limits), min(seconds, default=None))

    def circuits(self) -> dict[str, CircuitState]:
        """The state of the breaker of each deployment that was called."""
        states = {f"{member.name}/{model}": member.circuits().get(model) for member, model in self._members}
        return {name: state for name, state in states.items() if state is not None}

    def relays(self, request: RelayRequest) -> bool:
        """Whether all that may be called do: nobody knows before which of them will answer."""
        return all(member.relays(replace(request, model=model)) for member, model in self._reach)

    def _flow(self, operation: OperationName, request: Any) -> Flow[Any]:
        return self._calls.call(operation, replace(request, model=self.route))


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


class Opened:
    """The providers and routes of a setup, which share breakers, limits, prices and records."""

    def __init__(
        self, setup: Setup, transport: Transport | None, before: Opened | None = None, **policies: Any
    ) -> None:
        """It goes on with the breakers and limiters of what was opened before, where nothing has changed."""
        endpoints = {name: Endpoint.of(config, name) for name, config in setup.providers.items()}
        prices, router = Prices(setup.models), Router(setup.routes)
        self._calls = Calls(endpoints, router=router, limits=setup.limits, prices=prices, **policies)
        if before is not None:
            self._calls.inherit(before._calls)
        self._driver = driver = AsyncDriver(transport)
        self.prices: Prices = prices
        self.providers: dict[str, AsyncProvider] = {
            name: AsyncProvider(endpoint, self._calls, driver) for name, endpoint in endpoints.items()
        }
        self.routes: dict[str, RouteProvider] = {
            name: RouteProvider(route, setup.reach(route), self.providers)
            for name, route in setup.named_routes.items()
        }

    def release(self) -> None:
        """Let the threads go; what is under way is finished, and the transport is the caller's."""
        self._driver.release()
