"""What every dispatcher must do, with a real store, the real runner and the real reconciler."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from nexusai.server.clock import now_ms
from nexusai.server.db import group_commit
from nexusai.server.tasks.kinds.kind import Job, Output
from nexusai.server.tasks.models import Filter, TaskRow
from tests.fixtures.server import PROJECT, Body, Stage, done, sqlite_task_store, work_row


async def hang(job: Job) -> Output:
    await asyncio.Event().wait()
    return {}


class Embedded:
    """One data file, and the lives on it; a new life leaves those before it for dead."""

    def __init__(self, path: Path, lives: AsyncExitStack, connections: list[sqlite3.Connection]) -> None:
        self._path = path
        self._lives = lives
        self._connections = connections

    async def begin(self, body: Body = done, **settings: Any) -> Stage:
        store = await self._lives.enter_async_context(sqlite_task_store(self._path))
        stage = Stage(store, body, **settings)
        await stage.start()
        self._lives.push_async_callback(stage.stop)
        return stage

    def break_down(self) -> None:
        """From now on nothing can be written, nor read."""
        self._connections[-1].execute("ALTER TABLE tasks RENAME TO elsewhere")

    def repair(self) -> None:
        self._connections[-1].execute("ALTER TABLE elsewhere RENAME TO tasks")

    def fill_disk(self) -> None:
        for connection in self._connections:
            connection.execute("PRAGMA max_page_count = 1")

    def free_disk(self) -> None:
        for connection in self._connections:
            connection.execute("PRAGMA max_page_count = 4294967294")


Begin = Callable[..., Any]
PLATFORMS = {"embedded": Embedded}


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The connections that write."""
    opened: list[sqlite3.Connection] = []
    connect = group_commit.connect

    def noted(path: Path) -> sqlite3.Connection:
        opened.append(connect(path))
        return opened[-1]

    monkeypatch.setattr(group_commit, "connect", noted)
    return opened


@pytest.fixture(params=PLATFORMS)
async def platform(
    request: pytest.FixtureRequest, tmp_path: Path, connections: list[sqlite3.Connection]
) -> AsyncIterator[Embedded]:
    async with AsyncExitStack() as lives:
        yield PLATFORMS[request.param](tmp_path / "nexus.db", lives, connections)


class Gate:
    """A body that waits until it is let through."""

    def __init__(self, answer: str = "done") -> None:
        self._open = asyncio.Event()
        self._answer = answer

    def open(self) -> None:
        self._open.set()

    async def __call__(self, job: Job) -> Output:
        await self._open.wait()
        return {"answer": self._answer}


async def statuses(stage: Stage) -> dict[str, str]:
    return {row.id: row.status for row in await stage.store.select(PROJECT, Filter(limit=10_000))}


async def row_of(stage: Stage, task: TaskRow) -> TaskRow:
    row = await stage.store.find(PROJECT, task.id)
    assert row is not None
    return row


# Running


async def test_what_is_submitted_runs(platform: Embedded):
    stage = await platform.begin()

    task = await stage.submit()

    row = await stage.end_of(task)
    assert (row.status, row.attempt, row.output_json) == (
        "completed",
        1,
        json.dumps({"done": task.id}, separators=(",", ":")),
    )


async def test_the_real_task_types_run(platform: Embedded):
    stage = await platform.begin()
    request = {"input": {"prompt": "hi"}, "config": {"tokens": 3}, "stream": False}

    task = await stage.submit(task_type="text_generation", request_json=json.dumps(request))

    output = json.loads((await stage.end_of(task)).output_json or "")
    assert len(output["text"].split()) == 3
    assert output["usage"]["completion_tokens"] == 3


async def test_a_thousand_tasks_each_run_once(platform: Embedded):
    stage = await platform.begin(max_running=64)

    tasks = await asyncio.gather(*(stage.submit() for _ in range(1000)))

    for task in tasks:
        assert (await stage.end_of(task)).status == "completed"
    assert sorted(stage.started) == sorted(task.id for task in tasks)


