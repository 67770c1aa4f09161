"""What keys and projects may use: counted in windows of the clock, taken before a call, settled after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

__all__ = ["MONEY", "Lanes", "Ledger", "MemoryLedger", "Refusal", "Want", "window"]

Measure: TypeAlias = Literal["requests", "tokens", "day", "month"]
"""Requests and tokens of a minute, dollars of a day and of a month."""

MONEY: Final[tuple[Measure, ...]] = ("day", "month")
MINUTE: Final = 60_000
DAY: Final = 24 * 3600 * 1000
BOUNDLESS: Final = 1 << 60
ROUNDING: Final = 1e-9
"""Of sums of dollars."""


class Want(NamedTuple):
    """`amount` of what the key or project `subject` may have `most` of in the measure's window."""

    subject: str
    measure: Measure
    most: float
    amount: float


class Refusal(NamedTuple):
    """What there was not enough of; `until` (ms) a new window begins."""

    want: Want
    used: float
    until: int


def window(measure: Measure, now: int) -> tuple[int, int]:
    """When (ms) the window around `now` began, and when the next one will."""
    if measure == "month":
        return _month(now // DAY)
    length = DAY if measure == "day" else MINUTE
    return now - now % length, now - now % length + length


@lru_cache(maxsize=64)
def _month(day: int) -> tuple[int, int]:
    """That of a day, as days are counted since 1970: a call asks ten times, and calendars are slow."""
    first = datetime.fromtimestamp(day * DAY / 1000, timezone.utc).replace(day=1)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return int(first.timestamp() * 1000), int(following.timestamp() * 1000)


class Ledger(Protocol):
    """Counts of all processes that share the limits."""

    async def take(self, wants: Sequence[Want], now: int) -> Refusal | None:
        """Count all of it; or none, where one of it is too much."""

    def settle(self, subject: str, measure: Measure, more: float, taken_at: int) -> None:
        """Correct by `more`, or less, what was taken at a time; a window that is over stays as it was."""

    async def used(self, subject: str, measure: Measure, now: int) -> float:
        """How much of the current window."""


class MemoryLedger:
    """The ledger of one process: nothing in `take` waits, so it is one step for all callers of a loop."""

    def __init__(self) -> None:
        self._windows: dict[Measure, _Window] = {}

    async def take(self, wants: Sequence[Want], now: int) -> Refusal | None:
        for want in wants:
            used = self._at(want.measure, now).used.get(want.subject, 0.0)
            spent = want.amount == 0 and used >= want.most  # nobody can tell yet: for who has some left
            if spent or used + want.amount > want.most + ROUNDING:
                return Refusal(want, used, window(want.measure, now)[1])
        for want in wants:
            counts = self._at(want.measure, now).used
            counts[want.subject] = counts.get(want.subject, 0.0) + want.amount
        return None

    def settle(self, subject: str, measure: Measure, more: float, taken_at: int) -> None:
        current = self._windows.get(measure)
        if current is None or taken_at >= current.end:
            current = self._at(measure, taken_at)
        if taken_at >= current.begin:
            current.used[subject] = max(0.0, current.used.get(subject, 0.0) + more)

    async def used(self, subject: str, measure: Measure, now: int) -> float:
        return self._at(measure, now).used.get(subject, 0.0)

    def restore(self, subject: str, measure: Measure, used: float, now: int) -> None:
        """Begin with what was used before this process."""
        self._at(measure, now).used[subject] = used

    def _at(self, measure: Measure, now: int) -> _Window:
        """What is counted at a time; what was counted before its window is forgotten."""
        current = self._windows.get(measure)
        if current is None or not current.begin <= now < current.end:
            current = self._windows[measure] = _Window(*window(measure, now), {})
        return current


class _Window(NamedTuple):
    begin: int
    end: int
    used: dict[str, float]


class Lanes:
    """How many tasks and calls of each key and project run now. A lane is the id of either."""

    def __init__(self) -> None:
        self._running: dict[str, int] = {}
        self._most: dict[str, int] = {}
        self.on_room: Callable[[Sequence[str]], object] = _nobody
        """Called with the lanes in which more may run than before."""

    def limit(self, lane: str, most: int | None) -> None:
        """Let so many run at once, or any number."""
        before = self._most.pop(lane, None)
        if most is not None:
            self._most[lane] = most
        if before is not None and (most is None or most > before):
            self.on_room((lane,))

    def room(self, lane: str) -> int:
        """How many more may run."""
        most = self._most.get(lane)
        return BOUNDLESS if most is None else most - self._running.get(lane, 0)

    def enter(self, lanes: Sequence[str]) -> None:
        running = self._running
        for lane in lanes:
            running[lane] = running.get(lane, 0) + 1

    def leave(self, lanes: Sequence[str]) -> None:
        running = self._running
        for lane in lanes:
            left = running[lane] - 1
            if left:
                running[lane] = left
            else:
                del running[lane]
        self.on_room(lanes)


def _nobody(lanes: Sequence[str]) -> None:
    pass
