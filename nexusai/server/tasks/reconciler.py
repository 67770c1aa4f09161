"""What makes a lost id harmless: compares the rows with what is being run, and mends the difference."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import orjson

from nexusai.server.clock import now_ms
from nexusai.server.http import KEY_LIFETIME
from nexusai.server.tasks.dispatch import Dispatcher
from nexusai.server.tasks.endings import closing_events, worker_lost
from nexusai.server.tasks.events import TaskEvents
from nexusai.server.tasks.runner import Runner
from nexusai.server.tasks.store import TaskStore

__all__ = ["Reconciler"]

logger: logging.Logger = logging.getLogger("nexusai.server.tasks")


class Reconciler:
    """Delivers again what nobody runs, ends what lost its worker too often, keeps our own leases."""

    def __init__(
        self,
        *,
        store: TaskStore,
        dispatcher: Dispatcher,
        runner: Runner,
        events: TaskEvents,
        interval: float,
        max_attempts: int,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._runner = runner
        self._events = events
        self._interval = interval
        self._lost = orjson.dumps(worker_lost(max_attempts)).decode()
        self._keys_freed = 0

    async def start(self) -> None:
        """The first pass is done when this returns."""
        await self._pass()
        self._loop = asyncio.create_task(self._repeat())

    async def stop(self) -> None:
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._runner.renew()
                await self._pass()
            except Exception:
                logger.exception("the reconciler failed; it tries again in %g s", self._interval)

    async def _pass(self) -> None:
        now = now_ms()
        waiting = await self._store.undelivered(now)
        ended = await self._store.end_lost(now, self._lost) if waiting else {}
        for task_id, status in ended.items():
            error = self._lost if status == "failed" else None
            self._events.end(task_id, partial(closing_events, status, None, error, True))
        for task_id, priority, not_before, lanes in waiting:
            if task_id not in ended:
                self._dispatcher.submit(task_id, priority, not_before, lanes)
        if now - self._keys_freed > KEY_LIFETIME / 24:
            await self._store.free_keys(now - KEY_LIFETIME)
            self._keys_freed = now