async def test_a_task_that_fails_is_failed_and_not_run_again(platform: Embedded):
    async def fail(job: Job) -> Output:
        raise ZeroDivisionError

    stage = await platform.begin(fail)

    row = await stage.end_of(task := await stage.submit())

    assert (row.status, row.attempt) == ("failed", 1)
    assert json.loads(row.error_json or "")["code"] == "INTERNAL_ERROR"
    assert stage.started == [task.id]


async def test_no_more_run_at_once_than_allowed(platform: Embedded):
    running, most = 0, 0

    async def count(job: Job) -> Output:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.001)
        running -= 1
        return {}

    stage = await platform.begin(count, max_running=3)

    for task in await asyncio.gather(*(stage.submit() for _ in range(20))):
        await stage.end_of(task)
    assert most == 3


# Order


async def test_priority_goes_first_and_then_the_order_of_arrival(platform: Embedded):
    gate = Gate()
    stage = await platform.begin(gate, max_running=1)
    await stage.has_started(first := await stage.submit())
    waiting = [await stage.submit(priority=priority) for priority in (0, -5, 9, 0, 9)]

    gate.open()

    for task in waiting:
        await stage.end_of(task)
    assert stage.started == [first.id, *(waiting[number].id for number in (2, 4, 0, 3, 1))]


async def test_a_task_waits_for_its_time(platform: Embedded):
    stage = await platform.begin()
    late = await stage.submit(not_before=now_ms() + 120)
    at_once = await stage.submit()

    row = await stage.end_of(late)

    assert stage.started == [at_once.id, late.id]
    assert (row.started_at or 0) >= late.not_before


async def test_a_task_that_waits_holds_up_nobody(platform: Embedded):
    stage = await platform.begin(max_running=1)
    late = await stage.submit(not_before=now_ms() + 60_000, priority=100)

    await stage.end_of(await stage.submit())

    assert late.id not in stage.started


# Cancel and timeout


async def test_a_waiting_task_that_is_cancelled_never_starts(platform: Embedded):
    gate = Gate()
    stage = await platform.begin(gate, max_running=1)
    await stage.has_started(blocking := await stage.submit())
    task = await stage.submit()

    await stage.cancel(task)
    gate.open()

    await stage.end_of(blocking)
    await stage.end_of(await stage.submit())
    assert (await row_of(stage, task)).status == "cancelled"
    assert task.id not in stage.started


async def test_a_running_task_that_is_cancelled_stops(platform: Embedded):
    stopped: list[str] = []

    async def tidy(job: Job) -> Output:
        try:
            return await hang(job)
        finally:
            stopped.append(job.id)

    stage = await platform.begin(tidy)
    await stage.has_started(task := await stage.submit())

    await stage.cancel(task)

    row = await stage.end_of(task)
    assert (row.status, row.output_json, row.error_json) == ("cancelled", None, None)
    assert stopped == [task.id]


async def test_a_task_that_is_cancelled_while_it_is_being_claimed_never_starts(platform: Embedded):
    stage = await platform.begin(hang, interval=60)
    task = work_row()
    await stage.store.accept(task)
    stage.dispatcher.submit(task.id)
    await asyncio.sleep(0)

    stage.dispatcher.cancel(task.id)
    await stage.store.request_cancel(task.id, now_ms())

    assert (await stage.end_of(task)).status == "cancelled"
    assert stage.started == []


async def test_tasks_that_are_cancelled_as_they_are_submitted_end_cancelled(platform: Embedded):
    stage = await platform.begin(hang, interval=60)

    async def submit_and_cancel() -> TaskRow:
        task = await stage.submit()
        await stage.cancel(task)
        return task

    for task in await asyncio.gather(*(submit_and_cancel() for _ in range(50))):
        assert (await stage.end_of(task)).status == "cancelled"


async def test_a_cancelled_task_makes_room(platform: Embedded):
    stage = await platform.begin(hang, max_running=1)
    await stage.has_started(first := await stage.submit())
    second = await stage.submit()

    await stage.cancel(first)

    await stage.has_started(second)


async def test_a_task_that_takes_too_long_fails(platform: Embedded):
    stage = await platform.begin(hang)

    row = await stage.end_of(await stage.submit(timeout=0.02))

    error = json.loads(row.error_json or "")
    assert (row.status, error["code"], error["retryable"]) == ("failed", "TIMEOUT", True)
    assert "0.02 s" in error["message"]


