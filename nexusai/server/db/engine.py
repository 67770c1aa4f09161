"""The database beside the tasks' journal, and the migrations that run before it is used."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, text
from sqlalchemy.exc import OperationalError

from nexusai.error import ConfigurationError
from nexusai.server.db.schema import metadata

__all__ = ["HEAD", "Database", "migrate"]

T = TypeVar("T")

HEAD = "0004"
"""The newest migration."""

_MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(database: Path) -> None:
    """Bring the SQLite file up to the newest schema, making it if it is not there.

    Alembic takes half a second to load, so only a database that is behind pays for it: a new one is made
    from the schema, which a test holds equal to the sum of the migrations. Raises `ConfigurationError` for
    a file that is no database, or that a newer release wrote.
    """
    revision = _revision(database)
    if revision == HEAD:
        return
    if revision is None:
        _create(database)
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = _url(database)
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise ConfigurationError(
            f"{database} was written by a newer release of nexusai (schema {revision}): upgrade this one, "
            "or give it another folder with --data-dir."
        ) from None


def _url(database: Path) -> URL:
    return URL.create("sqlite", database=str(database))


def _create(database: Path) -> None:
    """SQLite commits each statement of this by itself: after a crash it goes on with what is not there."""
    engine = create_engine(_url(database))
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(
            text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        )
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
    engine.dispose()


def _revision(database: Path) -> str | None:
    if not database.exists():
        return None
    try:
        with closing(sqlite3.connect(database)) as connection:
            if not connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
            ).fetchone():
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise ConfigurationError(f"The database {database} cannot be read: {error}.") from None
    return row[0] if row else None


class Database:
    """Transactions for everything but tasks, each in a thread.

    SQLAlchemy's asyncio layer does the same for SQLite behind a greenlet, and takes the ORM and a third of
    a second more to load.
    """

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(_url(path))

        @event.listens_for(self._engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
                connection.execute(f"PRAGMA {pragma}")

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work in a transaction: committed when it returns, undone when it raises."""
        return await asyncio.to_thread(self._transact, work)

    def _transact(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except OperationalError as error:
            raise error.orig or error from None

    def close(self) -> None:
        self._engine.dispose()
