"""What a call does whatever the vendors do: scripts of faults, and a clock that only waiting moves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.providers import (
    AdapterError,
    ChatRequest,
    CircuitBreaker,
    CircuitOpenError,
    Deployment,
    RateLimit,
    RetryableError,
    RetryPolicy,
    Route,
    Router,
    TimeoutError,
)
from nexusai.providers.transport import UNREACHABLE
from tests.fixtures.vendor import Vendor, answered, refused, sse

FAULTS = {
    "answers": answered,
    "breaks": lambda: refused(500),
    "is overloaded": lambda: refused(503, **{"retry-after": "5"}),
    "limits": lambda: refused(429),
    "limits for long": lambda: refused(429, **{"retry-after": "45"}),
    "refuses the request": lambda: refused(400),
    "refuses the key": lambda: refused(401),
    "is out of reach": lambda: RetryableError("gone", code=UNREACHABLE),
    "breaks off": lambda: RetryableError("gone", code="broken_connection"),
    "is silent": lambda: TimeoutError("late", code="timeout"),
}
SAFE = {"breaks", "is overloaded", "limits", "limits for long", "is out of reach"}
"""Faults after which the work was certainly not done."""

scripts = st.lists(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=12)
durations = st.sampled_from([0.0, 0.5, 7.0, 40.0])


def asked(model="fast"):
    return ChatRequest(model, [{"role": "user", "content": "hi"}])


def outcome(vendor, flow):
    """The error that a call ends in, if any."""
    try:
        vendor.run(flow)
    except AdapterError as error:
        return error
    return None


def vendor_of(script, took=0.0):
    return Vendor(*(FAULTS[fault]() for fault in script), took=took)


@given(scripts, st.integers(0, 4), durations)
def test_no_more_is_sent_than_the_retries_allow(script, retries, took):
    vendor = vendor_of(script, took)
    outcome(vendor, vendor.calls(retry=RetryPolicy(max_retries=retries)).call("chat", asked("m")))
    assert 1 <= len(vendor.sent) <= 1 + retries


@given(scripts, st.integers(0, 4))
def test_a_call_is_sent_again_only_when_it_was_certainly_not_carried_out(script, retries):
    vendor = vendor_of(script)
    policy = RetryPolicy(max_retries=retries)
    outcome(vendor, vendor.calls(retry=policy).call("chat", asked("m")))
    happened = (script + script[-1:] * 9)[: len(vendor.sent)]
    assert set(happened[:-1]) <= SAFE


@given(scripts, st.integers(0, 3), st.integers(1, 4))
def test_every_deployment_of_a_route_is_sent_no_more_than_the_retries_allow(script, retries, count):
    names = "abcd"[:count]
    vendor = vendor_of(script)
    router = Router([Route("fast", [Deployment(name, "m") for name in names])])
    calls = vendor.calls(*names, router=router, retry=RetryPolicy(max_retries=retries))
    outcome(vendor, calls.call("chat", asked()))
    assert len(vendor.sent) <= count * (1 + retries)


@given(scripts, st.integers(0, 3))
def test_fallbacks_are_tried_in_their_order_and_none_twice(script, retries):
    records = []
    vendor = vendor_of(script)
    routes = [
        Route("fast", [Deployment("a", "m")], ["spare", "last"]),
        Route("last", [Deployment("c", "m")]),
        Route("spare", [Deployment("b", "m")]),
    ]
    calls = vendor.calls(
        "a", "b", "c", router=Router(routes), retry=RetryPolicy(max_retries=retries), hooks=[records.append]
    )
    outcome(vendor, calls.call("chat", asked()))
    assert [record.provider for record in records] == ["a", "b", "c"][: len(records)]
    assert all(record.error is not None for record in records[:-1])


@given(scripts, durations, st.floats(0.1, 200), st.sampled_from(["chat", "stream"]), st.integers(1, 3))
def test_no_call_takes_longer_than_its_timeout(script, took, timeout, operation, count):
    names = "abc"[:count]
    vendor = vendor_of(script, took)
    router = Router([Route("fast", [Deployment(name, "m") for name in names])])
    calls = vendor.calls(
        *names,
        router=router,
        retry=RetryPolicy(max_retries=5),
        limits={"a": RateLimit(requests_per_minute=1, max_wait=100)},
    )
    outcome(vendor, calls.call(operation, asked(), timeout=timeout))
    assert vendor.now <= timeout + 1e-6


def test_a_deployment_that_no_time_was_left_for_is_not_blamed():
    records = []
    vendor = Vendor(answered(), took=40.0)
    router = Router(
        [Route("fast", [Deployment("a", "m")], ["spare"]), Route("spare", [Deployment("b", "m")])]
    )
    calls = vendor.calls(
        "a", "b", router=router, breaker=CircuitBreaker(failure_threshold=1), hooks=[records.append]
    )
    assert isinstance(outcome(vendor, calls.call("chat", asked(), timeout=10)), TimeoutError)
    assert [record.provider for record in records] == ["a"]
    assert [calls.circuit(Deployment(name, "m")).state for name in "ab"] == ["open", "closed"]


@given(st.lists(st.tuples(scripts, st.floats(0, 40)), max_size=8))
def test_a_breaker_lets_a_call_through_after_its_timeout_whatever_happened(history):
    vendor = Vendor(answered())
    calls = vendor.calls(breaker=CircuitBreaker(2, 30.0), retry=RetryPolicy(max_retries=1))
    for script, pause in history:
        vendor.script = [FAULTS[fault]() for fault in script]
        vendor.now += pause
        outcome(vendor, calls.call("chat", asked("m")))
    vendor.script = [answered("alive")]
    vendor.now += 30.0
    assert vendor.run(calls.call("chat", asked("m"))).content == "alive"


@given(st.lists(st.tuples(st.sampled_from(["chat", "stream"]), st.integers(0, 4)), max_size=6))
def test_a_breaker_is_not_stuck_by_callers_that_go_away(leaving):
    vendor = Vendor(refused(500))
    calls = vendor.calls(breaker=CircuitBreaker(1, 30.0), retry=RetryPolicy(max_retries=0))
    outcome(vendor, calls.call("chat", asked("m")))
    vendor.script = [sse("a", "b")]
    for operation, steps in leaving:
        vendor.now += 30.0
        flow = calls.call(operation, asked("m"))
        step = next(flow)
        for _ in range(steps):
            try:
                step = flow.send(vendor._take(step))
            except (StopIteration, AdapterError):
                break
        flow.close()
    vendor.script = [answered("alive")]
    vendor.now += 30.0
    assert vendor.run(calls.call("chat", asked("m"))).content == "alive"


@given(scripts)
def test_an_open_breaker_sends_nothing(script):
    vendor = Vendor(refused(500))
    calls = vendor.calls(breaker=CircuitBreaker(1, 30.0), retry=RetryPolicy(max_retries=0))
    outcome(vendor, calls.call("chat", asked("m")))
    vendor.script = [FAULTS[fault]() for fault in script]
    for _ in range(3):
        with pytest.raises(CircuitOpenError):
            vendor.run(calls.call("chat", asked("m")))
    assert len(vendor.sent) == 1


@given(
    st.lists(st.tuples(st.sampled_from(sorted(FAULTS)), st.floats(0, 30)), max_size=25),
    st.integers(1, 4),
    st.sampled_from([0.0, 20.0, math.inf]),
)
def test_a_limit_holds_for_everything_that_is_sent_retries_included(history, limit, max_wait):
    vendor = Vendor(answered())
    times = []

    def answer(fault):
        def at(_request):
            times.append(vendor.now)
            return FAULTS[fault]()

        return at

    calls = vendor.calls(
        limits={"openai_compatible": RateLimit(requests_per_minute=limit, max_wait=max_wait)},
        breaker=CircuitBreaker(failure_threshold=1000),
    )
    for fault, pause in history:
        vendor.script = [answer(fault)]
        vendor.now += pause
        outcome(vendor, calls.call("chat", asked("m")))
    for start in times:
        assert sum(start <= time < start + 60 - 1e-6 for time in times) <= limit


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=8),
    st.integers(0, 3),
    st.integers(1, 3),
)
def test_a_stream_is_made_of_one_answer_alone_and_nothing_follows_its_end(pieces, retries, count):
    """Each answer breaks off after some pieces, or does not; its pieces say which answer they are of."""

    def streamed(number, length, whole):
        events = sse(*[f"{number}"] * length, end=whole)
        return events if whole else [*events, RetryableError("gone", code="broken_connection")]

    names = "abc"[:count]
    vendor = Vendor(*(streamed(number, *piece) for number, piece in enumerate(pieces)))
    router = Router([Route("fast", [Deployment(name, "m") for name in names])])
    calls = vendor.calls(*names, router=router, retry=RetryPolicy(max_retries=retries))
    error = outcome(vendor, calls.call("stream", asked()))
    told = [chunk.delta for chunk in vendor.emitted if chunk.delta]
    assert len(set(told)) <= 1
    last = pieces[min(len(vendor.sent), len(pieces)) - 1]
    assert len(told) == last[0]
    assert (error is None) == last[1]
    assert len(vendor.sent) <= count * (1 + retries)
