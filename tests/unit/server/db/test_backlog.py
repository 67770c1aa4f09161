from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from nexusai.server.db.backlog import Backlog


class Table:
    """Commits when it is let: a thread that does not hear of who waits for it."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.asked = asyncio.Event()
        self.may = asyncio.Event()

    async def write(self, rows: Sequence[int]) -> None:
        self.asked.set()
        committed = asyncio.ensure_future(self._commit(list(rows)))
        await asyncio.shield(committed)

    async def _commit(self, rows: list[int]) -> None:
        await self.may.wait()
        self.rows += rows


def backlog(table: Table) -> Backlog[int]:
    return Backlog(table.write, "rows", most=100, at_once=10)


async def test_what_is_being_written_at_the_end_is_written_once():
    table = Table()
    waiting = backlog(table)
    await waiting.start()
    waiting.add(1)
    await asyncio.wait_for(table.asked.wait(), 5)
    stopping = asyncio.create_task(waiting.stop())
    await asyncio.sleep(0.01)
    waiting.add(2)
    table.may.set()
    await stopping
    assert table.rows == [1, 2]


async def test_who_waited_for_rows_and_went_away_does_not_have_them_written_twice():
    table = Table()
    waiting = backlog(table)
    waiting.add(1)
    reader = asyncio.create_task(waiting.flush())
    await asyncio.wait_for(table.asked.wait(), 5)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    table.may.set()
    await waiting.flush()
    assert table.rows == [1]


async def test_who_waits_for_rows_does_not_wait_for_those_that_come_meanwhile():
    written: list[int] = []

    async def write(rows: Sequence[int]) -> None:
        written.extend(rows)
        waiting.add(len(written))

    waiting: Backlog[int] = Backlog(write, "rows", most=100, at_once=1)
    waiting.add(0)
    await waiting.flush()
    assert (written, waiting.waiting) == ([0], 1)


async def test_what_cannot_be_written_waits_in_its_order():
    fails = True
    written: list[int] = []

    async def write(rows: Sequence[int]) -> None:
        if fails:
            raise OSError("away")
        written.extend(rows)

    waiting: Backlog[int] = Backlog(write, "rows", most=100, at_once=2)
    for row in range(3):
        waiting.add(row)
    with pytest.raises(OSError, match="away"):
        await waiting.flush()
    fails = False
    await waiting.flush()
    assert written == [0, 1, 2]
