"""The httpx clients that requests go through: one set of connections to one owner."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any, Generic, TypeVar

import httpx
from typing_extensions import override

from nexusai._internal._network import keep_deadlines
from nexusai.error import ConfigurationError

__all__ = ["AsyncPool", "SyncPool"]

C = TypeVar("C", bound=httpx.Client | httpx.AsyncClient)

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)
_MOST_BUSY = 8
_LOOPBACK = ("all://localhost", "all://127.0.0.1", "all://[::1]")


@cache
def _ssl_context() -> ssl.SSLContext:
    """One for the process: each costs some 20 ms and a megabyte."""
    return httpx.create_ssl_context()


def _options() -> dict[str, Any]:
    """A proxy from the environment is used, but never for a platform on this very machine."""
    return {"limits": _LIMITS, "verify": _ssl_context(), "mounts": dict.fromkeys(_LOOPBACK)}


class _Client(httpx.Client):
    """Adds nothing to a request: no cookie that one key was given goes with another's, and it costs less."""

    def __init__(self) -> None:
        super().__init__(**_options())
        keep_deadlines(self)

    @override
    def build_request(self, method: str, url: httpx.URL | str, **parts: Any) -> httpx.Request:
        return httpx.Request(method, url, **parts)


class _AsyncClient(httpx.AsyncClient):
    """Adds nothing to a request, like the other."""

    def __init__(self) -> None:
        super().__init__(**_options())
        keep_deadlines(self)

    @override
    def build_request(self, method: str, url: httpx.URL | str, **parts: Any) -> httpx.Request:
        return httpx.Request(method, url, **parts)


def _checked(given: C | None, kind: type[C]) -> C | None:
    if not isinstance(given, (kind, type(None))):
        raise ConfigurationError(f"http_client is an httpx.{kind.__name__} here, not {type(given).__name__}")
    return given


class _Shares(Generic[C]):
    """Clients with few requests on each: what httpcore does for a request grows with the square of the
    connections in its client, and a thousand in one take twenty times as long as in many.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._busy: dict[C, int] = {}

    @property
    def clients(self) -> list[C]:
        return list(self._busy)

    @contextmanager
    def lease(self) -> Iterator[C]:
        with self._lock:
            client = next((client for client, busy in self._busy.items() if busy < _MOST_BUSY), None)
            client = client or self._make()
            self._busy[client] = self._busy.get(client, 0) + 1
        try:
            yield client
        finally:
            with self._lock:
                self._busy[client] -= 1


class SyncPool:
    """Clients for this process: a forked child gets its own, since two cannot share a socket.

    A client that the caller gave is used alone, and never closed.
    """

    def __init__(self, given: httpx.Client | None = None) -> None:
        self._given = _checked(given, httpx.Client)
        self._closed = False
        self._open()

    def lease(self) -> AbstractContextManager[httpx.Client]:
        """A client for one request, until its answer is read. Raises `RuntimeError` once it is closed."""
        if self._closed:
            raise RuntimeError("This client is closed: make a new one, or leave its `with` block later.")
        if self._given is not None:
            return nullcontext(self._given)
        if self._pid != os.getpid():
            self._open()
        return self._shares.lease()

    def close(self) -> None:
        self._closed = True
        _close(self._shares, self._pid)

    def _open(self) -> None:
        self._pid = os.getpid()
        self._shares = _Shares(_Client)
        weakref.finalize(self, _close, self._shares, self._pid)


def _close(shares: _Shares[_Client], pid: int) -> None:
    if pid == os.getpid():
        for client in shares.clients:
            client.close()


class AsyncPool:
    """Clients for each event loop, since connections belong to the loop that made them.

    A loop that closed its own gets new ones when it asks again. A client that the caller gave is used alone,
    and never closed.
    """

    def __init__(self, given: httpx.AsyncClient | None = None) -> None:
        self._given = _checked(given, httpx.AsyncClient)
        self._shares: dict[asyncio.AbstractEventLoop, _Shares[_AsyncClient]] = {}

    def lease(self) -> AbstractContextManager[httpx.AsyncClient]:
        """A client for one request, until its answer is read."""
        if self._given is not None:
            return nullcontext(self._given)
        loop = asyncio.get_running_loop()
        return (self._shares.get(loop) or self._open(loop)).lease()

    async def aclose(self) -> None:
        """Close this loop's connections."""
        shares = self._shares.pop(asyncio.get_running_loop(), None)
        for client in shares.clients if shares else ():
            await client.aclose()

    def _open(self, loop: asyncio.AbstractEventLoop) -> _Shares[_AsyncClient]:
        self._shares = {other: kept for other, kept in self._shares.items() if not other.is_closed()}
        shares = self._shares[loop] = _Shares(_AsyncClient)
        return shares
