"""What every store of tasks must do: accept, claim, finish, and lose nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from nexusai.server.tasks.models import Filter, TaskRow
from nexusai.server.tasks.states import FINAL
from nexusai.server.tasks.store import Claim, TaskStore
from tests.fixtures.server import OTHER_PROJECT, PROJECT, task_row
from tests.fixtures.task_stores import (
    LATER,
    LEASE,
    NOW,
    STORES,
    accepted,
    claim_of,
    claimed,
    ending_of,
    final,
    ids,
    there,
)

TEXTS = {
    "chinese and emoji": "你好，世界 🌍 𠮷 e\u0301",
    "quotes": """it's a "quoted" `text`; DROP TABLE tasks; -- \\ \\" \\u0000 %s ? :name""",
    "control characters": "".join(map(chr, range(1, 32))) + "\x7f\u2028\u2029\ufeff",
    "a NUL": "before\x00after",
    "looks like JSON": '{"a": [1, null]}',
    "a megabyte": "多" * 300_000 + "x" * 100_000,
}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TaskStore]:
    async with STORES[request.param](tmp_path / "nexus.db") as store:
        yield store


# Accept


async def test_an_accepted_task_is_found_as_it_was_given(store: TaskStore):
    task = task_row(
        priority=-7,
        metadata_json='{"a":1}',
        idempotency_key="key",
        request_hash=b"\x00\xff'",
        timeout=1.5,
        not_before=9,
    )

    assert await store.accept(task)

    assert await store.find(PROJECT, task.id) == task


async def test_a_task_is_not_found_for_another_project(store: TaskStore):
    task = await accepted(store, idempotency_key="key")

    assert await store.find(OTHER_PROJECT, task.id) is None
    assert await store.find_by_key(OTHER_PROJECT, "key") is None


async def test_a_task_is_found_by_its_idempotency_key(store: TaskStore):
    task = await accepted(store, idempotency_key='it\'s "my" 钥匙')

    assert await store.find_by_key(PROJECT, 'it\'s "my" 钥匙') == task
    assert await store.find_by_key(PROJECT, 'it\'s "my"') is None


async def test_a_second_task_with_the_same_idempotency_key_is_not_stored(store: TaskStore):
    first = await accepted(store, idempotency_key="key")
    second = task_row(idempotency_key="key")

    assert not await store.accept(second)

    assert await store.find(PROJECT, second.id) is None
    assert await store.find_by_key(PROJECT, "key") == first


async def test_projects_do_not_share_idempotency_keys(store: TaskStore):
    await accepted(store, idempotency_key="key")

    assert await store.accept(task_row(idempotency_key="key", project=OTHER_PROJECT))


async def test_of_two_tasks_with_one_key_in_the_same_batch_one_is_stored(store: TaskStore):
    tasks = [task_row(idempotency_key="key") for _ in range(5)]
    innocent = task_row()

    *stored, other = await asyncio.gather(*map(store.accept, [*tasks, innocent]))

    assert stored.count(True) == 1
    assert await store.find_by_key(PROJECT, "key") == tasks[stored.index(True)]
    assert other
    assert len(await ids(store, Filter())) == 2


async def test_thousands_are_accepted_at_once(store: TaskStore):
    tasks = [task_row() for _ in range(5000)]

    assert all(await asyncio.gather(*map(store.accept, tasks)))

    assert len(await store.undelivered(NOW)) == 5000


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_texts_survive(store: TaskStore, text: str):
    as_json = json.dumps({"text": text, text[:60]: text[:60]}, ensure_ascii=False)
    given = {"request_json": as_json, "metadata_json": as_json, "model": text.replace("\x00", "")}

    row = await claimed(store, **given)
    await store.finish(ending_of(row, output_json=as_json, error_json=as_json))

    found = await there(store, row)
    selected = (await store.select(PROJECT, Filter()))[0]
    for shown in (row, found, selected):
        assert (shown.request_json, shown.metadata_json) == (as_json, as_json)
        assert shown.model == given["model"]
    assert (found.output_json, found.error_json) == (as_json, as_json)


async def test_what_was_answered_is_seen_by_the_next_reader(store: TaskStore):
    task = await accepted(store)
    row = await store.claim(claim_of(task))

    assert await there(store, task) == row


# Claim


