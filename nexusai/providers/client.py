"""Every configured provider behind one client, for use without the platform."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from typing_extensions import Self

from nexusai.providers.calls import Calls
from nexusai.providers.config import ProviderConfig, load_config
from nexusai.providers.costs import CostTracker
from nexusai.providers.drivers import AsyncDriver, SyncDriver
from nexusai.providers.pricing import Prices
from nexusai.providers.record import CallRecord
from nexusai.providers.reliability.breaker import CircuitBreaker
from nexusai.providers.reliability.limiter import RateLimit
from nexusai.providers.reliability.retry import RetryPolicy
from nexusai.providers.reliability.router import Route, Router
from nexusai.providers.requests import BaseClient, Prompt, default_transport, endpoints_for
from nexusai.providers.structured import Code
from nexusai.providers.tokens import TokenCount
from nexusai.providers.transport import SyncTransport, Transport
from nexusai.providers.types import (
    ChatResponse,
    EmbeddingResponse,
    ImageResponse,
    ModerationResponse,
    SpeechResponse,
    StreamChunk,
    TranscriptionResponse,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["AsyncClient", "Client"]

M = TypeVar("M", bound="BaseModel")


class Client(BaseClient):
    """Providers, called straight from your program; safe to share between threads.

    `Client("anthropic", api_key="…")` calls one; without a name it calls all for which the environment has
    a key, or all of `providers`, and `model="anthropic/claude-sonnet-4-5"` says which. `settings` are fields
    of `ProviderConfig` (timeout, max_retries, proxy …) of the one that is named. `routes` are names under
    which deployments stand in for each other.
    Raises `ConfigurationError` when a provider is unknown or has no key.
    """

    def __init__(
        self,
        provider: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        providers: Mapping[str, ProviderConfig] | None = None,
        routes: Iterable[Route] = (),
        retry: RetryPolicy | None = None,
        breaker: CircuitBreaker | None = None,
        limits: Mapping[str, RateLimit] | None = None,
        prices: Prices | None = None,
        costs: CostTracker | None = None,
        hooks: Sequence[Callable[[CallRecord], object]] = (),
        transport: SyncTransport | None = None,
        **settings: Any,
    ) -> None:
        endpoints = endpoints_for(provider, providers, api_key, base_url, settings)
        costs = costs or CostTracker()
        super().__init__(
            Calls(
                endpoints,
                router=Router(routes),
                retry=retry,
                breaker=breaker,
                limits=limits,
                prices=prices,
                costs=costs,
                hooks=hooks,
            ),
            costs,
        )
        self._own = transport is None
        if transport is None:
            from nexusai.providers.transport_http import HttpTransport

            transport = HttpTransport()
        self._driver = SyncDriver(transport)

    @classmethod
    def from_file(cls, path: str | Path, **policies: Any) -> Self:
        """A client of the `providers` of a YAML file (see `load_config`); `policies` as above."""
        return cls(providers=load_config(path, os.environ), **policies)

    @overload
    def chat(
        self, *, messages: Prompt, model: str | None = None, stream: Literal[False] = False, **options: Any
    ) -> ChatResponse: ...
    @overload
    def chat(
        self, *, messages: Prompt, model: str | None = None, stream: Literal[True], **options: Any
    ) -> Iterator[StreamChunk]: ...
    def chat(
        self, *, messages: Prompt, model: str | None = None, stream: bool = False, **options: Any
    ) -> ChatResponse | Iterator[StreamChunk]:
        """The whole answer; with `stream=True` its chunks, and closing the iterator closes the connection.

        `options` are fields of `ChatRequest`; `tags`, `session` and `timeout` (seconds, for everything) are
        of the call; `fit_max_tokens=True` fits the answer into the context window. Others go to the vendor
        as they are. Raises `AdapterError`.
        """
        flow = self._chat(messages, model, options, stream=stream)
        return self._driver.stream(flow) if stream else cast(ChatResponse, self._driver.run(flow))

    def parse(
        self, *, messages: Prompt, response_model: type[M], model: str | None = None, **options: Any
    ) -> M:
        """An answer in the shape of a pydantic model. Raises `AdapterError` that says what came back."""
        return self._driver.run(self._parsed(messages, response_model, model, options))

    def ask_code(self, messages: Prompt, *, model: str | None = None, **options: Any) -> Code:
        """Code, and its language. Raises `AdapterError` that says what came back when it is none."""
        return self._driver.run(self._coded(messages, model, options))

    def count_tokens(self, messages: Prompt, *, model: str | None = None) -> TokenCount:
        """The prompt's tokens: counted by the vendor where it offers that, by a tokenizer, or estimated."""
        return self._driver.run(self._counted(messages, model))

    def generate_images(self, prompt: str, *, model: str | None = None, **options: Any) -> ImageResponse:
        """Pictures; with `images=[bytes, …]` those are edited. `options` are fields of `ImageRequest`."""
        return self._driver.run(self._pictures(prompt, model, options))

    def synthesize(self, text: str, *, model: str | None = None, **options: Any) -> SpeechResponse:
        """Speech. `options` are fields of `SpeechRequest`."""
        return self._driver.run(self._speech(text, model, options))

    def transcribe(self, audio: bytes, *, model: str | None = None, **options: Any) -> TranscriptionResponse:
        """What is said in encoded sound. `options` are fields of `TranscriptionRequest`."""
        return self._driver.run(self._transcription(audio, model, options))

    def embed(self, texts: Sequence[str], *, model: str | None = None, **options: Any) -> EmbeddingResponse:
        """One vector for each text. `options` are fields of `EmbeddingRequest`."""
        return self._driver.run(self._vectors(texts, model, options))

    def moderate(
        self, texts: Sequence[str], *, model: str | None = None, **options: Any
    ) -> ModerationResponse:
        """One judgement for each text. `options` are fields of `ModerationRequest`."""
        return self._driver.run(self._judgements(texts, model, options))

    def close(self) -> None:
        """Close the connections, unless the transport is another's."""
        self._driver.release()
        if self._own:
            self._driver.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(BaseClient):
    """Providers, called straight from your program, with `await`.

    `AsyncClient("anthropic", api_key="…")` calls one; without a name it calls all for which the environment
    has a key, or all of `providers`, and `model="anthropic/claude-sonnet-4-5"` says which. `settings` are
    fields of `ProviderConfig` (timeout, max_retries, proxy …) of the one that is named. `routes` are names
    under which deployments stand in for each other.
    Raises `ConfigurationError` when a provider is unknown or has no key.
    """

    def __init__(
        self,
        provider: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        providers: Mapping[str, ProviderConfig] | None = None,
        routes: Iterable[Route] = (),
        retry: RetryPolicy | None = None,
        breaker: CircuitBreaker | None = None,
        limits: Mapping[str, RateLimit] | None = None,
        prices: Prices | None = None,
        costs: CostTracker | None = None,
        hooks: Sequence[Callable[[CallRecord], object]] = (),
        transport: Transport | None = None,
        **settings: Any,
    ) -> None:
        endpoints = endpoints_for(provider, providers, api_key, base_url, settings)
        costs = costs or CostTracker()
        super().__init__(
            Calls(
                endpoints,
                router=Router(routes),
                retry=retry,
                breaker=breaker,
                limits=limits,
                prices=prices,
                costs=costs,
                hooks=hooks,
            ),
            costs,
        )
        self._own = transport is None
        if transport is None:
            transport = default_transport()
        self._driver = AsyncDriver(transport)

    @classmethod
    def from_file(cls, path: str | Path, **policies: Any) -> Self:
        """A client of the `providers` of a YAML file (see `load_config`); `policies` as above."""
        return cls(providers=load_config(path, os.environ), **policies)

    @overload
    def chat(
        self, *, messages: Prompt, model: str | None = None, stream: Literal[False] = False, **options: Any
    ) -> Awaitable[ChatResponse]: ...
    @overload
    def chat(
        self, *, messages: Prompt, model: str | None = None, stream: Literal[True], **options: Any
    ) -> AsyncIterator[StreamChunk]: ...
    def chat(
        self, *, messages: Prompt, model: str | None = None, stream: bool = False, **options: Any
    ) -> Awaitable[ChatResponse] | AsyncIterator[StreamChunk]:
        """The whole answer; with `stream=True` its chunks, and closing the iterator closes the connection.

        `await client.chat(…)`, `async for chunk in client.chat(…, stream=True)`.

        `options` are fields of `ChatRequest`; `tags`, `session` and `timeout` (seconds, for everything) are
        of the call; `fit_max_tokens=True` fits the answer into the context window. Others go to the vendor
        as they are. Raises `AdapterError`.
        """
        flow = self._chat(messages, model, options, stream=stream)
        return self._driver.stream(flow) if stream else self._driver.run(flow)

    async def parse(
        self, *, messages: Prompt, response_model: type[M], model: str | None = None, **options: Any
    ) -> M:
        """An answer in the shape of a pydantic model. Raises `AdapterError` that says what came back."""
        return await self._driver.run(self._parsed(messages, response_model, model, options))

    async def ask_code(self, messages: Prompt, *, model: str | None = None, **options: Any) -> Code:
        """Code, and its language. Raises `AdapterError` that says what came back when it is none."""
        return await self._driver.run(self._coded(messages, model, options))

    async def count_tokens(self, messages: Prompt, *, model: str | None = None) -> TokenCount:
        """The prompt's tokens: counted by the vendor where it offers that, by a tokenizer, or estimated."""
        return await self._driver.run(self._counted(messages, model))

    async def generate_images(
        self, prompt: str, *, model: str | None = None, **options: Any
    ) -> ImageResponse:
        """Pictures; with `images=[bytes, …]` those are edited. `options` are fields of `ImageRequest`."""
        return await self._driver.run(self._pictures(prompt, model, options))

    async def synthesize(self, text: str, *, model: str | None = None, **options: Any) -> SpeechResponse:
        """Speech. `options` are fields of `SpeechRequest`."""
        return await self._driver.run(self._speech(text, model, options))

    async def transcribe(
        self, audio: bytes, *, model: str | None = None, **options: Any
    ) -> TranscriptionResponse:
        """What is said in encoded sound. `options` are fields of `TranscriptionRequest`."""
        return await self._driver.run(self._transcription(audio, model, options))

    async def embed(
        self, texts: Sequence[str], *, model: str | None = None, **options: Any
    ) -> EmbeddingResponse:
        """One vector for each text. `options` are fields of `EmbeddingRequest`."""
        return await self._driver.run(self._vectors(texts, model, options))

    async def moderate(
        self, texts: Sequence[str], *, model: str | None = None, **options: Any
    ) -> ModerationResponse:
        """One judgement for each text. `options` are fields of `ModerationRequest`."""
        return await self._driver.run(self._judgements(texts, model, options))

    async def aclose(self) -> None:
        """Close the connections, unless the transport is another's."""
        self._driver.release()
        if self._own:
            await self._driver.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
