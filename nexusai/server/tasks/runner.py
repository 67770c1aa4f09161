"""One attempt at a task, from its claim to its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from nexusai.providers.reliability.router import ROUTE
from nexusai.providers.trace import upstream_headers
from nexusai.server.catalogue import Catalogue
from nexusai.server.clock import now_ms
from nexusai.server.http import Problem
from nexusai.server.http import request_id as current_request
from nexusai.server.keys.caller import CallerOf, current_caller, current_task
from nexusai.server.tasks.endings import Failure, closing_events, failure, timed_out
from nexusai.server.tasks.events import TaskEvents
from nexusai.server.tasks.kinds.kind import Job, Kind, Media, Output
from nexusai.server.tasks.models import StoredRequest, TaskRow
from nexusai.server.tasks.store import Claim, Ending, TaskStore
from nexusai.server.traffic import TaskRun, current_work

__all__ = ["Reason", "Runner"]

logger: logging.Logger = logging.getLogger("nexusai.server.tasks")

Reason = Literal["cancel", "shutdown", "timeout"]
Spans = Callable[[TaskRun, Mapping[str, str]], AbstractContextManager[Mapping[str, str]]]
"""What is around an attempt, and the trace headers that its calls carry in place of its caller's."""

CLAIMS_AT_ONCE: Final = 4
"""Under load accepting comes before beginning: at most so many tasks begin with each transaction."""

REPORT_EVERY: Final = 0.5
"""Seconds between two progress reports of a task that reach the row; its events carry all of them."""


LONGEST_PAUSE: Final = 1.0
"""Seconds between two tries to store an end."""


@dataclass(slots=True)
class _Slot:
    """A task that is being run here: `task` is set while its body may be interrupted."""

    why: Reason | None = None
    task: asyncio.Task[Any] | None = None
    leaving: bool = False
    """The platform stops, whatever stopped the task before."""


