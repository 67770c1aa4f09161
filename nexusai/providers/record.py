"""What is told of a call to whoever listens: the argument of every hook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from nexusai.providers.adapters.openai_stream import loads
from nexusai.providers.errors import AdapterError
from nexusai.providers.types import Cost, FinishReason, RelayRequest, Usage

__all__ = ["CallRecord", "settings_of"]

_SETTINGS: Final = (
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
    "n",
    "dimensions",
)


@dataclass(slots=True)
class CallRecord:
    """What became of one call to one deployment; neither its prompt nor its answer. Times in seconds."""

    operation: str
    provider: str
    """The name under which it is configured."""
    model: str
    tags: Sequence[str] = ()
    tried: Sequence[str] = ()
    """The deployments that failed before this one was called."""
    seconds: float = 0.0
    first_chunk: float | None = None
    """From the call to the first chunk of a stream."""
    attempts: int = 0
    usage: Usage | None = None
    cost: Cost | None = None
    error: AdapterError | None = None
    cut: bool = False
    """Whether the caller went away before the end."""
    vendor: str = ""
    """Whose API it is."""
    base_url: str | None = field(default=None, repr=False)
    session: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for besides the prompt, as far as it was: `temperature`, `max_tokens` …"""
    response_id: str | None = None
    response_model: str | None = None
    """The model that the vendor says it used."""
    finish_reason: FinishReason | None = None
    context: Context | None = field(default=None, repr=False, compare=False)
    """The context variables as they were when the call began, its span among them."""

    @property
    def server(self) -> tuple[str, int] | None:
        """Host and port of the API."""
        parts = urlsplit(self.base_url or "")
        if not parts.hostname:
            return None
        return parts.hostname, parts.port or (80 if parts.scheme == "http" else 443)


def settings_of(request: Any) -> dict[str, Any]:
    """Those of a request that say nothing of its content."""
    if isinstance(request, RelayRequest):
        told = {name: _read(request.fields[name]) for name in request.fields.keys() & _SETTINGS}
        return {name: value for name, value in told.items() if value is not None}
    given = {name: value for name in _SETTINGS if (value := getattr(request, name, None)) is not None}
    form = getattr(request, "response_format", None)
    if isinstance(form, Mapping):
        given["response_format"] = form.get("type")
    return given


def _read(raw: bytes) -> Any:
    """None for what cannot be read: it passes all the same, and its vendor judges it."""
    try:
        return loads(raw)
    except ValueError:
        return None
