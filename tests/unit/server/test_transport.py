from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from nexusai.server.transport import JoiningProtocol, JoiningTransport

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Written:
    """What a transport has to send, write by write."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.write = self.pieces.append
        self.is_closing: Callable[[], bool] = lambda: False
        self.pause_reading = self.resume_reading = self.get_extra_info = lambda *_: None

    def close(self) -> None:
        self.pieces.append(b"<closed>")

    def abort(self) -> None:
        self.pieces.append(b"<aborted>")


@pytest.fixture
async def sent():
    return Written()


@pytest.fixture
async def transport(sent: Written):
    return JoiningTransport(sent, asyncio.get_running_loop())


async def test_a_head_leaves_with_the_body_that_follows_at_once(transport: JoiningTransport, sent: Written):
    transport.write(HEAD)
    transport.write(b"ok")
    transport.write(b"more")
    await asyncio.sleep(0)

    assert sent.pieces == [HEAD + b"ok", b"more"]


async def test_a_head_does_not_wait_for_a_body_that_comes_later(transport: JoiningTransport, sent: Written):
    transport.write(HEAD)
    assert sent.pieces == []
    await asyncio.sleep(0)
    assert sent.pieces == [HEAD]
    transport.write(b"ok")
    assert sent.pieces == [HEAD, b"ok"]


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_a_head_is_sent_before_its_connection_is_closed_not_before_it_is_cut(
    end: str, transport: JoiningTransport, sent: Written
):
    transport.write(HEAD)
    getattr(transport, end)()

    assert sent.pieces == ([HEAD, b"<closed>"] if end == "close" else [b"<aborted>"])


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to an application behind uvicorn."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=JoiningProtocol, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await running


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_responses_are_what_they_would_be_without_it(method: str):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with serving(app) as (reader, writer):
        for _ in range(2):
            writer.write(f"{method} / HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            if method == "GET":
                assert await reader.readexactly(2) == b"ok"


async def test_the_head_of_a_stream_is_there_before_its_first_event():
    come = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await come.wait()
        await send({"type": "http.response.body", "body": b"data: 1\n\n"})

    async with serving(app) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        come.set()
        assert b"data: 1" in await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 10)
