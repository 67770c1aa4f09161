from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.error import ConfigurationError
from nexusai.providers.errors import (
    AdapterError,
    AuthenticationError,
    CircuitOpenError,
    RateLimitError,
    RetryableError,
    TimeoutError,
    ValidationError,
)
from nexusai.providers.reliability.breaker import Circuit, CircuitBreaker, counts

DOWN = RetryableError("x", status=503)


def circuit(threshold=2, reset=30.0):
    return Circuit(CircuitBreaker(threshold, reset))


def opened(at=0.0, **options):
    broken = circuit(**options)
    for _ in range(2):
        broken.failure(at)
    return broken


def test_failures_in_a_row_open_it():
    broken = circuit(threshold=3)
    for _ in range(2):
        broken.failure(0.0)
    assert (broken.state, broken.allow(0.0)) == ("closed", True)
    broken.failure(5.0)
    assert (broken.state, broken.retry_at, broken.allow(5.0)) == ("open", 35.0, False)


def test_a_success_in_between_starts_the_count_again():
    broken = circuit()
    for _ in range(5):
        broken.failure(0.0)
        broken.success(0.0)
    assert broken.state == "closed"


def test_after_the_timeout_one_probe_goes_through():
    broken = opened()
    assert [broken.allow(now) for now in (29.9, 30.0, 30.0, 31.0)] == [False, True, False, False]
    assert broken.state == "half_open"


def test_to_ask_whether_it_is_ready_takes_no_probe():
    broken = opened()
    assert [broken.ready(now) for now in (29.9, 30.0, 31.0)] == [False, True, True]
    assert broken.allow(31.0)
    assert not broken.ready(31.0)


def test_a_probe_that_succeeds_closes_it():
    broken = opened()
    broken.allow(30.0)
    broken.success(31.0)
    assert (broken.state, broken.retry_at, broken.allow(31.0)) == ("closed", None, True)


def test_it_takes_as_many_failures_as_before_to_open_it_again():
    broken = opened()
    broken.allow(30.0)
    broken.success(31.0)
    broken.failure(32.0)
    assert broken.state == "closed"


def test_a_probe_that_fails_opens_it_again():
    broken = opened()
    broken.allow(30.0)
    broken.failure(32.0)
    assert (broken.state, broken.retry_at) == ("open", 62.0)


def test_a_probe_that_is_cancelled_leaves_its_place_to_the_next():
    broken = opened()
    broken.allow(30.0)
    broken.abandoned(31.0)
    assert [broken.allow(31.0), broken.allow(31.0)] == [True, False]


def test_a_probe_that_is_never_heard_of_again_is_given_up():
    broken = opened()
    broken.allow(30.0)
    assert [broken.allow(59.9), broken.allow(60.0)] == [False, True]


def test_calls_that_began_before_it_opened_change_nothing():
    broken = opened(at=0.0)
    broken.failure(20.0)
    broken.success(21.0)
    broken.abandoned(22.0)
    assert (broken.state, broken.retry_at) == ("open", 30.0)


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        RetryableError("x", code="unreachable"),
        RetryableError("ended the stream early"),
        TimeoutError("x"),
        AdapterError("x", status=500),
    ],
)
def test_the_vendors_fault_counts(error):
    assert counts(error)


@pytest.mark.parametrize(
    "error",
    [
        RateLimitError("x", status=429),
        RateLimitError("x", code="client_rate_limit"),
        ValidationError("x", status=400),
        AuthenticationError("x", status=401),
        CircuitOpenError("x"),
        AdapterError("sent something that is not JSON", status=200),
    ],
)
def test_what_the_vendor_is_not_to_blame_for_does_not_count(error):
    assert not counts(error)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "closed"),
        (ValidationError("x", status=400), "closed"),
        (DOWN, "open"),
        (RateLimitError("x", status=429), "half_open"),
        (AdapterError("answer too large"), "half_open"),
        (GeneratorExit(), "half_open"),
    ],
)
def test_how_a_probe_ends_decides(error, state):
    broken = opened()
    broken.allow(30.0)
    broken.ended(error, 31.0)
    assert broken.state == state
    assert broken.ready(31.0) == (state != "open")


@pytest.mark.parametrize("values", [{"failure_threshold": 0}, {"reset_timeout": 0}, {"reset_timeout": 1e999}])
def test_values_that_make_no_sense_are_refused(values):
    with pytest.raises(ConfigurationError, match=f"{next(iter(values))} is "):
        CircuitBreaker(**values)


steps = st.lists(
    st.tuples(
        st.floats(0, 40),
        st.sampled_from(["allow", "ready", "success", "failure", "abandoned"]),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 4))
def test_it_is_never_stuck(script, threshold):
    broken, now = circuit(threshold=threshold), 0.0
    for pause, what in script:
        now += pause
        getattr(broken, what)(now)
    assert broken.allow(now + 30.0)


@given(steps, st.integers(1, 4))
def test_while_it_is_open_nothing_goes_through(script, threshold):
    broken, now = circuit(threshold=threshold), 0.0
    for pause, what in script:
        now += pause
        until = broken.retry_at if broken.state == "open" else None
        passed = getattr(broken, what)(now)
        if what == "allow" and until is not None:
            assert passed == (now >= until)


@given(st.lists(st.floats(0, 20), min_size=2, max_size=30))
def test_one_probe_is_out_at_a_time(pauses):
    broken, now, last = opened(), 30.0, None
    for pause in pauses:
        now += pause
        if broken.allow(now):
            assert last is None or now - last >= 30.0
            last = now
