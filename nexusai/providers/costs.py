"""What was spent, and what may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from nexusai.error import ConfigurationError
from nexusai.providers.errors import BudgetExceededError
from nexusai.providers.types import Cost

__all__ = ["CostTracker", "Spending"]


@dataclass(slots=True)
class Spending:
    """Calls and money; `amounts` by currency, which are never converted."""

    calls: int = 0
    unpriced: int = 0
    """Calls of which nobody knows the price; they are in no amount and under no budget."""
    amounts: dict[str, float] = field(default_factory=dict)
    estimated: dict[str, float] = field(default_factory=dict)
    """The part of `amounts` that rests on estimated tokens or prices."""

    def add(self, cost: Cost | None) -> None:
        self.calls += 1
        if cost is None:
            self.unpriced += 1
            return
        self.amounts[cost.currency] = self.amounts.get(cost.currency, 0.0) + cost.amount
        if cost.estimated:
            self.estimated[cost.currency] = self.estimated.get(cost.currency, 0.0) + cost.amount

    def copy(self) -> Spending:
        return replace(self, amounts=dict(self.amounts), estimated=dict(self.estimated))


class CostTracker:
    """What calls cost, by model and by tag. Safe to share between threads and clients.

    `budget` is the most to be spent, `tag_budgets` the most under a tag, both in `currency`; money in another
    currency is counted and not limited. A call is refused before it is sent; those that are under way when
    the budget is reached are finished, and paid. Raises `ConfigurationError` for a budget below 0.
    """

    def __init__(
        self,
        budget: float | None = None,
        currency: str = "USD",
        *,
        tag_budgets: Mapping[str, float] | None = None,
    ) -> None:
        self.budget = budget
        self.currency = currency
        self.tag_budgets: dict[str, float] = dict(tag_budgets or {})
        for name, most in (("budget", budget), *self.tag_budgets.items()):
            if most is not None and not most >= 0:
                raise ConfigurationError(f"{name} is {most}: make it 0 or more, or leave it out")
        self._lock = Lock()
        self._total = Spending()
        self._by_model: defaultdict[str, Spending] = defaultdict(Spending)
        self._by_tag: defaultdict[str, Spending] = defaultdict(Spending)

    @property
    def total(self) -> Spending:
        with self._lock:
            return self._total.copy()

    @property
    def by_model(self) -> dict[str, Spending]:
        """By `provider/model`."""
        return self._copies(self._by_model)

    @property
    def by_tag(self) -> dict[str, Spending]:
        """By tag; a call with several tags is in each."""
        return self._copies(self._by_tag)

    @property
    def limited(self) -> bool:
        """Whether there is any budget."""
        return self.budget is not None or bool(self.tag_budgets)

    def check(self, tags: Sequence[str] = (), estimate: Cost | None = None) -> None:
        """Raises `BudgetExceededError` when a budget is spent, or has less left than `estimate`."""
        if not self.limited:
            return
        more = estimate.amount if estimate is not None and estimate.currency == self.currency else 0.0
        with self._lock:
            if self.budget is not None:
                self._require("the budget", self.budget, self._total, more)
            for tag in tags:
                if (most := self.tag_budgets.get(tag)) is not None:
                    spent = self._by_tag.get(tag) or Spending()
                    self._require(f"the budget of tag {tag!r}", most, spent, more)

    def add(self, cost: Cost | None, model: str, tags: Sequence[str] = ()) -> None:
        """Count a call that was made; `cost` is None where its price is not known."""
        with self._lock:
            self._total.add(cost)
            self._by_model[model].add(cost)
            for tag in dict.fromkeys(tags):
                self._by_tag[tag].add(cost)

    def reset(self) -> None:
        """Begin at nothing again: a new day, a new month."""
        with self._lock:
            self._total = Spending()
            self._by_model.clear()
            self._by_tag.clear()

    def _require(self, name: str, most: float, spent: Spending, more: float) -> None:
        used = spent.amounts.get(self.currency, 0.0)
        if used < most and used + more <= most:
            return
        what = f"not sent: {name} is {most:g} {self.currency}, of which {used:.6g} are spent"
        costs = f", and this call may cost {more:.6g}" if more else ""
        raise BudgetExceededError(f"{what}{costs}; raise it, or reset the tracker")

    def _copies(self, spendings: Mapping[str, Spending]) -> dict[str, Spending]:
        with self._lock:
            return {name: spending.copy() for name, spending in spendings.items()}
