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
from nexusai.providers.reliability.retry import RetryPolicy, delay_before_retry, given_up, may_have_run
from nexusai.providers.transport import UNREACHABLE

POLICY = RetryPolicy()
errors = st.builds(
    lambda kind, status, code, retry_after: kind("x", status=status, code=code, retry_after=retry_after),
    st.sampled_from([AdapterError, RetryableError, RateLimitError, TimeoutError, ValidationError]),
    st.sampled_from([None, 400, 408, 429, 500, 503]),
    st.sampled_from([None, UNREACHABLE, "broken_connection"]),
    st.one_of(st.none(), st.floats(0, 1000)),
)


@pytest.mark.parametrize(
    "error",
    [
        RetryableError("x", code=UNREACHABLE),
        RetryableError("x", status=500),
        RetryableError("x", status=408),
        RateLimitError("x", status=429),
    ],
)
def test_work_that_was_certainly_not_done_is_tried_again(error: AdapterError):
    assert delay_before_retry(POLICY, 1, error, 0.5) is not None


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("x"),
        TimeoutError("x", status=504),
        RetryableError("x", code="broken_connection"),
        RetryableError("x"),
        AuthenticationError("x", status=401),
        ValidationError("x", status=400),
        AdapterError("x", status=500),
        RateLimitError("x", code="client_rate_limit", retry_after=1.0),
        CircuitOpenError("x", retry_after=1.0),
    ],
)
def test_work_that_may_have_been_done_or_cannot_succeed_is_given_up(error: AdapterError):
    assert delay_before_retry(POLICY, 1, error, 0.5) is None


def test_a_quota_that_is_used_up_is_given_up():
    error = RateLimitError("x", status=429)
    error.retryable = False
    assert delay_before_retry(POLICY, 1, error, 0.5) is None


def test_delays_double_up_to_the_longest():
    policy = RetryPolicy(max_retries=9, base_delay=1, max_delay=5)
    error = RetryableError("x", status=500)
    assert [delay_before_retry(policy, attempt, error, 1.0) for attempt in (1, 2, 3, 4, 9)] == [1, 2, 4, 5, 5]


def test_jitter_is_full():
    error = RetryableError("x", status=500)
    assert [delay_before_retry(POLICY, 1, error, random) for random in (0.0, 0.5)] == [0.0, 0.25]


def test_less_jitter_leaves_less_to_chance():
    error = RetryableError("x", status=500)
    delays = {
        jitter: [delay_before_retry(RetryPolicy(jitter=jitter), 1, error, random) for random in (0.0, 0.5)]
        for jitter in (0.0, 0.5)
    }
    assert delays == {0.0: [0.5, 0.5], 0.5: [0.25, 0.375]}


def test_the_thousandth_retry_has_a_delay_too():
    policy = RetryPolicy(max_retries=5000)
    assert delay_before_retry(policy, 5000, RetryableError("x", status=500), 0.5) == 4.0


def test_what_the_vendor_asks_is_waited_first():
    error = RateLimitError("x", status=429, retry_after=7.0)
    assert delay_before_retry(POLICY, 1, error, 0.5) == 7.25


def test_a_vendor_that_asks_for_too_long_is_given_up():
    error = RateLimitError("x", status=429, retry_after=60.1)
    assert delay_before_retry(POLICY, 1, error, 0.0) is None


@pytest.mark.parametrize("error", [TimeoutError("late", code="timeout"), RetryableError("broke off")])
def test_an_answer_that_was_lost_says_that_the_call_was_not_sent_again(error):
    assert may_have_run(error)
    message = "may have been carried out, so it was not sent again"
    assert str(given_up(given_up(error))).count(message) == 1
    assert error.message == str(error)


@pytest.mark.parametrize(
    "error",
    [
        RetryableError("x", status=503),
        RetryableError("x", code=UNREACHABLE),
        RateLimitError("x", code="client_rate_limit"),
        CircuitOpenError("x"),
        ValidationError("x", status=400),
    ],
)
def test_a_call_that_was_certainly_not_carried_out_says_nothing_of_the_kind(error):
    assert not may_have_run(error)
    assert str(given_up(error)) == "x"


@pytest.mark.parametrize(
    "values",
    [
        {"max_retries": -1},
        {"base_delay": -1},
        {"max_delay": float("nan")},
        {"jitter": 1.5},
        {"max_retry_after": -1},
    ],
)
def test_values_that_make_no_sense_are_refused(values):
    with pytest.raises(ConfigurationError, match=f"{next(iter(values))} is "):
        RetryPolicy(**values)


@given(errors, st.integers(0, 6), st.lists(st.floats(0, 1, exclude_max=True), min_size=10, max_size=10))
def test_no_call_is_sent_more_often_than_allowed(error: AdapterError, retries: int, randoms: list[float]):
    policy = RetryPolicy(max_retries=retries)
    delays = [delay_before_retry(policy, attempt, error, random) for attempt, random in enumerate(randoms, 1)]
    waits = [delay for delay in delays if delay is not None]
    assert len(waits) <= retries
    assert delays == waits + [None] * (len(delays) - len(waits))
    assert all(
        (error.retry_after or 0) <= wait <= (error.retry_after or 0) + policy.max_delay for wait in waits
    )
