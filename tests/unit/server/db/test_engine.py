from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from nexusai.error import ConfigurationError
from nexusai.server.db import engine as module
from nexusai.server.db.engine import HEAD, Database, migrate
from nexusai.server.db.schema import metadata

MIGRATIONS = Path(module.__file__).with_name("migrations")

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = "HEAD"


def upgrade() -> None:
    op.add_column("keys", sa.Column("colour", sa.Text()))
"""


_NEW_KEY = "INSERT INTO keys (id, project, name, digest, hint, created_at) VALUES"
A_KEY = f"{_NEW_KEY} ('key_1', 'p', 'n', x'00', 'h', 1)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nexus.db"


def run(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """The rows of the last statement."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return [connection.execute(statement).fetchall() for statement in statements][-1]


def version(path: Path) -> list[tuple[object, ...]]:
    return run(path, "SELECT version_num FROM alembic_version")


def upgrade(path: Path) -> None:
    """Run the migrations one by one, as for an old database."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = f"sqlite:///{path}"
    command.upgrade(config, "head")


@pytest.fixture
def a_newer_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with another migration."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9000_colours.py").write_text(NEXT.replace("HEAD", HEAD))
    monkeypatch.setattr(module, "_MIGRATIONS", folder)
    monkeypatch.setattr(module, "HEAD", "9000")


# Migrations


def test_head_is_the_newest_migration():
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


def test_the_migrations_together_make_the_schema(path: Path):
    upgrade(path)

    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    assert version(path) == [(HEAD,)]


def test_a_new_database_has_the_indexes_of_an_upgraded_one(path: Path, tmp_path: Path):
    migrate(path)
    upgrade(tmp_path / "upgraded.db")

    indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
    assert run(path, indexes) == run(tmp_path / "upgraded.db", indexes)
    assert version(path) == version(tmp_path / "upgraded.db")


def test_migrating_again_keeps_what_is_there(path: Path):
    migrate(path)
    run(path, A_KEY)

    migrate(path)

    assert run(path, "SELECT id FROM keys") == [("key_1",)]


@pytest.mark.usefixtures("a_newer_release")
def test_a_database_that_is_behind_is_upgraded(path: Path):
    upgrade(path)
    run(path, A_KEY)

    migrate(path)

    assert version(path) == [("9000",)]
    assert run(path, "SELECT id, colour FROM keys") == [("key_1", None)]


def test_a_database_of_a_newer_release_is_refused(path: Path):
    migrate(path)
    run(path, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(ConfigurationError, match=r"nexus\.db.*newer.*9999"):
        migrate(path)


def test_a_file_that_is_no_database_is_refused(path: Path):
    path.write_bytes(b"this is not a database" * 100)

    with pytest.raises(ConfigurationError, match=r"nexus\.db"):
        migrate(path)
    assert path.read_bytes().startswith(b"this")


@pytest.mark.parametrize(
    "left",
    [
        [],
        ["CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"],
        ["DROP TABLE tasks", "DROP TABLE alembic_version"],
        ["DELETE FROM alembic_version"],
    ],
    ids=["an empty file", "no tables", "some tables", "no version"],
)
def test_a_database_whose_making_was_cut_off_is_completed(path: Path, left: list[str]):
    if left and not left[0].startswith("CREATE"):
        migrate(path)
    path.touch()
    run(path, "SELECT 1", *left)

    migrate(path)

    assert version(path) == [(HEAD,)]
    assert run(path, "SELECT count(*) FROM tasks") == [(0,)]


@pytest.mark.parametrize("name", ["with space", "100%s", "a?b=c#d", "数据 ü", "it's"])
async def test_the_folder_may_have_any_name(tmp_path: Path, name: str):
    folder = tmp_path / name
    folder.mkdir()
    path = folder / "nexus.db"

    migrate(path)
    database = Database(path)
    try:
        count = await database.run(lambda c: c.execute(text("SELECT count(*) FROM files")).scalar_one())
    finally:
        database.close()

    assert count == 0
    assert path.exists()
    assert os.listdir(tmp_path) == [name]


@pytest.mark.usefixtures("a_newer_release")
def test_the_folder_of_a_database_that_is_upgraded_may_have_any_name(tmp_path: Path):
    path = tmp_path / "a?b=c#d 100%" / "nexus.db"
    path.parent.mkdir()
    upgrade(tmp_path / "nexus.db")
    shutil.move(tmp_path / "nexus.db", path)

    migrate(path)

    assert version(path) == [("9000",)]


# Transactions


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    migrate(path)
    database = Database(path)
    yield database
    database.close()


INSERT = text(f"{_NEW_KEY} (:id, 'p', 'n', :id, 'h', 1)")
COUNT = text("SELECT count(*) FROM keys")


async def test_work_that_returns_is_committed(database: Database, path: Path):
    await database.run(lambda connection: connection.execute(INSERT, {"id": "a"}))

    assert run(path, "SELECT id FROM keys") == [("a",)]


async def test_work_that_raises_is_undone(database: Database):
    def work(connection):
        connection.execute(INSERT, {"id": "a"})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(work)

    assert await database.run(lambda connection: connection.execute(COUNT).scalar_one()) == 0


async def test_many_may_write_at_once(database: Database):
    def insert(number: int) -> Awaitable[object]:
        return database.run(lambda connection: connection.execute(INSERT, {"id": str(number)}))

    await asyncio.gather(*map(insert, range(30)))

    assert await database.run(lambda connection: connection.execute(COUNT).scalar_one()) == 30


async def test_what_is_written_survives_a_power_cut(database: Database):
    def pragmas(connection):
        return [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous")
        ]

    assert await database.run(pragmas) == ["wal", 2]
