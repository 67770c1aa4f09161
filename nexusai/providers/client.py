"""Providers that are called over HTTP, and a client of one provider for use without the platform."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import fields
from typing import Any, Final, TypeVar

from typing_extensions import Self

from nexusai._internal._streaming import ServerSentEvent, SSEDecoder
from nexusai.providers.adapters.registry import adapter_for
from nexusai.providers.adapters.vendors import vendors_with
from nexusai.providers.config import ProviderConfig, config_for
from nexusai.providers.errors import AdapterError, CapabilityError, RetryableError, ValidationError
from nexusai.providers.media import ImageLink, image_type
from nexusai.providers.reliability.retry import RetryPolicy, delay_before_retry
from nexusai.providers.transport import HttpRequest, HttpResponse, HttpStream, Transport, too_large
from nexusai.providers.types import (
    Capability,
    ChatRequest,
    ChatResponse,
    GeneratedImage,
    ImageRequest,
    ImageResponse,
    Message,
    Provider,
    SpeechRequest,
    SpeechResponse,
    StreamChunk,
)

__all__ = ["AsyncClient", "HttpProvider", "open_provider"]

MAX_IMAGE_BYTES: Final = 64 * 1024 * 1024
_LAST_BYTES_WAIT: Final = 0.05
"""Seconds that a finished stream may take to end its body, so that the connection can be used again."""
_CHAT_OPTIONS: Final = {field.name for field in fields(ChatRequest)} - {"model", "messages"}

T = TypeVar("T")


class HttpProvider:
    """A vendor over a transport that belongs to the caller, who may share it among providers."""

    def __init__(
        self,
        config: ProviderConfig,
        transport: Transport,
        *,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = config.provider
        self._adapter = adapter_for(config.provider)
        self.capabilities: frozenset[Capability] = self._adapter.capabilities(config)
        self._config = config
        self._transport = transport
        self._policy = policy or RetryPolicy(max_retries=config.max_retries)
        self._sleep = sleep

    def default_model(self, capability: Capability) -> str | None:
        """The chat model serves every capability that is neither images nor speech."""
        kind: Capability = capability if capability in ("images", "speech") else "chat"
        return self._config.models.get(kind) if capability in self.capabilities else None

    async def chat(self, request: ChatRequest) -> ChatResponse:
        self._require("chat")
        response = await self._send(self._adapter.build_chat(self._config, request), request.model)
        return self._adapter.parse_chat(self._config, request, response)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamChunk, None]:
        """The answer in pieces. Closing the iterator closes the connection at once."""
        self._require("stream")
        attempt, started = 1, False
        while True:
            try:
                async with contextlib.aclosing(self._stream_once(request)) as chunks:
                    async for chunk in chunks:
                        started = True
                        yield chunk
                return
            except AdapterError as error:
                if started:
                    self._name(error, request.model)
                    raise
                await self._pause(attempt, error, request.model)
            attempt += 1

    async def generate_images(self, request: ImageRequest) -> ImageResponse:
        """Pictures that the vendor answers as links are fetched, without our key."""
        self._require("images")
        response = await self._send(self._adapter.build_images(self._config, request), request.model)
        pictures, usage = self._adapter.parse_images(self._config, request, response)
        fetches = [asyncio.ensure_future(self._fetched(picture, request.model)) for picture in pictures]
        try:
            return ImageResponse(await asyncio.gather(*fetches), request.model, usage)
        finally:
            for fetch in fetches:
                fetch.cancel()

    async def synthesize(self, request: SpeechRequest) -> SpeechResponse:
        self._require("speech")
        response = await self._send(self._adapter.build_speech(self._config, request), request.model)
        return self._adapter.parse_speech(self._config, request, response)

    async def aclose(self) -> None:
        """Nothing to do: the transport is the caller's."""

    def _require(self, capability: Capability) -> None:
        if capability not in self.capabilities:
            able = ", ".join(vendors_with(capability))
            raise CapabilityError(
                f"{self.name} cannot do {capability}; these can: {able}", provider=self.name
            )

    async def _send(self, request: HttpRequest, model: str) -> HttpResponse:
        async def once() -> HttpResponse:
            response = await self._transport.send(request)
            if response.status != 200:
                raise self._adapter.parse_error(self._config, model, response)
            return response

        return await self._retrying(once, model)

    async def _retrying(self, once: Callable[[], Awaitable[T]], model: str) -> T:
        attempt = 1
        while True:
            try:
                return await once()
            except AdapterError as error:
                await self._pause(attempt, error, model)
            attempt += 1

    async def _pause(self, attempt: int, error: AdapterError, model: str) -> None:
        """Wait before the next try, or raise what made this one fail."""
        delay = delay_before_retry(self._policy, attempt, error, random.random())
        if delay is None:
            self._name(error, model)
            raise error
        await self._sleep(delay)

    def _name(self, error: AdapterError, model: str) -> None:
        error.provider, error.model = error.provider or self.name, error.model or model

    async def _stream_once(self, request: ChatRequest) -> AsyncGenerator[StreamChunk, None]:
        sent = self._adapter.build_chat(self._config, request, stream=True)
        async with self._transport.stream(sent) as answer:
            if answer.status != 200 or "json" in answer.headers.get("content-type", ""):
                for chunk in await self._unstreamed(request, answer):
                    yield chunk
                return
            parser, decoder, body = (
                self._adapter.chat_stream(self._config, request),
                SSEDecoder(),
                answer.chunks(),
            )
            async for data in body:
                for event in _events(decoder, data):
                    for chunk in parser.feed(event):
                        yield chunk
                if parser.done:
                    break
            for chunk in parser.end():
                yield chunk
            await _let_it_end(body)

    async def _unstreamed(self, request: ChatRequest, answer: HttpStream) -> list[StreamChunk]:
        """An answer that came whole though a stream was asked for: an error, most often."""
        body = await _body(answer, MAX_IMAGE_BYTES)
        whole = HttpResponse(answer.status, answer.headers, body)
        if answer.status != 200:
            raise self._adapter.parse_error(self._config, request.model, whole)
        chat = self._adapter.parse_chat(self._config, request, whole)
        text = StreamChunk(
            delta=chat.content,
            reasoning=chat.reasoning,
            tool_calls=chat.tool_calls,
            finish_reason=chat.finish_reason,
            model=chat.model,
        )
        return [text, StreamChunk(usage=chat.usage, model=chat.model)]

    async def _fetched(self, picture: GeneratedImage | ImageLink, model: str) -> GeneratedImage:
        if isinstance(picture, GeneratedImage):
            return picture
        return await self._retrying(lambda: self._fetch(picture), model)

    async def _fetch(self, link: ImageLink) -> GeneratedImage:
        request = HttpRequest("GET", link.url, timeout=self._config.timeout)
        async with self._transport.stream(request) as answer:
            if answer.status != 200:
                kind = RetryableError if answer.status >= 500 else AdapterError
                raise kind(f"{self.name}: its picture answered {answer.status}", status=answer.status)
            data = await _body(answer, MAX_IMAGE_BYTES)
        if len(data) > MAX_IMAGE_BYTES:
            raise too_large(request, MAX_IMAGE_BYTES)
        media_type = image_type(data)
        if media_type is None:
            raise AdapterError(
                f"{self.name} answered with something that is no picture: its link leads elsewhere"
            )
        return GeneratedImage(data, media_type, link.revised_prompt)


