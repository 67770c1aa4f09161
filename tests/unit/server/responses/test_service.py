from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from nexusai.server.clock import now_ms
from nexusai.server.db.engine import Database, migrate
from nexusai.server.db.group_commit import GroupCommit
from nexusai.server.http import Problem
from nexusai.server.responses.service import DAY, ResponseService
from nexusai.server.responses.store import ResponseStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ResponseStore]:
    path = tmp_path / "nexus.db"
    migrate(path)
    database, commits = Database(path), GroupCommit(path)
    commits.start()
    yield ResponseStore(database, commits)
    await commits.stop()
    database.close()


@pytest.fixture
def service(store: ResponseStore) -> ResponseService:
    return ResponseService(store, 30, 10_000)


def response(name: str, previous: str | None = None, status: str = "completed") -> dict[str, Any]:
    output = [{"id": f"out_{name}", "type": "message"}]
    return {"id": name, "previous_response_id": previous, "model": "m", "status": status, "output": output}


async def kept(service: ResponseService, name: str, previous: str | None = None, **more: Any) -> None:
    history = await service.history("p", previous)
    items = [{"id": f"in_{name}", "type": "message", "role": "user", "content": "x" * more.pop("long", 1)}]
    assert await service.keep("p", None, response(name, previous, **more), orjson.dumps(items), history.ids)


def ids(items: Any) -> list[str]:
    return [item["id"] for item in items]


async def test_a_conversation_is_what_was_asked_and_answered_in_order(service: ResponseService) -> None:
    for name, previous in (("a", None), ("b", "a"), ("c", "b"), ("other", "a")):
        await kept(service, name, previous)
    history = await service.history("p", "c")
    assert ids(history.items) == ["in_a", "out_a", "in_b", "out_b", "in_c", "out_c"]
    assert history.ids == ["a", "b", "c"]
    assert ids((await service.history("p", "other")).items) == ["in_a", "out_a", "in_other", "out_other"]


async def test_a_conversation_that_lost_a_turn_says_which(service: ResponseService) -> None:
    for name, previous in (("a", None), ("b", "a"), ("c", "b")):
        await kept(service, name, previous)
    await service.delete("p", "a")
    with pytest.raises(Problem, match="'a' not found") as lost:
        await service.history("p", "c")
    assert lost.value.code == "NOT_FOUND"
    items, more = await service.input_items("p", "c", None, 10, newest_first=False)
    assert (ids(items), more) == (["in_c"], False)


async def test_another_projects_conversation_is_not_found(service: ResponseService) -> None:
    await kept(service, "a")
    with pytest.raises(Problem, match="'a' not found"):
        await service.history("q", "a")
    with pytest.raises(Problem, match="not found"):
        await service.resolved(
            "q", [{"type": "item_reference", "id": "out_a"}], await service.history("q", None)
        )


async def test_a_conversation_larger_than_a_request_is_refused(service: ResponseService) -> None:
    await kept(service, "a", long=6000)
    await kept(service, "b", "a", long=6000)
    with pytest.raises(Problem, match="larger than the limit") as large:
        await service.history("p", "b")
    assert large.value.code == "PAYLOAD_TOO_LARGE"


async def test_nobody_goes_on_from_a_response_that_failed(service: ResponseService) -> None:
    await kept(service, "a", status="failed")
    with pytest.raises(Problem, match="failed"):
        await service.history("p", "a")


async def test_references_are_found_in_the_conversation_and_among_all_answers(
    service: ResponseService,
) -> None:
    await kept(service, "a")
    await kept(service, "b")
    history = await service.history("p", "a")
    asked = [{"type": "item_reference", "id": name} for name in ("in_a", "out_b")]
    assert ids(await service.resolved("p", [*asked, {"id": "new", "role": "user"}], history)) == [
        "in_a",
        "out_b",
        "new",
    ]
    with pytest.raises(Problem, match="'out_c' not found"):
        await service.resolved("p", [{"type": "item_reference", "id": "out_c"}], history)


async def test_an_id_that_a_vendor_gives_again_is_that_of_the_newest_item(service: ResponseService) -> None:
    for name in ("old", "new"):
        output = [{"id": "msg_0", "type": "message", "content": name}]
        assert await service.keep("p", None, response(name) | {"output": output}, b"[]", ())
    nothing = await service.history("p", None)

    async def meant() -> Any:
        [item] = await service.resolved("p", [{"type": "item_reference", "id": "msg_0"}], nothing)
        return item["content"]

    assert await meant() == "new"
    await service.delete("p", "old")
    assert await meant() == "new"


async def test_references_are_bounded(service: ResponseService) -> None:
    await kept(service, "a", long=4000)
    await kept(service, "b", long=7000)
    nothing = await service.history("p", None)

    def referring(*names: str) -> list[dict[str, Any]]:
        return [{"type": "item_reference", "id": name} for name in names]

    with pytest.raises(Problem, match="more than 1000"):
        await service.resolved("p", referring(*["out_a"] * 1001), nothing)
    with pytest.raises(Problem, match="larger than the limit"):
        await service.resolved("p", referring("out_a", "out_b"), nothing)
    with pytest.raises(Problem, match="larger than the limit"):
        await service.resolved("p", referring("in_a", "in_a", "in_a"), await service.history("p", "a"))


async def test_the_same_id_twice_is_not_kept_and_loses_nothing(service: ResponseService) -> None:
    await kept(service, "a")
    assert not await service.keep("q", None, response("a"), b"[]", ())
    assert '"id":"a"' in await service.get("p", "a")


async def test_a_conversation_lives_as_long_as_its_last_turn(
    service: ResponseService, store: ResponseStore
) -> None:
    await kept(service, "a")
    await ResponseService(store, 60, 10_000).keep("p", None, response("b", "a"), b"[]", ["a"])
    later = now_ms() + 31 * DAY
    assert await store.forget(later, 10) == 0
    assert await store.find("p", "a", later) is not None
    later = now_ms() + 61 * DAY
    assert await store.find("p", "a", later) is None
    assert (await store.forget(later, 1), await store.forget(later, 10)) == (1, 1)
    assert await store.items("p", ["out_a", "out_b"], 99, 0) == {}