class Runner:
    """Runs tasks as one worker, under its own name and lease."""

    def __init__(
        self,
        *,
        worker: str,
        store: TaskStore,
        events: TaskEvents,
        catalogue: Catalogue,
        kinds: Mapping[str, Kind],
        media: Media,
        lease: float,
        caller_of: CallerOf,
    ) -> None:
        self._worker = worker
        self._caller_of = caller_of
        self._store = store
        self._events = events
        self._catalogue = catalogue
        self._kinds = kinds
        self._media = media
        self._lease_ms = int(lease * 1000)
        self._claims = asyncio.Semaphore(CLAIMS_AT_ONCE)
        self._slots: dict[str, _Slot] = {}
        self._reports: set[asyncio.Task[None]] = set()
        self.on_told: Callable[[], object] = _nobody
        """Called when a task has ended of which somebody is to be told."""
        self.on_ended: Callable[[TaskRun], object] = _nothing
        """Called after each attempt."""
        self.spans: Spans = _no_span

    def stop(self, task_id: str, why: Reason) -> None:
        """Interrupt the task if it runs here: cancel it, or hand it back on `shutdown`."""
        slot = self._slots.get(task_id)
        if slot is not None and why == "shutdown":
            slot.leaving = True
        if slot is not None and slot.why is None:
            slot.why = why
            if slot.task is not None:
                slot.task.cancel()

    async def renew(self) -> None:
        """Keep the lease on everything that runs here."""
        if self._slots:
            await self._store.renew(self._worker, list(self._slots), now_ms() + self._lease_ms)

    async def run(self, task_id: str) -> None:
        """Claim the task and bring it to its end; nothing happens when it cannot be claimed."""
        slot = self._slots[task_id] = _Slot()
        try:
            async with self._claims:
                now = now_ms()
                row = await self._store.claim(Claim(task_id, self._worker, now, now + self._lease_ms))
            if row is not None:
                current_request.set(row.request_id)
                current_task.set(row.id)
                current_caller.set(await self._caller_of(row.project, row.key_id))
                await self._watched(row, slot)
                if row.notify:
                    self.on_told()
        finally:
            del self._slots[task_id]

    async def _watched(self, row: TaskRow, slot: _Slot) -> None:
        waited = max(0, now_ms() - row.created_at) / 1000
        run = TaskRun(row.request_id, row.id, row.task_type, row.attempt, waited)
        run.project, run.key_id = row.project, row.key_id
        current_work.set(run)
        stored = StoredRequest.of(row)
        try:
            with self.spans(run, stored.trace) as trace:
                upstream_headers.set(trace)
                await self._carry_out(row, stored, slot, run)
        finally:
            self.on_ended(run)

    async def _carry_out(self, row: TaskRow, stored: StoredRequest, slot: _Slot, run: TaskRun) -> None:
        status, output_json, failed = "completed", None, None
        try:
            output_json = orjson.dumps(await self._attempt(row, stored, slot)).decode()
        except asyncio.CancelledError:
            if slot.why == "shutdown":
                await self._store.release(row.id, row.attempt)
                return
            status, failed = _interrupted(row, slot.why)
        except Exception as error:
            status, failed = "failed", failure(error)
            run.failed(failed["code"], error)
            if failed["code"] == "INTERNAL_ERROR":
                logger.exception("task %s failed inside the platform", row.id)
        run.status, run.code = status, failed["code"] if failed else None
        error_json = orjson.dumps(failed).decode() if failed else None
        await self._end(slot, stored, Ending(row.id, row.attempt, status, output_json, error_json, now_ms()))

    async def _attempt(self, row: TaskRow, stored: StoredRequest, slot: _Slot) -> Output:
        if slot.why is not None:  # stopped while it was being claimed
            raise asyncio.CancelledError
        kind = self._kinds[row.task_type]
        job = self._job(row, stored, kind)
        if stored.stream:
            self._events.open(row.id, row.attempt)
        self._events.publish(row.id, "status", b'{"status":"running"}')
        slot.task = asyncio.current_task()
        alarm = asyncio.get_running_loop().call_later(row.timeout, self.stop, row.id, "timeout")
        try:
            return await kind.run(job)
        finally:
            alarm.cancel()
            slot.task = None

    def _job(self, row: TaskRow, stored: StoredRequest, kind: Kind) -> Job:
        provider = self._catalogue.get(row.provider, row.model)
        if provider is None:
            what = f"route {row.model!r}" if row.provider == ROUTE else f"provider {row.provider!r}"
            raise Problem("PROVIDER_ERROR", f"The {what} is no longer configured here.")
        input, config, extra = kind.parse(stored.input, stored.config)
        return Job(
            id=row.id,
            project=row.project,
            provider=provider,
            model=row.model,
            input=input,
            config=config,
            extra=extra,
            stream=stored.stream,
            media=self._media,
            emit=lambda event: self._events.publish(row.id, "", orjson.dumps(event)),
            progress=self._progress(row),
        )

    def _progress(self, row: TaskRow) -> Callable[[float], None]:
        reported = -REPORT_EVERY

        def progress(percent: float) -> None:
            nonlocal reported
            self._events.publish(row.id, "progress", orjson.dumps({"progress": round(percent, 1)}))
            now = time.monotonic()
            if now - reported >= REPORT_EVERY:
                reported = now
                report = asyncio.ensure_future(self._store.report(row.id, row.attempt, percent))
                self._reports.add(report)
                report.add_done_callback(self._reports.discard)

        return progress

    async def _end(self, slot: _Slot, stored: StoredRequest, ending: Ending) -> None:
        if not await self._finish(slot, ending):
            logger.warning("task %s: attempt %d is not the running one; its end was dropped", *ending[:2])
            return
        status, output_json, error_json = ending.status, ending.output_json, ending.error_json
        self._events.end(
            ending.task_id, lambda: closing_events(status, output_json, error_json, stored.stream)
        )

    async def _finish(self, slot: _Slot, ending: Ending) -> bool:
        """Store the end. A result was paid for: while the database refuses it, it is kept and tried again."""
        pause = 0.1
        while True:
            try:
                return await self._store.finish(ending)
            except Exception as error:
                if slot.leaving:
                    raise
                logger.warning("task %s: its end cannot be stored yet: %s", ending.task_id, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _nobody() -> None:
    pass


def _no_span(run: TaskRun, trace: Mapping[str, str]) -> AbstractContextManager[Mapping[str, str]]:
    return nullcontext(trace)


def _nothing(run: TaskRun) -> None:
    pass


def _interrupted(row: TaskRow, why: Reason | None) -> tuple[str, Failure | None]:
    """How a task ends whose body was cancelled; by nobody of ours, when there is no reason."""
    if why == "cancel":
        return "cancelled", None
    if why == "timeout":
        return "failed", timed_out(row.timeout)
    return "failed", failure(RuntimeError("cancelled from inside"))
