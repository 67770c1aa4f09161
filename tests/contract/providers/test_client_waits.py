"""How long both clients wait, and that they hang up at once, over a socket and on each transport."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from nexusai.providers import (
    AiohttpTransport,
    AsyncClient,
    Client,
    HttpxTransport,
    RateLimit,
    RateLimitError,
    RetryableError,
    RetryPolicy,
    TimeoutError,
)
from tests.fixtures.wire import SILENCE, WireServer, answer, chunked, serving

HEAD = chunked(end=False).replace(
    b"transfer-encoding", b"content-type: text/event-stream\r\ntransfer-encoding"
)
AT_ONCE = 1.0
"""Seconds: what two busy cores need to notice; the trickles of these servers take four."""


def piece(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(text: str) -> bytes:
    body = {"choices": [{"delta": {"content": text}}]}
    return piece(f"data: {json.dumps(body)}\n\n".encode())


WHOLE = answer(json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}).encode())
STREAMED = [HEAD, event("one"), event("two"), SILENCE]
ASYNCHRONOUS = [AiohttpTransport, HttpxTransport]


def asked(**options: Any) -> dict[str, Any]:
    return {"messages": "hi", "model": "m", **options}


def reached(url: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"api_key": "sk-test", "base_url": url, "max_retries": 0, **options}


@contextlib.asynccontextmanager
async def opened(transport: Any, url: str, **options: Any) -> AsyncIterator[AsyncClient]:
    own = transport()
    async with AsyncClient("openai_compatible", transport=own, **reached(url, options)) as client:
        yield client
    await own.aclose()


async def read(client: AsyncClient, call: dict[str, Any]) -> None:
    found = client.chat(**call)
    if not call.get("stream"):
        await found
        return
    async for _ in found:
        pass


Spend = Callable[..., float]


@pytest.fixture(params=["sync", *ASYNCHRONOUS], ids=lambda kind: getattr(kind, "__name__", kind))
def spend(request: pytest.FixtureRequest) -> Spend:
    """`spend(url, error, …)`: the seconds until a call raises the error."""

    def now(url: str, error: type[Exception], call: dict[str, Any], **options: Any) -> float:
        with Client("openai_compatible", **reached(url, options)) as client:
            begun = time.monotonic()
            with pytest.raises(error):
                list(client.chat(**call))
            return time.monotonic() - begun

    async def later(url: str, error: type[Exception], call: dict[str, Any], **options: Any) -> float:
        async with opened(request.param, url, **options) as client:
            begun = time.monotonic()
            with pytest.raises(error):
                await read(client, call)
            return time.monotonic() - begun

    return now if request.param == "sync" else lambda *args, **options: asyncio.run(later(*args, **options))


@pytest.fixture
def full() -> Iterator[str]:
    """Where connections are neither taken nor refused: nobody accepts, and the queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


# What is waited for


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection(spend: Spend, full: str, stream: bool):
    assert 0.1 < spend(full, RetryableError, asked(stream=stream), connect=0.15) < 0.15 + AT_ONCE


@pytest.mark.parametrize("stream", [False, True])
def test_the_head_of_an_answer(spend: Spend, stream: bool):
    with serving([SILENCE]) as server:
        assert spend(server.origin, TimeoutError, asked(stream=stream), timeout=0.15) < 0.15 + AT_ONCE
        assert server.left.wait(AT_ONCE)


def test_the_next_piece(spend: Spend):
    with serving(STREAMED) as server:
        assert spend(server.origin, TimeoutError, asked(stream=True), timeout=0.15) < 0.15 + AT_ONCE
        assert server.left.wait(AT_ONCE)


def test_the_first_token(spend: Spend):
    """Comments keep the line from being silent, and are no tokens."""
    with serving([HEAD, *[piece(b": wait\n\n"), 0.02] * 200]) as server:
        taken = spend(server.origin, TimeoutError, asked(stream=True), timeout=5, first_token=0.15)
        assert 0.1 < taken < 0.15 + AT_ONCE


