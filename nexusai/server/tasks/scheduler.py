"""Which task comes next: pure, the clock is handed in."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["Scheduler"]

Room = Callable[[str], int]
"""How many more tasks may run in a lane."""


class _Entry(NamedTuple):
    """In the order of turns."""

    rank: int
    arrival: int
    task_id: str
    lanes: Sequence[str]


def _boundless(lane: str) -> int:
    return 1 << 60


class Scheduler:
    """Tasks that wait for their time, then for their turn: by priority, then in order of arrival.

    One whose turn it is while a lane of it (its key's, its project's) is full waits aside until `leave` says
    that there is room again: it holds up nobody else.
    """

    def __init__(self, room: Room = _boundless) -> None:
        self._room = room
        self._ready: list[_Entry] = []
        self._later: list[tuple[int, _Entry]] = []
        self._aside: dict[str, list[_Entry]] = {}
        self._arrivals = 0
        self._waiting: dict[str, _Entry] = {}
        """The entry of each: another one of the same name was removed, and is skipped when its turn comes."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._waiting

    def add(self, task_id: str, priority: int, not_before: int, lanes: Sequence[str] = ()) -> None:
        """A task that is there already stays where it is."""
        if task_id in self._waiting:
            return
        self._arrivals += 1
        entry = self._waiting[task_id] = _Entry(-priority, self._arrivals, task_id, lanes)
        heapq.heappush(self._later, (not_before, entry))

    def remove(self, task_id: str) -> None:
        """Forget a task; whoever waited behind it has its turn."""
        entry = self._waiting.pop(task_id, None)
        if entry is not None:
            self.leave(entry.lanes)

    def take(self, now: int) -> tuple[str, Sequence[str]] | None:
        """The task whose turn it is at `now` (ms), if any, and its lanes."""
        while self._later and self._later[0][0] <= now:
            heapq.heappush(self._ready, heapq.heappop(self._later)[1])
        while self._ready:
            entry = heapq.heappop(self._ready)
            if self._waiting.get(entry.task_id) is not entry:
                continue
            if self._set_aside(entry):
                continue
            del self._waiting[entry.task_id]
            return entry.task_id, entry.lanes
        return None

    def leave(self, lanes: Sequence[str]) -> None:
        """There is room in these lanes: as many as it lets in of those that waited for it have their turn."""
        for lane in lanes if self._aside else ():
            aside = self._aside.pop(lane, None)
            room = self._room(lane) if aside else 0
            while aside and room > 0:
                entry = heapq.heappop(aside)
                if self._waiting.get(entry.task_id) is entry and not self._set_aside(entry):
                    heapq.heappush(self._ready, entry)
                    room -= 1
            if aside:
                self._aside[lane] = aside

    def _set_aside(self, entry: _Entry) -> bool:
        """Whether a lane of it is full, in which case it waits for that."""
        for lane in entry.lanes:
            if self._room(lane) <= 0:
                heapq.heappush(self._aside.setdefault(lane, []), entry)
                return True
        return False

    def next_time(self) -> int | None:
        """When (ms) the earliest of the tasks that wait for their time may run."""
        while self._later and self._waiting.get(self._later[0][1].task_id) is not self._later[0][1]:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None
