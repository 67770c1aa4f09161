from __future__ import annotations

import asyncio

from nexusai.server.db.retention import DAY, PIECE, Retention, Rule


class Rows:
    """Rows, each only a moment."""

    def __init__(self, *moments: int) -> None:
        self.moments = list(moments)
        self.asked: list[int] = []

    async def delete(self, before: int, most: int) -> int:
        doomed = [moment for moment in self.moments if moment < before][:most]
        self.asked.append(len(doomed))
        for moment in doomed:
            self.moments.remove(moment)
        return len(doomed)


async def test_what_is_too_old_goes_and_the_rest_stays():
    rows = Rows(1 * DAY, 5 * DAY, 9 * DAY)
    await Retention([Rule("rows", 3, rows.delete)]).purge(now=9 * DAY)
    assert rows.moments == [9 * DAY]


async def test_much_goes_in_pieces():
    rows = Rows(*[0] * (2 * PIECE + 1))
    await Retention([Rule("rows", 1, rows.delete)]).purge(now=9 * DAY)
    assert rows.asked == [PIECE, PIECE, 1]


async def test_it_is_looked_at_the_start_and_a_failure_ends_nothing():
    looked = asyncio.Event()

    async def fails(before: int, most: int) -> int:
        looked.set()
        raise OSError("away")

    retention = Retention([Rule("rows", 1, fails)])
    await retention.start()
    await asyncio.wait_for(looked.wait(), 5)
    await retention.stop()


async def test_a_rule_that_fails_keeps_none_of_the_others_waiting():
    async def fails(before: int, most: int) -> int:
        raise OSError("away")

    rows = Rows(1 * DAY)
    await Retention([Rule("files", 0, fails), Rule("rows", 3, rows.delete)]).purge(now=9 * DAY)
    assert rows.moments == []
