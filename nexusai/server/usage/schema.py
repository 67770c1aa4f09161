"""What the route of usage answers, for the published contract."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

__all__ = ["UsageCost", "UsageReport", "UsageRow"]


class UsageCost(BaseModel):
    amount: float
    currency: Literal["USD"]
    estimated: bool = Field(description="Whether some of it rests on estimated tokens or prices.")


class UsageRow(BaseModel):
    key: str | None = None
    model: str | None = None
    provider: str | None = None
    project: str | None = None
    day: str | None = None
    requests: int = Field(description="Calls to models, those that failed included.")
    failed: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: UsageCost
    unpriced: int = Field(description="Calls that are in no cost, because their price is not known.")


class UsageReport(BaseModel):
    data: list[UsageRow]
    has_more: bool
    next_cursor: str | None
    group_by: Literal["key", "model", "provider", "project", "day"] | None
    from_: datetime | None = Field(default=None, alias="from")
    to: datetime | None
