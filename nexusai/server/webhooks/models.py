"""Endpoints, deliveries, and what is sent in them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
import orjson
from msgspec import UNSET, Struct, UnsetType

from nexusai.server.clock import rfc3339
from nexusai.server.tasks.models import Target, check_events, check_url

__all__ = [
    "CreateWebhook",
    "Delivery",
    "Endpoint",
    "UpdateWebhook",
    "next_attempt",
    "secret_of",
    "show",
    "show_delivery",
    "signed",
]

_PAUSES: Final = (5, 30, 120, 300, 900, 3600, 7200, 14400, 14400, 14400, 21600)
"""Seconds between the attempts of one delivery: about a day altogether."""


class CreateWebhook(Target, kw_only=True):
    """The body of `POST /webhooks`."""


class UpdateWebhook(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `PATCH /webhooks/{id}`."""

    url: str | UnsetType = UNSET
    events: list[str] | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.url is not UNSET:
            check_url(self.url)
        if self.events is not UNSET:
            check_events(self.events)


class Endpoint(NamedTuple):
    """A project's endpoint; times are milliseconds. The secret is derived from id and version."""

    id: str
    project: str
    url: str
    events_json: str | None
    is_active: bool
    secret_version: int
    failing_since: int | None
    idempotency_key: str | None
    request_hash: bytes | None
    created_at: int
    updated_at: int

    def wants(self, event: str) -> bool:
        return self.is_active and (self.events_json is None or event in orjson.loads(self.events_json))


class Delivery(NamedTuple):
    """One event for one address; `webhook_id` is None where a task or a batch named the address itself."""

    id: str
    project: str
    webhook_id: str | None
    url: str
    event: str
    subject: str
    payload: bytes
    status: str
    attempts: int
    next_at: int
    created_at: int
    finished_at: int | None = None
    last_status: int | None = None
    last_error: str | None = None


def next_attempt(attempts: int, now: int) -> int | None:
    """When, in milliseconds, a delivery is tried again after so many attempts; None to give it up."""
    return now + _PAUSES[attempts - 1] * 1000 if attempts <= len(_PAUSES) else None


def secret_of(secret: bytes, owner: str, version: int = 1) -> str:
    """The signing secret of an endpoint, or of a project for the addresses that its tasks name."""
    derived = hmac.new(secret, f"webhook:{owner}:{version}".encode(), hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(derived).decode()}"


def signed(secret: str, message_id: str, timestamp: int, payload: bytes) -> Mapping[str, str]:
    """The headers of the Standard Webhooks scheme, version 1."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{message_id}.{timestamp}.".encode() + payload
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def show(endpoint: Endpoint, secret: str | None = None) -> dict[str, Any]:
    """The endpoint as the API answers it; with its secret when it was just made."""
    shown: dict[str, Any] = {
        "webhook_id": endpoint.id,
        "url": endpoint.url,
        "events": msgspec.json.decode(endpoint.events_json) if endpoint.events_json else None,
        "is_active": endpoint.is_active,
        "created_at": rfc3339(endpoint.created_at),
        "updated_at": rfc3339(endpoint.updated_at),
    }
    return shown if secret is None else {**shown, "secret": secret}


def show_delivery(delivery: Delivery) -> dict[str, Any]:
    """One line of the log."""
    return {
        "delivery_id": delivery.id,
        "webhook_id": delivery.webhook_id,
        "event": delivery.event,
        "subject": delivery.subject,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "response_status": delivery.last_status,
        "error": delivery.last_error,
        "created_at": rfc3339(delivery.created_at),
        "next_attempt_at": rfc3339(delivery.next_at) if delivery.status == "pending" else None,
        "finished_at": rfc3339(delivery.finished_at) if delivery.finished_at else None,
    }
