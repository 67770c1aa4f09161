"""What the routes of batches answer, for the published contract."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

__all__ = ["Batch", "BatchPage"]


class Counts(BaseModel):
    total: int
    completed: int
    failed: int
    cancelled: int


class Batch(BaseModel):
    batch_id: str
    status: Literal["running", "cancelling", "completed", "cancelled"]
    counts: Counts
    created_at: datetime
    finished_at: datetime | None = None
    metadata: dict[str, Any] | None = None


class BatchPage(BaseModel):
    data: list[Batch]
    has_more: bool
    next_cursor: str | None
