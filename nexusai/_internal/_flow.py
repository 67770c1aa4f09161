"""Flows: what a call does, step by step, without doing any of it.

A flow is a generator that yields `Call` (and is sent a `Reply`, or thrown an `APIError`), `Sleep`, `Emit`
and `Grace`, and returns its result. A driver runs it; the flow touches no clock, socket or thread. When the
time of the whole run is over, the driver throws `OutOfTime` at whatever the flow was waiting for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from nexusai.error import APIError, InvalidRequestError

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = [
    "EVENT_STREAM",
    "Call",
    "Emit",
    "Flow",
    "Grace",
    "OutOfTime",
    "Reply",
    "Sleep",
    "Upload",
    "ask",
    "at",
    "create",
    "fetch",
    "given",
    "unlike",
]

T = TypeVar("T")
M = TypeVar("M", bound="BaseModel")

EVENT_STREAM = "text/event-stream"

_ID = re.compile("[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True, slots=True)
class Upload:
    """One file, sent as the multipart field `file` straight from where it is."""

    name: str
    content: bytes | Path | BinaryIO = field(repr=False)
    content_type: str | None = None
    on_progress: Callable[[int, int | None], object] | None = None
    """Is told the bytes sent and the bytes there are; None for these where it cannot be known before."""

    @property
    def rewindable(self) -> bool:
        """Whether it can be sent a second time."""
        if isinstance(self.content, (bytes, Path)):
            return True
        seekable = getattr(self.content, "seekable", None)  # Python 3.10's SpooledTemporaryFile has none
        return hasattr(self.content, "seek") if seekable is None else bool(seekable())


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `path` is relative to the base URL, or a whole URL (a signed link)."""

    method: str
    path: str
    json: Any = field(default=None, repr=False)
    params: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    upload: Upload | None = None
    into: Path | None = None
    """The file that takes a good answer's body, in place of memory."""
    timeout: float | None = None
    """Seconds of silence after which it is given up; None is the client's own setting."""
    hold: int = 0
    """Seconds the platform is asked to hold the answer back (`Prefer: wait`), on top of that."""
    retry: bool = True

    @property
    def name(self) -> str:
        """What messages call it: method and path, without a query, which may be a signature."""
        return f"{self.method} {urlsplit(self.path).path}"

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("Idempotency-Key")


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer (status below 300), whole. `headers` is asked by lower-case name."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = field(default=b"", repr=False)
    elapsed: float = 0.0
    """Seconds from the request to the answer."""

    def parse(self, model: type[M]) -> M:
        """The body as a `model`. Raises `APIError` when it is something else."""
        try:
            return model.model_validate_json(self.content)
        except ValueError:  # pydantic's ValidationError; its text would show the body
            raise unlike(model.__name__, self.status, self.headers) from None

    def parse_list(self, model: type[M]) -> list[M]:
        """The body as an array of them. Raises `APIError` when it is something else."""
        from pydantic import TypeAdapter

        try:
            return TypeAdapter(list[model]).validate_json(self.content)  # type: ignore[valid-type]
        except ValueError:
            raise unlike(f"list of {model.__name__}", self.status, self.headers) from None


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Something to tell before the flow is over, to whoever listens to the run."""

    value: Any


@dataclass(frozen=True, slots=True)
class Grace:
    """The run is cut short: from here on it has so many seconds, whatever was left, to clean up."""

    seconds: float


class OutOfTime(Exception):
    """The time of the whole run is over; `waited` is how long that was, in seconds."""

    def __init__(self, waited: float) -> None:
        super().__init__(f"No answer within {waited:g} s.")
        self.waited = waited


Flow: TypeAlias = Generator[Call | Sleep | Emit | Grace, Any, T]


def unlike(promised: str, status: int, headers: Mapping[str, str]) -> APIError:
    """The error for a good answer that is something else than was promised: a proxy's page, for example."""
    kind = headers.get("content-type", "no content type")
    return APIError(
        f"The answer is not the {promised} that the contract promises ({kind}); "
        "is the base URL the platform's?",
        status_code=status,
        request_id=headers.get("x-request-id"),
    )


def ask(call: Call, model: type[M]) -> Flow[M]:
    """What a call is answered with, as a `model`."""
    reply: Reply = yield call
    return reply.parse(model)


def create(path: str, *, headers: Mapping[str, str] | None = None, **parts: Any) -> Call:
    """A POST that makes something: its idempotency key, a new one if `headers` has none, is fixed here."""
    return Call("POST", path, headers={"Idempotency-Key": str(uuid4()), **(headers or {})}, **parts)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None; `from_` is `from`, which Python keeps for itself."""
    return {name.rstrip("_"): value for name, value in fields.items() if value is not None}


def at(*parts: str) -> str:
    """A path. Raises when a part is no id: with `/`, `..` or nothing for one it would be another route."""
    for part in parts:
        if not isinstance(part, str):
            raise TypeError(f"an id is a str, not {type(part).__name__}")
        if not part:
            raise InvalidRequestError(f"The id for /{parts[0]} is empty.")
        if not _ID.fullmatch(part):
            raise InvalidRequestError(
                f"{part[:60]!r} is no id for /{parts[0]}: an id has at most 200 letters, digits, - and _."
            )
    return "/" + "/".join(parts)


def fetch(url: str, into: Path | None = None) -> Flow[bytes | Path]:
    """A body: as bytes, or written to a file."""
    reply: Reply = yield Call("GET", url, headers={"Accept": "*/*"}, into=into)
    return into or reply.content
