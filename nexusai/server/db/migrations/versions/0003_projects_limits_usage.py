"""Projects, what keys may do and use, and a row for each call to a model"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("key_id", sa.Text(), nullable=True))
    op.add_column("batches", sa.Column("key_id", sa.Text(), nullable=True))
    keys()
    calls()


def keys() -> None:
    everything = "invoke read admin platform"
    for column in (
        sa.Column("scopes", sa.Text(), server_default=everything, nullable=False),
        sa.Column("limits_json", sa.Text(), server_default="{}", nullable=False),
        sa.Column("models_json", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("previous_digest", sa.LargeBinary(), nullable=True),
        sa.Column("previous_until", sa.BigInteger(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.LargeBinary(), nullable=True),
    ):
        op.add_column("keys", column)
    op.create_index("keys_by_project", "keys", ["project", "id"])
    op.create_index("keys_idempotency", "keys", ["project", "idempotency_key"], unique=True)
    op.create_index("keys_rotated", "keys", ["previous_digest"])
    op.create_table(
        "projects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("limits_json", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("idempotency_key"),
    )


def calls() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    counted = ("prompt", "completion", "cached", "cache_write", "reasoning")
    op.create_table(
        "calls",
        sa.Column("number", number, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        *(sa.Column(f"{name}_tokens", sa.BigInteger(), nullable=False) for name in counted),
        sa.Column("usage_source", sa.Text(), nullable=True),
        sa.Column("cost", sa.Float(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("dollars", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("first_chunk", sa.Float(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("tried", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("calls_by_project", "calls", ["project", "at"])
    op.create_index("calls_by_time", "calls", ["at"])
