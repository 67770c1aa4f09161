from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nexusai.server.tasks.scheduler import Scheduler

names = st.sampled_from("abcdef")


LANES = {"": (), "a": ("key_a", "proj_1"), "b": ("key_b", "proj_1"), "c": ("key_c", "proj_2")}
MOST = {"key_a": 1, "proj_1": 2, "key_c": 2}


class AgainstAList(RuleBasedStateMachine):
    """The scheduler beside the plainest one there is."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(self.room)
        self.waiting: dict[str, tuple[int, int, int, str]] = {}
        self.running: list[tuple[str, ...]] = []
        self.arrivals = 0
        self.now = 0

    def room(self, lane: str) -> int:
        return MOST.get(lane, 99) - sum(lane in lanes for lanes in self.running)

    @rule(
        name=names, priority=st.integers(-2, 2), delay=st.integers(-3, 3), whose=st.sampled_from(list(LANES))
    )
    def add(self, name: str, priority: int, delay: int, whose: str) -> None:
        self.scheduler.add(name, priority, self.now + delay, LANES[whose])
        self.arrivals += 1
        self.waiting.setdefault(name, (-priority, self.arrivals, self.now + delay, whose))

    @rule(name=names)
    def remove(self, name: str) -> None:
        self.scheduler.remove(name)
        self.waiting.pop(name, None)

    @rule(passed=st.integers(0, 2))
    def take(self, passed: int) -> None:
        self.now += passed
        ready = [
            (rank, arrival, name)
            for name, (rank, arrival, at, whose) in self.waiting.items()
            if at <= self.now and all(self.room(lane) > 0 for lane in LANES[whose])
        ]
        if not ready:
            assert self.scheduler.take(self.now) is None
            later = [at for _, _, at, _ in self.waiting.values() if at > self.now]
            assert self.scheduler.next_time() == min(later, default=None)
            return
        expected = min(ready)[2]
        lanes = LANES[self.waiting.pop(expected)[3]]
        assert self.scheduler.take(self.now) == (expected, lanes)
        self.running.append(lanes)

    @rule(which=st.integers(0, 9))
    def end(self, which: int) -> None:
        if which < len(self.running):
            self.scheduler.leave(self.running.pop(which))

    @invariant()
    def knows_what_waits(self) -> None:
        assert len(self.scheduler) == len(self.waiting)
        assert all((name in self.scheduler) == (name in self.waiting) for name in "abcdef")


TestAgainstAList = AgainstAList.TestCase


@given(st.lists(st.tuples(st.integers(-100, 100), st.integers(0, 50)), max_size=60))
def test_everything_comes_once_in_order_and_not_before_its_time(given: list[tuple[int, int]]):
    scheduler = Scheduler()
    for number, (priority, not_before) in enumerate(given):
        scheduler.add(str(number), priority, not_before)

    taken: list[int] = []
    for now in range(51):
        batch: list[int] = []
        while (taken_now := scheduler.take(now)) is not None:
            batch.append(int(taken_now[0]))
        assert all(given[number][1] == now for number in batch)
        assert batch == sorted(batch, key=lambda number: (-given[number][0], number))
        taken += batch

    assert sorted(taken) == list(range(len(given)))
    assert scheduler.next_time() is None


def test_a_task_that_is_forgotten_holds_up_nobody_of_its_lane():
    running = 1
    scheduler = Scheduler(lambda lane: 1 - running)
    for name in ("first", "second"):
        scheduler.add(name, 0, 0, ["lane"])
    assert scheduler.take(0) is None
    running = 0
    scheduler.leave(["lane"])  # the first has its turn, and nobody takes it
    scheduler.remove("first")
    assert scheduler.take(0) == ("second", ["lane"])
