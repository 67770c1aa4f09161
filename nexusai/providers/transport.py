"""The edge where model calls meet the network: adapters build requests, a transport sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

from nexusai.__version__ import __version__
from nexusai.providers.errors import (
    AdapterError,
    AuthenticationError,
    RetryableError,
    TimeoutError,
    ValidationError,
)

__all__ = [
    "MAX_ANSWER_BYTES",
    "MAX_REDIRECTS",
    "UNREACHABLE",
    "USER_AGENT",
    "HttpRequest",
    "HttpResponse",
    "HttpStream",
    "SyncHttpStream",
    "SyncTransport",
    "Transport",
    "broken",
    "not_a_url",
    "overdue",
    "redirected",
    "same_origin",
    "sendable",
    "too_large",
    "too_late",
    "unreachable",
    "untrusted",
]

USER_AGENT: Final = f"nexusai-python/{__version__}"

MAX_REDIRECTS: Final = 5

MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
"""The most that `send` takes into memory."""

UNREACHABLE: Final = "unreachable"
"""`code` of a `RetryableError` after which it is certain that the request was never read."""

_KEYS: Final = ("authorization", "api-key", "x-api-key", "x-goog-api-key")
_PUBLIC: Final = ("accept", "user-agent")
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(slots=True)
class HttpRequest:
    """One request, whole.

    Times in seconds: `timeout` is the longest silence, `connect` the longest wait for a connection, `total`
    for everything from the first byte sent to the last one read.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout: float = 120.0
    connect: float | None = None
    total: float | None = None
    proxy: str | None = field(default=None, repr=False)
    """Where it goes through, in place of what the environment says."""
    ca_file: str | None = None
    """Certificates (PEM) to trust in place of the usual ones."""


@dataclass(slots=True)
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


class SyncHttpStream(Protocol):
    """An answer that is still arriving."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives."""


class SyncTransport(Protocol):
    """The same for those who do not `await`."""

    def send(self, request: HttpRequest) -> HttpResponse: ...

    def stream(self, request: HttpRequest) -> AbstractContextManager[SyncHttpStream]:
        """Open a stream; leaving the context by an exception closes the connection at once."""

    def close(self) -> None: ...


class Transport(Protocol):
    """What sends requests. Raises `RetryableError` when no answer came, `TimeoutError` when it is late."""

    async def send(self, request: HttpRequest) -> HttpResponse: ...

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        """Open a stream; leaving the context closes the connection at once."""

    async def aclose(self) -> None: ...


def sendable(request: HttpRequest) -> HttpRequest:
    """The request itself, when it leads somewhere and its headers are what they seem.

    A line break in a header would begin another. Raises `AuthenticationError` when it is in the key, else
    `ValidationError`, neither of which shows it; `AdapterError` for what is no http URL.
    """
    _parts(request.url)
    for name, value in request.headers.items():
        if not (value.isascii() and value.isprintable()):
            if name.lower() in _KEYS:
                message = "the API key has a line break or another sign that no key has: copy it again"
                raise AuthenticationError(message, code="invalid_key")
            message = f"the header {name!r} has a sign that none may have: plain ASCII in one line"
            raise ValidationError(message, code="invalid_header")
    return request


def redirected(request: HttpRequest, status: int, headers: Mapping[str, str]) -> HttpRequest | None:
    """The request that an answer asks for in place of a GET; None when it asks for none.

    Another origin is not told our key, nor anything else that was meant for the first.
    """
    link = headers.get("location")
    if request.method != "GET" or not 300 < status < 400 or not link:
        return None
    try:
        url = urljoin(request.url, link)
    except ValueError:
        raise not_a_url() from None
    at_home = same_origin(url, request.url)
    told = {name: text for name, text in request.headers.items() if at_home or name.lower() in _PUBLIC}
    return replace(request, url=url, headers=told)


def same_origin(url: str, other: str) -> bool:
    """Whether two URLs have scheme, host and port in common. Raises `AdapterError` for what is no URL."""
    return _origin(_parts(url)) == _origin(_parts(other))


def unreachable(request: HttpRequest, reason: object) -> RetryableError:
    """The connection was not made, so nothing was sent."""
    return RetryableError(f"could not connect to {_host(request)}: {reason}", code=UNREACHABLE)


def broken(request: HttpRequest, reason: object) -> RetryableError:
    """The connection was lost after the request may have been read."""
    return RetryableError(f"{_host(request)} broke the connection: {reason}", code="broken_connection")


def too_late(request: HttpRequest) -> TimeoutError:
    return TimeoutError(f"{_host(request)} sent nothing for {request.timeout:g} s", code="timeout")


def overdue(request: HttpRequest) -> TimeoutError:
    """Not silent, but too slow for the time that the whole exchange had."""
    return TimeoutError(f"{_host(request)} was not done after {request.total:g} s", code="timeout")


def untrusted(request: HttpRequest, reason: object) -> AdapterError:
    """Nothing was sent; to try again changes nothing."""
    cure = "if that is your own, name the file with its CA: ca_file=…, or NEXUS_PROVIDER_CA_FILE"
    message = f"the certificate of {_host(request)} is not trusted: {reason}; {cure}"
    return AdapterError(message, code="untrusted_certificate")


def too_large(request: HttpRequest, limit: int) -> AdapterError:
    return AdapterError(f"{_host(request)} sent more than {limit} bytes", code="answer_too_large")


def not_a_url() -> AdapterError:
    return AdapterError(
        "the provider's base URL, or its link to a picture, is no http URL", code="invalid_url"
    )


@lru_cache(1024)
def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.scheme in _PORTS and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise not_a_url()
    return parts


def _origin(url: SplitResult) -> tuple[str, str | None, int]:
    return url.scheme, url.hostname, url.port or _PORTS[url.scheme]


def _host(request: HttpRequest) -> str:
    """The host and port alone: a path or query may hold a signature."""
    return urlsplit(request.url).netloc.rpartition("@")[2]
