from __future__ import annotations

import gc
from dataclasses import replace
from types import FrameType

import pytest

from nexusai.error import ConfigurationError
from nexusai.providers import (
    AdapterError,
    BudgetExceededError,
    CapabilityError,
    ChatRequest,
    CircuitBreaker,
    CircuitOpenError,
    ContextWindowError,
    Cost,
    CostTracker,
    Deployment,
    EmbeddingRequest,
    Prices,
    RateLimit,
    RateLimitError,
    RetryableError,
    RetryPolicy,
    Route,
    Router,
    TimeoutError,
    ValidationError,
    trial,
)
from nexusai.providers.flow import Sleep
from nexusai.providers.record import CallRecord
from nexusai.providers.transport import HttpResponse
from tests.fixtures.vendor import Vendor, answered, endpoint, refused, sse

HI = ChatRequest("m", [{"role": "user", "content": "hi"}])
PRICES = Prices.load({"openai_compatible/m": {"price": {"input": 1.0, "output": 2.0, "currency": "USD"}}})


def to(model, **options):
    return ChatRequest(model, [{"role": "user", "content": "hi"}], **options)


def route(alias, *names, **options):
    return Router([Route(alias, [Deployment(name, "m") for name in names], **options)])


def test_an_answer_comes_back():
    vendor = Vendor(answered("Hello"))
    assert vendor.run(vendor.calls().call("chat", HI)).content == "Hello"
    assert len(vendor.sent) == 1


def test_a_failure_that_may_pass_is_tried_again_after_a_pause():
    vendor = Vendor(refused(500), refused(503), answered())
    vendor.run(vendor.calls().call("chat", HI))
    assert (len(vendor.sent), vendor.pauses) == (3, [0.25, 0.5])


def test_the_vendors_retry_after_is_waited_for():
    vendor = Vendor(refused(429, **{"retry-after": "7"}), answered())
    vendor.run(vendor.calls().call("chat", HI))
    assert vendor.now >= 7


def test_no_more_is_sent_than_the_retries_allow():
    vendor = Vendor(refused(500))
    with pytest.raises(RetryableError):
        vendor.run(vendor.calls(retry=RetryPolicy(max_retries=4)).call("chat", HI))
    assert len(vendor.sent) == 5


def test_a_refused_request_is_not_tried_again():
    vendor = Vendor(refused(400))
    with pytest.raises(ValidationError) as failure:
        vendor.run(vendor.calls().call("chat", HI))
    assert (failure.value.provider, failure.value.model) == ("openai_compatible", "m")
    assert len(vendor.sent) == 1


def test_everything_together_takes_no_longer_than_the_timeout():
    vendor = Vendor(refused(500), took=4.0)
    with pytest.raises(TimeoutError):
        vendor.run(vendor.calls(retry=RetryPolicy(max_retries=99)).call("chat", HI, timeout=10))
    assert vendor.now == 10
    assert len(vendor.sent) == 3


def test_a_call_whose_time_is_over_is_not_sent():
    vendor = Vendor(answered())
    flow = vendor.calls().call("chat", HI, timeout=1)
    vendor.now = 2
    with pytest.raises(TimeoutError):
        vendor.run(vendor.calls().call("chat", HI, timeout=-1))
    flow.close()
    assert not vendor.sent


def test_the_total_of_the_configuration_is_a_timeout_too():
    vendor = Vendor(answered())
    calls = vendor.calls()
    calls.endpoints["slow"] = endpoint("slow", total=30.0, connect=3.0, proxy="http://proxy:1")
    vendor.run(calls.call("chat", to("slow/m")))
    assert (vendor.sent[0].total, vendor.sent[0].connect, vendor.sent[0].proxy) == (
        30.0,
        3.0,
        "http://proxy:1",
    )


def limited(endpoint, *capabilities):
    """An endpoint whose vendor can do that alone."""
    return replace(endpoint, vendor=replace(endpoint.vendor, capabilities=frozenset(capabilities)))


def test_what_a_provider_cannot_do_is_not_sent():
    vendor = Vendor(answered())
    calls = vendor.calls()
    calls.endpoints["local"] = limited(endpoint("local"), "chat")
    with pytest.raises(CapabilityError, match=r"local cannot do embeddings; these can: .*openai"):
        vendor.run(calls.call("embeddings", EmbeddingRequest("local/m", ["a"])))
    assert not vendor.sent


