"""Which deployment a call goes to, and which one after that."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

from nexusai.error import ConfigurationError
from nexusai.providers.errors import (
    AdapterError,
    BudgetExceededError,
    ContentFilterError,
    ContextWindowError,
    ValidationError,
)

__all__ = ["ROUTE", "Deployment", "Reason", "Route", "Router"]

Reason: TypeAlias = Literal["context_window", "content_filter"]

ROUTE: Final = "route"
"""What stands in a provider's place before the name of a route: `route/smart`."""

_SPEED_OF_LEARNING: Final = 0.1
"""What a single call counts in a mean, when it comes right after another."""
_HALF_LIFE: Final = 60.0
"""Seconds in which half of what was observed is forgotten."""
_WORST_HEALTH: Final = 0.05
_FASTEST: Final = 0.001


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model of a configured provider; `weight` is its share among equals.

    Raises `ConfigurationError` for a weight that makes no sense.
    """

    provider: str
    model: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ConfigurationError(f"weight of {self.provider}/{self.model}: make it a number above 0")


@dataclass(frozen=True, slots=True)
class Route:
    """A name for `deployments` that stand in for each other.

    When all of them failed, those of the routes in `fallbacks` are tried in that order (not their fallbacks
    in turn). Prompts that are too long, and what a vendor will not answer, go on only when `on` says so.
    """

    alias: str
    deployments: Sequence[Deployment]
    fallbacks: Sequence[str] = ()
    on: Collection[Reason] = ()


@dataclass(frozen=True, slots=True)
class _Record:
    """What is remembered of a deployment: means of its seconds per call and of its successes, 0 to 1."""

    seconds: float
    health: float
    at: float

    def memory(self, now: float) -> float:
        return math.pow(0.5, max(0.0, now - self.at) / _HALF_LIFE)


class Router:
    """Routes by alias, and how fast and healthy their deployments were. Times are monotonic seconds.

    Among equals one is drawn by weight × health / seconds per call; the calls of a session go to the same one
    while it is available, chosen by rendezvous hashing, so that no table is kept and every process agrees.
    Raises `ConfigurationError` for routes that contradict themselves.
    """

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._routes: dict[str, Route] = {}
        self._records: dict[tuple[str, str], _Record] = {}
        for route in routes:
            if route.alias in self._routes:
                raise ConfigurationError(f"two routes are named {route.alias!r}: give one another name")
            if not route.deployments:
                raise ConfigurationError(f"route {route.alias!r} has no deployments: add one")
            self._routes[route.alias] = route
        for route in self._routes.values():
            for alias in route.fallbacks:
                self._route(alias, f"fallback of route {route.alias!r}")

    def knows(self, alias: str) -> bool:
        return alias in self._routes

    def candidates(
        self,
        alias: str,
        *,
        now: float,
        random: float,
        session: str | None = None,
        unavailable: Collection[tuple[str, str]] = frozenset(),
    ) -> Iterator[Deployment]:
        """The deployments in the order in which to try them, none twice; `random` is in [0, 1).

        `unavailable` are `(provider, model)` of those to leave out. Raises `ConfigurationError` for an alias
        that is unknown.
        """
        route = self._route(alias, "route")
        seen = set(unavailable)
        for name in (alias, *route.fallbacks):
            group = {_key(each): each for each in self._routes[name].deployments if _key(each) not in seen}
            seen.update(group)
            if session is None:
                yield from _drawn(list(group.values()), self._shares(group, now), random)
            else:
                yield from sorted(group.values(), key=lambda each: _distance(session, each))

    def falls_back(self, error: AdapterError, alias: str) -> bool:
        """Whether another deployment may answer what this error refused.

        Not when the request is at fault, or the budget. A model that is not there (404), a key that is
        refused, a capability that is missing: those are of one deployment only. After a timeout the work may
        be paid for twice.
        """
        on = self._routes[alias].on if alias in self._routes else ()
        if isinstance(error, ContextWindowError):
            return "context_window" in on
        if isinstance(error, ContentFilterError):
            return "content_filter" in on
        if isinstance(error, ValidationError):
            return error.status == 404
        return not isinstance(error, BudgetExceededError)

    def observe(self, deployment: Deployment, seconds: float, ok: bool, now: float) -> None:
        """How a call went. A failure is no measure of speed: failing fast earns no calls."""
        if not self._routes:
            return
        key = _key(deployment)
        last = self._records.get(key) or _Record(seconds, 1.0, now)
        new = 1 - (1 - _SPEED_OF_LEARNING) * last.memory(now)
        speed = last.seconds + new * (seconds - last.seconds) if ok else max(last.seconds, seconds)
        self._records[key] = _Record(speed, last.health + new * (ok - last.health), now)

    def inherit(self, other: Router, unchanged: Collection[str]) -> None:
        """Remember what another router knows of the deployments of some providers."""
        self._records |= {key: record for key, record in other._records.items() if key[0] in unchanged}

    def _shares(self, group: dict[tuple[str, str], Deployment], now: float) -> list[float]:
        """How likely each is to be drawn. One that nobody has seen lately passes for an average one."""
        records = {key: record for key in group if (record := self._records.get(key)) is not None}
        mean = sum(record.seconds for record in records.values()) / len(records) if records else 1.0
        shares = []
        for key, deployment in group.items():
            record = records.get(key) or _Record(mean, 1.0, now)
            memory = record.memory(now)
            seconds = max(_FASTEST, mean + (record.seconds - mean) * memory)
            health = max(_WORST_HEALTH, 1 - (1 - record.health) * memory)
            shares.append(deployment.weight * health / seconds)
        return shares

    def _route(self, alias: str, what: str) -> Route:
        if alias in self._routes:
            return self._routes[alias]
        near = get_close_matches(alias, self._routes, 1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(sorted(self._routes)) or "none"
        raise ConfigurationError(f"unknown {what}: {alias!r}; {meant}There are: {known}")


def _key(deployment: Deployment) -> tuple[str, str]:
    return deployment.provider, deployment.model


def _drawn(group: list[Deployment], shares: list[float], random: float) -> Iterator[Deployment]:
    """Weighted draws without replacement; what is left of one random number serves the next draw."""
    while group:
        point = random * sum(shares)
        at = 0
        while at < len(group) - 1 and point >= shares[at]:
            point -= shares[at]
            at += 1
        random = min(1.0, max(0.0, point / shares[at]))
        shares.pop(at)
        yield group.pop(at)


def _distance(session: str, deployment: Deployment) -> float:
    """Smallest for the deployment of the session; a fair draw by weight over all sessions."""
    name = f"{session}\0{deployment.provider}\0{deployment.model}".encode()
    uniform = (int.from_bytes(blake2b(name, digest_size=8).digest(), "big") + 1) / (2**64 + 1)
    return -math.log(uniform) / deployment.weight
