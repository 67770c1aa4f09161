"""What every `SessionStore` keeps to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nexusai.server.db.engine import Database, migrate
from nexusai.server.sessions.models import MessageRow, SessionRow
from nexusai.server.sessions.store import SessionStore, SqlSessionStore, Turn

_numbers = itertools.count(1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    migrate(tmp_path / "nexus.db")
    database = Database(tmp_path / "nexus.db")
    yield SqlSessionStore(database)
    database.close()


def session(**fields: Any) -> SessionRow:
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "id": f"sess_{number:06d}",
        "project": "one",
        "agent_type": "assistant",
        "name": None,
        "config_json": "{}",
        "metadata_json": None,
        "is_active": True,
        "busy_task": None,
        "busy_at": 0,
        "summary": None,
        "summary_until": 0,
        "idempotency_key": None,
        "request_hash": None,
        "created_at": number,
        "updated_at": number,
    }
    return SessionRow(**{**defaults, **fields})


def message(session_id: str, task_id: str, ordinal: int = 0, position: int = 0) -> MessageRow:
    text = f'{{"role":"user","content":"{task_id} {ordinal}"}}'
    return MessageRow(f"msg_{next(_numbers)}", session_id, position, task_id, ordinal, text, "{}", 1)


def turn(of: SessionRow, task_id: str, **fields: Any) -> Turn:
    said = [message(of.id, task_id, number) for number in range(2)]
    return Turn(of.id, task_id, said, None, None, 0, 9)._replace(**fields)


async def held(store: SessionStore, task_id: str = "task_1", **fields: Any) -> SessionRow:
    """A stored session that is busy with a task."""
    row = session(**fields)
    await store.add(row)
    assert await store.reserve(row.id, task_id, None, 5)
    return row


async def contents(store: SessionStore, of: SessionRow) -> list[str]:
    rows, total = await store.history(of.id, 0, None)
    assert total == len(rows)
    assert [row.position for row in rows] == sorted({row.position for row in rows})
    return [row.message["content"] for row in rows]


async def test_a_session_is_found_by_its_project_alone(store: SessionStore):
    row = session(config_json='{"model":"m"}')
    assert await store.add(row)
    assert await store.find("one", row.id) == row
    assert await store.find("two", row.id) is None


async def test_a_key_is_taken_once_per_project_until_it_is_free(store: SessionStore):
    first = session(idempotency_key="k")
    assert await store.add(first)
    assert not await store.add(session(idempotency_key="k"))
    assert await store.add(session(idempotency_key="k", project="two"))
    assert (await store.find_by_key("one", "k")) == first
    await store.free_key(first.id)
    assert await store.find_by_key("one", "k") is None
    assert await store.add(session(idempotency_key="k"))


async def test_a_page_has_the_newest_first_and_the_number_of_all(store: SessionStore):
    rows = [session() for _ in range(3)]
    for row in rows:
        await store.add(row)
    await store.add(session(project="two"))
    page, total = await store.page("one", 1, 1)
    assert ([row.id for row in page], total) == ([rows[1].id], 3)


async def test_a_change_is_of_its_project_alone(store: SessionStore):
    row = session()
    await store.add(row)
    assert not await store.update(row._replace(project="two"), {"name": "x"})
    assert await store.update(row, {"name": "y"})
    assert (await store.find("one", row.id)).name == "y"


@pytest.mark.parametrize("fields", [{"config_json": '{"a":1}'}, {"metadata_json": '{"a":1}'}])
async def test_a_change_of_what_another_one_changed_meanwhile_is_none(
    store: SessionStore, fields: dict[str, str]
):
    row = session()
    await store.add(row)
    assert await store.update(row, fields)
    assert not await store.update(row, {"name": "x"})
    assert (await store.find("one", row.id)) == row._replace(**fields)


async def test_one_of_many_gets_the_session(store: SessionStore):
    row = session()
    await store.add(row)
    won = await asyncio.gather(*(store.reserve(row.id, f"task_{n}", None, n) for n in range(10)))
    assert sum(won) == 1


async def test_a_session_is_taken_from_a_holder_that_is_named(store: SessionStore):
    row = await held(store, "task_1")
    assert not await store.reserve(row.id, "task_2", None, 6)
    assert not await store.reserve(row.id, "task_2", "task_0", 6)
    assert await store.reserve(row.id, "task_2", "task_1", 6)
    await store.release(row.id, "task_1")
    assert (await store.find("one", row.id)).busy_task == "task_2"
    await store.release(row.id, "task_2")
    assert (await store.find("one", row.id)).busy_task is None


async def test_a_turn_is_stored_whole_and_lets_go_of_its_session(store: SessionStore):
    row = await held(store)
    assert await store.keep(turn(row, "task_1", summary="short", summary_until=3))
    kept = await store.find("one", row.id)
    assert (kept.busy_task, kept.updated_at, kept.summary, kept.summary_until) == (None, 9, "short", 3)
    assert await contents(store, row) == ["task_1 0", "task_1 1"]
    assert [each.ordinal for each in await store.said(row.id, "task_1")] == [0, 1]
    assert await store.count([row.id, "sess_none"]) == {row.id: 2}


async def test_a_turn_that_does_not_hold_its_session_leaves_nothing(store: SessionStore):
    row = await held(store, "task_1")
    assert not await store.keep(turn(row, "task_2"))
    assert await store.keep(turn(row, "task_1"))
    assert not await store.keep(turn(row, "task_1"))
    assert len(await contents(store, row)) == 2


async def test_a_turn_that_breaks_in_the_middle_leaves_nothing(store: SessionStore):
    row = await held(store)
    twice = [message(row.id, "task_1", 0), message(row.id, "task_1", 0)]
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.keep(turn(row, "task_1", messages=twice))
    assert await contents(store, row) == []
    assert (await store.find("one", row.id)).busy_task == "task_1"


async def test_an_answer_is_replaced_in_its_place(store: SessionStore):
    row = await held(store)
    await store.keep(turn(row, "task_1"))
    old = (await store.said(row.id, "task_1"))[1]
    await store.reserve(row.id, "task_2", None, 6)
    await store.keep(turn(row, "task_2", messages=[message(row.id, "task_2")], replaces=old.id))
    assert await contents(store, row) == ["task_1 0", "task_2 0"]


async def test_the_newest_are_those_behind_a_position(store: SessionStore):
    row = session()
    await store.add(row, [message(row.id, "task_1", n, position=n + 1) for n in range(5)])
    assert [each.position for each in await store.newest(row.id, 1, 3)] == [3, 4, 5]
    assert [each.position for each in await store.newest(row.id, 3, 3)] == [4, 5]


async def test_nothing_is_left_of_a_deleted_session(store: SessionStore):
    row, other = session(), session()
    for each in (row, other):
        await store.add(each, [message(each.id, "task_1", position=1)])
    assert not await store.delete("two", row.id)
    assert await store.delete("one", row.id)
    assert await store.find("one", row.id) is None
    assert await contents(store, row) == []
    assert await contents(store, other) == ["task_1 0"]
    assert not await store.delete("one", row.id)