async def _body(answer: HttpStream, limit: int) -> bytes:
    """The body, read no further than past the limit."""
    data = bytearray()
    async for piece in answer.chunks():
        data += piece
        if len(data) > limit:
            break
    return bytes(data)


def _events(decoder: SSEDecoder, data: bytes) -> list[ServerSentEvent]:
    try:
        return decoder.feed(data)
    except ValueError as error:
        raise AdapterError(str(error)) from None


async def _let_it_end(body: AsyncIterator[bytes]) -> None:
    """Read the end that follows the last event, else the connection would be closed, not used again."""

    async def rest() -> None:
        async for _ in body:
            pass

    with contextlib.suppress(AdapterError, asyncio.TimeoutError):
        await asyncio.wait_for(rest(), _LAST_BYTES_WAIT)


def open_provider(config: ProviderConfig, transport: Transport) -> Provider:
    """The provider that a configuration stands for; the transport stays the caller's."""
    if config.provider == "local":
        from nexusai.providers.adapters.local import LocalProvider

        return LocalProvider()
    return HttpProvider(config, transport)


class AsyncClient:
    """One provider, called straight from your program: `async with AsyncClient("openai") as client: …`.

    The key is `api_key`, else the vendor's own environment variable. Raises `ConfigurationError` when the
    provider is unknown or has no key.
    """

    def __init__(
        self,
        provider: str = "openai",
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        transport: Transport | None = None,
    ) -> None:
        config = config_for(provider, os.environ, api_key=api_key, base_url=base_url)
        self._own: Transport | None = None
        if transport is None:
            from nexusai.providers.transport_httpx import HttpxTransport

            transport = self._own = HttpxTransport()
        self.provider = open_provider(config, transport)

    async def chat(
        self, *, messages: str | Sequence[Message], model: str | None = None, **options: Any
    ) -> ChatResponse:
        """The whole answer. `options` are fields of `ChatRequest`; others go to the vendor as they are."""
        return await self.provider.chat(self._request(model, messages, options))

    def stream(
        self, *, messages: str | Sequence[Message], model: str | None = None, **options: Any
    ) -> AsyncIterator[StreamChunk]:
        """The answer in pieces, with the same arguments."""
        return self.provider.stream(self._request(model, messages, options))

    async def aclose(self) -> None:
        await self.provider.aclose()
        if self._own is not None:
            await self._own.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def _request(
        self, model: str | None, messages: str | Sequence[Message], options: dict[str, Any]
    ) -> ChatRequest:
        model = model or self.provider.default_model("chat")
        if model is None:
            raise ValidationError(f"name a model: provider {self.provider.name!r} has no default one")
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        known = {name: options.pop(name) for name in _CHAT_OPTIONS & options.keys()}
        extra = {**options, **known.pop("extra", {})}
        return ChatRequest(model, messages, **known, extra=extra)
