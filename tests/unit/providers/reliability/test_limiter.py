from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.error import ConfigurationError
from nexusai.providers.errors import AdapterError, RateLimitError
from nexusai.providers.reliability.limiter import LIMITED_HERE, Limiter, RateLimit


def limiter(requests=None, tokens=None, max_wait=30.0):
    return Limiter(RateLimit(requests, tokens, max_wait))


def waits(limits, *calls):
    """The wait of each call, given as `now` or `(now, tokens)`; None where it is refused."""

    def wait(call):
        now, tokens = call if isinstance(call, tuple) else (call, 0)
        try:
            return limits.reserve(now, tokens).wait
        except RateLimitError:
            return None

    return [wait(call) for call in calls]


class TestRequests:
    def test_up_to_the_limit_begin_at_once(self):
        assert waits(limiter(requests=3), 0.0, 0.0, 5.0) == [0.0, 0.0, 0.0]

    def test_beyond_it_wait_until_a_minute_after_the_first(self):
        assert waits(limiter(requests=2), 0.0, 10.0, 40.0, 45.0) == [0.0, 0.0, 20.0, 25.0]

    def test_in_the_queue_wait_for_each_other(self):
        assert waits(limiter(requests=1, max_wait=200), 0.0, 0.0, 0.0) == [0.0, 60.0, 120.0]

    def test_that_would_wait_too_long_fail_at_once(self):
        limits = limiter(requests=1, max_wait=30)
        limits.reserve(0.0)
        with pytest.raises(RateLimitError, match=r"no room for 60\.0 s; raise max_wait") as failure:
            limits.reserve(0.0)
        assert (failure.value.code, failure.value.retry_after) == (LIMITED_HERE, 60.0)
        assert failure.value.retryable

    def test_that_fail_take_no_place(self):
        limits = limiter(requests=1, max_wait=30)
        assert waits(limits, 0.0, *[1.0] * 50, 30.0) == [0.0, *[None] * 50, 30.0]

    def test_that_are_not_sent_give_their_place_back(self):
        limits = limiter(requests=1, max_wait=200)
        limits.reserve(0.0)
        places = [limits.reserve(0.0) for _ in range(2)]
        for place in places:
            limits.release(place)
        assert limits.reserve(0.0).wait == 60.0

    def test_are_forgotten_after_a_minute(self):
        limits = limiter(requests=1)
        place = limits.reserve(0.0)
        assert limits.reserve(60.0).wait == 0.0
        limits.release(place)
        limits.settle(place, 100)
        assert waits(limits, 100.0) == [20.0]


class TestTokens:
    def test_are_added_up_over_a_minute(self):
        limits = limiter(tokens=100)
        assert waits(limits, (0.0, 60), (1.0, 40), (35.0, 1)) == [0.0, 0.0, 25.0]

    def test_wait_until_enough_of_them_are_back(self):
        limits = limiter(tokens=100, max_wait=100)
        assert waits(limits, (0.0, 50), (10.0, 50), (20.0, 80)) == [0.0, 0.0, 50.0]

    def test_that_were_not_used_make_room(self):
        limits = limiter(tokens=100)
        place = limits.reserve(0.0, 90)
        limits.settle(place, 10)
        assert waits(limits, (1.0, 90)) == [0.0]

    def test_that_were_used_beyond_the_estimate_are_made_up_for(self):
        limits = limiter(tokens=100)
        place = limits.reserve(0.0, 10)
        limits.settle(place, 95)
        assert waits(limits, (40.0, 10)) == [20.0]

    def test_that_never_fit_are_refused_with_the_way_out(self):
        with pytest.raises(
            RateLimitError, match="needs about 101 tokens and tokens_per_minute is 100"
        ) as failure:
            limiter(tokens=100).reserve(0.0, 101)
        assert not failure.value.retryable

    def test_do_not_let_small_calls_overtake_large_ones(self):
        limits = limiter(tokens=100, max_wait=100)
        assert waits(limits, (0.0, 60), (0.0, 60), (0.0, 10)) == [0.0, 60.0, 60.0]

    def test_are_asked_for_only_where_they_are_limited(self):
        assert [limiter(tokens=1).counts_tokens, limiter(requests=1).counts_tokens] == [True, False]


