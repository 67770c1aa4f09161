"""Who asks: a key and its project, known wherever something is done for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import NamedTuple

from nexusai.server.http import Problem
from nexusai.server.keys.models import Key, Limits, Project
from nexusai.server.tasks.models import lanes_of

__all__ = ["Caller", "CallerOf", "current_caller", "current_task"]


class Caller(NamedTuple):
    """`key` is None for what the platform does for a project by itself."""

    project: Project
    key: Key | None = None

    @property
    def limits(self) -> Iterator[tuple[str, Limits]]:
        """The ids to count under, and what each may use."""
        if self.key is not None:
            yield self.key.id, self.key.limits
        yield self.project.id, self.project.limits

    def named(self, subject: str) -> str:
        """What an id is that is counted under."""
        return "key" if self.key is not None and subject == self.key.id else "project"

    @property
    def lanes(self) -> tuple[str, ...]:
        """The ids that count what runs at the same time."""
        return lanes_of(self.project.id, self.key.id if self.key is not None else None)

    def require_model(self, provider: str, model: str) -> None:
        """Raises a 403 `Problem` for a model that the key may not use."""
        if self.key is not None and not self.key.may_use(provider, model):
            allowed = ", ".join(self.key.models or ())
            raise Problem(
                "FORBIDDEN", f"This key may not use {provider}/{model[:100]}; it may use: {allowed[:500]}"
            )


CallerOf = Callable[[str, "str | None"], Awaitable[Caller]]
"""Finds who a stored task is done for, by its project and its key."""

current_caller: ContextVar[Caller | None] = ContextVar("current_caller", default=None)

current_task: ContextVar[str | None] = ContextVar("current_task", default=None)
"""The id of the task that something is done for."""
