"""Deadlines on sockets, over real ones."""

from __future__ import annotations

import inspect
import json
import math
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore
import pytest
import trustme

from nexusai._internal._network import Patience, _AsyncBackend, _Backend
from nexusai._internal._pool import _ssl_context
from nexusai.error import APIError, APITimeoutError
from tests.fixtures.sdk import Both
from tests.fixtures.wire import Part, WireServer, answer, chunked, serving

TASK = json.dumps({"task_id": "task_1", "status": "completed"}).encode()
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def trickle(data: bytes, pause: float) -> list[Part]:
    """The head at once, then a byte after each pause."""
    head, _, body = data.partition(b"\r\n\r\n")
    return [head + b"\r\n\r\n", *(part for at in range(len(body)) for part in (pause, body[at : at + 1]))]


def use(sdk: Both, server: WireServer, work: Any, **options: Any) -> Any:
    return sdk(work, base_url=server.origin, max_retries=0, **options)


def test_an_answer_that_trickles_does_not_outlast_the_time_of_the_run(sdk: Both):
    with serving(trickle(answer(b" " * 60 + TASK), 0.03)) as server:
        begun = time.monotonic()
        with pytest.raises(APITimeoutError):
            use(sdk, server, lambda client: client.tasks.wait("task_1", 0.15))
        assert 0.1 < time.monotonic() - begun < 1.5


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[trustme.CA]:
    """One that this process trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    _ssl_context.cache_clear()
    yield authority
    _ssl_context.cache_clear()


def test_the_time_is_kept_under_tls_too(sdk: Both, authority: trustme.CA):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with serving(answer(TASK), trickle(answer(b" " * 60 + TASK), 0.03), tls=tls) as server:
        assert use(sdk, server, lambda client: client.tasks.wait("task_1", 10)).id == "task_1"
        begun = time.monotonic()
        with pytest.raises(APITimeoutError):
            use(sdk, server, lambda client: client.tasks.wait("task_1", 0.3))
        assert 0.2 < time.monotonic() - begun < 1.5


def test_a_body_that_nobody_reads_does_not_outlast_the_time_of_the_run(sdk: Both):
    with serving([2.0, answer()], reads=False) as server:
        begun = time.monotonic()
        with pytest.raises(APITimeoutError):
            use(
                sdk,
                server,
                lambda client: client.audio.transcribe(("a.wav", bytes(64 * 2**20)), timeout=0.15),
            )
        assert 0.1 < time.monotonic() - begun < 1.5


def test_without_a_time_of_the_run_silence_alone_is_bounded(sdk: Both):
    with serving(trickle(answer(TASK), 0.006)) as server:
        assert use(sdk, server, lambda client: client.tasks.get("task_1"), timeout=0.2).id == "task_1"


def test_a_stream_that_is_open_may_last_as_long_as_it_tells_something(sdk: Both):
    first = b'id: 1\ndata: {"task_id": "task_1"}\n\n'
    deltas = [b'id: %d\ndata: {"delta": {"content": "a"}}\n\n' % n for n in range(2, 8)]
    told = [part for delta in deltas for part in (0.06, delta)]
    with serving([EVENTS, first, *told, b"data: [DONE]\n\n", "close"]) as server:
        assert use(sdk, server, lambda client: read(client.text.stream("hi", timeout=0.25))) == "aaaaaa"


def read(stream: Any) -> Any:
    """The whole text, or what is awaited for it."""
    final = stream.final()
    if not inspect.isawaitable(final):
        return final.text

    async def text() -> str:
        return (await final).text  # type: ignore[no-any-return]

    return text()


def test_bytes_at_hand_are_not_read_when_the_time_is_over():
    with serving(answer(b"x" * 1000)) as server:
        stream = _Backend(httpcore.SyncBackend()).connect_tcp(
            "127.0.0.1", server.port, Patience.of(5, math.inf)
        )
        stream.write(b"GET / HTTP/1.1\r\n\r\n", 5)
        assert stream.read(4, Patience.of(5, math.inf)) == b"HTTP"
        with pytest.raises(httpcore.TimeoutException):
            stream.read(4, Patience.of(5, time.monotonic()))
        stream.close()


async def test_bytes_at_hand_are_not_read_by_the_async_client_when_the_time_is_over():
    with serving(answer(b"x" * 1000)) as server:
        backend = _AsyncBackend(httpcore.AnyIOBackend())
        stream = await backend.connect_tcp("127.0.0.1", server.port, Patience.of(5, math.inf))
        await stream.write(b"GET / HTTP/1.1\r\n\r\n", 5)
        assert await stream.read(4, Patience.of(5, math.inf)) == b"HTTP"
        with pytest.raises(httpcore.TimeoutException):
            await stream.read(4, Patience.of(5, time.monotonic()))
        await stream.aclose()


def test_a_connection_that_was_cut_short_is_not_used_again(sdk: Both):
    slow = trickle(answer(b" " * 60 + TASK), 0.03)

    def work(client: Any) -> Any:
        if sdk.asynchronous:
            return _again_async(client)
        with pytest.raises(APIError):
            client.tasks.wait("task_1", 0.1)
        return client.tasks.get("task_1")

    async def _again_async(client: Any) -> Any:
        with pytest.raises(APIError):
            await client.tasks.wait("task_1", 0.1)
        return await client.tasks.get("task_1")

    with serving(slow, chunked(TASK)) as server:
        assert use(sdk, server, work).id == "task_1"
        assert [request.connection for request in server.requests] == [1, 2]
