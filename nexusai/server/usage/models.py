"""One call to a model, as it is kept; and what money is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from nexusai.error import ConfigurationError
from nexusai.providers.types import Cost

__all__ = ["CallRow", "Rates", "Span", "Sum"]


class CallRow(NamedTuple):
    """A row of the table `calls`; `status` is `completed`, `failed`, or `cut` by a caller who went away."""

    at: int
    project: str
    key_id: str | None
    request_id: str
    task_id: str | None
    operation: str
    provider: str
    model: str
    status: str
    error_code: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    usage_source: str | None = None
    cost: float | None = None
    currency: str | None = None
    estimated: bool = False
    dollars: float = 0.0
    seconds: float = 0.0
    first_chunk: float | None = None
    attempts: int = 1
    tried: str | None = None
    """The deployments that failed before, with commas between."""


class Span(NamedTuple):
    """Which calls to add up: of a project, or of all; from one moment (ms) until before another."""

    project: str | None = None
    key_id: str | None = None
    model: str | None = None
    provider: str | None = None
    since: int | None = None
    until: int | None = None


class Sum(NamedTuple):
    """What the calls of one group used. A group is an id, a name, or when its day began (ms)."""

    group: Any
    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    dollars: float
    estimated: bool
    unpriced: int


class Rates:
    """What a unit of other currencies is worth in US dollars: budgets are in dollars, prices may not be."""

    def __init__(self, rates: Mapping[str, float]) -> None:
        for currency, rate in rates.items():
            if not rate > 0:
                raise ConfigurationError(f"The rate of {currency} is {rate}: it must be above 0.")
        self._rates = {"USD": 1.0, **rates}

    def dollars(self, cost: Cost | None) -> float | None:
        """None for what has no price, or one in a currency without a rate."""
        if cost is None:
            return None
        rate = self._rates.get(cost.currency)
        return None if rate is None else cost.amount * rate
