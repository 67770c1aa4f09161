"""The life of a task as its caller sees it: submitted, waited for, asked about, cancelled. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nexusai._internal._flow import Call, Emit, Flow, OutOfTime, Reply, Sleep, at, create
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

__all__ = ["TaskPoller", "ended_badly"]

_FIRST_PAUSE = 0.2
_GROWTH = 1.5
_HELD = 0.5  # an answer that took fewer seconds was not held back, whatever its headers say


@dataclass(frozen=True, slots=True)
class TaskPoller:
    """How a task is waited for.

    Each poll asks the platform to hold its answer for `hold` seconds, so that a result is known one round
    trip after it exists. Where polls are not held there are pauses between them, 0.2 s up to `interval`.
    """

    interval: float = DEFAULT_POLL_INTERVAL
    hold: int = LONG_POLL

    def finish(self, body: Mapping[str, Any]) -> Flow[Task]:
        """Submit a task and wait for it."""
        task = yield from self.submit(body)
        return (yield from self.wait(task))

    def submit(self, body: Mapping[str, Any]) -> Flow[Task]:
        """Hand a task in; it is durable when this returns."""
        call = create("/invoke", json=body, headers={"Prefer": "respond-async"})
        try:
            reply: Reply = yield call
        except OutOfTime as over:
            raise APITimeoutError(
                f"The platform did not accept the task within {over.waited:g} s.",
                retryable=True,
                idempotency_key=call.idempotency_key,
            ) from None
        task = reply.parse(Task)
        task.task_type = task.task_type or body.get("task_type")
        task.idempotency_key = call.idempotency_key
        return task

    def wait(self, task: Task) -> Flow[Task]:
        """The task once it is completed; a poll that fails in a way that may pass does not end the wait.

        Raises `TaskFailedError`, `TaskCancelledError`, and `TaskTimeoutError` when the run's time is over.
        """
        task = yield from self.settle(task)
        if task.status != "completed":
            raise ended_badly(task)
        return task

    def settle(self, task: Task) -> Flow[Task]:
        """The task once it is final, however it ended."""
        trouble: APIError | None = None
        pause = _FIRST_PAUSE
        try:
            while not task.finished:
                try:
                    reply: Reply = yield self._poll(task)
                except APIError as error:
                    if not error.retryable:
                        raise
                    trouble, asked = error, error.retry_after
                else:
                    task, trouble, asked = _known(reply, task), None, _asked_pause(reply)
                    if task.finished or _was_held(reply):
                        pause = _FIRST_PAUSE
                        continue
                yield Sleep(self._jittered(pause) if asked is None else asked)
                pause *= _GROWTH
        except OutOfTime as over:
            raise _timed_out(task, over, trouble) from trouble
        return task

    def watch(self, tasks: Sequence[Task]) -> Flow[None]:
        """Emit each task as it becomes final. One connection looks at all in turn, and is held for the last.

        Raises `TaskTimeoutError` for one of them when the run's time is over.
        """
        waiting = list(tasks)
        pause = _FIRST_PAUSE
        try:
            while len(waiting) > 1:
                unfinished = []
                for task in waiting:
                    seen = yield from self._glance(task)
                    if seen.finished:
                        yield Emit(seen)
                    else:
                        unfinished.append(seen)
                pause = _FIRST_PAUSE if len(unfinished) < len(waiting) else pause * _GROWTH
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
        return Call("GET", at("tasks", task.task_id), hold=self.hold, retry=False)

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
    seen.task_type = seen.task_type or task.task_type
    seen.idempotency_key = task.idempotency_key
    return seen


def _was_held(reply: Reply) -> bool:
    return "wait" in reply.headers.get("preference-applied", "") and reply.elapsed >= _HELD


def _asked_pause(reply: Reply) -> float | None:
    """`Retry-After` in seconds, as far as it is reasonable."""
    try:
        return min(max(float(reply.headers["retry-after"]), 0.0), MAX_RETRY_AFTER)
    except (KeyError, ValueError):
        return None


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


def _timed_out(task: Task, over: OutOfTime, trouble: APIError | None = None) -> TaskTimeoutError:
    message = (
        f"Task {task.task_id} is still {task.status} after {over.waited:g} s. It may yet finish: "
        f"client.tasks.wait({task.task_id!r}) waits again."
    )
    if trouble is not None:
        message += f" The last look at it failed: {trouble.message}"
    return TaskTimeoutError(message, task=task, retryable=True, idempotency_key=task.idempotency_key)
