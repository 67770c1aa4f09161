"""What is told of a call to whoever listens: the argument of every hook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


def settings_of(request: Any) -> Mapping[str, Any]:
    """Those of a request that say nothing of its content."""
    if isinstance(request, RelayRequest):
        fields = request.fields
        return _Unread({name: fields[name] for name in fields.keys() & _SETTINGS})
    given = {name: value for name in _SETTINGS if (value := getattr(request, name, None)) is not None}
    form = getattr(request, "response_format", None)
    if isinstance(form, Mapping):
        given["response_format"] = form.get("type")
    return given


class _Unread(Mapping[str, Any]):
    """Settings as they were sent, which are read when somebody asks.

    What is null was not asked for; what cannot be read passes all the same, and its vendor judges it.
    """

    def __init__(self, told: Mapping[str, bytes]) -> None:
        self._told = told

    def __getitem__(self, name: str) -> Any:
        try:
            value = loads(self._told[name])
        except ValueError:
            value = None
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._told if name in self)

    def __len__(self) -> int:
        return len(list(self))

    def __repr__(self) -> str:
        return repr(dict(self))
