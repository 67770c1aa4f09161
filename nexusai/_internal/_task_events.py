"""What is known of the events of a task. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json
from typing_extensions import override

from nexusai._internal._events import EVENTS, EventState
from nexusai._internal._flow import Call, at
from nexusai._internal._streaming import ServerSentEvent
from nexusai.error import APIError, StreamError, TaskError
from nexusai.models import Task, TaskEvent, TaskFailure

__all__ = ["TaskEventState"]

_KINDS: Final = {"delta": "delta", "output": "output", "finish_reason": "end", "task_id": "start"}
"""What an event without a name of its own is, by the field that it has."""


class TaskEventState(EventState[TaskEvent]):
    """What happens to a task. `task` is kept up to date by it."""

    def __init__(self, task: Task, *, retries: int, idle: float) -> None:
        opening = Call("GET", at("tasks", task.task_id, "events"), headers=EVENTS, timeout=idle)
        super().__init__(opening, retries=retries, idle=idle)
        self.task_id = task.task_id
        self.task = task

    @override
    def _message(self, event: ServerSentEvent) -> TaskEvent:
        try:
            data = from_json(event.data)
            found = TaskEvent.model_validate({**data, "kind": _kind(event.event, data), "id": event.id})
        except (ValueError, TypeError):
            raise self._end(StreamError("The stream has an event that cannot be read.")) from None
        if found.kind == "end":
            found.status, found.progress = "completed", 100.0
        return self._learn(found)

    @override
    def _ended(self, failure: APIError) -> TaskEvent:
        """A task that failed is news like any other; that the stream is lost is not."""
        if not isinstance(failure, TaskError):
            raise failure
        task = failure.task
        return self._learn(
            TaskEvent(kind="error", id=self._last_event_id, status=task.status, error=task.error)
        )

    def _learn(self, event: TaskEvent) -> TaskEvent:
        for name in ("status", "progress", "error", "provider", "model"):
            value = getattr(event, name)
            if value is not None:
                setattr(self.task, name, value)
        return event

    @override
    def _task(self, status: str, failure: TaskFailure | None = None) -> Task:
        return self.task.model_copy(update={"status": status, "error": failure})


def _kind(name: str, data: Mapping[str, Any]) -> str:
    if name != "message":
        return name
    return next((kind for field, kind in _KINDS.items() if field in data), name)