async def test_a_simulated_task_that_takes_too_long_fails(platform: Embedded):
    stage = await platform.begin()
    request = '{"input":{"prompt":"hi"},"config":{"latency":60},"stream":false}'

    row = await stage.end_of(
        await stage.submit(task_type="text_generation", request_json=request, timeout=0.02)
    )

    assert json.loads(row.error_json or "")["code"] == "TIMEOUT"


# What is lost


async def test_an_id_that_was_lost_is_brought_again(platform: Embedded):
    stage = await platform.begin()
    task = work_row()
    await stage.store.accept(task)

    assert (await stage.end_of(task)).status == "completed"


async def test_an_id_that_comes_several_times_runs_once(platform: Embedded):
    gate = Gate()
    stage = await platform.begin(gate, max_running=2)
    task = await stage.submit()
    stage.dispatcher.submit(task.id)
    await stage.has_started(task)
    stage.dispatcher.submit(task.id)
    await asyncio.sleep(0.05)
    gate.open()
    await stage.end_of(task)
    stage.dispatcher.submit(task.id)
    stage.dispatcher.submit("task_nope")

    await stage.end_of(await stage.submit())

    assert stage.started.count(task.id) == 1
    assert (await row_of(stage, task)).attempt == 1


async def test_after_a_crash_every_task_ends_once(platform: Embedded):
    dead = await platform.begin(hang, max_running=5)
    tasks = [await dead.submit() for _ in range(20)]
    await dead.has_started(*tasks[:5])
    await dead.die()

    stage = await platform.begin(worker="worker_2")

    rows = [await stage.end_of(task) for task in tasks]
    assert {row.status for row in rows} == {"completed"}
    assert [row.attempt for row in rows] == [2] * 5 + [1] * 15
    assert sorted(stage.started) == sorted(task.id for task in tasks)


async def test_a_worker_that_comes_back_from_the_dead_changes_nothing(platform: Embedded):
    async def late(job: Job) -> Output:
        await gate(job)
        return {"from": "the dead"}

    gate = Gate()
    dead = await platform.begin(late)
    await dead.has_started(task := await dead.submit())
    await dead.die()
    stage = await platform.begin(worker="worker_2")
    row = await stage.end_of(task)

    gate.open()
    await dead.dispatcher.stop(5)

    assert await row_of(stage, task) == row
    assert "the dead" not in (row.output_json or "")


async def test_a_task_that_kills_its_worker_each_time_fails_at_last(platform: Embedded):
    poison = work_row(max_attempts=3)
    for life in range(3):
        stage = await platform.begin(hang, worker=f"worker_{life}")
        if life == 0:
            await stage.store.accept(poison)
        await stage.has_started(poison)
        await stage.die()

    stage = await platform.begin(worker="worker_last")
    innocent = await stage.submit()

    row = await stage.end_of(poison)
    assert (row.status, row.attempt) == ("failed", 3)
    assert json.loads(row.error_json or "")["code"] == "WORKER_LOST"
    assert (await stage.end_of(innocent)).status == "completed"
    assert stage.started == [innocent.id]


async def test_a_task_that_was_to_be_cancelled_when_its_worker_died_is_cancelled(platform: Embedded):
    dead = await platform.begin(hang)
    await dead.has_started(task := await dead.submit())
    await dead.store.request_cancel(task.id, now_ms())
    await dead.die()

    stage = await platform.begin(worker="worker_2")

    assert (await stage.end_of(task)).status == "cancelled"
    assert stage.started == []


async def test_a_long_task_keeps_its_lease(platform: Embedded):
    gate = Gate()
    stage = await platform.begin(gate, lease=0.06)
    await stage.has_started(task := await stage.submit())
    await asyncio.sleep(0.2)

    gate.open()

    row = await stage.end_of(task)
    assert (row.status, row.attempt) == ("completed", 1)


# Stop


