"""What happens to a task while it runs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from nexusai.models._answer import Cost, Subscripted, Usage
from nexusai.models._task import TaskFailure
from nexusai.models._text import Delta

__all__ = ["TaskEvent"]


class TaskEvent(Subscripted):
    """Something that happened to a task; `kind` says what, and which fields there are.

    `start`: task_id, provider, model. `status`. `progress`. `delta`: a piece of a text. `output`: a result
    that is no text. `end`: finish_reason, usage, cost; its status is `completed`. `error`: the task failed or
    was cancelled. One of the last two comes last. A newer platform may send further kinds.
    """

    kind: str = Field(description="start, status, progress, delta, output, end or error.")
    id: str | None = Field(default=None, description="The place in the stream.", repr=False)
    status: str | None = Field(default=None, description="The task's status from now on.")
    progress: float | None = Field(default=None, description="0 to 100.")
    delta: Delta | None = Field(default=None, description="What is added to the text.")
    output: dict[str, Any] | None = Field(default=None, description="What the task made.", repr=False)
    finish_reason: str | None = Field(default=None, description="stop, length, tool_calls or content_filter.")
    usage: Usage | None = Field(default=None, description="Tokens of the whole answer.")
    cost: Cost | None = Field(default=None, description="What the whole answer cost.")
    error: TaskFailure | None = Field(default=None, description="Why the task failed.")
    task_id: str | None = Field(default=None, description="The task.")
    provider: str | None = Field(default=None, description="Who runs it.")
    model: str | None = Field(default=None, description="The model that runs it.")
