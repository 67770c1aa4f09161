"""What an adapter is: the operations of one vendor's API, as flows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError
from nexusai.providers.flow import Operation
from nexusai.providers.transport import HttpResponse
from nexusai.providers.types import (
    ChatRequest,
    ChatResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    ImageRequest,
    ImageResponse,
    ModerationRequest,
    ModerationResponse,
    RelayApi,
    RelayRequest,
    RelayResponse,
    SpeechRequest,
    SpeechResponse,
    TranscriptionRequest,
    TranscriptionResponse,
)

__all__ = ["Adapter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """How one API is spoken to. An operation that it lacks is None; all raise `AdapterError`s only.

    Which of them a vendor offers, and for which models, is said by its entry in `vendors.py`.
    """

    chat: Operation[ChatRequest, ChatResponse] | None = None
    stream: Operation[ChatRequest, None] | None = None
    """Emits lists of `StreamChunk`s."""
    images: Operation[ImageRequest, ImageResponse] | None = None
    """Makes pictures; with `request.images` it edits those."""
    speech: Operation[SpeechRequest, SpeechResponse] | None = None
    speech_stream: Operation[SpeechRequest, None] | None = None
    """Emits lists of `SpeechChunk`s, as the sound is made."""
    transcription: Operation[TranscriptionRequest, TranscriptionResponse] | None = None
    embeddings: Operation[EmbeddingRequest, EmbeddingResponse] | None = None
    moderation: Operation[ModerationRequest, ModerationResponse] | None = None
    count_tokens: Operation[ChatRequest, int] | None = None
    """The vendor's own counter: prompt tokens of a chat."""
    relays: Mapping[RelayApi, Operation[RelayRequest, RelayResponse | None]] = field(default_factory=dict)
    """The APIs to which requests in the vendor's own words can pass."""
    understood: Callable[[ProviderConfig, RelayRequest], bool] | None = None
    """Whether the vendor understands all of such a request; None where it always does."""
    parse_error: Callable[[ProviderConfig, str, HttpResponse], AdapterError] | None = None
    """The error that an answer with a status of 300 and above stands for; given config, model and answer."""
