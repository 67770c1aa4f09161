"""Load for a gateway: chats over kept connections, each answer timed and looked at whole."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import orjson

from benchmarks.gateway_upstream import TEXT, USAGE, word

__all__ = ["Outcome", "is_stream_of", "is_whole", "run"]

PATIENCE = 60.0
"""Seconds that the last answers may take."""

Check = Callable[[bytes], bool]


@dataclass
class Outcome:
    """What came of a load. Times are in seconds, from the moment a request was written."""

    answered: int = 0
    """All good answers, those of the warm-up too."""
    counted: int = 0
    """Good answers in the time that is measured."""
    seconds: float = 0.0
    taken: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    """Until the first byte of a body."""
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        return self.counted / self.seconds if self.seconds else 0.0


def is_whole(body: bytes) -> bool:
    answer = orjson.loads(body)
    text = answer["choices"][0]["message"]["content"]
    return bool(text == TEXT and answer["usage"]["total_tokens"] == USAGE["total_tokens"])


def is_stream_of(count: int) -> Check:
    """Whether a chunked body is a stream of that many words, with usage and an end."""
    expected = "".join(word(number) for number in range(count))

    def check(body: bytes) -> bool:
        lines = [line[6:] for line in _joined(body).split(b"\n") if line.startswith(b"data: ")]
        events = [orjson.loads(line) for line in lines[:-1]]
        choices = [event["choices"][0] for event in events if event["choices"]]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        used = [event["usage"]["total_tokens"] for event in events if event.get("usage")]
        ended = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
        return (
            text == expected
            and used == [USAGE["total_tokens"]]
            and ended == ["stop"]
            and lines[-1] == b"[DONE]"
        )

    return check


def _joined(body: bytes) -> bytes:
    """A chunked body without its frames."""
    parts, at = [], 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].partition(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size


class _Load:
    """What the connections of one load share."""

    def __init__(self, message: bytes, check: Check, more: Callable[[], bool]) -> None:
        self.message = message
        self.more = more
        self.outcome = Outcome()
        self.counting = False
        self.good = b""
        """A body that was looked at: one that is the same, byte for byte, is good too."""
        self._check = check

    def ended(self, status: bytes, body: bytes, sent: float, first: float) -> None:
        """An answer is there, in time or late."""
        now = time.perf_counter()
        fault = self._fault(status, body)
        if fault:
            self.outcome.faults[fault] += 1
            return
        self.outcome.answered += 1
        if self.counting:
            self.outcome.counted += 1
            self.outcome.taken.append(now - sent)
            self.outcome.first.append(first - sent)

    def _fault(self, status: bytes, body: bytes) -> str:
        if status != b"200":
            return f"status {status.decode()}: {body[:300]!r}"
        if body == self.good:
            return ""
        try:
            if not self._check(body):
                return f"another answer: {body[:300]!r}"
        except (ValueError, LookupError, TypeError) as error:
            return f"no answer ({error!r}): {body[:300]!r}"
        self.good = body
        return ""


class _Connection(asyncio.Protocol):
    """Sends the request again when its answer is there, while there is more to send."""

    def __init__(self, load: _Load, done: asyncio.Future[None]) -> None:
        self._load = load
        self._done = done
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._next()

    def _next(self) -> None:
        if not self._load.more():
            self._finish()
            return
        self._received.clear()
        self._start, self._length, self._first = 0, -1, 0.0
        self._sent = time.perf_counter()
        self._transport.write(self._load.message)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._start and not self._read_head():
            return
        if not self._first and len(self._received) > self._start:
            self._first = time.perf_counter()
        if self._length >= 0:
            whole = len(self._received) >= self._start + self._length
        else:
            whole = self._received.endswith(b"\r\n0\r\n\r\n", self._start)
        if whole:
            status, body = bytes(self._received[9:12]), bytes(self._received[self._start :])
            self._load.ended(status, body, self._sent, self._first)
            self._next()

    def _read_head(self) -> bool:
        self._start = self._received.find(b"\r\n\r\n") + 4
        if self._start < 4:
            self._start = 0
            return False
        head = bytes(self._received[: self._start]).lower()
        at = head.find(b"\r\ncontent-length:")
        self._length = int(head[at + 17 : head.index(b"\r\n", at + 17)]) if at >= 0 else -1
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._load.outcome.faults[f"connection lost: {error}"] += 1
            self._finish()

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
        self._transport.close()


async def run(
    port: int,
    message: bytes,
    check: Check,
    connections: int,
    *,
    seconds: float = 0.0,
    warm: float = 0.2,
    count: int = 0,
) -> Outcome:
    """Send a request over and over on each connection: for some seconds once warm, or `count` in all."""
    begun, left = time.perf_counter(), count

    def more() -> bool:
        nonlocal left
        left -= 1
        return left >= 0 if count else time.perf_counter() < begun + warm + seconds

    load = _Load(message, check, more)
    load.counting = bool(count)
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    for end in ends:
        await loop.create_connection(lambda end=end: _Connection(load, end), "127.0.0.1", port)
    start = begun
    if not count:
        await asyncio.sleep(max(0.0, begun + warm - time.perf_counter()))
        load.counting, start = True, time.perf_counter()
        await asyncio.sleep(seconds)
        load.counting, load.outcome.seconds = False, time.perf_counter() - start
    await _all(ends, load.outcome, PATIENCE if not count else None)
    if count:
        load.outcome.seconds = time.perf_counter() - start
    return load.outcome


async def _all(ends: list[asyncio.Future[None]], outcome: Outcome, patience: float | None) -> None:
    _, late = await asyncio.wait(ends, timeout=patience)
    for end in late:
        outcome.faults["no answer in time"] += 1
        end.set_result(None)
