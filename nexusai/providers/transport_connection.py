"""The connections of the sync transport: HTTP/1.1 by the standard library's `http.client`."""

from __future__ import annotations

import base64
import math
import socket
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BufferedReader, RawIOBase
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from nexusai.providers.errors import AdapterError
from nexusai.providers.transport_ways import news_of, trusted

__all__ = ["Connection", "Line", "Way", "left_until"]

_PIECE: Final = 256 * 1024
_INTERIM_ANSWERS: Final = 100


class Way(NamedTuple):
    """Where a connection leads, and how."""

    scheme: str
    host: str
    port: int
    proxy: str | None
    ca_file: str | None

    @property
    def origin(self) -> str:
        """What a proxy wants to hear of a target that is reached without TLS."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}" if self.port == 80 else f"http://{host}:{self.port}"


class Line:
    """A socket on which no wait is longer than `silence` seconds, nor goes beyond `deadline` (monotonic).

    The standard library's own timeouts begin anew with each byte.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.silence: float = math.inf
        self.deadline: float = math.inf

    def allow(self, silence: float, deadline: float) -> None:
        self.silence, self.deadline = silence, deadline
        self.sock.settimeout(silence)

    def wait(self) -> None:
        """To be called before each step that may block."""
        if self.deadline < math.inf:
            self.sock.settimeout(min(self.silence, left_until(self.deadline)))

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        for at in range(0, len(view), _PIECE):
            self.wait()
            self.sock.sendall(view[at : at + _PIECE])

    def makefile(self, mode: str) -> BufferedReader:
        return BufferedReader(_Reader(self))

    def close(self) -> None:
        self.sock.close()

    def is_stale(self) -> bool:
        """Whether the other side has closed it: an idle connection has nothing to read."""
        return news_of(self.sock)()


class _Reader(RawIOBase):
    def __init__(self, line: Line) -> None:
        self._wait = line.wait
        self._raw = line.sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._wait()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def begin(self) -> None:
        """Skip interim answers: of those the standard library knows 100 alone."""
        super().begin()
        skipped = 0
        while 100 < self.status < 200:
            skipped += 1
            if skipped > _INTERIM_ANSWERS:
                raise HTTPException("it sent nothing but interim answers")
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        if self.headers.defects:
            raise HTTPException("its headers are malformed")


class _Plain(HTTPConnection):
    response_class = _Response


class _Secure(HTTPSConnection):
    response_class = _Response


class Connection:
    """One connection, for one exchange at a time; `patience` is how many seconds it may take to make it.

    Raises `OSError` or `HTTPException` when it cannot be made, `AdapterError` when the settings are wrong.
    """

    def __init__(self, way: Way, patience: float) -> None:
        self.way = way
        self.idle_since: float = 0.0
        self._http = _prepared(way, patience)
        try:
            self._http.connect()
        except BaseException:
            self.close()
            raise
        self.line: Line = Line(self._http.sock)
        self._http.sock = self.line

    def exchange(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> HTTPResponse:
        """Send a request, and read the head of its answer."""
        if self.way.proxy and self.way.scheme == "http":
            target, headers = self.way.origin + target, {**headers, **_credentials(self.way.proxy)}
        refused = False
        try:
            self._http.request(method, target, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            refused = True  # perhaps with an answer, before the whole of a large body was read
        response = self._http.getresponse()
        response.will_close = bool(response.will_close) or refused
        return response

    def close(self) -> None:
        self._http.close()


def left_until(deadline: float) -> float:
    """Seconds. Raises `TimeoutError` when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    return left


def _prepared(way: Way, patience: float) -> HTTPConnection:
    proxy = urlsplit(way.proxy) if way.proxy else None
    host, port = (way.host, way.port) if proxy is None else (proxy.hostname or "", _port(proxy))
    made: HTTPConnection
    if way.scheme == "https" or (proxy is not None and proxy.scheme == "https"):
        made = _Secure(host, port, timeout=patience, context=trusted(way.ca_file))
    else:
        made = _Plain(host, port, timeout=patience)
    if way.proxy is not None and proxy is not None and way.scheme == "https":
        if proxy.scheme == "https":
            message = "https through a proxy that is itself reached by https is not spoken here"
            raise AdapterError(f"{message}: write http://host:port", code="invalid_proxy")
        made.set_tunnel(way.host, way.port, _credentials(way.proxy))
    made._create_connection = _dialled  # type: ignore[union-attr]
    return made


def _dialled(address: tuple[str, int], patience: float, *_: Any) -> socket.socket:
    """As `socket.create_connection`, but all addresses of a host share the time: one may lead nowhere."""
    deadline = time.monotonic() + patience
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    trouble: OSError | None = None
    for at, (family, kind, protocol, _name, place) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(left_until(deadline) / (len(found) - at))
            sock.connect(place)
            sock.settimeout(left_until(deadline))  # for TLS
            return sock
        except OSError as error:
            sock.close()
            trouble = error
        except BaseException:
            sock.close()
            raise
    raise trouble or OSError("its name has no address")


def _port(proxy: SplitResult) -> int:
    return proxy.port or (443 if proxy.scheme == "https" else 80)


def _credentials(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return {"proxy-authorization": f"Basic {base64.b64encode(pair).decode()}"}
