"""The transport for use without the server, where httpx is installed anyway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

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

__all__ = ["HttpxTransport"]

_FAILURES = (httpx.RequestError, httpx.InvalidURL)


class HttpxTransport:
    """One connection pool, no cookies; redirects are followed for GET alone."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
            max_redirects=5,
        )

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
            response = await self._client.send(
                self._client.build_request(
                    request.method,
                    request.url,
                    headers=dict(request.headers),
                    content=request.body,
                    timeout=request.timeout,
                ),
                stream=True,
                follow_redirects=request.method == "GET",
            )
        except _FAILURES as error:
            raise _meaning(request, error) from error
        try:
            yield _Stream(request, response)
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        await self._client.aclose()


class _Stream:
    def __init__(self, request: HttpRequest, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._request = request
        self._body = response.aiter_bytes()

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._body)
        except _FAILURES as error:
            raise _meaning(self._request, error) from error


def _meaning(request: HttpRequest, error: Exception) -> AdapterError:
    reason = str(error) or type(error).__name__
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
        return unreachable(request, reason)
    if isinstance(error, httpx.TimeoutException):
        return too_late(request)
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return not_a_url()
    return broken(request, reason)