@pytest.mark.parametrize(
    ("request_", "capability"),
    [
        (to("m", tools=[{"type": "function", "function": {"name": "f"}}]), "tools"),
        (to("m", response_format={"type": "json_schema", "json_schema": {}}), "json_schema"),
        (to("m", reasoning_effort="low"), "reasoning"),
        (ChatRequest("m", [{"role": "user", "content": [{"type": "image", "data": b"1"}]}]), "vision"),
    ],
)
def test_asking_for_more_than_a_provider_can_do_names_who_can(request_, capability):
    vendor = Vendor(answered())
    calls = vendor.calls()
    calls.endpoints["openai_compatible"] = limited(calls.endpoints["openai_compatible"], "chat", "stream")
    with pytest.raises(CapabilityError, match=f"cannot do {capability}; these can: .*openai"):
        vendor.run(calls.call("chat", request_))
    assert not vendor.sent


class TestStreams:
    def test_are_emitted_with_their_usage_and_cost(self):
        vendor = Vendor(sse("one ", "two"))
        vendor.run(vendor.calls(prices=PRICES).call("stream", HI))
        assert "".join(chunk.delta for chunk in vendor.emitted) == "one two"
        assert vendor.emitted[-1].usage.total_tokens == 15
        assert vendor.emitted[-1].cost == Cost(20 / 1_000_000)

    def test_are_begun_again_before_their_first_chunk(self):
        vendor = Vendor(refused(500), [RetryableError("gone", code="unreachable")], sse("one"))
        vendor.run(vendor.calls().call("stream", HI))
        assert len(vendor.sent) == 3

    def test_are_not_begun_again_after_their_first_chunk(self):
        vendor = Vendor(sse("one", end=False), sse("two"))
        with pytest.raises(RetryableError, match="ended the stream early"):
            vendor.run(vendor.calls().call("stream", HI))
        assert [chunk.delta for chunk in vendor.emitted] == ["one"]

    def test_fall_back_before_their_first_chunk(self):
        vendor = Vendor(refused(401), sse("one"))
        calls = vendor.calls("a", "b", router=route("fast", "a", "b"))
        vendor.run(calls.call("stream", to("fast")))
        assert vendor.emitted[0].delta == "one"

    def test_do_not_fall_back_after_their_first_chunk(self):
        vendor = Vendor(sse("one", end=False), sse("two"))
        calls = vendor.calls("a", "b", router=route("fast", "a", "b"))
        with pytest.raises(RetryableError):
            vendor.run(calls.call("stream", to("fast")))
        assert len(vendor.sent) == 1

    def test_that_are_cut_off_are_billed_for_what_was_produced(self):
        costs, records = CostTracker(), []
        vendor = Vendor(sse("one two three four", "five"))
        flow = vendor.calls(prices=PRICES, costs=costs, hooks=[records.append]).call("stream", HI)
        step = next(flow)
        while not vendor.emitted:
            step = flow.send(vendor._take(step))
        flow.close()
        [record] = records
        assert (record.cut, record.usage.source, record.usage.completion_tokens) == (True, "estimate", 4)
        assert costs.total.amounts == {"USD": record.cost.amount}

    def test_are_late_without_a_first_token_in_time(self):
        vendor = Vendor([b": ping\n\n", b": ping\n\n", *sse("one")], took=3.0)
        calls = vendor.calls()
        calls.endpoints["slow"] = endpoint("slow", first_token=2.0)
        with pytest.raises(TimeoutError, match="took too long"):
            vendor.run(calls.call("stream", to("slow/m")))
        assert not vendor.emitted


