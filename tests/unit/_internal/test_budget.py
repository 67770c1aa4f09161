from __future__ import annotations

import math

import pytest
from freezegun import freeze_time

from nexusai._internal._budget import Budget
from nexusai._internal._flow import OutOfTime


def test_the_clock_spends_a_budget():
    with freeze_time("2025-01-01") as clock:
        budget = Budget(10)
        clock.tick(4)
        assert budget.left == pytest.approx(6)


def test_pauses_spend_a_budget_when_the_clock_stands_still():
    with freeze_time("2025-01-01"):
        budget = Budget(10)
        budget.sleep(4)
        assert budget.left == pytest.approx(6)


def test_a_pause_that_the_clock_has_seen_is_not_counted_twice():
    with freeze_time("2025-01-01") as clock:
        budget = Budget(10)
        budget.sleep(4)
        clock.tick(4)
        assert budget.left == pytest.approx(6)


def test_there_is_time_for_no_more_than_what_is_left():
    with freeze_time("2025-01-01"):
        budget = Budget(3)
        assert budget.sleep(5) == 3
        assert budget.left == 0


def test_an_overdrawn_budget_has_nothing_left():
    with freeze_time("2025-01-01") as clock:
        budget = Budget(3)
        clock.tick(5)
        assert budget.left == 0


def test_no_budget_lasts_for_ever():
    budget = Budget()
    assert budget.left == math.inf
    assert budget.sleep(5) == 5


def test_there_is_no_step_more_when_nothing_is_left():
    with freeze_time("2025-01-01") as clock:
        budget = Budget(3)
        assert budget.demand() == 3
        clock.tick(3)
        with pytest.raises(OutOfTime) as raised:
            budget.demand()
        with pytest.raises(OutOfTime):
            budget.sleep(1)
    assert raised.value.waited == 3


def test_an_ended_budget_has_nothing_left():
    budget = Budget()
    budget.end()
    assert budget.left == 0
