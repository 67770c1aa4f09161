"""The tables, once, for every database. Times are milliseconds since 1970; `*_json` is JSON text."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = ["files", "keys", "metadata", "tasks"]

metadata = MetaData()

OPEN = text("status IN ('queued', 'running')")

tasks = Table(
    "tasks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("task_type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("provider", Text),
    Column("model", Text),
    Column("request_json", Text, nullable=False),
    Column("metadata_json", Text),
    Column("request_id", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("request_hash", LargeBinary),
    Column("timeout", Float, nullable=False),
    Column("progress", Float, nullable=False, server_default="0"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("max_attempts", Integer, nullable=False),
    Column("worker", Text),
    Column("lease_until", BigInteger, nullable=False, server_default="0"),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("not_before", BigInteger, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("output_json", Text),
    Column("error_json", Text),
    UniqueConstraint("project", "idempotency_key", name="tasks_idempotency"),
    Index("tasks_by_project", "project", "id"),
    Index("tasks_open", "id", sqlite_where=OPEN),
)

files = Table(
    "files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("project", "idempotency_key", name="files_idempotency"),
    Index("files_by_project", "project", "id"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
