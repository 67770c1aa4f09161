"""One provider as it is configured: what it can do, and what its operations are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from nexusai.providers.adapters.adapter import Adapter
from nexusai.providers.adapters.registry import adapter_for, vendor_of
from nexusai.providers.adapters.vendor import Vendor
from nexusai.providers.adapters.vendors import vendors_with
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError, CapabilityError
from nexusai.providers.flow import Emit, Flow, Operation
from nexusai.providers.transport import HttpResponse
from nexusai.providers.types import (
    Capability,
    ChatRequest,
    RelayRequest,
    SoundLimit,
    SpeechChunk,
    SpeechRequest,
    SpeechResponse,
)

__all__ = ["Endpoint", "OperationName"]

OperationName: TypeAlias = Literal[
    "chat",
    "stream",
    "images",
    "speech",
    "speech_stream",
    "transcription",
    "embeddings",
    "moderation",
    "count_tokens",
]

_WITH_MODELS: Final = frozenset(
    {"images", "image_edit", "speech", "transcription", "embeddings", "moderation"}
)
"""Capabilities that have a default model of their own; the chat model has all the others."""


_PICTURES: Final = ("image_url", "image", "input_image")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A vendor's API under one key, by the name that it has here."""

    name: str
    config: ProviderConfig
    adapter: Adapter
    vendor: Vendor
    reached: Mapping[str, Any] = field(init=False)
    """How requests get there, where it is not the usual way."""

    def __post_init__(self) -> None:
        ways = {name: getattr(self.config, name) for name in ("connect", "proxy", "ca_file")}
        told = {name: value for name, value in ways.items() if value is not None}
        object.__setattr__(self, "reached", told)

    @classmethod
    def of(cls, config: ProviderConfig, name: str | None = None) -> Endpoint:
        """Raises `ConfigurationError` for a provider that nobody wrote an adapter for."""
        if config.provider == "local":
            from nexusai.providers.adapters.local import ADAPTER, VENDOR

            return cls(name or "local", replace(config, models=VENDOR.models), ADAPTER, VENDOR)
        vendor, adapter = vendor_of(config.provider), adapter_for(config.provider)
        return cls(name or config.provider, config, adapter, vendor)

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.vendor.capabilities

    def sound_limit(self, model: str) -> SoundLimit:
        """The largest and longest recording that a model of this provider transcribes at once."""
        seconds = [most for part, most in self.vendor.sound_seconds.items() if part in model]
        return SoundLimit(self.vendor.sound_bytes, min(seconds, default=None))

    def default_model(self, capability: Capability) -> str | None:
        """The model used when the caller names none."""
        if capability not in self.capabilities:
            return None
        kind: Capability = capability if capability in _WITH_MODELS else "chat"
        models = self.config.models
        return models.get(kind) or (models.get("images") if kind == "image_edit" else None)

    def operation(self, name: OperationName, request: Any) -> Operation[Any, Any]:
        """Raises `CapabilityError`, which names who can, when this provider cannot."""
        operation: Operation[Any, Any] | None
        if isinstance(request, RelayRequest):
            operation = self.adapter.relays.get(request.api)
            if operation is not None and name in self.vendor.capabilities:
                return operation
        else:
            operation = getattr(self.adapter, name)
        if name == "speech_stream" and operation is None and self.adapter.speech is not None:
            operation = _in_one_piece(self.adapter.speech)
        for needed in self._needed(name, request):
            if operation is None or needed not in self.capabilities:
                able = ", ".join(vendors_with(needed)) or "none"
                message = f"{self.name} cannot do {needed}; these can: {able}"
                raise CapabilityError(message, provider=self.name, model=request.model)
        assert operation is not None  # noqa: S101 - something is always needed
        return operation

    def relays(self, request: RelayRequest) -> bool:
        """Whether the vendor speaks that API, and understands all that is asked for in it."""
        if request.api not in self.adapter.relays:
            return False
        return self.adapter.understood is None or self.adapter.understood(self.config, request)

    def _needed(self, name: OperationName, request: Any) -> Iterator[Capability]:
        """What a provider must be able to do for this."""
        if name == "chat" or name == "stream" or name == "count_tokens":
            yield "stream" if name == "stream" else "chat"
            if not (self.vendor.features_by_model or isinstance(request, RelayRequest)):
                yield from _features(request)
        elif name == "images":
            yield "image_edit" if request.images else "images"
        elif name == "speech_stream":
            yield "speech"
        else:
            yield name

    def error(self, model: str, response: HttpResponse) -> AdapterError:
        """What an answer that is not a good one stands for."""
        if self.adapter.parse_error is None:
            return AdapterError(f"{self.name} answered {response.status}", status=response.status)
        return self.adapter.parse_error(self.config, model, response)


def _in_one_piece(speech: Operation[SpeechRequest, SpeechResponse]) -> Operation[SpeechRequest, None]:
    """The sound of a vendor that makes it whole, as a stream."""

    def operation(config: ProviderConfig, request: SpeechRequest) -> Flow[None]:
        answer = yield from speech(config, request)
        yield Emit([SpeechChunk(answer.data, answer.format, model=answer.model, cost=answer.cost)])

    return operation


def _features(request: ChatRequest) -> Iterator[Capability]:
    """What a chat asks for beyond an answer."""
    if request.tools:
        yield "tools"
    if request.reasoning_effort:
        yield "reasoning"
    if (request.response_format or {}).get("type") == "json_schema":
        yield "json_schema"
    if any(_shows_pictures(message.get("content")) for message in request.messages):
        yield "vision"


def _shows_pictures(content: Any) -> bool:
    return isinstance(content, (list, tuple)) and any(
        isinstance(part, Mapping) and part.get("type") in _PICTURES for part in content
    )
