"""Flows: what a call does, step by step, without doing any of it.

A flow is a generator that yields `Call` (and is sent a `Reply`, or thrown an `APIError`), `Sleep` and `Emit`,
and returns its result. A driver runs it; the flow touches no clock, socket or thread. When the time of the
whole run is over, the driver throws `OutOfTime` at whatever the flow was waiting for.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeVar
from uuid import uuid4

from nexusai.error import APIError, InvalidRequestError

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Call", "Emit", "Flow", "OutOfTime", "Reply", "Sleep", "Upload", "at", "create", "fetch"]

T = TypeVar("T")
M = TypeVar("M", bound="BaseModel")

_ID = re.compile("[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Upload:
    """One file, sent as the multipart field `file` straight from where it is."""

    name: str
    content: bytes | Path | BinaryIO = field(repr=False)
    content_type: str | None = None

    @property
    def rewindable(self) -> bool:
        """Whether it can be sent a second time."""
        return isinstance(self.content, (bytes, Path)) or self.content.seekable()


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
            kind = self.headers.get("content-type", "no content type")
            raise APIError(
                f"The answer is not the {model.__name__} that the contract promises ({kind}); "
                "is the base URL the platform's?",
                status_code=self.status,
                request_id=self.headers.get("x-request-id"),
            ) from None


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Something to tell before the flow is over; for flows under `run_all`."""

    value: Any


class OutOfTime(Exception):
    """The time of the whole run is over; `waited` is how long that was, in seconds."""

    def __init__(self, waited: float) -> None:
        super().__init__(f"No answer within {waited:g} s.")
        self.waited = waited


Flow: TypeAlias = Generator[Call | Sleep | Emit, Any, T]


def create(path: str, *, headers: Mapping[str, str] | None = None, **parts: Any) -> Call:
    """A POST that makes something: its idempotency key is fixed here, before the first attempt."""
    return Call("POST", path, headers={**(headers or {}), "Idempotency-Key": str(uuid4())}, **parts)


def at(*parts: str) -> str:
    """A path. Raises when a part is no id: with `/`, `..` or nothing for one it would be another route."""
    for part in parts:
        if not isinstance(part, str):
            raise TypeError(f"an id is a str, not {type(part).__name__}")
        if not part:
            raise InvalidRequestError(f"The id for /{parts[0]} is empty.")
        if not _ID.fullmatch(part):
            raise InvalidRequestError(
                f"{part[:60]!r} is no id for /{parts[0]}: an id has letters, digits, - and _ alone."
            )
    return "/" + "/".join(parts)


def fetch(url: str, into: Path | None = None) -> Flow[bytes | Path]:
    """A body: as bytes, or written to a file."""
    reply: Reply = yield Call("GET", url, headers={"Accept": "*/*"}, into=into)
    return into or reply.content
