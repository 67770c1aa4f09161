"""The life of a task as its caller sees it: submitted, waited for, asked about, cancelled. Pure."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from nexusai._internal._errors import seconds
from nexusai._internal._flow import Call, Emit, Flow, Grace, OutOfTime, Reply, Sleep, at, create
from nexusai.constants import DEFAULT_POLL_INTERVAL, LONG_POLL, MAX_RETRY_AFTER
from nexusai.error import (
    APIError,
    APITimeoutError,
    TaskCancelledError,
    TaskError,
    TaskFailedError,
    TaskTimeoutError,
)
from nexusai.models import Task, TaskFailure

__all__ = ["FIRST_PAUSE", "GROWTH", "TaskPoller", "ended_badly", "within_bounds"]

T = TypeVar("T")

_logger = logging.getLogger("nexusai")

FIRST_PAUSE = 0.2
GROWTH = 1.5
_HELD = 0.5  # an answer that took fewer seconds was not held back, whatever its headers say
_WATCHED = 1  # a poll is held until the task ends: longer than this, and nothing is seen on the way there
_GRACE = 5.0  # seconds to cancel what is not waited for any more


@dataclass(frozen=True, slots=True)
class TaskPoller:
    """How a task is waited for.

    Each poll asks the platform to hold its answer for `hold` seconds, so that a result is known one round
    trip after it exists. Where polls are not held there are pauses between them, 0.2 s up to `interval`.
    """

    interval: float = DEFAULT_POLL_INTERVAL
    hold: int = LONG_POLL
    watched: bool = False
    """Whether to emit the task: as it is at first, then whenever its status or progress has changed."""
    on_timeout: str = "detach"
    """What becomes of a task when the time is over: `detach` lets it go on, `cancel` ends it."""
    on_interrupt: str = "detach"
    """The same for a wait that is broken off, by Ctrl-C or because the asyncio task is cancelled."""

    def finish(self, body: Mapping[str, Any], key: str | None = None) -> Flow[Task]:
        """Submit a task and wait for it."""
        task = yield from self.submit(body, key)
        return (yield from self.wait(task))

    def submit(self, body: Mapping[str, Any], key: str | None = None) -> Flow[Task]:
        """Hand a task in, under an idempotency `key` or a new one; it is durable when this returns."""
        keyed = {} if key is None else {"Idempotency-Key": key}
        task = yield from self.accept(
            create("/invoke", json=body, headers={"Prefer": "respond-async", **keyed})
        )
        task.task_type = task.task_type or body.get("task_type")
        return task

    def accept(self, call: Call) -> Flow[Task]:
        """The task that a call which creates one is answered with."""
        try:
            reply: Reply = yield call
        except OutOfTime as over:
            raise APITimeoutError(
                f"The platform did not accept the task within {over.waited:g} s.",
                retryable=True,
                idempotency_key=call.idempotency_key,
            ) from None
        except BaseException as error:
            if _interrupts(error):
                again = f"the same call with idempotency_key={call.idempotency_key!r} makes no second one"
                _tell(error, f"The task may have been accepted: {again}.")
            raise
        task = reply.parse(Task)
        task.idempotency_key = call.idempotency_key
        return task

    def wait(self, task: Task) -> Flow[Task]:
        """The task once it is completed; a poll that fails in a way that may pass does not end the wait.

        Raises `TaskFailedError`, `TaskCancelledError`, and `TaskTimeoutError` when the run's time is over.
        """
        return (yield from self.attend([task], self.complete(task)))

    def attend(self, tasks: list[Task], work: Flow[T]) -> Flow[T]:
        """What `work` on these tasks returns; cut short, it leaves them or cancels them, as was asked."""
        try:
            return (yield from work)
        except APITimeoutError as late:
            if self.on_timeout == "cancel":
                late.message = " ".join([late.message, *(yield from self._give_up(tasks))])
                if isinstance(late, TaskTimeoutError):
                    late.task = next((task for task in tasks if _ended(task, late.task)), late.task)
            raise
        except BaseException as error:
            if _interrupts(error):
                cancel = self.on_interrupt == "cancel"
                for line in (yield from self._give_up(tasks)) if cancel else _left(tasks):
                    _tell(error, line)
            raise

    def complete(self, task: Task) -> Flow[Task]:
        """The task once it is completed, as `wait`; cut short, it is left to itself."""
        task = yield from self.settle(task)
        if task.status != "completed":
            raise ended_badly(task)
        return task

    def settle(self, task: Task) -> Flow[Task]:
        """The task once it is final, however it ended."""
        trouble: APIError | None = None
        pause = FIRST_PAUSE
        try:
            if self.watched:
                yield Emit(task)
            while not task.finished:
                before = task
                try:
                    reply: Reply = yield self._poll(task)
                except APIError as error:
                    if not error.retryable:
                        raise
                    trouble, asked = error, error.retry_after
                else:
                    task, trouble, asked = (
                        _known(reply, task),
                        None,
                        seconds(reply.headers.get("retry-after")),
                    )
                if self.watched and _moved(before, task):
                    yield Emit(task)
                if task.finished or (trouble is None and _was_held(reply)):
                    pause = FIRST_PAUSE
                    continue
                yield Sleep(self._jittered(pause) if asked is None else within_bounds(asked))
                pause *= GROWTH
        except OutOfTime as over:
            raise _timed_out(task, over, trouble, goes_on=self.on_timeout == "detach") from trouble
        return task

    def watch(self, tasks: Sequence[Task]) -> Flow[None]:
        """Emit each task as it becomes final. One connection looks at all in turn, and is held for the last.

        Raises `TaskTimeoutError` for one of them when the run's time is over.
        """
        waiting = list(tasks)
        pause = FIRST_PAUSE
        try:
            while len(waiting) > 1:
                unfinished = []
                for task in waiting:
                    seen = yield from self._glance(task)
                    if seen.finished:
                        yield Emit(seen)
                    else:
                        unfinished.append(seen)
                pause = FIRST_PAUSE if len(unfinished) < len(waiting) else pause * GROWTH
                waiting = unfinished
                if len(waiting) > 1:
                    yield Sleep(self._jittered(pause))
        except OutOfTime as over:
            raise _timed_out(waiting[0], over) from None
        for task in waiting:
            yield Emit((yield from self.settle(task)))

    def look(self, task: Task) -> Flow[Task]:
        """The task as it stands now."""
        reply: Reply = yield Call("GET", at("tasks", task.task_id))
        return _known(reply, task)

    def cancel(self, task: Task) -> Flow[Task]:
        """Ask for the task to be cancelled. Raises `ConflictError` when it is final already."""
        reply: Reply = yield Call("POST", at("tasks", task.task_id, "cancel"))
        return _known(reply, task)

    def _poll(self, task: Task) -> Call:
        hold = min(self.hold, _WATCHED) if self.watched else self.hold
        return Call("GET", at("tasks", task.task_id), hold=hold, retry=False)

    def _give_up(self, tasks: list[Task]) -> Flow[list[str]]:
        """Ask for what is unfinished to be cancelled, in time of its own; what came of it, never an error."""
        told = []
        yield Grace(_GRACE)
        for number, task in enumerate(tasks):
            if task.finished:
                continue
            try:
                tasks[number] = yield from self.cancel(task)
                told.append(f"Task {task.task_id} was asked to stop and is {tasks[number].status}.")
            except Exception as error:  # what cut the work short is what the caller is told of
                told.append(f"Task {task.task_id} could not be cancelled: {error}")
        return told

    def _glance(self, task: Task) -> Flow[Task]:
        if task.finished:
            return task
        try:
            return (yield from self.look(task))
        except APIError as error:
            if not error.retryable:
                raise
            return task

    def _jittered(self, pause: float) -> float:
        return min(pause, self.interval) * random.uniform(0.75, 1.0)


def _known(reply: Reply, task: Task) -> Task:
    """The task as answered, with what only its submission could tell."""
    seen = reply.parse(Task)
    if seen.task_id != task.task_id:
        raise APIError(
            f"The answer is not about {task.task_id}: is there a cache between here and the platform?",
            status_code=reply.status,
            request_id=seen.request_id,
        )
    seen.task_type = seen.task_type or task.task_type
    seen.idempotency_key = task.idempotency_key
    return seen


def _was_held(reply: Reply) -> bool:
    return "wait" in reply.headers.get("preference-applied", "") and reply.elapsed >= _HELD


def within_bounds(asked: float) -> float:
    """A `Retry-After` in seconds, as far as it is reasonable: no storm of polls, no pause for ever."""
    return min(max(asked, FIRST_PAUSE), MAX_RETRY_AFTER)


def ended_badly(task: Task) -> TaskError:
    """The error that stands for a task which is failed or cancelled."""
    facts: dict[str, Any] = {
        "task": task,
        "request_id": task.request_id,
        "idempotency_key": task.idempotency_key,
    }
    if task.status == "cancelled":
        return TaskCancelledError(f"Task {task.task_id} was cancelled.", error_code="CANCELLED", **facts)
    failure = task.error or TaskFailure()
    return TaskFailedError(
        failure.message or f"Task {task.task_id} failed and does not say why.",
        error_code=failure.code,
        retryable=failure.retryable,
        errors=failure.errors,
        **facts,
    )


def _timed_out(
    task: Task, over: OutOfTime, trouble: APIError | None = None, *, goes_on: bool = True
) -> TaskTimeoutError:
    message = f"Task {task.task_id} is still {task.status} after {over.waited:g} s."
    if goes_on:
        message += (
            " It may yet finish: error.handle.wait(), or "
            f"client.tasks.wait({task.task_id!r}) in any process, waits again."
        )
    if trouble is not None:
        message += f" The last look at it failed: {trouble.message}"
    return TaskTimeoutError(message, task=task, retryable=True, idempotency_key=task.idempotency_key)


def _ended(task: Task, known: Task) -> bool:
    return task.finished and task.task_id == known.task_id


def _moved(before: Task, after: Task) -> bool:
    return (before.status, before.progress or 0) != (after.status, after.progress or 0)


def _interrupts(error: BaseException) -> bool:
    """Whether it came from outside: Ctrl-C, an exit, a cancelled asyncio task."""
    return not isinstance(error, (Exception, GeneratorExit))


def _left(tasks: Sequence[Task]) -> list[str]:
    return [
        f"Task {task.task_id} goes on: client.tasks.wait({task.task_id!r}) waits for it."
        for task in tasks
        if not task.finished
    ]


def _tell(error: BaseException, line: str) -> None:
    """Put a line under the traceback, where Python can (3.11 on), and into the log."""
    _logger.info(line)
    if sys.version_info >= (3, 11):
        error.add_note(line)
