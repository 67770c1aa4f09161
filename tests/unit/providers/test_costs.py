from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from nexusai.error import ConfigurationError
from nexusai.providers.costs import CostTracker, Spending
from nexusai.providers.errors import BudgetExceededError
from nexusai.providers.types import Cost


class TestTracking:
    def test_is_by_model_and_by_tag(self):
        tracker = CostTracker()
        tracker.add(Cost(1.0), "a/x", ["team", "night"])
        tracker.add(Cost(2.0), "b/y", ["team"])
        assert tracker.total == Spending(calls=2, amounts={"USD": 3.0})
        assert {name: spent.amounts["USD"] for name, spent in tracker.by_model.items()} == {
            "a/x": 1.0,
            "b/y": 2.0,
        }
        assert {name: spent.amounts["USD"] for name, spent in tracker.by_tag.items()} == {
            "team": 3.0,
            "night": 1.0,
        }

    def test_counts_a_tag_that_is_given_twice_once(self):
        tracker = CostTracker()
        tracker.add(Cost(1.0), "a/x", ["team", "team"])
        assert tracker.by_tag["team"].calls == 1

    def test_keeps_currencies_apart(self):
        tracker = CostTracker()
        tracker.add(Cost(1.0), "a/x")
        tracker.add(Cost(7.0, "CNY"), "b/y")
        assert tracker.total.amounts == {"USD": 1.0, "CNY": 7.0}

    def test_says_how_much_is_estimated(self):
        tracker = CostTracker()
        tracker.add(Cost(1.0), "a/x")
        tracker.add(Cost(2.0, estimated=True), "a/x")
        assert (tracker.total.amounts, tracker.total.estimated) == ({"USD": 3.0}, {"USD": 2.0})

    def test_says_how_many_calls_have_no_price(self):
        tracker = CostTracker()
        tracker.add(None, "a/x", ["team"])
        assert tracker.total == tracker.by_tag["team"] == Spending(calls=1, unpriced=1)

    def test_gives_copies(self):
        tracker = CostTracker()
        tracker.add(Cost(1.0, estimated=True), "a/x", ["team"])
        for spending in (tracker.total, tracker.by_model["a/x"], tracker.by_tag["team"]):
            spending.amounts["USD"] = spending.estimated["USD"] = 99.0
        assert (
            tracker.total.amounts
            == tracker.by_model["a/x"].amounts
            == tracker.by_tag["team"].estimated
            == {"USD": 1.0}
        )

    def test_can_begin_again(self):
        tracker = CostTracker(budget=1.0)
        tracker.add(Cost(1.0), "a/x", ["team"])
        tracker.reset()
        tracker.check()
        assert (tracker.total, tracker.by_model, tracker.by_tag) == (Spending(), {}, {})

    def test_loses_nothing_in_threads(self):
        tracker = CostTracker()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: tracker.add(Cost(0.5), "a/x", ["t"]), range(2000)))
        assert tracker.total == tracker.by_tag["t"] == Spending(calls=2000, amounts={"USD": 1000.0})


class TestBudgets:
    def test_let_calls_pass_until_they_are_spent(self):
        tracker = CostTracker(budget=1.0)
        tracker.check()
        tracker.add(Cost(0.99), "a/x")
        tracker.check()
        tracker.add(Cost(0.02), "a/x")
        with pytest.raises(
            BudgetExceededError, match=r"not sent: the budget is 1 USD, of which 1\.01 are spent"
        ):
            tracker.check()

    def test_that_are_spent_to_the_last_cent_are_spent(self):
        tracker = CostTracker(budget=1.0)
        tracker.add(Cost(1.0), "a/x")
        with pytest.raises(BudgetExceededError):
            tracker.check()

    def test_of_nothing_let_nothing_pass(self):
        with pytest.raises(BudgetExceededError):
            CostTracker(budget=0).check()

    def test_refuse_what_would_pass_them(self):
        tracker = CostTracker(budget=1.0)
        tracker.add(Cost(0.6), "a/x")
        tracker.check(estimate=Cost(0.4))
        with pytest.raises(BudgetExceededError, match=r"this call may cost 0\.5"):
            tracker.check(estimate=Cost(0.5))

    def test_of_a_tag_count_its_calls_alone(self):
        tracker = CostTracker(tag_budgets={"team": 1.0})
        tracker.add(Cost(5.0), "a/x", ["other"])
        tracker.check(["team", "other"])
        tracker.add(Cost(1.0), "a/x", ["team"])
        tracker.check(["other"])
        tracker.check()
        with pytest.raises(BudgetExceededError, match="the budget of tag 'team' is 1 USD"):
            tracker.check(["other", "team"])
        assert set(tracker.by_tag) == {"team", "other"}

    def test_limit_money_of_their_own_currency_only(self):
        tracker = CostTracker(budget=1.0, currency="CNY")
        tracker.add(Cost(100.0, "USD"), "a/x")
        tracker.check(estimate=Cost(100.0, "USD"))
        tracker.add(Cost(1.0, "CNY"), "a/x")
        with pytest.raises(BudgetExceededError, match="1 CNY"):
            tracker.check()

    def test_do_not_limit_calls_without_a_price(self):
        tracker = CostTracker(budget=1.0)
        for _ in range(10):
            tracker.add(None, "a/x")
            tracker.check()

    @pytest.mark.parametrize(
        ("arguments", "name"),
        [
            ({"budget": -1}, "budget"),
            ({"budget": float("nan")}, "budget"),
            ({"tag_budgets": {"team": -0.5}}, "team"),
        ],
    )
    def test_below_nothing_are_refused(self, arguments, name):
        with pytest.raises(ConfigurationError, match=f"{name} is "):
            CostTracker(**arguments)
