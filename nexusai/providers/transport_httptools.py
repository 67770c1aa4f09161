"""The transport of the platform, and of an `AsyncClient` where httptools is installed: the cheapest to run.

An exchange takes a third of the processor time that it takes with aiohttp, which is asked where a proxy
stands in between.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import zlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from nexusai.providers.errors import AdapterError
from nexusai.providers.transport import (
    MAX_ANSWER_BYTES,
    MAX_REDIRECTS,
    USER_AGENT,
    HttpRequest,
    HttpResponse,
    HttpStream,
    Transport,
    broken,
    not_a_url,
    overdue,
    redirected,
    sendable,
    too_large,
    too_late,
    unreachable,
    untrusted,
)
from nexusai.providers.transport_exchange import Connection, Headers, Late
from nexusai.providers.transport_ways import Proxies, refused_certificate, trusted

__all__ = ["HttptoolsTransport"]

_IDLE: Final = 60.0
"""Seconds after which a connection is not used again: much that lies between forgets it without a word."""
_CONNECTIONS: Final = 1000
"""To one host at the same time."""
_NEXT_ADDRESS: Final = 0.25
"""Seconds after which the next address of a host is tried as well (RFC 8305)."""
_FAILURES: Final = (OSError, EOFError, zlib.error)


class _Way(NamedTuple):
    """Where a connection leads, and whom it trusts."""

    secure: bool
    host: str
    port: int
    ca_file: str | None


class _Place(NamedTuple):
    """What a URL says: where it leads, and the first lines of a request to it."""

    secure: bool
    host: str
    port: int
    target: str
    named: str


class HttptoolsTransport:
    """Each event loop's connections are kept and used again; no cookies; redirects for GET alone."""

    def __init__(self) -> None:
        self._proxies = Proxies()
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}
        self._proxied: Transport | None = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        if self._proxies.of(request) is not None:
            return await self._through_proxy().send(request)
        answer = await self._answer(sendable(request))
        try:
            body = await answer.rest()
        finally:
            answer.leave()
        return HttpResponse(answer.status, answer.headers, body)

    def stream(self, request: HttpRequest) -> _Opening:
        return _Opening(self, request)

    def connections(self) -> tuple[int, int]:
        """Those in use, and those that are idle."""
        pools = list(self._pools.values())
        idle = sum(len(kept) for pool in pools for kept in pool.idle.values())
        return sum(pool.in_use for pool in pools), idle

    async def aclose(self) -> None:
        """Close this loop's connections."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            pool.close()
            await asyncio.sleep(0)  # connections that were closed are let go in the loop's next round
        if self._proxied is not None:
            await self._proxied.aclose()

    def _through_proxy(self) -> Transport:
        if self._proxied is None:
            from nexusai.providers.transport_aiohttp import AiohttpTransport  # a third of a second to load

            self._proxied = AiohttpTransport()
        return self._proxied

    async def _answer(self, request: HttpRequest) -> _Answer:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop) or self._opened(loop)
        deadline = math.inf if request.total is None else loop.time() + request.total
        for _ in range(MAX_REDIRECTS + 1):
            answer = await pool.exchange(request, deadline)
            if answer.status < 300 or answer.status >= 400:
                return answer
            try:
                onward = redirected(request, answer.status, answer.headers)
            except AdapterError:
                answer.leave()
                raise
            if onward is None:
                return answer
            answer.leave()
            if loop.time() >= deadline:
                raise overdue(request)
            request = replace(onward)
        raise broken(request, "too many redirects")

    def _opened(self, loop: asyncio.AbstractEventLoop) -> _Pool:
        for other in [other for other in self._pools if other.is_closed()]:
            del self._pools[other]
        return self._pools.setdefault(loop, _Pool(loop))


class _Opening:
    """An answer as a context, which leaves it."""

    def __init__(self, transport: HttptoolsTransport, request: HttpRequest) -> None:
        self._transport = transport
        self._request = request

    async def __aenter__(self) -> HttpStream:
        if self._transport._proxies.of(self._request) is not None:
            self._foreign = self._transport._through_proxy().stream(self._request)
            return await self._foreign.__aenter__()
        self._answer = await self._transport._answer(sendable(self._request))
        return self._answer

    async def __aexit__(self, *error: object) -> bool | None:
        if hasattr(self, "_foreign"):
            return await self._foreign.__aexit__(*error)  # type: ignore[arg-type]
        self._answer.leave()
        return None


class _Room(asyncio.Semaphore):
    """Of the connections to one host."""

    def is_empty(self) -> bool:
        return self._value == _CONNECTIONS


class _Pool:
    """The connections of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.in_use: int = 0
        self.idle: dict[_Way, deque[Connection]] = {}
        self._loop = loop
        self._room: dict[_Way, _Room] = {}

    async def exchange(self, request: HttpRequest, deadline: float) -> _Answer:
        """Send a request, and wait for the head of its answer."""
        place = _place(request.url)
        way = _Way(place.secure, place.host, place.port, request.ca_file)
        room = self._room.get(way) or self._room.setdefault(way, _Room(_CONNECTIONS))
        await room.acquire()
        try:
            connection = self._kept(way) or await self._made(request, way, deadline)
        except BaseException:
            room.release()
            raise
        self.in_use += 1
        answer = _Answer(self, way, room, request, connection)
        try:
            connection.begin(_head(request, place), request.body, request.timeout, deadline)
            await connection.head()
        except (*_FAILURES, Late) as error:
            answer.leave()
            # a connection keeps its error: its frames would hold both, and all that was read, for a long time
            raise _meaning(request, error) from error.with_traceback(None)
        except BaseException:
            answer.leave()
            raise
        answer.status, answer.headers = connection.status, Headers(connection.headers)
        return answer

    def keep(self, way: _Way, connection: Connection) -> None:
        """Take a connection back whose answer was read to its end."""
        kept = self.idle.setdefault(way, deque())
        connection.idle_since = now = self._loop.time()
        kept.append(connection)
        while kept[0].idle_since < now - _IDLE:
            kept.popleft().abort()

    def close(self) -> None:
        for kept in self.idle.values():
            while kept:
                kept.pop().abort()

    def _kept(self, way: _Way) -> Connection | None:
        kept = self.idle.get(way)
        while kept:
            connection = kept.pop()
            if self._loop.time() - connection.idle_since < _IDLE and connection.is_quiet():
                return connection
            connection.abort()
        return None

    async def _made(self, request: HttpRequest, way: _Way, deadline: float) -> Connection:
        self._prune()
        context = trusted(way.ca_file) if way.secure else None
        patience = min(request.timeout, request.connect or math.inf, deadline - self._loop.time())
        dialling = self._loop.create_task(self._dialled(way, context))
        try:  # `wait_for` may swallow a cancellation that comes with the result, up to Python 3.11
            done, _ = await asyncio.wait([dialling], timeout=max(patience, 0))
        except asyncio.CancelledError:
            _give_up(dialling)
            raise
        if not done:
            _give_up(dialling)
            late = self._loop.time() >= deadline
            raise overdue(request) if late else unreachable(request, "it took too long")
        try:
            return dialling.result()
        except (OSError, EOFError) as error:
            if reason := refused_certificate(error):
                raise untrusted(request, reason) from error
            raise unreachable(request, str(error) or type(error).__name__) from error
        except UnicodeError as error:
            raise not_a_url() from error

    def _prune(self) -> None:
        """Let go of what was idle for too long, and of hosts that nothing is connected to any more."""
        before = self._loop.time() - _IDLE
        for way, kept in [*self.idle.items()]:
            while kept and kept[0].idle_since < before:
                kept.popleft().abort()
            if not kept:
                del self.idle[way]
        for way, room in [*self._room.items()]:
            if way not in self.idle and room.is_empty():
                del self._room[way]

    async def _dialled(self, way: _Way, context: ssl.SSLContext | None) -> Connection:
        from aiohappyeyeballs import start_connection  # what aiohttp connects by

        found = await self._loop.getaddrinfo(way.host, way.port, type=socket.SOCK_STREAM)
        sock = await start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._loop),
                sock=sock,
                ssl=context,
                server_hostname=way.host if context is not None else None,
            )
        except BaseException:
            sock.close()
            raise
        return connection