class TestCosts:
    def test_are_on_every_answer(self):
        vendor = Vendor(answered(prompt=1_000_000, completion=500_000))
        assert vendor.run(vendor.calls(prices=PRICES).call("chat", HI)).cost == Cost(2.0)

    def test_of_an_unknown_model_are_unknown(self):
        vendor = Vendor(answered())
        assert vendor.run(vendor.calls().call("chat", HI)).cost is None

    def test_are_tracked_by_tag(self):
        costs = CostTracker()
        vendor = Vendor(answered(prompt=1_000_000, completion=0))
        calls = vendor.calls(prices=PRICES, costs=costs)
        vendor.run(calls.call("chat", HI, tags=("search",)))
        vendor.run(calls.call("chat", HI))
        assert costs.total.amounts == {"USD": 2.0}
        assert costs.by_tag["search"].amounts == {"USD": 1.0}

    def test_over_the_budget_are_refused_before_anything_is_sent(self):
        vendor = Vendor(answered(prompt=1_000_000, completion=0))
        calls = vendor.calls(prices=PRICES, costs=CostTracker(budget=1.0))
        vendor.run(calls.call("chat", HI))
        with pytest.raises(BudgetExceededError):
            vendor.run(calls.call("chat", HI))
        assert len(vendor.sent) == 1

    @pytest.mark.parametrize("operation", ["chat", "stream"])
    def test_that_would_be_over_the_budget_are_refused_too(self, operation):
        vendor = Vendor(answered())
        calls = vendor.calls(prices=PRICES, costs=CostTracker(tag_budgets={"search": 1.0}))
        dear = replace(HI, max_tokens=900_000)
        with pytest.raises(BudgetExceededError, match=r"this call may cost 1\.8") as failure:
            vendor.run(calls.call(operation, dear, tags=("search",)))
        assert (failure.value.provider, failure.value.model) == ("openai_compatible", "m")
        assert not vendor.sent
        assert calls.costs.total.calls == 0
        vendor.run(calls.call("chat", replace(HI, max_tokens=9), tags=("search",)))
        vendor.run(calls.call("chat", dear))


class TestBreakers:
    POLICY = CircuitBreaker(failure_threshold=2, reset_timeout=30)

    def broken(self, vendor):
        calls = vendor.calls(breaker=self.POLICY, retry=RetryPolicy(max_retries=0))
        for _ in range(2):
            with pytest.raises(RetryableError):
                vendor.run(calls.call("chat", HI))
        return calls

    def test_stop_calls_to_a_vendor_that_keeps_failing(self):
        vendor = Vendor(refused(500))
        calls = self.broken(vendor)
        with pytest.raises(CircuitOpenError) as failure:
            vendor.run(calls.call("chat", HI))
        assert len(vendor.sent) == 2
        assert failure.value.retry_after == 30

    def test_let_a_probe_through_after_a_while(self):
        vendor = Vendor(refused(500), refused(500), answered())
        calls = self.broken(vendor)
        vendor.now += 30
        assert vendor.run(calls.call("chat", HI)).content == "Hi"
        assert vendor.run(calls.call("chat", HI)).content == "Hi"

    def test_count_a_stream_that_breaks_off(self):
        vendor = Vendor(sse("one", end=False))
        calls = vendor.calls(breaker=self.POLICY)
        for _ in range(2):
            with pytest.raises(RetryableError):
                vendor.run(calls.call("stream", HI))
        with pytest.raises(CircuitOpenError):
            vendor.run(calls.call("stream", HI))

    def test_are_not_stuck_when_a_probe_is_cancelled(self):
        vendor = Vendor(refused(500), refused(500), answered())
        calls = self.broken(vendor)
        vendor.now += 30
        probe = calls.call("chat", HI)
        next(probe)
        probe.close()
        assert vendor.run(calls.call("chat", HI)).content == "Hi"

    def test_do_not_count_what_the_caller_did_wrong(self):
        vendor = Vendor(refused(400))
        calls = vendor.calls(breaker=self.POLICY)
        for _ in range(5):
            with pytest.raises(ValidationError):
                vendor.run(calls.call("chat", HI))
        assert len(vendor.sent) == 5


class TestLimits:
    def test_queue_calls(self):
        vendor = Vendor(answered())
        calls = vendor.calls(limits={"openai_compatible": RateLimit(requests_per_minute=2, max_wait=60)})
        for _ in range(3):
            vendor.run(calls.call("chat", HI))
        assert vendor.now >= 60

    def test_fail_fast_when_the_queue_is_long(self):
        vendor = Vendor(answered())
        calls = vendor.calls(limits={"openai_compatible/m": RateLimit(requests_per_minute=1, max_wait=5)})
        vendor.run(calls.call("chat", HI))
        with pytest.raises(RateLimitError):
            vendor.run(calls.call("chat", HI))
        assert (len(vendor.sent), vendor.now) == (1, 0)

    def test_are_not_used_up_by_calls_that_a_breaker_stops(self):
        vendor = Vendor(refused(500), answered())
        calls = vendor.calls(
            limits={"openai_compatible": RateLimit(requests_per_minute=2, max_wait=0)},
            breaker=CircuitBreaker(failure_threshold=1, reset_timeout=10),
            retry=RetryPolicy(max_retries=0),
        )
        for error in (RetryableError, CircuitOpenError, CircuitOpenError):
            with pytest.raises(error):
                vendor.run(calls.call("chat", HI))
        vendor.now += 10
        assert vendor.run(calls.call("chat", HI)).content == "Hi"

    def test_a_call_that_is_given_up_while_it_waits_was_never_made(self):
        records: list[CallRecord] = []
        vendor = Vendor(answered())
        limits = {"openai_compatible": RateLimit(requests_per_minute=1, max_wait=100)}
        calls = vendor.calls(limits=limits, hooks=[records.append])
        vendor.run(calls.call("chat", HI))
        waiting = calls.call("chat", HI)
        assert isinstance(next(waiting), Sleep)
        waiting.close()
        assert [(record.attempts, record.cut) for record in records] == [(1, False), (0, True)]

    def test_give_a_place_back_when_the_time_is_over_before_its_turn(self):
        vendor = Vendor(answered())
        calls = vendor.calls(limits={"openai_compatible": RateLimit(requests_per_minute=1, max_wait=100)})
        vendor.run(calls.call("chat", HI))
        with pytest.raises(TimeoutError):
            vendor.run(calls.call("chat", HI, timeout=5))
        vendor.run(calls.call("chat", HI))
        assert vendor.now == 60


