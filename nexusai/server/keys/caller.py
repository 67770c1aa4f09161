"""Who asks: a key and its project, known wherever something is done for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Final

from nexusai.server.catalogue import Names
from nexusai.server.http import Problem
from nexusai.server.keys.limits import MONEY, Measure, Quota
from nexusai.server.keys.models import Key, Limits, Logging, Project
from nexusai.server.tasks.models import lanes_of

__all__ = ["Caller", "CallerOf", "current_caller", "current_task"]


_REMEMBERED: Final = 256
_LONGEST_NAME: Final = 200


class Caller:
    """`key` is None for what the platform does for a project by itself. One for each key is kept: what is
    asked at every request is known beforehand.
    """

    __slots__ = (
        "_money",
        "_names",
        "_unlimited",
        "_usable",
        "has_budget",
        "is_metered",
        "key",
        "lanes",
        "limits",
        "logging",
        "metered",
        "project",
        "requests",
    )

    def __init__(self, project: Project, key: Key | None = None) -> None:
        self.project: Project = project
        self.key: Key | None = key
        of_key = [(key.id, key.limits)] if key is not None else []
        self.limits: Sequence[tuple[str, Limits]] = (*of_key, (project.id, project.limits))
        """The ids to count under, and what each may use."""
        self.requests: Sequence[Quota] = [
            Quota(subject, "requests", most)
            for subject, limits in self.limits
            if (most := limits.rate_limits.requests_per_minute) is not None
        ]
        """What a request takes."""
        self.metered: Sequence[Quota] = [
            Quota(subject, measure, most)
            for subject, limits in self.limits
            for measure, most in _metered(limits)
            if most is not None
        ]
        """What a call takes; how much of it is not known beforehand."""
        budgets = {(quota.subject, quota.measure) for quota in self.metered}
        self._names: Names | None = None
        self._usable: dict[tuple[str, str], bool] = {}
        self._money = [(subject, measure) for subject, _ in self.limits for measure in MONEY]
        self._unlimited = [each for each in self._money if each not in budgets]
        self.logging: Logging = (key.logging if key is not None else None) or project.logging or "off"
        """What is written down of its calls under `/v1`."""
        self.has_budget: bool = any(limits.budget.limits for _, limits in self.limits)
        self.is_metered: bool = bool(self.metered)
        """Whether tokens or money of its calls are limited."""
        self.lanes: tuple[str, ...] = lanes_of(project.id, key.id if key is not None else None)
        """The ids that count what runs at the same time."""

    def money(self, *, limited: bool = True) -> Sequence[tuple[str, Measure]]:
        """Under what dollars are counted; or that of it which no budget limits."""
        return self._money if limited else self._unlimited

    def reaches(self, project: str) -> bool:
        """Whether what belongs to a project may be managed: one's own, and with `platform` any."""
        whole = self.key is not None and "platform" in self.key.granted
        return whole or project == self.project.id

    def named(self, subject: str) -> str:
        """What an id is that is counted under."""
        return "key" if self.key is not None and subject == self.key.id else "project"

    def may_use(self, provider: str, model: str, names: Names) -> bool:
        """Whether the key may call a model; what it asked for lately is remembered."""
        if names is not self._names or len(self._usable) >= _REMEMBERED:
            self._names, self._usable = names, {}
        found = self._usable.get((provider, model))
        if found is None:
            found = self._may_use(provider, model, names)
            if len(model) <= _LONGEST_NAME:
                self._usable[provider, model] = found
        return found

    def _may_use(self, provider: str, model: str, names: Names) -> bool:
        """Whether the key may call a model.

        It may by any name that is ours for it; a route that it is not given by name, when it may use
        everything that the route gets to.
        """
        key = self.key
        if (
            key is None
            or key.models is None
            or any(n in key.models for n in names.of_target(provider, model))
        ):
            return True
        reach = names.reach(provider, model)
        return bool(reach) and all(key.may_use(*target) for target in reach)

    def require_model(self, provider: str, model: str, names: Names) -> None:
        """Raises a 403 `Problem` for a model that the key may not use."""
        if self.key is not None and not self.may_use(provider, model, names):
            allowed = ", ".join(self.key.models or ())
            raise Problem(
                "FORBIDDEN", f"This key may not use {provider}/{model[:100]}; it may use: {allowed[:500]}"
            )


def _metered(limits: Limits) -> Sequence[tuple[Measure, float | None]]:
    budget = limits.budget
    return (
        ("tokens", limits.rate_limits.tokens_per_minute),
        ("day", budget.per_day),
        ("month", budget.per_month),
    )


CallerOf = Callable[[str, "str | None"], Awaitable[Caller]]
"""Finds who a stored task is done for, by its project and its key."""

current_caller: ContextVar[Caller | None] = ContextVar("current_caller", default=None)

current_task: ContextVar[str | None] = ContextVar("current_task", default=None)
"""The id of the task that something is done for."""
