from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from nexusai.server.http import request_id
from nexusai.server.tasks.kinds.kind import Job, Output
from nexusai.server.tasks.models import TaskRow
from nexusai.server.tasks.store import Claim, SqliteTaskStore
from tests.fixtures.server import PROJECT, Body, Stage, done, sqlite_task_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteTaskStore]:
    async with sqlite_task_store(tmp_path / "nexus.db") as store:
        yield store


async def run(store: SqliteTaskStore, body: Body, **fields: object) -> TaskRow:
    """A task that has run once."""
    stage = Stage(store, body)
    task = await stage.store_only(**fields)
    await stage.runner.run(task.id)
    row = await store.find(PROJECT, task.id)
    assert row is not None
    return row


def refuse_changes(path: Path, wanted: bool) -> None:
    """Make SQLite itself refuse every change of a task, or take it back."""
    with closing(sqlite3.connect(path)) as connection:
        refusal = "BEFORE UPDATE ON tasks BEGIN SELECT RAISE(ABORT, 'refused by the test'); END"
        connection.execute(f"CREATE TRIGGER refusal {refusal}" if wanted else "DROP TRIGGER refusal")


async def test_a_task_whose_provider_is_no_longer_there_fails(store: SqliteTaskStore):
    row = await run(store, done, provider="gone")

    error = json.loads(row.error_json or "")
    assert (row.status, error["code"]) == ("failed", "PROVIDER_ERROR")
    assert "'gone'" in error["message"]


async def test_a_stored_request_that_is_no_longer_valid_fails(store: SqliteTaskStore):
    row = await run(store, done, request_json='{"input":5,"config":{},"stream":false}')

    error = json.loads(row.error_json or "")
    assert (error["code"], error["errors"][0]["loc"]) == ("INVALID_REQUEST", ["input"])


async def test_what_is_logged_of_a_task_carries_its_request_id(store: SqliteTaskStore):
    seen: list[str] = []

    async def body(job: Job) -> Output:
        seen.append(request_id.get())
        return {}

    await run(store, body, request_id="req-of-the-task")

    assert seen == ["req-of-the-task"]


async def test_a_body_that_breaks_is_in_the_log_and_not_in_the_answer(
    store: SqliteTaskStore, caplog: pytest.LogCaptureFixture
):
    async def body(job: Job) -> Output:
        raise RuntimeError("a secret")

    row = await run(store, body)

    assert "a secret" not in (row.error_json or "")
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [
        True
    ]


async def test_progress_reaches_the_row(store: SqliteTaskStore):
    async def body(job: Job) -> Output:
        job.progress(12.5)
        job.progress(99)  # too soon after the one before: only the events have it
        for _ in range(100):
            await asyncio.sleep(0.005)
            row = await store.find(PROJECT, job.id)
            if row and row.progress:
                return {"seen": row.progress}
        return {}

    row = await run(store, body)

    assert json.loads(row.output_json or "") == {"seen": 12.5}


async def test_every_progress_is_an_event(store: SqliteTaskStore):
    async def body(job: Job) -> Output:
        for percent in (1, 2.34, 3):
            job.progress(percent)
        return {}

    stage = Stage(store, body)
    task = await stage.store_only()
    stage.events.open(task.id, 0)
    await stage.runner.run(task.id)

    told = [
        json.loads(event.data)
        async for event in stage.events.follow(task.id, 0, 5)
        if event.name == "progress"
    ]
    assert told == [{"progress": 1}, {"progress": 2.3}, {"progress": 3}]


async def test_an_attempt_that_was_taken_away_ends_without_a_trace(
    store: SqliteTaskStore, caplog: pytest.LogCaptureFixture
):
    async def body(job: Job) -> Output:
        await store.void_leases()
        assert await store.claim(Claim(job.id, "worker_2", 1, 2**50))
        return {"mine": True}

    row = await run(store, body)

    assert (row.status, row.attempt, row.output_json) == ("running", 2, None)
    assert "attempt 1" in caplog.text


async def test_a_task_that_is_cancelled_by_nobody_fails_and_is_not_run_for_ever(store: SqliteTaskStore):
    async def body(job: Job) -> Output:
        raise asyncio.CancelledError

    row = await run(store, body)

    assert (row.status, json.loads(row.error_json or "")["code"]) == ("failed", "INTERNAL_ERROR")


async def test_a_result_that_cannot_be_written_as_json_fails_its_task_at_once(store: SqliteTaskStore):
    async def body(job: Job) -> Output:
        nested: list[object] = []
        for _ in range(600):
            nested = [nested]
        return {"tool_calls": nested}

    row = await run(store, body)

    assert (row.status, row.attempt) == ("failed", 1)


async def test_a_result_that_the_database_refuses_is_kept_until_it_takes_it(
    store: SqliteTaskStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    runs: list[str] = []

    async def body(job: Job) -> Output:
        runs.append(job.id)
        refuse_changes(tmp_path / "nexus.db", True)
        asyncio.get_running_loop().call_later(0.15, refuse_changes, tmp_path / "nexus.db", False)
        return {"text": "dear"}

    row = await run(store, body)

    assert (row.status, row.attempt, len(runs)) == ("completed", 1, 1)
    assert "cannot be stored yet" in caplog.text


async def test_stopping_what_does_not_run_here_does_nothing(store: SqliteTaskStore):
    stage = Stage(store, done)
    task = await stage.store_only()

    stage.runner.stop(task.id, "cancel")

    assert await store.find(PROJECT, task.id) == task


async def test_the_first_reason_to_stop_counts(store: SqliteTaskStore):
    async def body(job: Job) -> Output:
        stage.runner.stop(job.id, "cancel")
        stage.runner.stop(job.id, "shutdown")
        await asyncio.sleep(5)
        return {}

    stage = Stage(store, body)
    task = await stage.store_only()
    await stage.runner.run(task.id)

    row = await store.find(PROJECT, task.id)
    assert row is not None
    assert row.status == "cancelled"