async def test_a_claim_begins_an_attempt(store: TaskStore):
    task = await accepted(store, priority=3, metadata_json='{"a":1}', not_before=4)

    row = await store.claim(claim_of(task))

    assert row == replace(task, status="running", attempt=1, started_at=NOW)


async def test_a_task_with_a_live_lease_is_not_claimed(store: TaskStore):
    row = await claimed(store)

    assert await store.claim(claim_of(row, "worker_2", LATER - 1)) is None

    assert (await there(store, row)).attempt == 1


async def test_a_task_whose_lease_is_over_is_claimed_again(store: TaskStore):
    row = await claimed(store)
    await store.report(row.id, 1, 50)

    again = await store.claim(claim_of(row, "worker_2", LATER))

    assert again == replace(row, attempt=2, progress=0, started_at=NOW)
    assert await there(store, row) == again


@pytest.mark.parametrize("status", FINAL)
async def test_a_final_task_is_not_claimed(store: TaskStore, status: str):
    row = await final(store, status)

    assert await store.claim(claim_of(row, now=LATER)) is None


async def test_a_task_is_not_claimed_more_often_than_its_attempts(store: TaskStore):
    task = await accepted(store, max_attempts=2)

    rows = [await store.claim(claim_of(task, now=NOW + number * LEASE)) for number in range(3)]

    assert [row and row.attempt for row in rows] == [1, 2, None]


async def test_a_lost_task_that_should_be_cancelled_is_not_claimed(store: TaskStore):
    row = await claimed(store)
    await store.request_cancel(row.id, NOW)

    assert await store.claim(claim_of(row, now=LATER)) is None


async def test_an_unknown_task_is_not_claimed(store: TaskStore):
    assert await store.claim(Claim("task_nope", "worker_1", NOW, LATER)) is None


async def test_of_many_claims_of_one_task_in_the_same_batch_one_wins(store: TaskStore):
    task = await accepted(store)
    workers = [f"worker_{number}" for number in range(7)]

    rows = await asyncio.gather(*(store.claim(claim_of(task, worker)) for worker in workers))

    assert [row.attempt for row in rows if row] == [1]
    assert (await there(store, task)).attempt == 1


async def test_the_claim_that_won_holds_the_lease(store: TaskStore):
    task = await accepted(store)
    workers = [f"worker_{number}" for number in range(7)]
    rows = await asyncio.gather(*(store.claim(claim_of(task, worker)) for worker in workers))
    winner = next(worker for worker, row in zip(workers, rows, strict=True) if row)

    await store.renew(winner, [task.id], LATER + LEASE)

    assert await store.claim(claim_of(task, "worker_x", LATER)) is None


async def test_each_claim_of_a_batch_gets_its_own_task(store: TaskStore):
    tasks = [task_row() for _ in range(3000)]
    await asyncio.gather(*map(store.accept, tasks))
    wanted = [task.id if number % 3 else f"task_nope_{number}" for number, task in enumerate(tasks)]

    rows = await asyncio.gather(*(store.claim(Claim(id, "worker_1", NOW, LATER)) for id in wanted))

    assert [row and row.id for row in rows] == [id if "nope" not in id else None for id in wanted]


# Fencing


@pytest.fixture
async def lost(store: TaskStore) -> TaskRow:
    """The first attempt of a task that a second worker has taken over."""
    row = await claimed(store)
    assert await store.claim(claim_of(row, "worker_2", LATER))
    return row


async def test_a_worker_that_lost_its_task_cannot_finish_it(store: TaskStore, lost: TaskRow):
    assert not await store.finish(ending_of(lost))

    found = await there(store, lost)
    assert (found.status, found.attempt, found.output_json) == ("running", 2, None)


async def test_a_worker_that_lost_its_task_cannot_report(store: TaskStore, lost: TaskRow):
    await store.report(lost.id, lost.attempt, 99)

    assert (await there(store, lost)).progress == 0


async def test_a_worker_that_lost_its_task_cannot_hand_it_back(store: TaskStore, lost: TaskRow):
    assert not await store.release(lost.id, lost.attempt)

    found = await there(store, lost)
    assert (found.status, found.attempt) == ("running", 2)


async def test_a_worker_that_lost_its_task_does_not_keep_its_lease(store: TaskStore, lost: TaskRow):
    await store.renew("worker_1", [lost.id], LATER + 10 * LEASE)

    assert await store.claim(claim_of(lost, "worker_3", LATER + LEASE))


