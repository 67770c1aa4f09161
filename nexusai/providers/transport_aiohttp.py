"""The transport of the platform, and of an `AsyncClient` where aiohttp is installed: the cheapest to run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from io import BytesIO

import aiohttp
from yarl import URL

from nexusai.providers.errors import AdapterError
from nexusai.providers.transport import (
    MAX_ANSWER_BYTES,
    MAX_REDIRECTS,
    USER_AGENT,
    HttpRequest,
    HttpResponse,
    HttpStream,
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
from nexusai.providers.transport_ways import Proxies, refused_certificate, trusted

__all__ = ["AiohttpTransport"]

_CONNECTIONS_PER_HOST = 1000
_LARGE_BODY = 1024 * 1024
_LONGEST_HEADER = 64 * 1024
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.ConnectionTimeoutError)
_FAILURES = (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError)


class AiohttpTransport:
    """One session for each event loop, made when it first sends; no cookies; redirects for GET alone."""

    def __init__(self) -> None:
        self._proxies = Proxies()
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    async def send(self, request: HttpRequest) -> HttpResponse:
        body = bytearray()
        async with self.stream(request) as answer:
            async for chunk in answer.chunks():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise too_large(request, MAX_ANSWER_BYTES)
        return HttpResponse(answer.status, answer.headers, bytes(body))

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncIterator[HttpStream]:
        response = await self._answer(sendable(request))
        connection = response.connection.transport if response.connection is not None else None
        try:
            yield _Stream(request, response)
        finally:
            response.close()  # a body read to its end has given its connection back by now
            if connection is not None and connection.is_closing():
                connection.abort()  # else it would first wait for the other side to take what is unsent

    async def aclose(self) -> None:
        """Close this loop's connections."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # connections that were closed are let go in the loop's next round

    async def _answer(self, request: HttpRequest) -> aiohttp.ClientResponse:
        now = asyncio.get_running_loop().time
        deadline = math.inf if request.total is None else now() + request.total
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._exchange(request)
            try:
                onward = redirected(request, response.status, response.headers)
            except AdapterError:
                response.close()
                raise
            if onward is None:
                return response
            response.close()
            left = deadline - now()
            if left <= 0:
                raise overdue(request)
            request = replace(onward, total=left if left < math.inf else None)
        raise broken(request, "too many redirects")

    async def _exchange(self, request: HttpRequest) -> aiohttp.ClientResponse:
        proxy, certificates = self._proxies.of(request), trusted(request.ca_file)
        session = await self._session()
        try:
            return await session.request(
                request.method,
                URL(request.url, encoded=request.url.isascii()),  # as it is: it may be signed
                data=_data(request.body),
                headers=request.headers,
                timeout=_timeout(request),
                proxy=proxy,
                ssl=certificates,
                allow_redirects=False,
            )
        except _FAILURES as error:
            raise _meaning(request, error) from error.with_traceback(None)

    async def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            for other in [other for other in self._sessions if other.is_closed()]:
                await self._sessions.pop(other).close()
            self._sessions[loop] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=_CONNECTIONS_PER_HOST),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"user-agent": USER_AGENT},
                max_line_size=_LONGEST_HEADER,
                max_field_size=_LONGEST_HEADER,
            )
        return self._sessions[loop]


class _Stream:
    def __init__(self, request: HttpRequest, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.lower(): value if value.isascii() else _readable(value)
            for name, value in response.headers.items()
        }
        self._request = request
        self._body = response.content.iter_any()

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._body)
        except _FAILURES as error:
            # aiohttp keeps the error with the body: its frames would hold both for a long time
            raise _meaning(self._request, error) from error.with_traceback(None)


def _timeout(request: HttpRequest) -> aiohttp.ClientTimeout:
    connect = request.connect or request.timeout
    return aiohttp.ClientTimeout(request.total, sock_connect=connect, sock_read=request.timeout)


def _data(body: bytes | None) -> bytes | BytesIO | None:
    """aiohttp writes a large body in pieces only when it comes as a file."""
    return BytesIO(body) if body is not None and len(body) > _LARGE_BODY else body


def _readable(value: str) -> str:
    """A header that is no UTF-8 has surrogates, which nothing could write down."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _meaning(request: HttpRequest, error: Exception) -> AdapterError:
    if reason := refused_certificate(error):
        return untrusted(request, reason)
    if isinstance(error, _NEVER_SENT):
        return unreachable(request, getattr(error, "os_error", error))
    if isinstance(error, aiohttp.ServerTimeoutError):
        return too_late(request)
    if isinstance(error, asyncio.TimeoutError):
        return overdue(request)
    if isinstance(error, (ValueError, aiohttp.NonHttpUrlClientError)):
        return not_a_url()
    return broken(request, str(error) or type(error).__name__)
