"""The transport of the async client where aiohttp is not installed: httpx is there anyway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeAlias, TypeVar

import httpx

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

__all__ = ["HttpxTransport"]

T = TypeVar("T")

_Owner: TypeAlias = "tuple[asyncio.AbstractEventLoop, str | None, str | None]"
"""A loop and a way out of it: a proxy and the certificates to trust."""

_FAILURES = (httpx.RequestError, httpx.InvalidURL)


def _options(proxy: str | None, ca_file: str | None) -> dict[str, Any]:
    """No cookies, no bound on connections."""
    return {
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        "headers": {"user-agent": USER_AGENT},
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=100),
        "proxy": proxy,
        "trust_env": False,
        "verify": trusted(ca_file),
    }


def _prepared(client: httpx.AsyncClient, request: HttpRequest) -> httpx.Request:
    return client.build_request(
        request.method,
        request.url,
        headers=dict(request.headers),
        content=request.body,
        timeout=httpx.Timeout(
            request.timeout, connect=min(request.timeout, request.connect or request.timeout)
        ),
    )


class HttpxTransport:
    """Pools of connections for each event loop; redirects are followed for GET alone."""

    def __init__(self) -> None:
        self._proxies = Proxies()
        self._clients: dict[_Owner, httpx.AsyncClient] = {}

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
        time = _Time(request)
        response = await self._answer(sendable(request), time)
        try:
            yield _Stream(request, response, time)
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close this loop's connections."""
        loop = asyncio.get_running_loop()
        for owner in [owner for owner in self._clients if owner[0] is loop]:
            await self._clients.pop(owner).aclose()

    async def _answer(self, request: HttpRequest, time: _Time) -> httpx.Response:
        for _ in range(MAX_REDIRECTS + 1):
            client = self._client(request)
            try:
                response = await time.bound(client.send(_prepared(client, request), stream=True))
            except _FAILURES as error:
                raise _meaning(request, error) from error
            try:
                onward = redirected(request, response.status_code, response.headers)
            except AdapterError:
                await response.aclose()
                raise
            if onward is None:
                return response
            await response.aclose()
            request = onward
        raise broken(request, "too many redirects")

    def _client(self, request: HttpRequest) -> httpx.AsyncClient:
        owner = asyncio.get_running_loop(), self._proxies.of(request), request.ca_file
        if owner not in self._clients:
            self._clients = {other: kept for other, kept in self._clients.items() if not other[0].is_closed()}
            self._clients[owner] = httpx.AsyncClient(**_options(*owner[1:]))
        return self._clients[owner]


class _Time:
    """How long an exchange may still take, all in all."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._now = asyncio.get_running_loop().time
        self._deadline = None if request.total is None else self._now() + request.total

    async def bound(self, work: Awaitable[T]) -> T:
        if self._deadline is None:
            return await work
        try:
            return await asyncio.wait_for(work, self._deadline - self._now())
        except asyncio.TimeoutError:
            raise overdue(self._request) from None


class _Stream:
    def __init__(self, request: HttpRequest, response: httpx.Response, time: _Time) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._request = request
        self._time = time
        self._body = response.aiter_bytes()

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._time.bound(anext(self._body))
        except _FAILURES as error:
            raise _meaning(self._request, error) from error


def _meaning(request: HttpRequest, error: Exception) -> AdapterError:
    reason = refused_certificate(error)
    if reason:
        return untrusted(request, reason)
    reason = str(error) or type(error).__name__
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
        return unreachable(request, reason)
    if isinstance(error, httpx.TimeoutException):
        return too_late(request)
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return not_a_url()
    return broken(request, reason)