async def test_a_queued_task_cannot_be_finished(store: TaskStore):
    task = await accepted(store)

    assert not await store.finish(ending_of(task))

    assert await there(store, task) == task


# Finish and report


async def test_a_finished_task_holds_how_it_ended(store: TaskStore):
    row = await claimed(store)
    ending = ending_of(row, "failed", output_json=None, error_json='{"code":"TIMEOUT"}', at=NOW + 7)

    assert await store.finish(ending)

    assert await there(store, row) == replace(
        row, status="failed", error_json='{"code":"TIMEOUT"}', finished_at=NOW + 7
    )


async def test_of_two_ends_of_one_attempt_in_the_same_batch_one_counts(store: TaskStore):
    row = await claimed(store)
    endings = [ending_of(row, output_json='{"text":"a"}'), ending_of(row, "failed", output_json=None)]

    ended = await asyncio.gather(*map(store.finish, endings))

    assert ended.count(True) == 1
    assert (await there(store, row)).status == endings[ended.index(True)].status


async def test_a_stale_end_in_the_batch_of_the_valid_one_does_not_count(store: TaskStore, lost: TaskRow):
    endings = [ending_of(lost, "failed"), ending_of(lost, attempt=2), ending_of(lost, "failed")]

    assert await asyncio.gather(*map(store.finish, endings)) == [False, True, False]

    assert (await there(store, lost)).status == "completed"


async def test_thousands_are_finished_at_once(store: TaskStore):
    tasks = [task_row() for _ in range(3000)]
    await asyncio.gather(*map(store.accept, tasks))
    rows = await asyncio.gather(*(store.claim(claim_of(task)) for task in tasks))
    endings = [ending_of(row, output_json=f'"{row.id}"') for row in rows if row]
    endings[7] = endings[7]._replace(attempt=2)

    ended = await asyncio.gather(*map(store.finish, endings))

    assert [number for number, done in enumerate(ended) if not done] == [7]
    found = await store.select(PROJECT, Filter(status="completed", limit=4000))
    assert {row.id: row.output_json for row in found} == {
        ending.task_id: ending.output_json for ending in endings if ending.attempt == 1
    }


async def test_progress_is_kept_for_the_running_attempt(store: TaskStore):
    row = await claimed(store)

    await store.report(row.id, row.attempt, 12.5)

    assert (await there(store, row)).progress == 12.5


@pytest.mark.parametrize("status", FINAL)
async def test_nothing_changes_a_final_task(store: TaskStore, status: str):
    row = await final(store, status)

    assert not await store.finish(ending_of(row, "failed", error_json="{}", at=NOW + 99))
    assert not await store.release(row.id, row.attempt)
    assert await store.request_cancel(row.id, NOW + 99) == status
    await store.report(row.id, row.attempt, 1)
    await store.renew("worker_1", [row.id], LATER + LEASE)
    await store.void_leases()
    assert await store.end_lost(LATER + LEASE, "{}") == {}

    assert await there(store, row) == row


# Lease


async def test_a_renewed_lease_holds(store: TaskStore):
    row = await claimed(store)

    await store.renew("worker_1", [row.id], LATER + LEASE)

    assert await store.claim(claim_of(row, "worker_2", LATER + LEASE - 1)) is None
    assert await store.claim(claim_of(row, "worker_2", LATER + LEASE))


async def test_a_worker_renews_only_its_own(store: TaskStore):
    row = await claimed(store)

    await store.renew("worker_2", [row.id], LATER + LEASE)

    assert await store.claim(claim_of(row, "worker_2", LATER))


async def test_a_worker_does_not_keep_what_it_dropped(store: TaskStore):
    dropped, kept = await claimed(store), await claimed(store)

    await store.renew("worker_1", [kept.id], LATER + LEASE)

    assert [id for id, *_ in await store.undelivered(LATER)] == [dropped.id]


async def test_the_owner_of_the_data_can_end_every_lease(store: TaskStore):
    rows = [await claimed(store) for _ in range(3)]

    await store.void_leases()

    assert [found[0] for found in await store.undelivered(NOW)] == [row.id for row in rows]


# Release


