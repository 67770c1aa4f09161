from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nexusai.server.tasks.scheduler import Scheduler

names = st.sampled_from("abcdef")


class AgainstAList(RuleBasedStateMachine):
    """The scheduler beside the plainest one there is."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler()
        self.waiting: dict[str, tuple[int, int, int]] = {}
        self.arrivals = 0
        self.now = 0

    @rule(name=names, priority=st.integers(-2, 2), delay=st.integers(-3, 3))
    def add(self, name: str, priority: int, delay: int) -> None:
        self.scheduler.add(name, priority, self.now + delay)
        self.arrivals += 1
        self.waiting.setdefault(name, (-priority, self.arrivals, self.now + delay))

    @rule(name=names)
    def remove(self, name: str) -> None:
        self.scheduler.remove(name)
        self.waiting.pop(name, None)

    @rule(passed=st.integers(0, 2))
    def take(self, passed: int) -> None:
        self.now += passed
        ready = [(*rank, name) for name, rank in self.waiting.items() if rank[2] <= self.now]
        expected = min(ready)[3] if ready else None

        assert self.scheduler.take(self.now) == expected

        if expected is not None:
            del self.waiting[expected]
        else:
            assert self.scheduler.next_time() == min((at for _, _, at in self.waiting.values()), default=None)

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
        while (name := scheduler.take(now)) is not None:
            batch.append(int(name))
        assert all(given[number][1] == now for number in batch)
        assert batch == sorted(batch, key=lambda number: (-given[number][0], number))
        taken += batch

    assert sorted(taken) == list(range(len(given)))
    assert scheduler.next_time() is None
