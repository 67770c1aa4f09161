from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.server.clock import now_ms
from nexusai.server.http import Problem
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.guard import Guard
from nexusai.server.keys.limits import BOUNDLESS, Lanes, MemoryLedger, Quota, Refusal, window
from nexusai.server.keys.models import Budget, Key, Limits, Project, RateLimits

NOW = 1_700_000_000_000


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp() * 1000)


@pytest.mark.parametrize(
    ("measure", "now", "begun", "over"),
    [
        ("requests", "2026-03-04T05:06:07", "2026-03-04T05:06:00", "2026-03-04T05:07:00"),
        ("tokens", "2026-12-31T23:59:59", "2026-12-31T23:59:00", "2027-01-01T00:00:00"),
        ("day", "2026-02-28T12:00:00", "2026-02-28T00:00:00", "2026-03-01T00:00:00"),
        ("month", "2026-01-31T23:59:59", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
        ("month", "2026-12-01T00:00:00", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("month", "2028-02-29T08:00:00", "2028-02-01T00:00:00", "2028-03-01T00:00:00"),
    ],
)
def test_windows_are_those_of_the_clock(measure, now: str, begun: str, over: str):
    assert window(measure, moment(now)) == (moment(begun), moment(over))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.integers(0, 90)), max_size=40),
    st.integers(1, 20),
)
async def test_never_more_than_the_limit_in_any_window(steps: list[tuple[int, int, int]], most: int):
    ledger, now, taken = MemoryLedger(), NOW, dict[int, int]()
    for amount, _, seconds in steps:
        now += seconds * 1000
        begun = window("tokens", now)[0]
        refusal = await ledger.take([Quota("key", "tokens", most)], [amount], now)
        used = taken.get(begun, 0)
        fits = used + amount <= most and (amount > 0 or used < most)
        if fits:
            taken[begun] = used + amount
            assert refusal == [used + amount]
        else:
            assert isinstance(refusal, Refusal)
            assert refusal.until == window("tokens", now)[1]
        assert await ledger.used("key", "tokens", now) == taken.get(begun, 0)


async def test_all_is_taken_or_nothing():
    ledger = MemoryLedger()
    quotas = [Quota("key", "requests", 10), Quota("project", "requests", 0.5)]

    refusal = await ledger.take(quotas, [1, 1], NOW)

    assert isinstance(refusal, Refusal)
    assert refusal.quota.subject == "project"
    assert await ledger.used("key", "requests", NOW) == 0


async def test_what_is_settled_in_a_later_window_leaves_that_one_alone():
    ledger, later = MemoryLedger(), NOW + 60_000
    await ledger.take([Quota("key", "tokens", 100)], [90], NOW)
    await ledger.take([Quota("key", "tokens", 100)], [50], later)

    ledger.settle([("key", "tokens", -80)], NOW)

    assert await ledger.used("key", "tokens", later) == 50


def limited(most: Limits) -> Caller:
    key = Key("key_1", "proj_1", "k", b"", "", 0, limits_json=most.dump())
    return Caller(Project("proj_1", "p", "{}", 0), key)


async def test_64_callers_at_once_get_exactly_what_there_is():
    guard = Guard(MemoryLedger(), Lanes())
    caller = limited(Limits(RateLimits(tokens_per_minute=1000), Budget(per_day=1.0)))

    refused: set[tuple[str, bool]] = set()

    async def call() -> bool:
        await asyncio.sleep(0)
        try:
            reservation = await guard.reserve(caller, tokens=30, dollars=0.03)
        except Problem as problem:
            refused.add((problem.code, bool(problem.retry_after)))
            return False
        assert reservation is not None
        await asyncio.sleep(0)
        reservation.count(tokens=30, dollars=0.03)
        reservation.settle()
        reservation.settle()  # a second time counts nothing
        return True

    while now_ms() % 60_000 > 55_000:  # noqa: ASYNC110 - not across the end of a minute
        await asyncio.sleep(0.5)
    let_through = sum(await asyncio.gather(*(call() for _ in range(64))))

    assert (let_through, refused) == (33, {("RATE_LIMIT_EXCEEDED", True)})
    assert await guard.ledger.used("key_1", "tokens", now_ms()) == 990
    assert await guard.ledger.used("key_1", "day", now_ms()) == pytest.approx(0.99)


async def test_a_call_that_takes_less_than_was_reserved_gives_the_rest_back():
    guard = Guard(MemoryLedger(), Lanes())
    caller = limited(Limits(budget=Budget(per_month=1.0)))

    for _ in range(20):
        reservation = await guard.reserve(caller, tokens=0, dollars=0.9)
        assert reservation is not None
        reservation.count(0, 0.005)
        reservation.settle()

    assert await guard.ledger.used("key_1", "month", now_ms()) == pytest.approx(0.1)
    with pytest.raises(Problem, match=r"1 US dollars a month; 0\.1 are used or reserved, and this call may"):
        await guard.reserve(caller, tokens=0, dollars=0.91)


async def test_what_is_unlimited_is_not_counted():
    guard = Guard(MemoryLedger(), Lanes())

    assert await guard.reserve(limited(Limits()), tokens=10**9, dollars=10**6) is None
    assert await guard.request(limited(Limits()), counted=True) == ()


async def test_more_than_there_will_ever_be_is_not_waited_for():
    guard = Guard(MemoryLedger(), Lanes())
    caller = limited(Limits(RateLimits(tokens_per_minute=10)))

    with pytest.raises(Problem, match="more than it may ever have"):
        await asyncio.wait_for(guard.reserve(caller, tokens=11, dollars=0, patience=1000), 5)


def test_a_lane_has_room_for_so_many():
    lanes, told = Lanes(), list[tuple[str, ...]]()
    lanes.on_room = lambda changed: told.append(tuple(changed))
    lanes.limit("key_1", 2)

    lanes.enter(("key_1", "proj_1"))
    assert (lanes.room("key_1"), lanes.room("proj_1")) == (1, BOUNDLESS)
    lanes.enter(("key_1", "proj_1"))
    assert lanes.room("key_1") == 0
    lanes.leave(("key_1", "proj_1"))
    lanes.limit("key_1", 1)
    assert (lanes.room("key_1"), told) == (0, [("key_1", "proj_1")])
    lanes.limit("key_1", 5)
    lanes.limit("key_1", None)
    assert (lanes.room("key_1"), told[1:]) == (BOUNDLESS, [("key_1",), ("key_1",)])