async def test_a_task_that_is_handed_back_is_queued_and_not_counted(store: TaskStore):
    row = await claimed(store, max_attempts=1)

    assert await store.release(row.id, 1)

    found = await there(store, row)
    assert (found.status, found.attempt, found.max_attempts) == ("queued", 1, 2)
    assert await store.claim(claim_of(row, "worker_2", NOW + 1))


async def test_a_task_that_should_be_cancelled_and_is_handed_back_ends_cancelled(store: TaskStore):
    row = await claimed(store)
    await store.request_cancel(row.id, NOW)

    await store.release(row.id, 1)

    assert [id for id, *_ in await store.undelivered(NOW)] == [row.id]
    assert await store.end_lost(NOW + 1, "{}") == {row.id: "cancelled"}
    assert (await there(store, row)).status == "cancelled"


# Cancel


async def test_a_queued_task_is_cancelled_at_once(store: TaskStore):
    task = await accepted(store)

    assert await store.request_cancel(task.id, NOW) == "cancelled"

    assert await there(store, task) == replace(task, status="cancelled", finished_at=NOW)
    assert await store.claim(claim_of(task)) is None


async def test_a_running_task_is_marked_and_goes_on(store: TaskStore):
    row = await claimed(store)

    assert await store.request_cancel(row.id, NOW) == "running"

    assert await there(store, row) == row
    assert await store.finish(ending_of(row))


async def test_an_unknown_task_cannot_be_cancelled(store: TaskStore):
    assert await store.request_cancel("task_nope", NOW) is None


async def test_of_a_claim_and_a_cancel_at_once_one_comes_first(store: TaskStore):
    tasks = [await accepted(store) for _ in range(20)]

    outcomes = await asyncio.gather(
        *(asyncio.gather(store.claim(claim_of(task)), store.request_cancel(task.id, NOW)) for task in tasks)
    )

    for task, (row, status) in zip(tasks, outcomes, strict=True):
        assert status == ("running" if row else "cancelled")
        assert (await there(store, task)).status == status


# What was lost


async def test_a_task_that_lost_its_last_attempt_fails(store: TaskStore):
    row = await claimed(store, max_attempts=1)

    assert await store.end_lost(LATER, '{"code":"WORKER_LOST"}') == {row.id: "failed"}

    assert await there(store, row) == replace(
        row, status="failed", error_json='{"code":"WORKER_LOST"}', finished_at=LATER
    )


async def test_a_lost_task_that_should_be_cancelled_is(store: TaskStore):
    row = await claimed(store, max_attempts=1)
    await store.request_cancel(row.id, NOW)

    assert await store.end_lost(LATER, "{}") == {row.id: "cancelled"}

    assert await there(store, row) == replace(row, status="cancelled", finished_at=LATER)


async def test_a_task_with_a_live_lease_is_not_lost(store: TaskStore):
    row = await claimed(store, max_attempts=1)
    await store.request_cancel(row.id, NOW)

    assert await store.end_lost(LATER - 1, "{}") == {}

    assert (await there(store, row)).status == "running"


async def test_a_lost_task_with_attempts_left_is_not_ended(store: TaskStore):
    row = await claimed(store, max_attempts=2)

    assert await store.end_lost(LATER, "{}") == {}

    assert await there(store, row) == row


async def test_what_nobody_runs_is_undelivered(store: TaskStore):
    waiting = await accepted(store, priority=5, not_before=NOW + 77)
    abandoned = await claimed(store, priority=-5, key_id="key_1")
    for status in FINAL:
        await final(store, status)
    held = await claimed(store)
    await store.renew("worker_1", [held.id], LATER + 1)

    assert await store.undelivered(LATER) == [
        (waiting.id, 5, NOW + 77, (PROJECT,)),
        (abandoned.id, -5, 0, ("key_1", PROJECT)),
    ]


# All at once


async def test_competing_workers_finish_every_task_once(store: TaskStore):
    finished: list[str] = []

    async def work(task: TaskRow, worker: str) -> None:
        row = await store.claim(claim_of(task, worker))
        if row and await store.finish(ending_of(row, output_json=f'"{worker}"')):
            finished.append(row.id)

    async def live() -> None:
        task = await accepted(store)
        await asyncio.gather(*(work(task, f"worker_{number}") for number in range(3)))

    await asyncio.gather(*(live() for _ in range(300)))

    assert len(finished) == len(set(finished)) == 300
    assert len(await store.select(PROJECT, Filter(status="completed", limit=400))) == 300
