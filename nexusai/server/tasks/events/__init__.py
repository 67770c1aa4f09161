"""What happens to a task while somebody watches: the protocol behind `/events`, streams and long-polls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

__all__ = ["ATTEMPT", "Event", "Lost", "TaskEvents", "Watch"]

ATTEMPT = 1_000_000_000
"""Ids of an attempt's events begin at its number times this, so that an id tells whose event it was."""


class Event(NamedTuple):
    """One server-sent event; `name` is empty for the default kind. `last` ends every stream of the task."""

    id: int
    name: str
    data: bytes
    last: bool = False


class Lost(Exception):
    """The events after the wanted id are not kept (any more): the row is what is left."""


class Watch(Protocol):
    """A look-out for a task's end, put up before its row is read so that the end cannot slip between."""

    async def wait(self, seconds: float) -> bool:
        """True when the task became final, False when the time ran out, or the platform stops."""


class TaskEvents(Protocol):
    """Events of running tasks. They may be lost with the process; the row never is."""

    def open(self, task_id: str, attempt: int) -> None:
        """Keep the events of this attempt (0: of the first one, not begun yet) for those who come late."""

    def publish(self, task_id: str, name: str, data: bytes) -> None: ...

    def end(self, task_id: str, closing: Callable[[], Sequence[tuple[str, bytes]]]) -> None:
        """The task is final: publish what closes its streams, if it has any, and wake who waits for it."""

    def follow(self, task_id: str, after: int, heartbeat: float) -> AsyncIterator[Event | None]:
        """The events after an id as they happen; None when nothing happened for `heartbeat` seconds.

        Ends after the last event, or when the platform stops. Raises `Lost` when there would be a gap.
        """

    def watch(self, task_id: str) -> AbstractContextManager[Watch]: ...

    def close(self) -> None:
        """Let go of everybody who follows or waits, now and from now on: the platform stops."""
