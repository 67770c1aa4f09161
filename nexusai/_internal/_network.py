"""Deadlines on sockets: httpx bounds the silence between two pieces of an answer, and not the answer."""

from __future__ import annotations

import math
import time
from typing import Any

import httpx
from httpcore import AsyncNetworkBackend, NetworkBackend, TimeoutException

__all__ = ["Patience", "keep_deadlines"]


class Patience(float):
    """The longest silence in seconds, as a timeout of httpx; at `until` (monotonic clock) it ends anyway."""

    until: float = math.inf

    @classmethod
    def of(cls, silence: float, until: float) -> Patience:
        patience = cls(silence)
        patience.until = until
        return patience


def keep_deadlines(client: httpx.Client | httpx.AsyncClient) -> None:
    """Have the connections that a client opens from now on heed a `Patience`."""
    for transport in (client._transport, *client._mounts.values()):
        pool: Any = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if isinstance(backend, NetworkBackend):
            pool._network_backend = _Backend(backend)
        elif isinstance(backend, AsyncNetworkBackend):
            pool._network_backend = _AsyncBackend(backend)


def _left(timeout: float | None) -> float | None:
    """Raises `TimeoutException` when nothing is left: a socket with bytes at hand would not even wait."""
    if not isinstance(timeout, Patience):
        return timeout
    left = min(timeout, timeout.until - time.monotonic())
    if left <= 0:
        raise TimeoutException("The time is over.")
    return left


class _Wrapped:
    """As what it wraps, but for the methods that it has itself."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Backend(_Wrapped):
    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **how: Any) -> _Stream:
        return _Stream(self._inner.connect_tcp(host, port, _left(timeout), **how))


class _Stream(_Wrapped):
    def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        return self._inner.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout))

    def start_tls(self, ssl_context: Any, server_hostname: Any, timeout: float | None = None) -> _Stream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left(timeout)))


class _AsyncBackend(_Wrapped):
    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, **how: Any
    ) -> _AsyncStream:
        return _AsyncStream(await self._inner.connect_tcp(host, port, _left(timeout), **how))


class _AsyncStream(_Wrapped):
    async def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        return await self._inner.read(max_bytes, _left(timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, _left(timeout))

    async def start_tls(
        self, ssl_context: Any, server_hostname: Any, timeout: float | None = None
    ) -> _AsyncStream:
        return _AsyncStream(await self._inner.start_tls(ssl_context, server_hostname, _left(timeout)))
