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
    "EmbeddingRequest",
    "EmbeddingResponse",
    "FinishReason",
    "GeneratedImage",
    "ImageLink",
    "ImageRequest",
    "ImageResponse",
    "Judgement",
    "Message",
    "ModerationRequest",
    "ModerationResponse",
    "Provider",
    "RelayApi",
    "RelayChunk",
    "RelayRequest",
    "RelayResponse",
    "Segment",
    "SoundLimit",
    "SpeechChunk",
    "SpeechRequest",
    "SpeechResponse",
    "StreamChunk",
    "TranscriptionRequest",
    "TranscriptionResponse",
    "Usage",
]

Capability = Literal[
    "chat",
    "stream",
    "tools",
    "vision",
    "json_schema",
    "reasoning",
    "images",
    "image_edit",
    "speech",
    "transcription",
    "embeddings",
    "moderation",
]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
RelayApi = Literal["chat", "completions", "embeddings", "messages", "responses"]
"""An API of a vendor's that requests can go to in its own words."""

Message = Mapping[str, Any]
"""`{"role": "system" | "user" | "assistant" | "tool", "content": str | [parts]}` as in OpenAI's chat API."""


@dataclass(slots=True, unsafe_hash=True)
class Usage:
    """Tokens of one call; `source` says who counted them. Not to be changed once it is made.

    `prompt_tokens` is all that went in, what came from a cache included; `completion_tokens` all that came
    out, reasoning included.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    """How many of the prompt's were stored in a cache, where the vendor bills that apart."""
    source: Literal["provider", "tokenizer", "estimate"] = "provider"

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(slots=True, unsafe_hash=True)
class Cost:
    """Money; `amount` in units of `currency` (ISO 4217). Not to be changed once it is made."""

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
    """`{"id", "type": "function", "function": {"name", "arguments"}}`; the arguments as the model wrote."""
    reasoning_blocks: Sequence[Mapping[str, Any]] | None = None
    """The vendor's own reasoning blocks, which it wants back with the next turn (see `message`)."""
    cost: Cost | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else the answer should carry to the caller (the local provider's `demo: true`)."""
    raw: Any = field(default=None, repr=False)
    provider: str | None = None
    """Who answered, by the name under which it is configured."""

    @property
    def message(self) -> dict[str, Any]:
        """The answer as the message that the next turn's `messages` go on with."""
        parts = {"tool_calls": self.tool_calls, "reasoning_blocks": self.reasoning_blocks}
        return {
            "role": "assistant",
            "content": self.content,
            **{key: value for key, value in parts.items() if value},
        }


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """A piece of an answer. The last chunks carry `finish_reason`, then `usage`."""

    delta: str = ""
    reasoning: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    """Fragments: those of one call share an `index`; the first has `id` and name, arguments are in pieces."""
    reasoning_blocks: Sequence[Mapping[str, Any]] | None = None
    index: int = 0
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    model: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    provider: str | None = None
    """Who answers, in the first chunk, by the name under which it is configured."""


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
    images: Sequence[bytes] = field(default=(), repr=False)
    """Encoded pictures to edit or to follow; none makes a new one."""
    mask: bytes | None = field(default=None, repr=False)
    """A PNG whose transparent pixels say where the first picture is to change."""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """One picture as encoded bytes."""

    data: bytes = field(repr=False)
    media_type: str
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True)
class ImageLink:
    """A picture that the vendor answers as a link; it is fetched before the caller sees it."""

    url: str
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True)
class ImageResponse:
    images: Sequence[GeneratedImage]
    model: str
    usage: Usage | None = None
    cost: Cost | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    provider: str | None = None
    """Who answered, by the name under which it is configured."""


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
    provider: str | None = None
    """Who answered, by the name under which it is configured."""


