from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from nexusai.server.http import Problem
from nexusai.server.observability import health
from nexusai.server.observability.health import Health, seldom
from nexusai.server.traffic import Traffic


async def fine() -> None:
    pass


async def broken() -> None:
    raise OSError("no space, and a secret")


async def stuck() -> None:
    await asyncio.Event().wait()


def counted(check: Callable[[], Awaitable[None]]) -> tuple[list[int], Callable[[], Awaitable[None]]]:
    calls: list[int] = []

    async def counting() -> None:
        calls.append(1)
        await check()

    return calls, counting


async def refused(health: Health) -> Problem:
    with pytest.raises(Problem) as raised:
        await health.ready()
    assert raised.value.code == "SERVICE_UNAVAILABLE"
    return raised.value


async def test_all_parts_work():
    assert await Health({"database": fine, "storage": fine}, Traffic()).ready() == {
        "database": "ok",
        "storage": "ok",
    }


async def test_the_part_that_fails_is_named_without_its_words():
    problem = await refused(Health({"database": fine, "storage": broken}, Traffic()))

    assert problem.detail == "Not working: storage."
    assert problem.members["checks"] == {"database": "ok", "storage": "failed: OSError"}


async def test_a_part_that_does_not_answer_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "PATIENCE", 0.01)

    problem = await refused(Health({"queue": stuck}, Traffic()))

    assert problem.members["checks"] == {"queue": "no answer"}


async def test_a_platform_that_stops_is_not_ready_and_asks_nobody():
    traffic = Traffic()
    traffic.closing = True
    calls, check = counted(fine)

    problem = await refused(Health({"database": check}, traffic))

    assert problem.members["checks"] == {"platform": "stopping"}
    assert not calls


async def test_many_who_ask_at_once_make_one_look():
    calls, check = counted(fine)
    health = Health({"database": check}, Traffic())

    await asyncio.gather(*(health.ready() for _ in range(20)))

    assert len(calls) == 1


async def test_one_who_asks_and_leaves_does_not_end_it_for_the_others():
    gate = asyncio.Event()
    health = Health({"database": gate.wait}, Traffic())
    leaving, staying = asyncio.ensure_future(health.ready()), asyncio.ensure_future(health.ready())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    gate.set()

    assert await staying == {"database": "ok"}


async def test_what_costs_money_is_looked_at_seldom_while_it_is_fine():
    calls, check = counted(fine)
    remembered = seldom(check, 60)
    for _ in range(3):
        await remembered()
    assert len(calls) == 1

    calls, check = counted(broken)
    remembered = seldom(check, 60)
    for _ in range(3):
        with pytest.raises(OSError, match="no space"):
            await remembered()
    assert len(calls) == 3