class TestRoutes:
    def test_go_to_the_next_deployment_when_one_fails(self):
        records = []
        vendor = Vendor(refused(500), refused(500), refused(500), answered("from b"))
        calls = vendor.calls("a", "b", router=route("fast", "a", "b"), hooks=[records.append])
        assert vendor.run(calls.call("chat", to("fast"))).content == "from b"
        assert [bool(record.error) for record in records] == [True, False]
        assert records[1].tried == (f"{records[0].provider}/m",)

    def test_give_up_with_the_last_error(self):
        vendor = Vendor(refused(500))
        calls = vendor.calls("a", "b", router=route("fast", "a", "b"), retry=RetryPolicy(max_retries=0))
        with pytest.raises(RetryableError):
            vendor.run(calls.call("chat", to("fast")))
        assert len(vendor.sent) == 2

    def test_do_not_change_over_for_a_prompt_that_is_too_long(self):
        vendor = Vendor(refused(400, "maximum context length is 10"), answered())
        calls = vendor.calls("a", "b", router=route("fast", "a", "b"))
        with pytest.raises(ContextWindowError):
            vendor.run(calls.call("chat", to("fast")))

    def test_change_over_for_a_prompt_that_is_too_long_when_asked(self):
        vendor = Vendor(refused(400, "maximum context length is 10"), answered())
        calls = vendor.calls("a", "b", router=route("fast", "a", "b", on=("context_window",)))
        assert vendor.run(calls.call("chat", to("fast"))).content == "Hi"

    def test_skip_a_deployment_whose_breaker_is_open(self):
        vendor = Vendor(refused(500))
        breaker = CircuitBreaker(failure_threshold=1, reset_timeout=1000)
        calls = vendor.calls(
            "a", "b", router=route("fast", "a", "b"), breaker=breaker, retry=RetryPolicy(max_retries=0)
        )
        with pytest.raises(RetryableError):
            vendor.run(calls.call("chat", to("a/m")))
        vendor.script = [answered()]
        vendor.run(calls.call("chat", to("fast")))
        assert len(vendor.sent) == 2

    def test_with_every_breaker_open_say_so(self):
        vendor = Vendor(refused(500))
        breaker = CircuitBreaker(failure_threshold=1, reset_timeout=1000)
        calls = vendor.calls(
            "a", router=route("fast", "a"), breaker=breaker, retry=RetryPolicy(max_retries=0)
        )
        for error in (RetryableError, CircuitOpenError):
            with pytest.raises(error):
                vendor.run(calls.call("chat", to("fast")))


def test_a_model_without_its_provider_is_asked_of_the_only_one_that_has_it():
    vendor = Vendor(answered())
    calls = vendor.calls("openai_compatible", "b", prices=PRICES)
    assert calls.named("m") == Deployment("openai_compatible", "m")


def test_a_model_that_several_may_have_is_to_be_named_in_full():
    vendor = Vendor(answered())
    with pytest.raises(ValidationError, match="Name it with one of: a"):
        vendor.calls("a", "b").named("m")


def test_a_route_that_nobody_set_up_is_a_clear_error():
    vendor = Vendor(answered())
    with pytest.raises((ConfigurationError, ValidationError), match="fsat"):
        vendor.run(vendor.calls("a", "b", router=route("fast", "a")).call("chat", to("fsat")))


def test_a_hook_that_fails_does_not_fail_the_call(caplog):
    def hook(record):
        raise RuntimeError("no")

    vendor = Vendor(answered())
    assert vendor.run(vendor.calls(hooks=[hook]).call("chat", HI)).content == "Hi"
    assert "hook" in caplog.text


