"""The database engine, and the migrations that run before it is used."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from nexusai.server.db.schema import metadata

__all__ = ["HEAD", "migrate", "open_engine"]

HEAD = "0001"
"""The newest migration."""

_MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(database: Path) -> None:
    """Bring the SQLite file up to the newest schema, making it if it is not there.

    Alembic takes half a second to load, so only a database that is behind pays for it: a new one is made
    from the schema, which a test holds equal to the sum of the migrations.
    """
    revision = _revision(database)
    if revision == HEAD:
        return
    if revision is None:
        _create(database)
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = f"sqlite:///{database}"
    command.upgrade(config, "head")


def _create(database: Path) -> None:
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(
            text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        )
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
    engine.dispose()


def _revision(database: Path) -> str | None:
    if not database.exists():
        return None
    with closing(sqlite3.connect(database)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return row[0] if row else None


def open_engine(database: Path) -> AsyncEngine:
    """An engine whose connections are in WAL, durable, and wait for the other writer."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine
