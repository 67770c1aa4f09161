"""What goes into a model and what comes out, in one vocabulary for every vendor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

__all__ = [
    "Capability",
    "ChatRequest",
    "ChatResponse",
    "Cost",
    "FinishReason",
    "GeneratedImage",
    "ImageRequest",
    "ImageResponse",
    "Message",
    "Provider",
    "SpeechRequest",
    "SpeechResponse",
    "StreamChunk",
    "Usage",
]

Capability = Literal["chat", "stream", "tools", "vision", "json_schema", "reasoning", "images", "speech"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]

Message = Mapping[str, Any]
"""`{"role": "system" | "user" | "assistant" | "tool", "content": str | [parts]}` as in OpenAI's chat API."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; `source` says who counted them."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    source: Literal["provider", "tokenizer", "estimate"] = "provider"

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Cost:
    """Money; `amount` in units of `currency` (ISO 4217)."""

    amount: float
    currency: str = "USD"
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat to be continued. `extra` goes to the vendor as it is."""

    model: str
    messages: Sequence[Message]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: str | Sequence[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    tool_choice: str | Mapping[str, Any] | None = None
    response_format: Mapping[str, Any] | None = None
    reasoning_effort: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatResponse:
    """The whole answer. `model` is the one that the vendor says it used."""

    content: str
    model: str
    finish_reason: FinishReason
    usage: Usage
    id: str | None = None
    created: int | None = None
    reasoning: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    cost: Cost | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else the answer should carry to the caller (the local provider's `demo: true`)."""
    raw: Any = None


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """A piece of an answer. The last chunks carry `finish_reason`, then `usage`."""

    delta: str = ""
    reasoning: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    index: int = 0
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    model: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """`n` pictures of `prompt`, of a `size` `(width, height)` in pixels or of an `aspect_ratio` `"16:9"`."""

    model: str
    prompt: str
    size: tuple[int, int] | None = None
    quality: str | None = None
    n: int = 1
    format: str | None = None
    seed: int | None = None
    aspect_ratio: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """One picture as encoded bytes."""

    data: bytes
    media_type: str
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True)
class ImageResponse:
    images: Sequence[GeneratedImage]
    model: str
    usage: Usage | None = None
    cost: Cost | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """`text` to be spoken; `speed` 1.0 is the voice's own pace."""

    model: str
    text: str
    voice: str | None = None
    format: str = "wav"
    speed: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpeechResponse:
    """Encoded sound; `format` names the container (`wav`, `mp3`, …)."""

    data: bytes
    format: str
    model: str
    cost: Cost | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Provider(Protocol):
    """A vendor, ready to be called. Every method raises `AdapterError`s only."""

    name: str
    capabilities: frozenset[Capability]

    def default_model(self, capability: Capability) -> str | None:
        """The model used when the caller names none."""

    async def chat(self, request: ChatRequest) -> ChatResponse: ...

    def stream(self, request: ChatRequest) -> AsyncIterator[StreamChunk]:
        """The answer in pieces. Closing the iterator closes the connection at once."""

    async def generate_images(self, request: ImageRequest) -> ImageResponse: ...

    async def synthesize(self, request: SpeechRequest) -> SpeechResponse: ...

    async def aclose(self) -> None: ...
