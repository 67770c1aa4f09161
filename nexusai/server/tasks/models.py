"""What a task is made of: the request that asks for it, the row that is it, the answer that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
import orjson
from msgspec import Meta, Struct

from nexusai.server.clock import rfc3339
from nexusai.server.tasks.states import FINAL

__all__ = [
    "EVENTS",
    "Filter",
    "InvokeRequest",
    "StoredRequest",
    "Target",
    "TaskRow",
    "accepted",
    "check_events",
    "check_url",
    "lanes_of",
    "show",
]

EVENTS: Final = ("task.completed", "task.failed", "task.cancelled", "batch.completed", "webhook.disabled")
"""What webhooks tell of."""

Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Metadata = dict[
    Annotated[str, Meta(min_length=1, max_length=64)],
    Annotated[str, Meta(max_length=512)] | Whole | float | bool | None,
]


class Target(Struct, forbid_unknown_fields=True, kw_only=True):
    """The `webhook` of a task or a batch: where to call, and at which events (all without)."""

    url: str
    events: list[str] | None = None

    def __post_init__(self) -> None:
        check_url(self.url)
        check_events(self.events)


def check_url(url: str) -> None:
    """Raises `ValueError` for what cannot be called."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and len(url) <= 2000
    except ValueError:
        fine = False
    if not fine:
        raise ValueError("`url` must be an http or https URL of at most 2000 characters")


def check_events(events: list[str] | None) -> None:
    """Raises `ValueError` for an event that nobody tells of."""
    unknown = [event for event in events or () if event not in EVENTS]
    if unknown:
        raise ValueError(f"{unknown[0][:50]!r} is no event; known: {', '.join(EVENTS)}")


class InvokeRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /invoke`."""

    task_type: str
    input: msgspec.Raw
    provider: str | None = None
    model: str | None = None
    config: dict[str, Any] | None = None
    stream: bool = False
    metadata: Annotated[Metadata, Meta(max_length=50)] | None = None
    priority: Annotated[int, Meta(ge=-100, le=100, description="Higher goes first.")] = 0
    timeout: Annotated[float, Meta(gt=0, le=86400, description="Seconds the task may run.")] | None = None
    webhook: Target | None = None


class StoredRequest(Struct, frozen=True, omit_defaults=True):
    """What a worker needs of the request, as `request_json` keeps it."""

    input: msgspec.Raw
    config: dict[str, Any]
    stream: bool
    trace: dict[str, str] = {}
    """The headers by which the provider's work belongs to the caller's trace."""

    @classmethod
    def of(cls, row: TaskRow) -> StoredRequest:
        return _stored.decode(row.request_json)

    def dump(self) -> str:
        return msgspec.json.encode(self).decode()


class TaskRow(Struct, frozen=True):
    """A stored task; the fields are columns. Those without a default are what a new task is stored with."""

    id: str
    project: str
    task_type: str
    status: str
    priority: int
    provider: str
    model: str
    request_json: str
    metadata_json: str | None
    request_id: str
    idempotency_key: str | None
    request_hash: bytes | None
    timeout: float
    max_attempts: int
    not_before: int
    created_at: int
    progress: float = 0
    attempt: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    output_json: str | None = None
    error_json: str | None = None
    webhook_json: str | None = None
    notify: bool = False
    """Whether somebody is to be told of its end, and has not been yet."""
    key_id: str | None = None
    """The key that asked for it."""

    @property
    def lanes(self) -> tuple[str, ...]:
        """The ids under which it counts as running."""
        return lanes_of(self.project, self.key_id)


class Filter(NamedTuple):
    """Which tasks of a project to list, newest first, after the id `cursor`."""

    status: str | None = None
    task_type: str | None = None
    created_after: int | None = None
    metadata: Mapping[str, str] = {}
    cursor: str | None = None
    limit: int = 20


def lanes_of(project: str, key_id: str | None) -> tuple[str, ...]:
    return (project,) if key_id is None else (key_id, project)


_stored = msgspec.json.Decoder(StoredRequest)


def accepted(row: TaskRow) -> dict[str, Any]:
    """The body of a 202; that of a replayed request is the first one's, whatever became of the task since."""
    return {
        "task_id": row.id,
        "status": "queued" if row.status in FINAL else row.status,
        "message": "The task is stored and will run. Poll status_poll_url; Prefer: wait=30 holds the answer.",
        "status_poll_url": f"/api/v1/tasks/{row.id}",
    }


def show(row: TaskRow, output: dict[str, Any] | None) -> dict[str, Any]:
    """The task as the API answers it; `output` with the links already in it."""
    shown: dict[str, Any] = {
        "task_id": row.id,
        "task_type": row.task_type,
        "status": row.status,
        "progress": 100 if row.status == "completed" else row.progress,
        "created_at": rfc3339(row.created_at),
        "attempts": row.attempt,
        "provider": row.provider,
        "model": row.model,
        "request_id": row.request_id,
    }
    if row.started_at is not None:
        shown["started_at"] = rfc3339(row.started_at)
    if row.finished_at is not None:
        shown["finished_at"] = rfc3339(row.finished_at)
    if output is not None:
        shown["output"] = output
        for name in ("provider", "model", "usage", "cost"):
            if name in output:
                shown[name] = output[name]
    if row.error_json is not None:
        shown["error"] = orjson.Fragment(row.error_json)
    if row.metadata_json is not None:
        shown["metadata"] = orjson.Fragment(row.metadata_json)
    return shown
