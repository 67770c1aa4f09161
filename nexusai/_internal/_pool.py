"""The httpx clients that requests go through: one set of connections to one owner."""

from __future__ import annotations

import asyncio
import os
import ssl
import weakref
from functools import cache
from typing import Any

import httpx

__all__ = ["AsyncPool", "SyncPool"]

_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
_LOOPBACK = ("all://localhost", "all://127.0.0.1", "all://[::1]")


@cache
def _ssl_context() -> ssl.SSLContext:
    """One for the process: each costs some 20 ms and a megabyte."""
    return httpx.create_ssl_context()


def _options() -> dict[str, Any]:
    """A proxy from the environment is used, but never for a platform on this very machine."""
    return {"limits": _LIMITS, "verify": _ssl_context(), "mounts": dict.fromkeys(_LOOPBACK)}


def _close(client: httpx.Client, pid: int) -> None:
    if os.getpid() == pid:
        client.close()


class SyncPool:
    """A client for this process: a forked child gets its own, since two cannot share a socket.

    A client that the caller gave is used as it is and never closed.
    """

    def __init__(self, given: httpx.Client | None = None) -> None:
        self._given = given
        if given is None:
            self._open()

    @property
    def client(self) -> httpx.Client:
        if self._given is not None:
            return self._given
        if self._pid != os.getpid():
            self._open()
        return self._client

    def close(self) -> None:
        if self._given is None:
            _close(self._client, self._pid)

    def _open(self) -> None:
        self._pid = os.getpid()
        self._client = httpx.Client(**_options())
        weakref.finalize(self, _close, self._client, self._pid)


class AsyncPool:
    """A client for each event loop, since connections belong to the loop that made them."""

    def __init__(self, given: httpx.AsyncClient | None = None) -> None:
        self._given = given
        self._clients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}

    @property
    def client(self) -> httpx.AsyncClient:
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        return self._clients.get(loop) or self._open(loop)

    async def aclose(self) -> None:
        """Close this loop's connections."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _open(self, loop: asyncio.AbstractEventLoop) -> httpx.AsyncClient:
        self._clients = {other: client for other, client in self._clients.items() if not other.is_closed()}
        self._clients[loop] = client = httpx.AsyncClient(**_options())
        return client
