from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
from freezegun import freeze_time
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusai._internal._flow import Call
from nexusai._internal._retry import pause_before
from nexusai.error import (
    APIConnectionError,
    APIError,
    ConflictError,
    InvalidRequestError,
    RateLimitError,
    ServerError,
)
from tests.fixtures.sdk import Both

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


# The whole run, by a clock that only faults and pauses move

faults = st.lists(
    st.tuples(
        st.sampled_from([200, 408, 409, 429, 500, 503]),
        st.none() | st.integers(0, 70),
        st.floats(0, 40),
    ),
    min_size=30,
    max_size=30,
)


@contextmanager
def simulated_clock() -> Iterator[Any]:
    with freeze_time("2025-01-01", real_asyncio=True) as clock, pytest.MonkeyPatch.context() as patch:

        def sleep(seconds: float) -> None:
            clock.tick(timedelta(seconds=seconds))

        async def asleep(seconds: float) -> None:
            sleep(seconds)

        patch.setattr(time, "sleep", sleep)
        patch.setattr(asyncio, "sleep", asleep)
        yield clock


def faulty(faults: list[tuple[int, int | None, float]], clock: Any) -> httpx.MockTransport:
    """Answers with one fault after the other; each takes its seconds, as far as the request waits for it."""
    coming = iter(faults)

    def answer(request: httpx.Request) -> httpx.Response:
        status, retry_after, seconds = next(coming)
        patience = request.extensions["timeout"]["read"]
        clock.tick(timedelta(seconds=min(seconds, patience)))
        if seconds > patience:
            raise httpx.ReadTimeout("late", request=request)
        return httpx.Response(
            status, headers={} if retry_after is None else {"retry-after": str(retry_after)}
        )

    return httpx.MockTransport(answer)


def ask() -> Generator[Any, Any, None]:
    yield Call("GET", "/tasks/task_1")


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@settings(deadline=None)
@given(faults=faults, seconds=st.floats(0.01, 100))
def test_no_run_takes_longer_than_its_time_whatever_happens(
    asynchronous: bool, faults: list[tuple[int, int | None, float]], seconds: float
):
    with simulated_clock() as clock:
        transport = faulty(faults, clock)
        http = httpx.AsyncClient(transport=transport) if asynchronous else httpx.Client(transport=transport)
        begun = time.monotonic()
        with suppress(APIError):
            Both(asynchronous=asynchronous)(
                lambda client: client._driver.run(ask(), seconds), http_client=http, max_retries=29
            )
        assert time.monotonic() - begun <= seconds + 0.001
