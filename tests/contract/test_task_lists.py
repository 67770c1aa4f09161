"""What every store of tasks must do: lists, idempotency keys, deletion."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from nexusai.server.tasks.models import Filter
from nexusai.server.tasks.states import FINAL
from nexusai.server.tasks.store import TaskStore
from tests.fixtures.server import OTHER_PROJECT, PROJECT, task_row
from tests.fixtures.task_stores import STORES, accepted, claimed, final, ids, there


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TaskStore]:
    async with STORES[request.param](tmp_path / "nexus.db") as store:
        yield store


# List


async def test_tasks_are_listed_newest_first_for_their_project(store: TaskStore):
    tasks = [await accepted(store) for _ in range(3)]
    await accepted(store, project=OTHER_PROJECT)

    assert await store.select(PROJECT, Filter()) == tasks[::-1]


async def test_a_cursor_goes_on_where_the_page_ended(store: TaskStore):
    tasks = [(await accepted(store)).id for _ in range(5)][::-1]

    assert await ids(store, Filter(limit=2)) == tasks[:2]
    assert await ids(store, Filter(limit=2, cursor=tasks[1])) == tasks[2:4]
    assert await ids(store, Filter(limit=2, cursor=tasks[3])) == tasks[4:]
    assert await ids(store, Filter(limit=2, cursor=tasks[4])) == []


async def test_tasks_are_listed_by_what_they_are(store: TaskStore):
    queued = await accepted(store, task_type="image_generation")
    running = await claimed(store)

    assert await ids(store, Filter(status="queued")) == [queued.id]
    assert await ids(store, Filter(status="running")) == [running.id]
    assert await ids(store, Filter(task_type="image_generation")) == [queued.id]
    assert await ids(store, Filter(status="running", task_type="image_generation")) == []
    assert await ids(store, Filter(created_after=queued.created_at)) == [running.id]


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ({"user": "ann"}, {"user": "ann"}),
        ({"n": 7, "other": 1}, {"n": "7"}),
        ({"n": 1.5}, {"n": "1.5"}),
        ({"flag": True}, {"flag": "true"}),
        ({"flag": False}, {"flag": "false"}),
        ({"none": None}, {"none": "null"}),
        ({"名": "值"}, {"名": "值"}),
        ({'it\'s "x".y[0]': "' OR 1=1 --"}, {'it\'s "x".y[0]': "' OR 1=1 --"}),
        ({"a": "1", "b": "2"}, {"a": "1", "b": "2"}),
    ],
    ids=str,
)
async def test_tasks_are_listed_by_metadata(
    store: TaskStore, metadata: dict[str, Any], wanted: dict[str, str]
):
    task = await accepted(store, metadata_json=json.dumps(metadata))
    await accepted(store)
    await accepted(store, metadata_json=json.dumps(dict.fromkeys(metadata, "another")))

    assert await ids(store, Filter(metadata=wanted)) == [task.id]


async def test_all_of_the_wanted_metadata_must_be_there(store: TaskStore):
    await accepted(store, metadata_json='{"a":"1"}')

    assert await ids(store, Filter(metadata={"a": "1", "b": "2"})) == []


# Keys and deletion


async def test_a_freed_idempotency_key_can_be_used_again(store: TaskStore):
    old = await accepted(store, idempotency_key="old")
    young = await accepted(store, idempotency_key="young")

    await store.free_keys(young.created_at)

    assert await store.find_by_key(PROJECT, "old") is None
    assert await store.find_by_key(PROJECT, "young") == young
    assert await there(store, old) == replace(old, idempotency_key=None)
    assert await store.accept(task_row(idempotency_key="old"))


@pytest.mark.parametrize("status", FINAL)
async def test_a_final_task_is_deleted(store: TaskStore, status: str):
    row = await final(store, status)

    assert await store.delete(PROJECT, row.id) == status

    assert await store.find(PROJECT, row.id) is None
    assert await store.delete(PROJECT, row.id) is None


async def test_a_task_that_is_not_final_is_not_deleted(store: TaskStore):
    queued, running = await accepted(store), await claimed(store)

    assert await store.delete(PROJECT, queued.id) == "queued"
    assert await store.delete(PROJECT, running.id) == "running"

    assert await there(store, queued) == queued
    assert await there(store, running) == running


async def test_a_task_of_another_project_is_not_deleted(store: TaskStore):
    row = await final(store, "completed")

    assert await store.delete(OTHER_PROJECT, row.id) is None

    assert await there(store, row) == row