@dataclass(slots=True)
class SpeechChunk:
    """Some sound as it came; or, where `is_events`, events in which it is told."""

    data: bytes = field(repr=False)
    format: str = ""
    is_events: bool = False
    model: str | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    delta: str = ""
    """Sound says no tokens."""
    finish_reason: FinishReason | None = None
    provider: str | None = None
    """Who answered, in the first chunk."""


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """Encoded sound to be written down; `language` is an ISO 639-1 code."""

    model: str
    audio: bytes = field(repr=False)
    filename: str = "audio.wav"
    language: str | None = None
    prompt: str | None = None
    """Words and spellings to expect."""
    timestamps: bool = False
    """Whether segments with times are wanted."""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SoundLimit:
    """The largest and longest recording that a model takes at once; `seconds` is None where any will do."""

    bytes: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said from `start` to `end`, in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class TranscriptionResponse:
    """What was said; `duration` in seconds."""

    text: str
    model: str
    language: str | None = None
    duration: float | None = None
    segments: Sequence[Segment] | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    provider: str | None = None
    """Who answered, by the name under which it is configured."""


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to be turned into vectors, of `dimensions` numbers each where the model lets one choose."""

    model: str
    texts: Sequence[str]
    dimensions: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingResponse:
    """One vector for each text, in order."""

    embeddings: Sequence[Sequence[float]] = field(repr=False)
    model: str
    usage: Usage | None = None
    cost: Cost | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    provider: str | None = None
    """Who answered, by the name under which it is configured."""


@dataclass(frozen=True, slots=True)
class ModerationRequest:
    """Texts to be judged."""

    model: str
    texts: Sequence[str]
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a moderation says of one text; scores are 0 to 1."""

    flagged: bool
    categories: Mapping[str, bool] = field(default_factory=dict)
    category_scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModerationResponse:
    """One judgement for each text, in order."""

    results: Sequence[Judgement]
    model: str
    cost: Cost | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    provider: str | None = None
    """Who answered, by the name under which it is configured."""


@dataclass(slots=True)
class RelayRequest:
    """A request in the words of the vendor's own API. It goes there as it is, but for the name of the model.

    `fields` are the members of its JSON object, each as the JSON that it came as.
    """

    api: RelayApi
    model: str
    fields: Mapping[str, bytes] = field(repr=False)
    stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    """What else of the caller's headers the vendor is to see."""


@dataclass(slots=True)
class RelayResponse:
    """The vendor's answer as it came, and what was read of it."""

    body: bytes = field(repr=False)
    model: str | None = None
    id: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    provider: str | None = None
    """Who answered, by the name under which it is configured."""


@dataclass(slots=True)
class RelayChunk:
    """Whole events of a stream as they came, and what was read of them."""

    data: bytes = field(repr=False)
    delta: str = field(default="", repr=False)
    """What they say, as far as it is billed."""
    model: str | None = None
    id: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    provider: str | None = None
    """Who answers, in the first chunk, by the name under which it is configured."""


class Provider(Protocol):
    """A vendor, ready to be called. Every method raises `AdapterError`s only."""

    name: str
    protocol: str
    """The adapter that speaks its API: `openai_compatible`, `anthropic` …"""
    capabilities: frozenset[Capability]

    def default_model(self, capability: Capability) -> str | None:
        """The model used when the caller names none."""

    def sound_limit(self, model: str) -> SoundLimit:
        """What `transcribe` takes at once."""

    def circuits(self) -> Mapping[str, str]:
        """Whether the breaker of each model that was called is `closed`, `open` or `half_open`."""

    async def chat(self, request: ChatRequest) -> ChatResponse: ...

    def stream(self, request: ChatRequest) -> AsyncIterator[StreamChunk]:
        """The answer in pieces. Closing the iterator closes the connection at once."""

    async def generate_images(self, request: ImageRequest) -> ImageResponse: ...

    async def synthesize(self, request: SpeechRequest) -> SpeechResponse: ...

    def speak(self, request: SpeechRequest) -> AsyncIterator[SpeechChunk]:
        """The sound as it comes, or whole where the vendor has it so. Closing it closes the connection."""

    async def transcribe(self, request: TranscriptionRequest) -> TranscriptionResponse: ...

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse: ...

    async def moderate(self, request: ModerationRequest) -> ModerationResponse: ...

    def relays(self, request: RelayRequest) -> bool:
        """Whether the vendor speaks that API, and understands all that is asked for in it."""

    async def relay(self, request: RelayRequest) -> RelayResponse: ...

    def relay_stream(self, request: RelayRequest) -> AsyncIterator[RelayChunk]:
        """The events as they come. Closing the iterator closes the connection at once."""

    async def aclose(self) -> None: ...
