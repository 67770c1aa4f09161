"""How an accepted task gets to a worker: the protocol that every dispatcher keeps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

__all__ = ["Dispatcher", "Run"]

Run = Callable[[str], Awaitable[None]]
"""Runs one task to its end: claims it first, and does nothing when it cannot be claimed."""


class Dispatcher(Protocol):
    """Moves ids to workers. It may forget one or bring one twice: the row decides."""

    async def start(self) -> None: ...

    async def stop(self, grace: float) -> None:
        """Take no more, let what runs finish for `grace` seconds, then hand it back."""

    def submit(self, task_id: str, priority: int = 0, not_before: int = 0, lanes: Sequence[str] = ()) -> None:
        """Bring a stored task to a worker, not before a time (ms since 1970) and not into a full lane."""

    def cancel(self, task_id: str) -> None:
        """Stop the task here if it waits or runs here."""

    async def check(self) -> None:
        """Raises `ConnectionError` when no task that is brought now would be begun."""
