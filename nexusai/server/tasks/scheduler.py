"""Which task comes next: pure, the clock is handed in."""

from __future__ import annotations

import heapq

__all__ = ["Scheduler"]


class Scheduler:
    """Tasks that wait for their time, then for their turn: by priority, then in order of arrival."""

    def __init__(self) -> None:
        self._ready: list[tuple[int, int, str]] = []
        self._later: list[tuple[int, int, int, str]] = []
        self._arrivals = 0
        self._waiting: dict[str, int] = {}
        """The arrival of each: an entry of another one was removed, and is skipped when its turn comes."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._waiting

    def add(self, task_id: str, priority: int, not_before: int) -> None:
        """A task that is there already stays where it is."""
        if task_id in self._waiting:
            return
        self._arrivals += 1
        self._waiting[task_id] = self._arrivals
        heapq.heappush(self._later, (not_before, -priority, self._arrivals, task_id))

    def remove(self, task_id: str) -> None:
        """Forget a task."""
        self._waiting.pop(task_id, None)

    def take(self, now: int) -> str | None:
        """The task whose turn it is at `now` (ms), if any."""
        while self._later and self._later[0][0] <= now:
            _, rank, arrival, task_id = heapq.heappop(self._later)
            heapq.heappush(self._ready, (rank, arrival, task_id))
        while self._ready:
            _, arrival, task_id = heapq.heappop(self._ready)
            if self._waiting.get(task_id) == arrival:
                del self._waiting[task_id]
                return task_id
        return None

    def next_time(self) -> int | None:
        """When (ms) the earliest of the tasks that wait for their time may run."""
        while self._later and self._waiting.get(self._later[0][3]) != self._later[0][2]:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None
