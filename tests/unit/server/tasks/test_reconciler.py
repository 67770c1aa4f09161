from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from nexusai.server.clock import now_ms
from nexusai.server.tasks.store import Claim, SqliteTaskStore
from tests.fixtures.server import PROJECT, Stage, done, sqlite_task_store, work_row

DAY = 24 * 3600 * 1000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteTaskStore]:
    async with sqlite_task_store(tmp_path / "nexus.db") as store:
        yield store


@pytest.fixture
async def stage(store: SqliteTaskStore) -> AsyncIterator[Stage]:
    stage = Stage(store, done)
    yield stage
    await stage.stop()


async def lost(store: SqliteTaskStore, *, cancel: bool = False) -> str:
    """A task that lost its only attempt."""
    task = work_row(max_attempts=1)
    await store.accept(task)
    await store.claim(Claim(task.id, "worker_0", 0, 1))
    if cancel:
        await store.request_cancel(task.id, 0)
    return task.id


@pytest.mark.parametrize(("cancel", "code"), [(False, "WORKER_LOST"), (True, "CANCELLED")])
async def test_who_follows_a_lost_task_is_told_of_its_end(
    store: SqliteTaskStore, stage: Stage, cancel: bool, code: str
):
    task_id = await lost(store, cancel=cancel)
    stage.events.open(task_id, 1)

    await stage.start()

    told = [event async for event in stage.events.follow(task_id, 0, 5) if event]
    assert [(event.name, json.loads(event.data)["error"]["code"]) for event in told] == [("error", code)]


async def test_who_waits_for_a_lost_task_is_woken(store: SqliteTaskStore, stage: Stage):
    task_id = await lost(store)
    with stage.events.watch(task_id) as watch:
        waiting = asyncio.ensure_future(watch.wait(60))
        await stage.start()

        assert await asyncio.wait_for(waiting, 5)


async def test_keys_of_more_than_a_day_ago_are_free(store: SqliteTaskStore, stage: Stage):
    await store.accept(work_row(idempotency_key="old", created_at=now_ms() - DAY - 1000))
    await store.accept(work_row(idempotency_key="young", created_at=now_ms() - DAY + 60_000))

    await stage.start()

    assert await store.find_by_key(PROJECT, "old") is None
    assert await store.find_by_key(PROJECT, "young")


async def test_a_pass_that_failed_is_in_the_log_and_the_next_one_comes(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    await stage.start()
    with closing(sqlite3.connect(tmp_path / "nexus.db")) as broken:
        broken.execute("ALTER TABLE tasks RENAME TO elsewhere")
        await asyncio.sleep(0.1)
        assert {record.levelno for record in caplog.records} == {logging.ERROR}
        broken.execute("ALTER TABLE elsewhere RENAME TO tasks")

    task = await stage.store_only()

    assert (await stage.end_of(task)).status == "completed"
