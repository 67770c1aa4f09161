"""Batches: many tasks handed in as one."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from nexusai.models._answer import Answer, Cost, Date, Page, Usage
from nexusai.models._task import TaskFailure

__all__ = ["Batch", "BatchCounts", "BatchPage", "BatchResult"]

_FINAL: Final = frozenset({"completed", "failed", "cancelled"})


class BatchCounts(Answer):
    """How far the tasks of a batch are."""

    total: int = Field(default=0, description="All of them.")
    completed: int = Field(default=0, description="Those that have a result.")
    failed: int = Field(default=0, description="Those that failed.")
    cancelled: int = Field(default=0, description="Those that were cancelled.")

    @property
    def finished(self) -> int:
        """How many are final, however they ended."""
        return self.completed + self.failed + self.cancelled


class Batch(Answer):
    """Many tasks handed in as one."""

    batch_id: str = Field(description="`batch_…`")
    status: str | None = Field(default=None, description="As the platform words it.")
    counts: BatchCounts = Field(default_factory=BatchCounts, description="How far its tasks are.")
    created_at: Date | None = Field(default=None, description="When it was accepted.", repr=False)
    finished_at: Date | None = Field(default=None, description="When its last task ended.", repr=False)
    metadata: dict[str, Any] | None = Field(default=None, description="As it was given.", repr=False)

    @property
    def id(self) -> str:
        return self.batch_id

    @property
    def finished(self) -> bool:
        """Whether all of its tasks are final; one that still reads its file has counted none yet."""
        return self.status in _FINAL or 0 < self.counts.total <= self.counts.finished


class BatchPage(Page[Batch]):
    """One page of the batches, newest first."""


class BatchResult(Answer):
    """What became of one request of a batch."""

    index: int | None = Field(default=None, description="Which request, from 0.")
    custom_id: str | None = Field(default=None, description="The request's own name, where it had one.")
    task_id: str | None = Field(default=None, description="Its task; none where it was refused.")
    task_type: str | None = Field(default=None, description="For example `text_generation`.", repr=False)
    status: str | None = Field(default=None, description="completed, failed or cancelled.")
    output: dict[str, Any] | None = Field(
        default=None, description="What the task made, once completed.", repr=False
    )
    error: TaskFailure | None = Field(default=None, description="Why it failed.")
    usage: Usage | None = Field(default=None, description="Tokens used.", repr=False)
    cost: Cost | None = Field(default=None, description="What it cost.", repr=False)
