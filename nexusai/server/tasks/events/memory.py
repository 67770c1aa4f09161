"""Events of the embedded platform: in this process, bounded, gone with it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from nexusai.server.tasks.events import ATTEMPT, Event, Lost

__all__ = ["MemoryEvents"]

KEPT_BYTES: Final = 32 * 1024 * 1024
"""How much of finished tasks is kept for streams that come back."""

EVENT_BYTES: Final = 200
"""What an event takes beside its data."""


class _Bell:
    """Wakes everybody who waits for one thing."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[bool]] = set()

    def ring(self) -> None:
        for future in self._waiting:
            _resolve(future, True)

    async def wait(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        alarm = loop.call_later(seconds, _resolve, future, False)
        self._waiting.add(future)
        try:
            return await future
        finally:
            alarm.cancel()
            self._waiting.discard(future)


def _resolve(future: asyncio.Future[bool], rung: bool) -> None:
    if not future.done():
        future.set_result(rung)


class _Log:
    """The events of one attempt of a task."""

    def __init__(self, attempt: int) -> None:
        self.bell = _Bell()
        self.ended = False
        self.begin(attempt)

    def begin(self, attempt: int) -> None:
        self.attempt = attempt
        self.first = max(attempt, 1) * ATTEMPT
        self.events: list[Event] = []
        self.size = 0

    def append(self, name: str, data: bytes, last: bool = False) -> None:
        self.events.append(Event(self.first + len(self.events), name, data, last))
        self.size += EVENT_BYTES + len(data)
        self.ended = last

    def after(self, after: int) -> list[Event]:
        """Raises `Lost` when `after` is of another attempt; an id from before any attempt is fine."""
        start = 0 if after < ATTEMPT else after - self.first + 1
        if not 0 <= start <= len(self.events):
            raise Lost
        return self.events[start:]


class _Watch:
    def __init__(self) -> None:
        self.final = False
        self.closed = False
        self.watchers = 0
        self.bell = _Bell()

    async def wait(self, seconds: float) -> bool:
        if not (self.final or self.closed):
            await self.bell.wait(seconds)
        return self.final


class MemoryEvents:
    """`TaskEvents` in memory: a task nobody watches and that does not stream costs nothing."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._open: dict[str, _Log] = {}
        self._ended: OrderedDict[str, _Log] = OrderedDict()
        self._ended_size = 0
        self._kept_bytes = kept_bytes
        self._watches: dict[str, _Watch] = {}
        self._closed = False

    def open(self, task_id: str, attempt: int) -> None:
        if task_id in self._ended:
            return
        log = self._open.setdefault(task_id, _Log(attempt))
        if attempt > max(log.attempt, 1):
            log.begin(attempt)

    def publish(self, task_id: str, name: str, data: bytes) -> None:
        log = self._open.get(task_id)
        if log is not None:
            log.append(name, data)
            log.bell.ring()

    def end(self, task_id: str, closing: Callable[[], Sequence[tuple[str, bytes]]]) -> None:
        log = self._open.get(task_id)
        if log is not None:
            *before, (name, data) = closing()
            for event in before:
                log.append(*event)
            log.append(name, data, last=True)
            self._keep(task_id, self._open.pop(task_id))
            log.bell.ring()
        watch = self._watches.get(task_id)
        if watch is not None:
            watch.final = True
            watch.bell.ring()

    def _keep(self, task_id: str, log: _Log) -> None:
        self._ended[task_id] = log
        self._ended_size += log.size
        while self._ended_size > self._kept_bytes:
            self._ended_size -= self._ended.popitem(last=False)[1].size

    async def follow(self, task_id: str, after: int, heartbeat: float) -> AsyncIterator[Event | None]:
        log = self._open.get(task_id) or self._ended.get(task_id)
        if log is None:
            raise Lost
        while True:
            events = log.after(after)
            for event in events:
                yield event
                after = event.id
            if events:
                continue
            if log.ended or self._closed:
                return
            if not await log.bell.wait(heartbeat):
                yield None

    @contextmanager
    def watch(self, task_id: str) -> Iterator[_Watch]:
        watch = self._watches.setdefault(task_id, _Watch())
        watch.closed = self._closed
        watch.watchers += 1
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if not watch.watchers:
                del self._watches[task_id]

    def close(self) -> None:
        self._closed = True
        for watch in self._watches.values():
            watch.closed = True
            watch.bell.ring()
        for log in self._open.values():
            log.bell.ring()
