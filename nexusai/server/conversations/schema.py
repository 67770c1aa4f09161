"""What the routes of conversations answer, for the published contract."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from nexusai.server.conversations.models import Status

__all__ = ["Conversation", "ConversationPage", "ConversationsDeleted", "ListedConversation"]


class ConversationUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ConversationCost(BaseModel):
    amount: float
    currency: str


class ListedConversation(BaseModel):
    conversation_id: str
    created_at: datetime
    project_id: str
    key_id: str | None
    request_id: str
    route: str
    provider: str | None
    model: str | None
    status: Status = Field(description="`cut`: the caller went away before its end.")
    http_status: int | None
    usage: ConversationUsage
    cost: ConversationCost | None
    seconds: float
    truncated: bool = Field(description="Whether something was left out for its length.")


class Conversation(ListedConversation):
    request: Any = Field(description="As it came, but for pictures and sound; null unless logged in full.")
    answer: Any = Field(description="As it was sent; of a stream its texts, put together.")


class ConversationPage(BaseModel):
    data: list[ListedConversation]
    has_more: bool
    next_cursor: str | None


class ConversationsDeleted(BaseModel):
    deleted_count: int