class TestVendors:
    def test_retry_after_holds_every_call_back(self):
        limits = limiter()
        limits.observe(RateLimitError("x", status=429, retry_after=12.0), 100.0)
        assert waits(limits, 100.0, 105.0, 112.0) == [12.0, 7.0, 0.0]

    def test_the_longest_pause_counts(self):
        limits = limiter()
        for seconds in (12.0, 3.0):
            limits.observe(RateLimitError("x", status=429, retry_after=seconds), 0.0)
        assert waits(limits, 0.0) == [12.0]

    def test_a_pause_longer_than_the_longest_wait_fails_calls_at_once(self):
        limits = limiter(max_wait=10)
        limits.observe(RateLimitError("x", status=429, retry_after=12.0), 0.0)
        assert waits(limits, 0.0, 2.0) == [None, 10.0]

    def test_errors_without_a_wish_hold_nothing(self):
        limits = limiter()
        limits.observe(AdapterError("x", status=500), 0.0)
        assert waits(limits, 0.0) == [0.0]

    def test_our_own_refusal_is_not_the_vendors_wish(self):
        limits = limiter()
        limits.observe(RateLimitError("x", code=LIMITED_HERE, retry_after=20.0), 0.0)
        assert waits(limits, 0.0) == [0.0]

    @pytest.mark.parametrize(
        ("reset", "pause"),
        [
            ("1s", 1.0),
            ("6m0s", 360.0),
            ("120ms", 0.12),
            ("1h2m3.5s", 3723.5),
            ("1d", 86_400.0),
            ("59.5", 59.5),
            ("2025-06-01T12:00:20Z", 20.0),
            ("2025-06-01T12:00:20+00:00", 20.0),
            ("soon", 0.0),
            ("", 0.0),
            ("1748779220000", 0.0),
            ("99999d", 0.0),
        ],
    )
    def test_a_quota_that_is_used_up_holds_calls_until_it_is_back(self, reset, pause):
        limits = limiter(max_wait=1e9)
        headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": reset}
        limits.heed({**headers, "date": "Sun, 01 Jun 2025 12:00:00 GMT"}, 0.0)
        assert waits(limits, 0.0) == [pytest.approx(pause)]

    def test_a_quota_refills_all_the_time(self):
        limits = limiter()
        limits.heed(
            {
                "x-ratelimit-limit-requests": "120",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "60s",
            },
            0.0,
        )
        assert waits(limits, 0.0) == [0.5]

    def test_a_quota_with_something_left_holds_nothing(self):
        limits = limiter()
        limits.heed({"x-ratelimit-remaining-tokens": "1", "x-ratelimit-reset-tokens": "9s"}, 0.0)
        assert waits(limits, 0.0) == [0.0]

    def test_anthropics_headers_are_read_too(self):
        limits = limiter()
        limits.heed(
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2025-06-01T12:00:07Z",
                "date": "Sun, 01 Jun 2025 12:00:00 GMT",
            },
            0.0,
        )
        assert waits(limits, 0.0) == [7.0]


@given(
    st.dictionaries(
        st.sampled_from(["x-ratelimit-{}-tokens", "anthropic-ratelimit-requests-{}"]).flatmap(
            lambda name: st.sampled_from([name.format(part) for part in ("limit", "remaining", "reset")])
        ),
        st.one_of(st.just("0"), st.text(max_size=30), st.from_regex(r"[0-9]+[dhms.]{0,3}", fullmatch=True)),
    ),
    st.text(max_size=40),
)
def test_headers_of_any_kind_are_survived(headers, date):
    limits = limiter(max_wait=1e9)
    limits.heed({**headers, "date": date}, 0.0)
    assert 0.0 <= limits.reserve(0.0).wait <= 86_400.0


def test_without_limits_nobody_waits():
    assert waits(Limiter(), *[(0.0, 10**9)] * 100) == [0.0] * 100


@pytest.mark.parametrize(
    "values",
    [{"requests_per_minute": 0}, {"tokens_per_minute": -1}, {"max_wait": -1}, {"max_wait": float("nan")}],
)
def test_values_that_make_no_sense_are_refused(values):
    with pytest.raises(ConfigurationError, match=f"{next(iter(values))} is "):
        RateLimit(**values)


calls = st.lists(
    st.tuples(st.floats(0, 45), st.integers(0, 60), st.sampled_from(["send", "use less", "take back"])),
    max_size=80,
)


@given(calls, st.integers(1, 5), st.integers(60, 200), st.sampled_from([0.0, 30.0, 500.0]))
def test_the_rate_is_never_exceeded_in_any_minute(script, requests, tokens, max_wait):
    limits, now, sent = limiter(requests, tokens, max_wait), 0.0, []
    for pause, wanted, what in script:
        now += pause
        try:
            place = limits.reserve(now, wanted)
        except RateLimitError:
            continue
        assert place.wait <= max_wait
        if what == "take back":
            limits.release(place)
            continue
        if what == "use less":
            wanted //= 2
            limits.settle(place, wanted)
        sent.append((now + place.wait, wanted))
    assert all(later > start - 1e-6 for (start, _), (later, _) in pairwise(sent))
    for start, _ in sent:
        minute = [used for begun, used in sent if start <= begun < start + 60 - 1e-6]
        assert len(minute) <= requests
        assert sum(minute) <= tokens


@given(st.lists(st.floats(0, 20), max_size=40), st.integers(1, 5))
def test_nobody_waits_while_there_is_room(pauses, requests):
    limits, now, sent = limiter(requests, max_wait=1e9), 0.0, []
    for pause in pauses:
        now += pause
        start = now + limits.reserve(now).wait
        if start > now:
            latest = sent[-requests:]
            assert len(latest) == requests
            assert start == pytest.approx(max(sent[-1], latest[0] + 60))
        sent.append(start)
