"""What the routes of sessions answer, for the published contract."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Session", "SessionHistory", "SessionPage", "SessionTurn"]


class Session(BaseModel):
    """A conversation that the platform remembers."""

    session_id: str
    agent_type: str
    agent_config: dict[str, Any]
    name: str | None
    is_active: bool = Field(description="Whether it takes further turns.")
    message_count: int
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class SessionPage(BaseModel):
    """Sessions, newest first."""

    sessions: list[Session]
    total: int
    page: int
    per_page: int
    pages: int


class SessionReply(BaseModel):
    """What the agent says."""

    role: str
    content: str
    tool_calls: list[dict[str, Any]] | None = None
    citations: list[dict[str, Any]] | None = Field(
        None, description="`{doc_id, chunk_id, filename, page, quote}` each."
    )


class SessionTurn(BaseModel):
    """A completed turn."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    task_id: str
    session_id: str
    response: SessionReply
    usage: dict[str, Any]
    cost: dict[str, Any] | None
    provider: str
    model: str


class SessionMessage(BaseModel):
    """A message; `metadata` has what there is of tool calls, citations, usage and the task."""

    message_id: str
    role: str
    content: str | None
    timestamp: datetime
    metadata: dict[str, Any]


class SessionHistory(BaseModel):
    """A part of what was said, oldest first."""

    session_id: str
    messages: list[SessionMessage]
    total: int
