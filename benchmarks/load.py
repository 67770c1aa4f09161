"""An HTTP/1.1 load generator that costs little: ready-made requests over kept connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Rate", "request", "send_all", "throughput"]


def request(method: str, path: str, key: str, body: bytes = b"", headers: str = "") -> bytes:
    """A whole request as bytes."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Rate(NamedTuple):
    per_second: float
    total: int


class _Connection(asyncio.Protocol):
    """Sends the same request again as soon as the answer to the last is there, while `again` says so."""

    def __init__(self, message: bytes, again: Callable[[bytes], bool]) -> None:
        self._message = message
        self._again = again
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._message)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end].lower()
        at = head.find(b"content-length: ") + 16
        length = int(head[at:].partition(b"\r\n")[0])
        if len(self._received) >= end + 4 + length:
            status, self._received = self._received[9:12], self._received[end + 4 + length :]
            if self._again(status):
                self._transport.write(self._message)
            else:
                self._transport.close()


async def throughput(port: int, message: bytes, connections: int, seconds: float, status: bytes) -> Rate:
    """Answers per second after a warm-up of half a second, and how many there were in all.

    Raises when one has another status.
    """
    answered, wrong, until = 0, set[bytes](), time.perf_counter() + 0.5 + seconds

    def again(got: bytes) -> bool:
        nonlocal answered
        answered += 1
        if got != status:
            wrong.add(got)
        return time.perf_counter() < until

    await _open(port, message, connections, again)
    await asyncio.sleep(0.5)
    before, begun = answered, time.perf_counter()
    await asyncio.sleep(seconds)
    rate = (answered - before) / (time.perf_counter() - begun)
    if wrong:
        raise RuntimeError(f"answers with status {wrong}")
    return Rate(rate, answered)


async def send_all(port: int, message: bytes, connections: int, count: int, status: bytes) -> None:
    """Send the request `count` times; returns when all are answered."""
    sent, answered = connections, 0
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def again(got: bytes) -> bool:
        nonlocal sent, answered
        answered += 1
        if got != status:
            done.set_exception(RuntimeError(f"an answer with status {got!r}"))
        elif answered == count:
            done.set_result(None)
        sent += 1
        return sent <= count

    await _open(port, message, connections, again)
    await done


async def _open(port: int, message: bytes, connections: int, again: Callable[[bytes], bool]) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(message, again), "127.0.0.1", port)
