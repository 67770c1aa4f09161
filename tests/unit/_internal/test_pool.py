"""Connections, over a real socket."""

from __future__ import annotations

import asyncio
import gc
import ssl
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from nexusai import AsyncNexusAIClient, NexusAIClient
from nexusai._internal import _pool
from nexusai._internal._pool import AsyncPool, SyncPool


class Platform(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b'{"task_id": "task_1", "status": "completed", "port": %d}' % self.client_address[1]
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Platform) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_connection_is_used_again(address: str):
    with NexusAIClient("nxs_1", address) as client:
        assert client.tasks.get("task_1").port == client.tasks.get("task_1").port  # type: ignore[attr-defined]


def test_threads_share_a_client(address: str):
    found: list[str] = []
    with NexusAIClient("nxs_1", address) as client:
        threads = [
            threading.Thread(target=lambda: found.append(client.tasks.get("task_1").id)) for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == ["task_1"] * 16


def test_an_async_client_works_in_a_second_event_loop(address: str):
    client = AsyncNexusAIClient("nxs_1", address)

    async def main() -> str:
        async with client:
            return (await client.tasks.get("task_1")).id

    assert [asyncio.run(main()), asyncio.run(main())] == ["task_1", "task_1"]


def test_clients_of_closed_loops_are_forgotten():
    pool = AsyncPool()

    async def main() -> weakref.ref[httpx.AsyncClient]:
        with pool.lease() as client:
            return weakref.ref(client)

    first = asyncio.run(main())
    asyncio.run(main())
    gc.collect()
    assert first() is None


def test_a_client_is_used_again_when_its_request_is_over():
    pool = SyncPool()
    with pool.lease() as first:
        pass
    with pool.lease() as second:
        assert second is first


def test_a_client_has_few_requests_at_a_time():
    pool = SyncPool()
    with ExitStack() as stack:
        clients = [stack.enter_context(pool.lease()) for _ in range(20)]
        assert max(map(clients.count, clients)) == 8
        assert len(set(map(id, clients))) == 3


async def test_a_loop_that_closed_its_clients_gets_new_ones():
    pool = AsyncPool()
    with pool.lease() as first:
        pass
    await pool.aclose()
    await pool.aclose()
    with pool.lease() as second:
        assert first.is_closed
        assert not second.is_closed


FORK = """
import os, sys
from nexusai import NexusAIClient
with NexusAIClient("nxs_1", sys.argv[1]) as client:
    mine = client.tasks.get("task_1").port
    child = os.fork()
    if not child:
        try:
            os._exit(0 if client.tasks.get("task_1").port != mine else 1)
        except BaseException:
            os._exit(2)
    assert client.tasks.get("task_1").port == mine
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_has_connections_of_its_own(address: str):
    assert subprocess.run([sys.executable, "-c", FORK, address], check=False).returncode == 0


def test_all_connections_share_one_tls_context(monkeypatch: pytest.MonkeyPatch):
    made: list[ssl.SSLContext] = []
    make = httpx.create_ssl_context
    monkeypatch.setattr(httpx, "create_ssl_context", lambda: made.append(make()) or made[0])
    _pool._ssl_context.cache_clear()
    for pool in (SyncPool(), SyncPool()):
        with pool.lease():
            pass
    assert len(made) == 1


def test_a_client_that_was_given_is_used_and_not_closed(address: str):
    with httpx.Client(headers={"X-Mine": "1"}) as http:
        with NexusAIClient("nxs_1", address, http_client=http) as client:
            client.tasks.get("task_1")
        assert not http.is_closed


async def test_an_async_client_that_was_given_is_used_and_not_closed(address: str):
    async with httpx.AsyncClient() as http:
        async with AsyncNexusAIClient("nxs_1", address, http_client=http) as client:
            await client.tasks.get("task_1")
        assert not http.is_closed


def test_a_closed_client_says_so(address: str):
    client = NexusAIClient("nxs_1", address)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.tasks.get("task_1")


def test_a_resource_keeps_the_connections_of_its_client(address: str):
    tasks = NexusAIClient("nxs_1", address).tasks
    gc.collect()
    assert tasks.get("task_1").id == "task_1"


def test_connections_are_closed_with_the_last_user():
    pool = SyncPool()
    with pool.lease() as client:
        pass
    del pool
    gc.collect()
    assert client.is_closed


def test_a_platform_on_this_machine_is_not_reached_by_a_proxy(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with NexusAIClient("nxs_1", address) as client:
        assert client.tasks.get("task_1").id == "task_1"
