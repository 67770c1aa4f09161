"""Tasks, and how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError
from typing_extensions import Self

from nexusai.error import APIError
from nexusai.models._answer import Answer, Cost, Date, Page, Text, Usage

__all__ = ["Result", "Task", "TaskFailure", "TaskPage"]

_FINAL: Final = frozenset({"completed", "failed", "cancelled"})


class TaskFailure(Answer):
    """Why a task failed."""

    code: str | None = Field(default=None, description="One of `nexusai.error.CODES`.")
    message: Text = Field(default="", description="What happened, in words.")
    retryable: bool = Field(default=False, description="Whether the same task may succeed later.")
    errors: list[dict[str, Any]] | None = Field(
        default=None, description="`{loc, msg, type}` of each wrong field.", repr=False
    )


def _failure(value: object) -> object:
    return {"message": value} if isinstance(value, str) else value


class Task(Answer):
    """A piece of work on the platform."""

    task_id: str = Field(description="`task_…`")
    task_type: str | None = Field(default=None, description="For example `text_generation`.")
    status: str = Field(
        default="pending", description="pending, queued, running; completed, failed, cancelled."
    )
    progress: float | None = Field(default=None, description="0 to 100.")
    created_at: Date | None = Field(default=None, description="When it was accepted.", repr=False)
    started_at: Date | None = Field(default=None, description="When it began to run.", repr=False)
    finished_at: Date | None = Field(default=None, description="When it became final.", repr=False)
    output: dict[str, Any] | None = Field(
        default=None, description="What it made, once completed.", repr=False
    )
    error: Annotated[TaskFailure | None, BeforeValidator(_failure)] = Field(
        default=None, description="Why it failed, once failed."
    )
    attempts: int | None = Field(default=None, description="How often it was begun.", repr=False)
    provider: str | None = Field(default=None, description="Who runs it.")
    model: str | None = Field(default=None, description="The model that runs it.")
    usage: Usage | None = Field(default=None, description="Tokens used.", repr=False)
    cost: Cost | None = Field(default=None, description="What it cost.", repr=False)
    metadata: dict[str, Any] | None = Field(default=None, description="The caller's own labels.", repr=False)
    request_id: str | None = Field(default=None, description="The request that submitted it.", repr=False)
    idempotency_key: str | None = Field(
        default=None, description="The key that this client submitted it under.", repr=False
    )

    @property
    def id(self) -> str:
        return self.task_id

    @property
    def finished(self) -> bool:
        """Whether the status is final. A status that this version does not know is not."""
        return self.status in _FINAL


class TaskPage(Page[Task]):
    """One page of the tasks, newest first."""


class Result(Answer):
    """What a task made, typed."""

    task_id: str | None = Field(default=None, description="The task that made it.")
    provider: str | None = Field(default=None, description="Who ran it, after routing and fallback.")
    model: str | None = Field(default=None, description="The model that was used.")
    usage: Usage | None = Field(default=None, description="Tokens used.")
    cost: Cost | None = Field(default=None, description="What it cost.")

    @classmethod
    def from_task(cls, task: Task, output: Mapping[str, Any] | None = None) -> Self:
        """The task's output, or one part of it. Raises `APIError` when it is not a result of this type."""
        facts = {name: getattr(task, name) for name in ("provider", "model", "usage", "cost")}
        known = {name: value for name, value in facts.items() if value is not None}
        try:
            return cls.model_validate({**known, **(output or task.output or {}), "task_id": task.task_id})
        except ValidationError as error:
            missing = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
            raise APIError(
                f"Task {task.task_id} is {task.status}, but has no {cls.__name__} as output: see {missing}.",
                request_id=task.request_id,
            ) from None
