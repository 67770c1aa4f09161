"""Which adapter speaks to which provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from nexusai._internal._streaming import ServerSentEvent
from nexusai.error import ConfigurationError
from nexusai.providers.adapters import openai_compatible
from nexusai.providers.adapters.vendors import VENDORS
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError
from nexusai.providers.media import ImageLink
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import (
    Capability,
    ChatRequest,
    ChatResponse,
    GeneratedImage,
    ImageRequest,
    SpeechRequest,
    SpeechResponse,
    StreamChunk,
    Usage,
)

__all__ = ["Adapter", "StreamParser", "adapter_for"]


class StreamParser(Protocol):
    """Reads one streamed answer, event by event."""

    @property
    def done(self) -> bool: ...

    def feed(self, event: ServerSentEvent) -> list[StreamChunk]: ...

    def end(self) -> list[StreamChunk]: ...


class Adapter(Protocol):
    """The pure functions that a module of this folder offers. They raise `AdapterError`s only."""

    def capabilities(self, config: ProviderConfig) -> frozenset[Capability]: ...

    def build_chat(
        self, config: ProviderConfig, request: ChatRequest, *, stream: bool = False
    ) -> HttpRequest: ...

    def parse_chat(
        self, config: ProviderConfig, request: ChatRequest, response: HttpResponse
    ) -> ChatResponse: ...

    def chat_stream(self, config: ProviderConfig, request: ChatRequest) -> StreamParser: ...

    def build_images(self, config: ProviderConfig, request: ImageRequest) -> HttpRequest: ...

    def parse_images(
        self, config: ProviderConfig, request: ImageRequest, response: HttpResponse
    ) -> tuple[list[GeneratedImage | ImageLink], Usage | None]: ...

    def build_speech(self, config: ProviderConfig, request: SpeechRequest) -> HttpRequest: ...

    def parse_speech(
        self, config: ProviderConfig, request: SpeechRequest, response: HttpResponse
    ) -> SpeechResponse: ...

    def parse_error(self, config: ProviderConfig, model: str, response: HttpResponse) -> AdapterError: ...


_ADAPTERS: Final[Mapping[str, Adapter]] = dict.fromkeys(VENDORS, openai_compatible)


def adapter_for(provider: str) -> Adapter:
    """Raises `ConfigurationError` for a provider that nobody wrote an adapter for."""
    try:
        return _ADAPTERS[provider]
    except KeyError:
        raise ConfigurationError(f"unknown provider {provider!r}: one of {', '.join(_ADAPTERS)}") from None
