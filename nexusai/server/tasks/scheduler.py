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
        self._waiting: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._waiting

    def add(self, task_id: str, priority: int, not_before: int) -> None:
        """A task that is there already stays where it is."""
        if task_id in self._waiting:
            return
        self._waiting.add(task_id)
        self._arrivals += 1
        heapq.heappush(self._later, (not_before, -priority, self._arrivals, task_id))

    def remove(self, task_id: str) -> None:
        """Forget a task; its place in the queue is skipped when its turn comes."""
        self._waiting.discard(task_id)

    def take(self, now: int) -> str | None:
        """The task whose turn it is at `now` (ms), if any."""
        while self._later and self._later[0][0] <= now:
            _, rank, arrival, task_id = heapq.heappop(self._later)
            heapq.heappush(self._ready, (rank, arrival, task_id))
        while self._ready:
            task_id = heapq.heappop(self._ready)[2]
            if task_id in self._waiting:
                self._waiting.remove(task_id)
                return task_id
        return None

    def next_time(self) -> int | None:
        """When (ms) the earliest of the tasks that wait for their time may run."""
        while self._later and self._later[0][3] not in self._waiting:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None
