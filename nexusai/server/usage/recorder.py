"""Writes down each call to a model, in batches and after the fact: never while somebody waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Final

from nexusai.providers.errors import TimeoutError
from nexusai.providers.record import CallRecord
from nexusai.providers.types import Usage
from nexusai.server.clock import now_ms
from nexusai.server.db.backlog import Backlog
from nexusai.server.http import request_id
from nexusai.server.keys.caller import current_caller, current_task
from nexusai.server.keys.guard import Guard, Reservation
from nexusai.server.usage.models import CallRow, Rates

__all__ = ["Recorder", "current_reservation"]

current_reservation: ContextVar[Reservation | None] = ContextVar("current_reservation", default=None)
"""What was taken from the limits for the call that is about to be made."""

AT_ONCE: Final = 2000
_NOTHING: Final = Usage(0, 0)


class Recorder(Backlog[CallRow]):
    """Settles what was taken from the limits, and keeps rows until they are written."""

    def __init__(
        self,
        write: Callable[[Sequence[CallRow]], Awaitable[None]],
        rates: Rates,
        guard: Guard,
        most: int = 100_000,
    ) -> None:
        super().__init__(write, "usage", most, AT_ONCE)
        self._guard = guard
        self._rates = rates

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
            reservation.count(usage.total_tokens if usage else 0, dollars)
        if caller is None:
            return
        if dollars:
            self._guard.spent(caller, dollars, reservation)
        error, usage = record.error, usage or _NOTHING
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
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                cached_tokens=usage.cached_tokens or 0,
                cache_write_tokens=usage.cache_write_tokens or 0,
                reasoning_tokens=usage.reasoning_tokens or 0,
                usage_source=usage.source if record.usage else None,
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


def _may_be_billed(record: CallRecord) -> bool:
    """Whether a provider may have done the work of an answer that nobody read."""
    return record.cut or isinstance(record.error, TimeoutError)
