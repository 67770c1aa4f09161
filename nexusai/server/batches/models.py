"""A batch, its requests, and what the API shows of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson
from msgspec import Raw, Struct

from nexusai.server.clock import rfc3339
from nexusai.server.tasks.models import Target

__all__ = ["MOST", "BatchRequest", "Counts", "Item", "StoredBatch", "show", "show_result"]

MOST: Final = 10_000
"""Requests of one batch."""


class BatchRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /batches`."""

    requests: list[Raw] | None = None
    input_file_id: str | None = None
    metadata: dict[str, Any] | None = None
    webhook: Target | None = None

    def __post_init__(self) -> None:
        if (self.requests is None) == (self.input_file_id is None):
            raise ValueError("give either `requests` or `input_file_id`")


class StoredBatch(NamedTuple):
    """The row; times are milliseconds."""

    id: str
    project: str
    request_id: str
    total: int
    metadata_json: str | None
    webhook_json: str | None
    idempotency_key: str | None
    request_hash: bytes | None
    created_at: int
    cancelled_at: int | None = None
    finished_at: int | None = None
    counts_json: str | None = None
    key_id: str | None = None


class Item(NamedTuple):
    """One request: not handed in, a task, or refused with an error."""

    position: int
    custom_id: str | None
    request_json: str
    task_id: str | None = None
    error_json: str | None = None


class Counts(NamedTuple):
    total: int
    completed: int
    failed: int
    cancelled: int

    @property
    def finished(self) -> bool:
        return self.completed + self.failed + self.cancelled >= self.total


def show(batch: StoredBatch, counts: Counts) -> dict[str, Any]:
    """The batch as the API answers it."""
    shown: dict[str, Any] = {
        "batch_id": batch.id,
        "status": _status(batch, counts),
        "counts": counts._asdict(),
        "created_at": rfc3339(batch.created_at),
    }
    if batch.finished_at is not None:
        shown["finished_at"] = rfc3339(batch.finished_at)
    if batch.metadata_json is not None:
        shown["metadata"] = orjson.Fragment(batch.metadata_json)
    return shown


def show_result(item: Item, task: Mapping[str, Any] | None) -> bytes:
    """One line of the results."""
    shown: dict[str, Any] = {"index": item.position, "custom_id": item.custom_id, "task_id": item.task_id}
    if task is not None:
        shown |= {name: task[name] for name in _OF_TASK if name in task}
    elif item.error_json is not None:
        error = orjson.loads(item.error_json)
        shown |= {"status": "cancelled" if error["code"] == "CANCELLED" else "failed", "error": error}
    else:
        shown["status"] = "pending" if item.task_id is None else "deleted"
    return orjson.dumps(shown) + b"\n"


_OF_TASK: Final = ("task_type", "status", "output", "error", "usage", "cost", "provider", "model")


def _status(batch: StoredBatch, counts: Counts) -> str:
    """The row learns a little later that it is finished than its counts are."""
    if batch.finished_at is not None or counts.finished:
        return "completed" if batch.cancelled_at is None else "cancelled"
    return "running" if batch.cancelled_at is None else "cancelling"