@pytest.mark.parametrize("own", [{"timeout": 0.2}, {}], ids=["of the call", "of the configuration"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_whole(spend: Spend, own: dict[str, float], stream: bool):
    trickle = [HEAD, *[event("a"), 0.02] * 200]
    plain = [answer(b"x" * 400)[:-400], *[b"x", 0.02] * 200]
    with serving(trickle if stream else plain) as server:
        total = {} if own else {"total": 0.2}
        assert 0.15 < spend(server.origin, TimeoutError, asked(stream=stream, **own), **total) < 0.2 + AT_ONCE


def test_nothing_once_the_limit_is_reached():
    """Those within the limit go, the next one waits in vain: it fails at once, and nothing is sent."""
    with serving(WHOLE) as server:
        limits = {"openai_compatible": RateLimit(requests_per_minute=1, max_wait=1)}
        with Client("openai_compatible", limits=limits, **reached(server.origin, {})) as client:
            client.chat(**asked())
            begun = time.monotonic()
            with pytest.raises(RateLimitError) as failure:
                client.chat(**asked())
            assert time.monotonic() - begun < 0.1
        assert failure.value.code == "client_rate_limit"
        assert len(server.requests) == 1


# Leaving


def test_closing_a_stream_hangs_up_at_once():
    with serving(STREAMED) as server, Client("openai_compatible", **reached(server.origin, {})) as client:
        chunks = client.chat(**asked(stream=True))
        assert next(chunks).delta == "one"
        chunks.close()
        assert server.left.wait(AT_ONCE)


def test_a_loop_that_is_left_hangs_up_at_once():
    with serving(STREAMED) as server, Client("openai_compatible", **reached(server.origin, {})) as client:
        for _ in client.chat(**asked(stream=True)):
            break
        assert server.left.wait(AT_ONCE)


class Interrupted(BaseException):
    """What a signal raises in the middle of a call, as Ctrl-C does."""


@pytest.mark.parametrize("parts", [[SILENCE], STREAMED], ids=["head", "body"])
def test_a_signal_in_the_middle_of_a_call_hangs_up_at_once(parts: list[Any]):
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.main_thread().ident
    assert main is not None
    try:
        with serving(parts) as server, Client("openai_compatible", **reached(server.origin, {})) as client:
            threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGUSR1)).start()
            with pytest.raises(Interrupted):
                list(client.chat(**asked(stream=True)))
            assert server.left.wait(AT_ONCE)
    finally:
        signal.signal(signal.SIGUSR1, before)


async def arrived(server: WireServer) -> None:
    for _ in range(1000):
        if server.requests:
            return
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("transport", ASYNCHRONOUS)
@pytest.mark.parametrize(
    ("parts", "stream"),
    [([SILENCE], False), ([answer(b"x" * 9)[:-4], SILENCE], False), ([SILENCE], True), (STREAMED, True)],
    ids=["head of a chat", "body of a chat", "head of a stream", "body of a stream"],
)
async def test_cancelling_hangs_up_at_once(transport: Any, parts: list[Any], stream: bool):
    with serving(parts) as server:
        async with opened(transport, server.origin) as client:
            task = asyncio.create_task(read(client, asked(stream=stream)))
            await arrived(server)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.left.wait, AT_ONCE)


@pytest.mark.parametrize("transport", ASYNCHRONOUS)
async def test_closing_an_awaited_stream_hangs_up_at_once(transport: Any):
    with serving(STREAMED) as server:
        async with opened(transport, server.origin) as client:
            chunks = client.chat(**asked(stream=True))
            assert (await anext(chunks)).delta == "one"
            await chunks.aclose()
            assert await asyncio.to_thread(server.left.wait, AT_ONCE)


@pytest.mark.parametrize("transport", ASYNCHRONOUS)
async def test_cancelling_between_two_tries_sends_no_more(transport: Any):
    with serving(answer(b"{}", "503 Service Unavailable")) as server:
        policy = RetryPolicy(max_retries=5, base_delay=30, jitter=0)
        async with opened(transport, server.origin, retry=policy) as client:
            task = asyncio.create_task(client.chat(**asked()))
            await arrived(server)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert len(server.requests) == 1
