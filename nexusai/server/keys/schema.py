"""What the routes of keys and projects answer, for the published contract."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from nexusai.server.keys.models import Logging

__all__ = ["Budget", "Key", "KeyPage", "Project", "ProjectPage", "RateLimits"]


class RateLimits(BaseModel):
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_tasks: int | None = None


class Budget(BaseModel):
    per_day: float | None = None
    per_month: float | None = None


class Key(BaseModel):
    key_id: str
    project_id: str
    name: str
    api_key: str | None = Field(default=None, description="Shown when it is made, and when it is rotated.")
    hint: str = Field(description="How the key begins.")
    scopes: list[str]
    rate_limits: RateLimits | None
    budget: Budget | None = Field(description="US dollars, by days and months of UTC.")
    allowed_models: list[str] | None
    logging: Logging | None = Field(description="Of calls under `/v1`; null: as its project has it.")
    is_active: bool
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    previous_until: datetime | None = Field(description="Until when the secret before this one opens too.")


class KeyPage(BaseModel):
    data: list[Key]
    has_more: bool
    next_cursor: str | None


class Project(BaseModel):
    project_id: str
    name: str
    rate_limits: RateLimits | None
    budget: Budget | None = Field(description="US dollars, by days and months of UTC.")
    logging: Logging = Field(description="Of calls under `/v1`, for keys that have no setting of their own.")
    created_at: datetime


class ProjectPage(BaseModel):
    data: list[Project]
    has_more: bool
    next_cursor: str | None