class _Answer:
    """An answer whose head has come."""

    def __init__(
        self, pool: _Pool, way: _Way, room: asyncio.Semaphore, request: HttpRequest, connection: Connection
    ) -> None:
        self.status: int = 0
        self.headers: Mapping[str, str] = {}
        self._pool = pool
        self._way = way
        self._room = room
        self._request = request
        self._connection: Connection | None = connection

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._connection is None:
            raise StopAsyncIteration
        try:
            piece = await self._connection.read()
        except (*_FAILURES, Late) as error:
            raise _meaning(self._request, error) from error.with_traceback(None)
        if not piece:
            raise StopAsyncIteration
        return piece

    async def rest(self) -> bytes:
        """The whole body. Raises `AdapterError` when it is too much."""
        assert self._connection is not None  # noqa: S101 - nobody has left it yet
        pieces, size = [], 0
        try:
            while piece := await self._connection.read():
                pieces.append(piece)
                size += len(piece)
                if size > MAX_ANSWER_BYTES:
                    raise too_large(self._request, MAX_ANSWER_BYTES)
        except (*_FAILURES, Late) as error:
            raise _meaning(self._request, error) from error.with_traceback(None)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def leave(self) -> None:
        """Give the connection back when all has come, else close it at once."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._room.release()
        self._pool.in_use -= 1
        if connection.end():
            self._pool.keep(self._way, connection)
        else:
            connection.abort()


def _give_up(dialling: asyncio.Task[Connection]) -> None:
    """Close what nobody waits for any more, though it be made at this moment."""
    dialling.cancel()
    dialling.add_done_callback(_closed)


def _closed(dialling: asyncio.Task[Connection]) -> None:
    if not dialling.cancelled() and dialling.exception() is None:
        dialling.result().abort()


@lru_cache(1024)
def _place(url: str) -> _Place:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise not_a_url() from None
    usual = 443 if secure else 80
    port = parts.port or usual
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    named = f"[{host}]" if ":" in host else host
    target = quote(path, safe="/?:@!$&'()*+,;=%~[]")
    return _Place(secure, host, port, target, named if port == usual else f"{named}:{port}")


def _head(request: HttpRequest, place: _Place) -> bytes:
    lines = _lines(request.method, place.target, place.named, tuple(request.headers.items()))
    if request.body is None and request.method == "GET":
        return lines + b"\r\n"
    return lines + b"content-length: %d\r\n\r\n" % len(request.body or b"")


@lru_cache(1024)
def _lines(method: str, target: str, host: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Of a head, what is the same for one request after another."""
    told = {"user-agent": USER_AGENT, "accept": "*/*", "accept-encoding": "identity"}
    told |= {name.lower(): value for name, value in headers if name.lower() != "content-length"}
    lines = "".join([f"{name}: {value}\r\n" for name, value in told.items()])
    return f"{method} {target} HTTP/1.1\r\nhost: {host}\r\n{lines}".encode("latin-1")


def _meaning(request: HttpRequest, error: BaseException) -> AdapterError:
    if isinstance(error, Late):
        return overdue(request) if error.overall else too_late(request)
    return broken(request, str(error) or type(error).__name__)
