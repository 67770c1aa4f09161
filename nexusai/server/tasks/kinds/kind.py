"""What a task type is, and what one attempt at a task has to work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec

from nexusai.providers.types import Capability, Cost, Provider, Usage
from nexusai.server.http import MALFORMED, invalid

__all__ = ["FileOnDisk", "Job", "Kind", "Media", "NonEmpty", "Output", "origin", "usage"]

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Output = dict[str, Any]


class FileOnDisk(NamedTuple):
    """A stored file for as long as it is open here."""

    path: Path
    filename: str
    content_type: str


class Media(Protocol):
    """Where a task's pictures and sounds come from and go to."""

    async def keep(self, project: str, filename: str, data: bytes, media_type: str) -> str:
        """Store a result; its file id."""

    async def data_uri(self, project: str, file_id: str) -> str:
        """A stored file as a `data:` URI. Raises a 400 `Problem` when there is none."""

    def on_disk(self, project: str, file_id: str) -> AbstractAsyncContextManager[FileOnDisk]:
        """A stored file where it can be opened by its path. Raises a 400 `Problem` when there is none."""

    def link(self, file_id: str, base_url: str) -> str:
        """A signed link to a stored file."""


@dataclass(slots=True)
class Job:
    """One attempt at a task."""

    id: str
    project: str
    provider: Provider
    model: str
    input: Any
    config: Any
    extra: Mapping[str, Any]
    stream: bool
    media: Media
    emit: Callable[[dict[str, Any]], None]
    """Send a delta to whoever follows the task."""
    progress: Callable[[float], None]
    """Report how far the task is, 0 to 100."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A task type."""

    task_type: str
    capability: Capability | None
    """What its provider must have; None for what the platform does by itself."""
    input: type[msgspec.Struct]
    config: type[msgspec.Struct]
    run: Callable[[Job], Awaitable[Output]]
    links: Callable[[Output, Callable[[str], str]], Output] | None = None
    """Puts links to the stored files into an output that is about to be shown."""
    needs: Callable[[Any], Capability] | None = None
    """What the provider of one input must have, where that is not always `capability`."""
    internal: bool = False
    """Made by the platform for one of its features; `POST /invoke` does not know it."""
    known: frozenset[str] = field(init=False)
    decoder: msgspec.json.Decoder[Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder", msgspec.json.Decoder(self.input))
        object.__setattr__(self, "known", frozenset(self.config.__struct_fields__))

    def parse(
        self, input: msgspec.Raw | bytes, config: Mapping[str, Any]
    ) -> tuple[Any, Any, Mapping[str, Any]]:
        """Input, config, and what of the config only the provider knows. Raises a 400 `Problem`."""
        try:
            parsed = self.decoder.decode(input)
        except MALFORMED as error:
            raise invalid(error, ["input"]) from None
        try:
            options = msgspec.convert(config, self.config)
        except MALFORMED as error:
            raise invalid(error, ["config"]) from None
        return parsed, options, {key: value for key, value in config.items() if key not in self.known}


class Answer(Protocol):
    """What the answers of all providers have."""

    @property
    def model(self) -> str: ...
    @property
    def provider(self) -> str | None: ...
    @property
    def cost(self) -> Cost | None: ...
    @property
    def extra(self) -> Mapping[str, Any]: ...


def usage(used: Usage) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.total_tokens,
        "source": used.source,
    }
    if used.cached_tokens is not None:
        shown["cached_tokens"] = used.cached_tokens
    if used.reasoning_tokens is not None:
        shown["reasoning_tokens"] = used.reasoning_tokens
    return shown


def origin(job: Job, answer: Answer) -> Output:
    """Who answered, for how much, and what else the answer carries."""
    cost = answer.cost
    shown = {"amount": cost.amount, "currency": cost.currency, "estimated": cost.estimated} if cost else None
    provider = answer.provider or job.provider.name
    return {"provider": provider, "model": answer.model, "cost": shown, **answer.extra}
