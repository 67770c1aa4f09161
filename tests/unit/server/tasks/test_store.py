from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nexusai.server.db import group_commit
from nexusai.server.tasks import store as module
from nexusai.server.tasks.models import Filter
from nexusai.server.tasks.store import Claim, Ending, SqliteTaskStore
from tests.fixtures.server import OTHER_PROJECT, PROJECT, sqlite_task_store, task_row

FINISHED = 3000


class Meter:
    """How many instructions SQLite has run, in hundreds."""

    def __init__(self) -> None:
        self.count = 0

    def on(self, connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
        def metered(path: Path) -> sqlite3.Connection:
            connection = connect(path)
            connection.set_progress_handler(self._tick, 100)
            return connection

        return metered

    def _tick(self) -> int:
        self.count += 1
        return 0


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    meter = Meter()
    for place in (group_commit, module):
        monkeypatch.setattr(place, "connect", meter.on(group_commit.connect))
    return meter


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store that holds many finished tasks."""
    path = tmp_path_factory.mktemp("history") / "nexus.db"
    asyncio.run(fill(path))
    return path


async def fill(path: Path) -> None:
    rows = [
        task_row(status="completed", project=OTHER_PROJECT, id=f"task_{number}") for number in range(FINISHED)
    ]
    async with sqlite_task_store(path) as store:
        await asyncio.gather(*map(store.accept, rows))


@pytest.fixture
async def store(meter: Meter, history: Path, tmp_path: Path) -> AsyncIterator[SqliteTaskStore]:
    async with sqlite_task_store(Path(shutil.copy(history, tmp_path))) as store:
        yield store


OPERATIONS: dict[str, Callable[[SqliteTaskStore], Awaitable[Any]]] = {
    "accept": lambda store: store.accept(task_row(idempotency_key="key")),
    "find": lambda store: store.find(OTHER_PROJECT, "task_1"),
    "find_by_key": lambda store: store.find_by_key(PROJECT, "key"),
    "select": lambda store: store.select(PROJECT, Filter(status="queued")),
    "claim": lambda store: store.claim(Claim("task_1", "worker_1", 0, 1)),
    "renew": lambda store: store.renew("worker_1", ["task_1"], 1),
    "report": lambda store: store.report("task_1", 1, 5),
    "finish": lambda store: store.finish(Ending("task_1", 1, "failed", None, None, 1)),
    "release": lambda store: store.release("task_1", 1),
    "request_cancel": lambda store: store.request_cancel("task_1", 1),
    "delete": lambda store: store.delete(PROJECT, "task_1"),
    "void_leases": lambda store: store.void_leases(),
    "end_lost": lambda store: store.end_lost(0, "{}"),
    "undelivered": lambda store: store.undelivered(0),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_no_operation_reads_through_the_finished_tasks(store, meter, operation):
    before = meter.count

    await operation(store)

    assert (meter.count - before) * 100 < FINISHED
