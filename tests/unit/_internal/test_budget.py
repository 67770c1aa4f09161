from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from nexusai._internal._budget import Budget
from nexusai._internal._flow import OutOfTime
from nexusai.error import InvalidRequestError


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


def test_a_renewed_budget_has_so_much_left_however_much_it_was():
    with freeze_time("2025-01-01") as clock:
        spent, unlimited = Budget(3), Budget()
        clock.tick(5)
        for budget in (spent, unlimited):
            assert not budget.renewed
            budget.renew(2)
            assert (budget.renewed, budget.left) == (True, 2)
        spent.sleep(1.5)
        assert spent.left == 0.5


@pytest.mark.parametrize("timeout", [0, -1, 0.0, math.nan])
def test_no_time_is_refused_by_name(timeout: float):
    with pytest.raises(InvalidRequestError, match=r"timeout=.* is not above 0"):
        Budget(timeout)


@pytest.mark.parametrize("timeout", ["5", True, timedelta(seconds=5)])
def test_what_is_no_number_of_seconds_is_refused_by_name(timeout: Any):
    with pytest.raises(TypeError, match=f"timeout is a number of seconds.*not {type(timeout).__name__}"):
        Budget(timeout)


@pytest.mark.parametrize("timeout", [5, 0.5, math.inf])
def test_a_number_of_seconds_is_taken(timeout: float):
    assert Budget(timeout).seconds == timeout
