from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from nexusai.providers import ProviderConfig, open_provider
from nexusai.server.catalogue import Catalogue
from nexusai.server.clock import now_ms
from nexusai.server.http import Problem
from nexusai.server.tasks.events.memory import MemoryEvents
from nexusai.server.tasks.kinds import KINDS
from nexusai.server.tasks.models import InvokeRequest, TaskRow
from nexusai.server.tasks.service import TaskService
from tests.fixtures.server import PROJECT, Stage, done, sqlite_task_store, task_row

DAY = 24 * 3600 * 1000
REQUEST = msgspec.json.decode(
    b'{"task_type":"text_generation","input":{"prompt":"hi"},"model":"local/simulate"}', type=InvokeRequest
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with sqlite_task_store(tmp_path / "nexus.db") as store:
        stage = Stage(store, done)
        await stage.start()
        yield stage
        await stage.stop()


@pytest.fixture
def tasks(stage: Stage) -> TaskService:
    return TaskService(
        store=stage.store,
        dispatcher=stage.dispatcher,
        events=stage.events,
        catalogue=Catalogue({"local": open_provider(ProviderConfig("local"))}),
        kinds=KINDS,
        default_timeout=60,
        max_attempts=3,
        heartbeat=60,
    )


async def submitted(tasks: TaskService, key: str | None = None, **changes: object) -> TaskRow:
    request = msgspec.structs.replace(REQUEST, **changes)
    return await tasks.submit(PROJECT, request, idempotency_key=key, request_id="req_1")


async def told(tasks: TaskService, row: TaskRow, after: int = 0) -> list[object]:
    """The data of all events of a task."""
    events = [event async for event in tasks.follow(row, after, str) if event]
    return [event.data.decode() if event.data == b"[DONE]" else json.loads(event.data) for event in events]


async def test_what_the_request_does_not_say_is_the_platforms_default(tasks: TaskService):
    row = await submitted(tasks)

    assert (row.timeout, row.max_attempts, row.priority, row.request_id) == (60, 3, 0, "req_1")
    assert (await submitted(tasks, timeout=1.5, priority=7)).timeout == 1.5


async def test_a_key_of_more_than_a_day_ago_is_free_again(tasks: TaskService, stage: Stage):
    old = task_row(idempotency_key="key", created_at=now_ms() - DAY - 1000)
    await stage.store.accept(old)

    row = await submitted(tasks, "key", priority=5)

    assert row.id != old.id
    assert (await stage.end_of(row)).status == "completed"
    assert (await submitted(tasks, "key", priority=5)).id == row.id


async def test_a_key_of_today_is_not_free(tasks: TaskService, stage: Stage):
    await stage.store.accept(task_row(idempotency_key="key", created_at=now_ms() - DAY + 60_000))

    with pytest.raises(Problem) as refused:
        await submitted(tasks, "key")

    assert refused.value.code == "CONFLICT"


async def test_the_task_of_a_key_is_found_before_it_is_made_again(tasks: TaskService):
    row = await submitted(tasks, "key")

    found = await tasks.replay(PROJECT, REQUEST, "key")
    assert found is not None
    assert found.id == row.id
    assert await tasks.replay(PROJECT, REQUEST, "other") is None
    assert await tasks.replay("proj_two", REQUEST, "key") is None
    with pytest.raises(Problem, match="another request"):
        await tasks.replay(PROJECT, msgspec.structs.replace(REQUEST, priority=1), "key")


async def test_a_key_of_yesterday_finds_no_task(tasks: TaskService, stage: Stage):
    await stage.store.accept(task_row(idempotency_key="key", created_at=now_ms() - DAY - 1000))

    assert await tasks.replay(PROJECT, REQUEST, "key") is None


async def test_a_task_type_of_a_feature_is_for_that_feature_alone(tasks: TaskService):
    hidden = {"hidden": replace(KINDS["text_generation"], task_type="hidden", internal=True)}
    inside = replace(tasks, kinds={**KINDS, **hidden})
    request = msgspec.structs.replace(REQUEST, task_type="hidden")

    with pytest.raises(Problem, match=r"'hidden' is not a task type; known: (?!.*hidden)"):
        await inside.submit(PROJECT, request, idempotency_key=None, request_id="r")

    row = await inside.submit(
        PROJECT, request, idempotency_key=None, request_id="r", internal=True, task_id="task_mine"
    )
    assert (row.id, row.task_type) == ("task_mine", "hidden")


async def test_a_task_that_ended_between_the_look_and_the_listening_tells_its_result(
    tasks: TaskService, stage: Stage
):
    queued = await submitted(tasks)
    ended = await stage.end_of(queued)

    events = await told(tasks, queued)

    assert {"delta": {"content": json.loads(ended.output_json or "")["text"]}} in events
    assert events[-1] == "[DONE]"


async def test_a_stream_whose_events_are_forgotten_tells_the_result_at_once(tasks: TaskService, stage: Stage):
    row = await stage.end_of(await submitted(tasks, stream=True))
    forgetful = replace(tasks, events=MemoryEvents())

    events = await told(forgetful, row)

    assert {"delta": {"content": json.loads(row.output_json or "")["text"]}} in events
    assert events[-1] == "[DONE]"


async def test_a_stream_that_was_under_way_and_is_forgotten_is_lost(tasks: TaskService, stage: Stage):
    row = await stage.end_of(await submitted(tasks, stream=True))
    forgetful = replace(tasks, events=MemoryEvents())

    (event,) = await told(forgetful, row, after=1_000_000_003)

    assert event["error"]["code"] == "STREAM_LOST"  # type: ignore[index]


async def test_a_task_of_a_type_that_is_no_longer_there_is_still_shown(tasks: TaskService):
    row = task_row(task_type="telepathy", status="completed", output_json='{"thought":"…"}')

    assert tasks.show(row, str)["output"] == {"thought": "…"}
