"""Webhooks: where the platform calls, and what it calls with."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from nexusai.models._answer import Answer, Count, Date, Page

__all__ = ["Delivery", "DeliveryPage", "Webhook", "WebhookEvent", "WebhookPage", "WebhookSecret"]


class Webhook(Answer):
    """An endpoint that hears of the project's tasks."""

    webhook_id: str = Field(description="`whk_…`")
    url: str | None = Field(default=None, description="Where the platform calls.")
    events: list[str] | None = Field(
        default=None, description="What it hears of; all where none is named.", repr=False
    )
    is_active: bool = Field(default=True, description="Whether it is called.")
    secret: str | None = Field(
        default=None, description="`whsec_…`, for `webhooks.verify`; shown when it is made.", repr=False
    )
    created_at: Date | None = Field(default=None, description="When it was made.", repr=False)
    updated_at: Date | None = Field(default=None, description="When it last changed.", repr=False)

    @property
    def id(self) -> str:
        return self.webhook_id


class WebhookPage(Page[Webhook]):
    """One page of the endpoints."""


class WebhookSecret(Answer):
    """What signs the calls to addresses that tasks and batches name themselves."""

    secret: str = Field(description="`whsec_…`, for `webhooks.verify`.", repr=False)


class Delivery(Answer):
    """One event for one endpoint, and how its attempts went."""

    delivery_id: str = Field(description="The message: the `webhook-id` of each of its attempts.")
    webhook_id: str | None = Field(default=None, description="The endpoint.", repr=False)
    event: str | None = Field(default=None, description="For example `task.completed`.")
    subject: str | None = Field(default=None, description="The task or batch that it tells of.")
    status: str | None = Field(default=None, description="pending, delivered or failed.")
    attempts: Count = Field(default=0, description="How often it was tried.")
    response_status: int | None = Field(default=None, description="What the last attempt was answered.")
    error: str | None = Field(default=None, description="Why the last attempt failed.")
    created_at: Date | None = Field(default=None, description="When the event happened.", repr=False)
    next_attempt_at: Date | None = Field(default=None, description="When it is tried next.", repr=False)
    finished_at: Date | None = Field(
        default=None, description="When it was delivered, or given up.", repr=False
    )

    @property
    def id(self) -> str:
        return self.delivery_id


class DeliveryPage(Page[Delivery]):
    """One page of an endpoint's log."""


class WebhookEvent(Answer):
    """A call of the platform's that was verified."""

    id: str = Field(description="The message; the same for each attempt to deliver it.")
    timestamp: Date = Field(description="When this attempt was signed.")
    type: str | None = Field(default=None, description="For example `task.completed`.")
    data: dict[str, Any] = Field(default_factory=dict, description="What it tells of.", repr=False)
