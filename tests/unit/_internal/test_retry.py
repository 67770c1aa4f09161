from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from nexusai._internal._retry import pause_before
from nexusai.error import (
    APIConnectionError,
    APIError,
    ConflictError,
    InvalidRequestError,
    RateLimitError,
    ServerError,
)

BROKEN = ServerError("down", status_code=503, retryable=True)


def pause(
    error: APIError, retry: int = 1, most: int = 2, left: float = math.inf, chance: float = 1.0
) -> float | None:
    return pause_before(retry, error, most=most, left=left, chance=chance)


def test_the_ceiling_of_a_pause_doubles_up_to_eight_seconds():
    assert [pause(BROKEN, retry, most=9) for retry in range(1, 8)] == [0.5, 1, 2, 4, 8, 8, 8]


def test_a_pause_is_any_share_of_its_ceiling():
    assert pause(BROKEN, 3, most=9, chance=0.25) == 0.5
    assert pause(BROKEN, 3, most=9, chance=0.0) == 0.0


def test_no_more_retries_than_allowed():
    assert pause(BROKEN, 3, most=2) is None
    assert pause(BROKEN, 1, most=0) is None


def test_an_error_that_will_not_pass_stands():
    assert pause(InvalidRequestError("no", status_code=400)) is None


def test_a_broken_connection_may_pass():
    assert pause(APIConnectionError("reset", retryable=True)) == 0.5


def test_retry_after_is_kept_to_exactly():
    assert pause(RateLimitError("slow", status_code=429, retryable=True, retry_after=7.0), chance=0.1) == 7.0


def test_retry_after_above_a_minute_is_the_callers_matter():
    assert pause(RateLimitError("slow", status_code=429, retryable=True, retry_after=61.0)) is None


def test_a_conflict_passes_only_when_the_platform_says_when():
    assert pause(ConflictError("busy", status_code=409, retryable=True)) is None
    assert pause(ConflictError("busy", status_code=409, retry_after=1.0)) == 1.0


def test_a_pause_that_does_not_fit_is_not_begun():
    assert pause(BROKEN, left=0.4) is None


@given(
    left=st.floats(0, 1000),
    chances=st.lists(st.floats(0, 1), min_size=50, max_size=50),
    asked=st.none() | st.floats(0, 100),
)
def test_all_pauses_together_never_exceed_what_is_left(
    left: float, chances: list[float], asked: float | None
):
    error = ServerError("down", status_code=503, retryable=True, retry_after=asked)
    total = 0.0
    for retry, chance in enumerate(chances, 1):
        seconds = pause_before(retry, error, most=50, left=left - total, chance=chance)
        if seconds is None:
            break
        total += seconds
    assert total <= left
