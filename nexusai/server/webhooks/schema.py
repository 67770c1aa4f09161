"""What the routes of webhooks answer, for the published contract."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

__all__ = ["Delivery", "DeliveryPage", "Secret", "Webhook", "WebhookPage"]


class Webhook(BaseModel):
    webhook_id: str
    url: str
    events: list[str] | None = None
    is_active: bool
    secret: str | None = Field(default=None, description="Shown when it is made, and when it is changed.")
    created_at: datetime
    updated_at: datetime


class WebhookPage(BaseModel):
    data: list[Webhook]
    has_more: bool
    next_cursor: str | None


class Secret(BaseModel):
    secret: str


class Delivery(BaseModel):
    delivery_id: str
    webhook_id: str | None
    event: str
    subject: str = Field(description="The task or batch that it tells of.")
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    response_status: int | None
    error: str | None
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None


class DeliveryPage(BaseModel):
    data: list[Delivery]
    has_more: bool
    next_cursor: str | None
