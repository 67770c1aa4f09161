"""The edge where model calls meet the network: adapters build requests, a transport sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from nexusai.providers.errors import AdapterError, RetryableError, TimeoutError

__all__ = [
    "MAX_ANSWER_BYTES",
    "UNREACHABLE",
    "HttpRequest",
    "HttpResponse",
    "HttpStream",
    "Transport",
    "broken",
    "not_a_url",
    "too_large",
    "too_late",
    "unreachable",
]

MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
"""The most that `send` takes into memory."""

UNREACHABLE: Final = "unreachable"
"""`code` of a `RetryableError` after which it is certain that the request was never read."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, whole. `timeout` is in seconds: connect, then the longest silence between bytes."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout: float = 120.0


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer, whole; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class HttpStream(Protocol):
    """An answer that is still arriving."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""


class Transport(Protocol):
    """What sends requests. Raises `RetryableError` when no answer came, `TimeoutError` when it is late."""

    async def send(self, request: HttpRequest) -> HttpResponse: ...

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        """Open a stream; leaving the context closes the connection at once."""

    async def aclose(self) -> None: ...


def unreachable(request: HttpRequest, reason: object) -> RetryableError:
    """The connection was not made, so nothing was sent."""
    return RetryableError(f"could not connect to {_host(request)}: {reason}", code=UNREACHABLE)


def broken(request: HttpRequest, reason: object) -> RetryableError:
    """The connection was lost after the request may have been read."""
    return RetryableError(f"{_host(request)} broke the connection: {reason}", code="broken_connection")


def too_late(request: HttpRequest) -> TimeoutError:
    return TimeoutError(f"{_host(request)} sent nothing for {request.timeout:g} s", code="timeout")


def too_large(request: HttpRequest, limit: int) -> AdapterError:
    return AdapterError(f"{_host(request)} sent more than {limit} bytes", code="answer_too_large")


def not_a_url() -> AdapterError:
    return AdapterError(
        "the provider's base URL, or its link to a picture, is no http URL", code="invalid_url"
    )


def _host(request: HttpRequest) -> str:
    """The host and port alone: a path or query may hold a signature."""
    return urlsplit(request.url).netloc.rpartition("@")[2]