async def test_stop_hands_running_tasks_back_uncounted(platform: Embedded):
    stage = await platform.begin(hang, max_running=2)
    tasks = [await stage.submit() for _ in range(4)]
    await stage.has_started(*tasks[:2])

    await stage.stop()

    rows = [await row_of(stage, task) for task in tasks]
    assert [(row.status, row.max_attempts - row.attempt) for row in rows] == [("queued", 3)] * 4


async def test_stop_lets_tasks_finish_that_are_quick_enough(platform: Embedded):
    gate = Gate()
    stage = await platform.begin(gate)
    await stage.has_started(task := await stage.submit())
    stopping = asyncio.ensure_future(stage.stop(grace=60))
    await asyncio.sleep(0.01)

    gate.open()
    await stopping

    assert (await row_of(stage, task)).status == "completed"


async def test_a_stopped_dispatcher_takes_no_more(platform: Embedded):
    stage = await platform.begin()
    await stage.stop()

    task = await stage.submit()
    await asyncio.sleep(0.05)

    assert (await row_of(stage, task)).status == "queued"


async def test_a_task_that_was_handed_back_runs_in_the_next_life(platform: Embedded):
    stage = await platform.begin(hang)
    await stage.has_started(task := await stage.submit(max_attempts=1))
    await stage.stop()

    stage = await platform.begin(worker="worker_2")

    assert (await stage.end_of(task)).status == "completed"


async def test_a_task_that_is_cancelled_during_the_stop_ends_cancelled(platform: Embedded):
    async def slow_to_stop(job: Job) -> Output:
        try:
            return await hang(job)
        finally:
            await stage.store.request_cancel(job.id, now_ms())

    stage = await platform.begin(slow_to_stop)
    await stage.has_started(task := await stage.submit())
    await stage.stop()

    stage = await platform.begin(worker="worker_2")

    assert (await stage.end_of(task)).status == "cancelled"


# A database that says no


async def test_a_full_disk_loses_no_task(platform: Embedded):
    gate = Gate(answer="x" * 100_000)
    stage = await platform.begin(gate, lease=0.1)
    tasks = [await stage.submit() for _ in range(10)]
    await stage.has_started(*tasks)
    platform.fill_disk()
    gate.open()
    await asyncio.sleep(0.05)
    assert set((await statuses(stage)).values()) == {"running"}

    platform.free_disk()

    for task in tasks:
        assert (await stage.end_of(task)).status == "completed"


async def test_a_task_whose_end_could_not_be_written_comes_back_though_others_run_on(platform: Embedded):
    async def body(job: Job) -> Output:
        return await (hang(job) if job.id == neighbour.id else gate(job))

    neighbour, gate = work_row(), Gate(answer="x" * 100_000)
    stage = await platform.begin(body, lease=0.1)
    await stage.store.accept(neighbour)
    task = await stage.submit()
    await stage.has_started(neighbour, task)
    platform.fill_disk()
    gate.open()
    await asyncio.sleep(0.05)

    platform.free_disk()

    assert (await stage.end_of(task)).status == "completed"
    assert stage.started.count(neighbour.id) == 1


@pytest.mark.parametrize("timeout", [60, 0.02], ids=["completed", "timed out"])
async def test_stop_does_not_wait_for_a_database_that_says_no(platform: Embedded, timeout: float):
    gate = Gate()
    stage = await platform.begin(gate)
    await stage.has_started(task := await stage.submit(timeout=timeout))
    platform.break_down()
    if timeout == 60:
        gate.open()
    await asyncio.sleep(0.05)

    await asyncio.wait_for(stage.stop(), 10)
    platform.repair()

    stage = await platform.begin(worker="worker_2")
    assert (await stage.end_of(task)).status == "completed"


async def test_while_the_disk_is_full_nothing_is_accepted_and_afterwards_it_is(platform: Embedded):
    stage = await platform.begin()
    platform.fill_disk()
    refused = work_row(
        request_json=json.dumps({"input": {}, "config": {"x": "x" * 100_000}, "stream": False})
    )

    with pytest.raises(sqlite3.OperationalError, match="full"):
        await stage.store.accept(refused)
    platform.free_disk()

    assert (await stage.end_of(await stage.submit())).status == "completed"
    assert await stage.store.find(PROJECT, refused.id) is None
