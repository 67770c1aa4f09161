from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.server.db.group_commit import LARGEST_BATCH, GroupCommit, Write, batches, connect, values_of


class Notes:
    """Writes of lines into a table, and how they came together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.synchronous: list[int] = []
        self.held, self.let_go = threading.Event(), threading.Event()
        self.write = Write(self._write)
        self.sloppy = Write(self._write, durable=False)
        self.hold = Write(self._hold)
        self.broken = Write(self._broken)

    def _write(self, connection: sqlite3.Connection, lines: Sequence[str]) -> list[str]:
        self.batches.append(list(lines))
        self.synchronous.append(connection.execute("PRAGMA synchronous").fetchone()[0])
        connection.executemany("INSERT INTO notes VALUES (?)", [(line,) for line in lines])
        return [line.upper() for line in lines]

    def _hold(self, connection: sqlite3.Connection, items: Sequence[None]) -> list[None]:
        self.held.set()
        self.let_go.wait(10)
        return list(items)

    def _broken(self, connection: sqlite3.Connection, lines: Sequence[str]) -> list[str]:
        self._write(connection, lines)
        raise sqlite3.IntegrityError("broken")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "notes.db"
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE notes (line TEXT NOT NULL)")
    return path


@pytest.fixture
async def commits(path: Path) -> AsyncIterator[GroupCommit]:
    commits = GroupCommit(path)
    commits.start()
    yield commits
    await commits.stop()


@pytest.fixture
def notes() -> Notes:
    return Notes()


def lines_in(path: Path) -> list[str]:
    with closing(connect(path)) as connection:
        return [line for (line,) in connection.execute("SELECT line FROM notes ORDER BY rowid")]


async def held(commits: GroupCommit, notes: Notes) -> asyncio.Future[None]:
    """The writer is busy until it is let go: what is submitted now comes together."""
    holding = commits.submit(notes.hold, None)
    await asyncio.to_thread(notes.held.wait, 10)
    return holding


async def test_what_is_answered_is_committed(commits: GroupCommit, notes: Notes, path: Path):
    assert await commits.submit(notes.write, "a") == "A"

    assert lines_in(path) == ["a"]


async def test_who_writes_at_the_same_moment_shares_a_transaction(commits: GroupCommit, notes: Notes):
    await held(commits, notes)
    writing = [commits.submit(notes.write, str(number)) for number in range(100)]
    notes.let_go.set()

    assert await asyncio.gather(*writing) == [str(number) for number in range(100)]

    assert notes.batches == [[str(number) for number in range(100)]]


async def test_a_kind_of_write_that_fails_does_not_fail_the_others(
    commits: GroupCommit, notes: Notes, path: Path
):
    await held(commits, notes)
    writing = [
        commits.submit(notes.write, "a"),
        commits.submit(notes.broken, "never"),
        commits.submit(notes.write, "b"),
        commits.submit(notes.sloppy, "c"),
    ]
    notes.let_go.set()

    a, broken, b, c = await asyncio.gather(*writing, return_exceptions=True)

    assert (a, b, c) == ("A", "B", "C")
    assert isinstance(broken, sqlite3.IntegrityError)
    assert sorted(lines_in(path)) == ["a", "b", "c"]


async def test_a_write_that_fails_leaves_nothing(commits: GroupCommit, notes: Notes, path: Path):
    with pytest.raises(sqlite3.IntegrityError):
        await commits.submit(notes.broken, "never")
    await commits.submit(notes.write, "a")

    assert lines_in(path) == ["a"]


async def test_a_caller_that_went_away_disturbs_nobody(commits: GroupCommit, notes: Notes, path: Path):
    await held(commits, notes)
    gone, failed, staying = (
        commits.submit(notes.write, "a"),
        commits.submit(notes.broken, "x"),
        commits.submit(notes.write, "b"),
    )
    gone.cancel()
    failed.cancel()
    notes.let_go.set()

    assert await staying == "B"

    assert lines_in(path) == ["a", "b"]


async def test_stop_writes_what_is_queued(notes: Notes, path: Path):
    commits = GroupCommit(path)
    commits.start()
    await held(commits, notes)
    writing = [commits.submit(notes.write, str(number)) for number in range(10)]
    stopping = asyncio.ensure_future(commits.stop())
    await asyncio.sleep(0)
    notes.let_go.set()
    await stopping

    assert await asyncio.gather(*writing) == [str(number) for number in range(10)]
    assert len(lines_in(path)) == 10


async def test_durable_writes_are_flushed_and_others_are_not(commits: GroupCommit, notes: Notes):
    await commits.submit(notes.sloppy, "a")
    await commits.submit(notes.write, "b")
    await commits.submit(notes.sloppy, "c")

    assert notes.synchronous == [1, 2, 1]


async def test_one_durable_write_makes_its_transaction_durable(commits: GroupCommit, notes: Notes):
    await held(commits, notes)
    writing = [commits.submit(notes.sloppy, "a"), commits.submit(notes.write, "b")]
    notes.let_go.set()
    await asyncio.gather(*writing)

    assert notes.synchronous == [2, 2]


async def test_a_lock_of_another_process_is_waited_for(commits: GroupCommit, notes: Notes, path: Path):
    with closing(connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = commits.submit(notes.write, "a")
        await asyncio.sleep(0.05)
        assert not writing.done()
        other.execute("ROLLBACK")

    assert await writing == "A"


@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.text(st.characters(codec="utf-8"))), min_size=1)
)
def test_values_hold_the_rows_and_then_rows_of_nulls(rows: list[tuple[int, str]]):
    values, parameters = values_of(rows)
    with closing(sqlite3.connect(":memory:")) as connection:
        found = connection.execute(f"SELECT column1, column2 FROM {values}", parameters).fetchall()

    assert found[: len(rows)] == rows
    assert set(found[len(rows) :]) <= {(None, None)}
    assert len(found) < 4 * len(rows)


@pytest.mark.parametrize("count", [0, 1, LARGEST_BATCH, LARGEST_BATCH + 1, 3 * LARGEST_BATCH])
def test_batches_are_all_of_it_in_pieces_that_fit(count: int):
    pieces = list(batches(range(count)))

    assert [item for piece in pieces for item in piece] == list(range(count))
    assert all(1 <= len(piece) <= LARGEST_BATCH for piece in pieces)
