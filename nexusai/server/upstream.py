"""How the server calls vendors: aiohttp, which takes a fraction of httpx's time for each call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from urllib.request import getproxies

import aiohttp
from yarl import URL

from nexusai.providers.errors import AdapterError
from nexusai.providers.transport import (
    MAX_ANSWER_BYTES,
    HttpRequest,
    HttpResponse,
    HttpStream,
    broken,
    not_a_url,
    too_large,
    too_late,
    unreachable,
)

__all__ = ["AiohttpTransport"]

_CONNECTIONS_PER_HOST = 1000
_LARGE_BODY = 1024 * 1024
_FAILURES = (aiohttp.ClientError, OSError, ValueError)


class AiohttpTransport:
    """One session, made in the loop that first sends; no cookies; redirects are followed for GET alone."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

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
        try:
            response = await self._open().request(
                request.method,
                URL(request.url, encoded=request.url.isascii()),  # as it is: it may be signed
                data=_data(request.body),
                headers=request.headers,
                timeout=aiohttp.ClientTimeout(sock_connect=request.timeout, sock_read=request.timeout),
                allow_redirects=request.method == "GET",
                max_redirects=5,
            )
        except _FAILURES as error:
            raise _meaning(request, error) from error
        try:
            yield _Stream(request, response)
        finally:
            response.close()  # a body read to its end has given its connection back by now

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=_CONNECTIONS_PER_HOST),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=bool(getproxies()),  # asked for once, for aiohttp looks for them at every call
            )
        return self._session


class _Stream:
    def __init__(self, request: HttpRequest, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
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
            raise _meaning(self._request, error) from error


def _data(body: bytes | None) -> bytes | BytesIO | None:
    """aiohttp writes a large body in pieces only when it comes as a file."""
    return BytesIO(body) if body is not None and len(body) > _LARGE_BODY else body


def _meaning(request: HttpRequest, error: Exception) -> AdapterError:
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return unreachable(request, getattr(error, "os_error", error))
    if isinstance(error, aiohttp.ServerTimeoutError):
        return too_late(request)
    if isinstance(error, (ValueError, aiohttp.NonHttpUrlClientError)):
        return not_a_url()
    return broken(request, str(error) or type(error).__name__)
