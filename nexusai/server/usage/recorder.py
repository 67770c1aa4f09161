"""Writes down each call to a model, in batches and after the fact: never while somebody waits."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Final

from nexusai.providers.errors import TimeoutError
from nexusai.providers.record import CallRecord
from nexusai.server.clock import now_ms
from nexusai.server.http import request_id
from nexusai.server.keys.caller import current_caller, current_task
from nexusai.server.keys.guard import Guard, Reservation
from nexusai.server.usage.models import CallRow, Rates

__all__ = ["Recorder", "current_reservation"]

logger: logging.Logger = logging.getLogger("nexusai.server.usage")

current_reservation: ContextVar[Reservation | None] = ContextVar("current_reservation", default=None)
"""What was taken from the limits for the call that is about to be made."""

EVERY: Final = 0.25
"""Seconds for which rows are gathered before they are written."""
AT_ONCE: Final = 2000
LONGEST_PAUSE: Final = 5.0

Write = Callable[[Sequence[CallRow]], Awaitable[None]]


class Recorder:
    """Holds at most `most` rows while the database cannot be written; older ones are dropped, and counted."""

    def __init__(self, write: Write, rates: Rates, guard: Guard, most: int = 100_000) -> None:
        self.dropped: int = 0
        self._write = write
        self._guard = guard
        self._rates = rates
        self._rows: deque[CallRow] = deque()
        self._most = most
        self._loop: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._news = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Rows that are not written yet."""
        return len(self._rows)

    async def start(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what is left, if that can be done."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        try:
            await self.flush()
        except Exception as error:
            logger.error("the usage of %d calls was not written: %s", len(self._rows), error)

    def heard(self, record: CallRecord) -> None:
        """A hook of the model layer: settle what was taken from the limits, and keep a row."""
        context = record.context
        if context is None:
            return
        usage, cost = record.usage, record.cost
        dollars = self._rates.dollars(cost) or 0.0
        reservation, caller = context.get(current_reservation), context.get(current_caller)
        if reservation is not None and usage is None and record.attempts and _may_be_billed(record):
            reservation.keep()
        elif reservation is not None:
            reservation.settle(usage.total_tokens if usage else 0, dollars)
        if caller is None:
            return
        if dollars:
            self._guard.spent(caller, dollars, reservation.covers if reservation else frozenset())
        error = record.error
        self.add(
            CallRow(
                at=now_ms(),
                project=caller.project.id,
                key_id=caller.key.id if caller.key is not None else None,
                request_id=context.get(request_id) or "-",
                task_id=context.get(current_task),
                operation=record.operation,
                provider=record.provider,
                model=record.model,
                status="cut" if record.cut else "completed" if error is None else "failed",
                error_code=None if error is None else error.code or type(error).__name__,
                prompt_tokens=usage.prompt_tokens if usage else 0,
                completion_tokens=usage.completion_tokens if usage else 0,
                cached_tokens=(usage.cached_tokens or 0) if usage else 0,
                cache_write_tokens=(usage.cache_write_tokens or 0) if usage else 0,
                reasoning_tokens=(usage.reasoning_tokens or 0) if usage else 0,
                usage_source=usage.source if usage else None,
                cost=cost.amount if cost else None,
                currency=cost.currency if cost else None,
                estimated=cost.estimated if cost else False,
                dollars=dollars,
                seconds=record.seconds,
                first_chunk=record.first_chunk,
                attempts=record.attempts,
                tried=",".join(record.tried) or None,
            )
        )

    def add(self, row: CallRow) -> None:
        self._rows.append(row)
        self._news.set()
        if len(self._rows) > self._most:
            self._rows.popleft()
            self.dropped += 1

    async def flush(self) -> None:
        """Write what is there now. Raises what the database raises; nothing is lost by that."""
        async with self._writing:
            while self._rows:
                rows = [self._rows.popleft() for _ in range(min(AT_ONCE, len(self._rows)))]
                try:
                    await self._write(rows)
                except BaseException:
                    self._rows.extendleft(reversed(rows))
                    raise

    async def _run(self) -> None:
        pause = EVERY
        while True:
            await self._news.wait()
            await asyncio.sleep(pause)
            self._news.clear()
            try:
                await self.flush()
                pause = EVERY
            except Exception as error:
                self._news.set()
                pause = min(2 * pause, LONGEST_PAUSE)
                logger.warning("usage cannot be written yet (%d rows wait): %s", len(self._rows), error)


def _may_be_billed(record: CallRecord) -> bool:
    """Whether a provider may have done the work of an answer that nobody read."""
    return record.cut or isinstance(record.error, TimeoutError)
