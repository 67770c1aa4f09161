"""What the routes of tasks answer, for the published contract."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from nexusai.server.tasks.states import Status

__all__ = ["Accepted", "Embeddings", "Task", "TaskFailure", "TaskPage"]


class Accepted(BaseModel):
    """A task that is stored and will run."""

    task_id: str
    status: Status
    message: str
    status_poll_url: str


class TaskFailure(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    code: str
    message: str
    retryable: bool


class Task(BaseModel):
    """A task as it is now."""

    task_id: str
    task_type: str
    status: Status
    progress: float = Field(ge=0, le=100)
    created_at: datetime
    attempts: int
    provider: str
    model: str
    request_id: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    output: dict[str, Any] | None = Field(None, description="The result; its members depend on `task_type`.")
    usage: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None
    error: TaskFailure | None = None
    metadata: dict[str, Any] | None = None


class TaskPage(BaseModel):
    """Tasks, newest first; `next_cursor` goes into `cursor` for the rest."""

    data: list[Task]
    has_more: bool
    next_cursor: str | None


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="Base64 of 32-bit numbers where that was asked for.")


class EmbeddingUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """Vectors, as OpenAI's API answers them."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
