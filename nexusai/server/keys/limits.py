"""What keys and projects may use: counted in windows of the clock, taken before a call, settled after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

__all__ = ["MONEY", "Change", "Lanes", "Ledger", "MemoryLedger", "Quota", "Refusal", "window"]

Measure: TypeAlias = Literal["requests", "tokens", "day", "month"]
"""Requests and tokens of a minute, dollars of a day and of a month."""

MEASURES: Final[tuple[Measure, ...]] = ("requests", "tokens", "day", "month")
MONEY: Final[tuple[Measure, ...]] = ("day", "month")
MINUTE: Final = 60_000
DAY: Final = 24 * 3600 * 1000
BOUNDLESS: Final = 1 << 60
ROUNDING: Final = 1e-9
"""Of sums of dollars."""


class Quota(NamedTuple):
    """How much the key or project `subject` may have in each window of the measure."""

    subject: str
    measure: Measure
    most: float


Change: TypeAlias = tuple[str, Measure, float]
"""By how much more, or less, of a measure a key or project has used."""


class Refusal(NamedTuple):
    """`amount` was more than there was left; `until` (ms) a new window begins."""

    quota: Quota
    amount: float
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

    async def take(
        self, quotas: Sequence[Quota], amounts: Sequence[float], now: int
    ) -> Sequence[float] | Refusal:
        """Count an amount of each, and tell how much is used of each then; or count nothing, where one of
        them is too much. None stands there twice.
        """

    def settle(self, changes: Iterable[Change], taken_at: int) -> None:
        """Correct what was taken at a time; a window that is over stays as it was."""

    async def used(self, subject: str, measure: Measure, now: int) -> float:
        """How much of the current window."""


class MemoryLedger:
    """The ledger of one process: nothing in `take` waits, so it is one step for all callers of a loop.

    The minute is the shortest window, and no other ends within one: while it lasts, nothing has to be looked
    up in the calendar.
    """

    def __init__(self) -> None:
        self._used: dict[Measure, dict[str, float]] = {measure: {} for measure in MEASURES}
        self._begun: dict[Measure, int] = dict.fromkeys(MEASURES, 0)
        self._minute_begun = self._minute_ends = 0

    async def take(
        self, quotas: Sequence[Quota], amounts: Sequence[float], now: int
    ) -> Sequence[float] | Refusal:
        if now >= self._minute_ends:
            self._turn(now)
        sums: list[float] = []
        for quota, amount in zip(quotas, amounts, strict=True):
            subject, measure, most = quota
            used = self._used[measure].get(subject, 0.0)
            sums.append(used + amount)
            if used + amount > most + ROUNDING or (not amount and used >= most):
                return Refusal(
                    quota, amount, used, window(measure, now)[1]
                )  # with nothing, for who has some left
        for (subject, measure, _), used in zip(quotas, sums, strict=True):
            self._used[measure][subject] = used
        return sums

    def settle(self, changes: Iterable[Change], taken_at: int) -> None:
        if taken_at >= self._minute_ends:
            self._turn(taken_at)
        lately = taken_at >= self._minute_begun
        for subject, measure, more in changes:
            if lately or taken_at >= self._begun[measure]:
                used = self._used[measure]
                left = used.get(subject, 0.0) + more
                used[subject] = left if left > 0.0 else 0.0

    async def used(self, subject: str, measure: Measure, now: int) -> float:
        if now >= self._minute_ends:
            self._turn(now)
        return self._used[measure].get(subject, 0.0)

    def restore(self, subject: str, measure: Measure, used: float, now: int) -> None:
        """Begin with what was used before this process."""
        if now >= self._minute_ends:
            self._turn(now)
        self._used[measure][subject] = used

    def _turn(self, now: int) -> None:
        """Begin the windows that a time is in; what was counted before them is forgotten."""
        for measure in MEASURES:
            begun, ends = window(measure, now)
            if begun != self._begun[measure]:
                self._begun[measure], self._used[measure] = begun, {}
            if measure == "requests":
                self._minute_begun, self._minute_ends = begun, ends


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

    def full(self, lanes: Sequence[str]) -> str | None:
        """The first in which no more may run."""
        for lane in lanes:
            most = self._most.get(lane)
            if most is not None and self._running.get(lane, 0) >= most:
                return lane
        return None

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
