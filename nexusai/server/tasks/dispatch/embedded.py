"""The embedded dispatcher: scheduler and workers in this process, which alone owns the data folder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from nexusai.server.clock import now_ms
from nexusai.server.keys.limits import Lanes
from nexusai.server.tasks.runner import Runner
from nexusai.server.tasks.scheduler import Scheduler

__all__ = ["EmbeddedDispatcher"]

logger: logging.Logger = logging.getLogger("nexusai.server.tasks")


class EmbeddedDispatcher:
    """Runs up to `max_running` tasks at once in this event loop, and of each lane as many as it lets in."""

    def __init__(self, runner: Runner, max_running: int, lanes: Lanes | None = None) -> None:
        self._runner = runner
        self._max_running = max_running
        self._lanes = lanes or Lanes()
        self._lanes.on_room = self._let_in
        self._scheduler = Scheduler(self._lanes.room)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._open = False

    async def start(self) -> None:
        self._open = True
        self._pump()

    async def stop(self, grace: float) -> None:
        self._open = False
        if self._running:
            await asyncio.wait(self._running.values(), timeout=grace)
        for task_id in list(self._running):
            self._runner.stop(task_id, "shutdown")
        if self._running:
            await asyncio.wait(self._running.values())

    def submit(self, task_id: str, priority: int = 0, not_before: int = 0, lanes: Sequence[str] = ()) -> None:
        if task_id not in self._running:
            self._scheduler.add(task_id, priority, not_before, lanes)
            self._pump()

    def cancel(self, task_id: str) -> None:
        self._scheduler.remove(task_id)
        self._runner.stop(task_id, "cancel")
        self._pump()

    async def check(self) -> None:
        if not self._open:
            raise ConnectionError("the dispatcher is stopped")

    def _pump(self) -> None:
        while self._open and len(self._running) < self._max_running:
            taken = self._scheduler.take(now_ms())
            if taken is None:
                self._wait_for_next()
                return
            task_id, lanes = taken
            self._lanes.enter(lanes)
            self._running[task_id] = asyncio.create_task(self._run(task_id, lanes))

    def _let_in(self, lanes: Sequence[str]) -> None:
        if self._scheduler:
            self._scheduler.leave(lanes)
            self._pump()

    def _wait_for_next(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        moment = self._scheduler.next_time()
        if moment is not None:
            delay = max(0.0, (moment - now_ms()) / 1000)
            self._alarm = asyncio.get_running_loop().call_later(delay, self._pump)

    async def _run(self, task_id: str, lanes: Sequence[str]) -> None:
        try:
            if self._open:
                await self._runner.run(task_id)
        except Exception as error:
            logger.warning("task %s was dropped (%r); the reconciler will bring it again", task_id, error)
        finally:
            del self._running[task_id]
            self._lanes.leave(lanes)