def test_a_stream_longer_than_any_answer_is_broken_off(monkeypatch):
    monkeypatch.setattr(trial, "MAX_ANSWER_BYTES", 1000)
    vendor = Vendor(sse(*["word "] * 100))
    with pytest.raises(AdapterError, match="more than 1000 bytes"):
        vendor.run(vendor.calls().call("stream", HI))
    assert 0 < len(vendor.emitted) < 100


@pytest.mark.parametrize(
    "answers", [[refused(400)], [refused(500)], [TimeoutError("late")], sse("a", end=False)]
)
@pytest.mark.parametrize("operation", ["chat", "stream"])
def test_a_failed_call_leaves_nothing_that_holds_itself(operation, answers):
    """What it read would stay in memory until garbage is looked for, which the platform does seldom."""
    vendor = Vendor(*(answers if isinstance(answers[0], HttpResponse) else [answers]))
    calls = vendor.calls()

    def fail():
        with pytest.raises(AdapterError):
            vendor.run(calls.call_at("openai_compatible", operation, HI))

    fail()
    gc.collect()
    gc.disable()
    try:
        fail()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kept = {found.f_code.co_name for found in gc.garbage if isinstance(found, FrameType)}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert kept & {"run", "_driven", "_repeated", "_exchange", "_pause_after"} == set()


def test_a_record_holds_neither_prompt_nor_answer():
    records = []
    vendor = Vendor(answered("the answer"))
    vendor.run(vendor.calls(hooks=[records.append]).call("chat", HI))
    assert "the answer" not in repr(records)
    assert "'hi'" not in repr(records)


# What another takes over


def opened(vendor):
    """Calls whose breaker for `a` is open."""
    calls = vendor.calls("a", "b", retry=RetryPolicy(max_retries=0))
    for _ in range(5):
        with pytest.raises(RetryableError):
            vendor.run(calls.call_at("a", "chat", HI))
    return calls


def test_breakers_of_what_has_not_changed_are_taken_over():
    vendor = Vendor(refused(500))
    before, calls = opened(vendor), vendor.calls("a", "b")
    calls.inherit(before)
    with pytest.raises(CircuitOpenError):
        vendor.run(calls.call_at("a", "chat", HI))


def test_a_provider_under_another_key_begins_anew():
    vendor = Vendor(refused(500))
    before, calls = opened(vendor), vendor.calls("a", "b")
    calls.endpoints["a"] = endpoint("a", api_key="another")
    calls.inherit(before)
    assert calls.states("a") == {}


def test_limiters_are_taken_over_unless_the_limit_is_another():
    vendor = Vendor(answered())
    strict, loose = {"a": RateLimit(1, max_wait=0)}, {"a": RateLimit(2, max_wait=0)}
    before = vendor.calls("a", limits=strict)
    vendor.run(before.call_at("a", "chat", HI))
    same, other = vendor.calls("a", limits=strict), vendor.calls("a", limits=loose)
    same.inherit(before)
    other.inherit(before)
    with pytest.raises(RateLimitError):
        vendor.run(same.call_at("a", "chat", HI))
    assert vendor.run(other.call_at("a", "chat", HI)).content == "Hi"


def test_who_was_fast_and_healthy_is_remembered():
    vendor = Vendor(refused(500))
    before = vendor.calls("a", "b", router=route("r", "a", "b"), retry=RetryPolicy(max_retries=0))
    with pytest.raises(RetryableError):
        vendor.run(before.call_at("a", "chat", HI))
    calls = vendor.calls("a", "b", router=route("r", "a", "b"))
    facts = {"now": vendor.now, "random": 0.49}
    assert next(calls.router.candidates("r", **facts)).provider == "a"
    calls.inherit(before)
    assert next(calls.router.candidates("r", **facts)).provider == "b"


def test_of_many_models_those_with_troubles_are_remembered(monkeypatch):
    monkeypatch.setattr("nexusai.providers.calls._MOST_CIRCUITS", 10)
    vendor = Vendor(answered())
    calls = vendor.calls(breaker=CircuitBreaker(failure_threshold=1))
    calls.circuit(Deployment("openai_compatible", "ill")).failure(vendor.now)
    for number in range(100):
        vendor.run(calls.call("chat", to(f"m-{number}")))
    states = calls.states("openai_compatible")
    assert len(states) <= 10
    assert states["ill"] == "open"
