from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.error import ConfigurationError
from nexusai.providers.errors import (
    AdapterError,
    AuthenticationError,
    BudgetExceededError,
    CapabilityError,
    CircuitOpenError,
    ContentFilterError,
    ContextWindowError,
    RateLimitError,
    RetryableError,
    TimeoutError,
    ValidationError,
)
from nexusai.providers.reliability.router import Deployment, Route, Router

A, B, C = (Deployment(name, "m") for name in "abc")
EVENLY = [(draw + 0.5) / 2000 for draw in range(2000)]


def order(router, alias="fast", *, now=0.0, random=0.5, **options):
    return list(router.candidates(alias, now=now, random=random, **options))


def firsts(router, **options):
    """How often each provider comes first, out of 2000 evenly spread draws."""
    return Counter(order(router, random=draw, **options)[0].provider for draw in EVENLY)


class TestOrder:
    def test_has_every_deployment_once(self):
        router = Router([Route("fast", [A, B, C])])
        for draw in EVENLY[::50]:
            assert sorted(each.provider for each in order(router, random=draw)) == ["a", "b", "c"]

    def test_is_drawn_by_weight(self):
        light, heavy = Deployment("light", "m", weight=1), Deployment("heavy", "m", weight=3)
        assert firsts(Router([Route("fast", [light, heavy])])) == {"light": 500, "heavy": 1500}

    def test_of_the_others_is_drawn_by_weight_too(self):
        route = Route("fast", [A, Deployment("b", "m", 1), Deployment("c", "m", 3)])
        seconds = Counter(
            order(Router([route]), random=draw)[1].provider for draw in EVENLY if draw < 0.2 - 1e-9
        )
        assert seconds == {"b": 100, "c": 300}

    def test_goes_on_with_the_fallbacks_in_theirs(self):
        router = Router([Route("fast", [A], ["spare", "last"]), Route("last", [C]), Route("spare", [B])])
        assert order(router) == [A, B, C]

    def test_does_not_go_on_with_the_fallbacks_of_fallbacks(self):
        router = Router([Route("fast", [A], ["spare"]), Route("spare", [B], ["last"]), Route("last", [C])])
        assert order(router) == [A, B]

    def test_leaves_out_what_is_unavailable(self):
        router = Router([Route("fast", [A, B], ["spare"]), Route("spare", [C])])
        assert order(router, unavailable={("a", "m"), ("b", "m")}) == [C]

    def test_has_a_deployment_of_two_routes_once(self):
        router = Router([Route("fast", [A], ["spare"]), Route("spare", [A, B])])
        assert order(router) == [A, B]

    def test_is_worked_out_as_far_as_it_is_wanted(self):
        candidates = Router([Route("fast", [A, B, C])]).candidates("fast", now=0.0, random=0.1)
        assert list(islice(candidates, 1)) == [A]


class TestSpeed:
    def test_decides_among_equals(self):
        router = Router([Route("fast", [A, B])])
        router.observe(A, 1.0, True, 0.0)
        router.observe(B, 3.0, True, 0.0)
        assert firsts(router) == {"a": 1500, "b": 500}

    def test_is_forgotten_in_time(self):
        router = Router([Route("fast", [A, B])])
        router.observe(A, 1.0, True, 0.0)
        router.observe(B, 3.0, True, 0.0)
        assert firsts(router, now=3600.0) == {"a": 1000, "b": 1000}

    def test_of_one_that_was_never_called_is_an_average(self):
        router = Router([Route("fast", [A, B])])
        router.observe(A, 7.0, True, 0.0)
        assert firsts(router) == {"a": 1000, "b": 1000}

    def test_follows_what_is_observed(self):
        router = Router([Route("fast", [A, B])])
        for now in range(600):
            router.observe(A, 1.0 if now < 300 else 9.0, True, float(now))
            router.observe(B, 3.0, True, float(now))
        assert firsts(router, now=600.0)["a"] == pytest.approx(500, abs=20)

    def test_is_not_changed_by_a_single_slow_call(self):
        router = Router([Route("fast", [A, B])])
        for now in range(100):
            for each in (A, B):
                router.observe(each, 1.0, True, now / 10)
        router.observe(A, 10.0, True, 10.0)
        assert firsts(router, now=10.0)["a"] > 600

    def test_of_failing_earns_no_calls(self):
        router = Router([Route("fast", [A, B])])
        for now in range(20):
            router.observe(A, 1.0, True, now / 10)
            router.observe(B, 1.0 if now < 10 else 0.01, now < 10, now / 10)
        assert firsts(router, now=2.0)["b"] < 700

    def test_of_nothing_at_all_is_no_division_by_zero(self):
        router = Router([Route("fast", [A, B])])
        router.observe(A, 0.0, True, 0.0)
        assert firsts(router)["a"] > 0


class TestSessions:
    def test_stay_with_their_deployment(self):
        router = Router([Route("fast", [A, B, C])])
        for session in map(str, range(20)):
            [first] = {order(router, session=session, random=draw)[0] for draw in (0.0, 0.4, 0.9)}
            router.observe(first, 1000.0, False, 0.0)
            assert order(router, session=session)[0] == first

    def test_go_to_the_next_one_while_theirs_is_unavailable_and_come_back(self):
        router = Router([Route("fast", [A, B, C])])
        first, second, third = order(router, session="s")
        away = order(router, session="s", unavailable={(first.provider, first.model)})
        assert away == [second, third]
        assert order(router, session="s") == [first, second, third]

    def test_that_have_another_deployment_are_not_moved_when_one_is_added(self):
        before, after = Router([Route("fast", [A, B])]), Router([Route("fast", [A, B, C])])
        for session in map(str, range(100)):
            [old, *_], [new, *_] = order(before, session=session), order(after, session=session)
            assert new in (old, C)

    def test_are_spread_by_weight(self):
        router = Router([Route("fast", [A, Deployment("b", "m", weight=3)])])
        homes = Counter(order(router, session=str(number))[0].provider for number in range(4000))
        assert homes["b"] == pytest.approx(3000, abs=150)

    def test_are_in_the_same_place_in_every_process(self):
        router = Router([Route("fast", [A, B, C])])
        homes = [order(router, session=session)[0].provider for session in ("u1", "u2", "u3", "u4")]
        assert homes == ["c", "a", "c", "a"]


class TestFallbacks:
    ROUTER = Router(
        [
            Route("fast", [A]),
            Route("long", [A], on=("context_window",)),
            Route("free", [A], on=["content_filter"]),
        ]
    )

    @pytest.mark.parametrize(
        "error",
        [
            RetryableError("x", status=500),
            TimeoutError("x"),
            RateLimitError("x", status=429),
            RateLimitError("x", code="client_rate_limit"),
            AuthenticationError("x", status=401),
            CapabilityError("x"),
            CircuitOpenError("x"),
            ValidationError("no such model", status=404),
            AdapterError("sent something that is not JSON"),
        ],
    )
    def test_follow_what_is_wrong_with_one_deployment(self, error):
        assert self.ROUTER.falls_back(error, "fast")

    @pytest.mark.parametrize(
        "error",
        [ValidationError("x", status=400), BudgetExceededError("x"), ContextWindowError("x", status=404)],
    )
    def test_do_not_follow_what_is_wrong_with_the_call(self, error):
        assert not self.ROUTER.falls_back(error, "fast")

    def test_follow_prompts_and_filters_when_asked(self):
        errors = (ContextWindowError("x"), ContentFilterError("x"))
        asked = {
            alias: [self.ROUTER.falls_back(error, alias) for error in errors]
            for alias in ("fast", "long", "free", "no route")
        }
        assert asked == {
            "fast": [False, False],
            "long": [True, False],
            "free": [False, True],
            "no route": [False, False],
        }


class TestMistakes:
    def test_an_unknown_alias_is_named_with_the_nearest_one(self):
        router = Router([Route("smart", [A]), Route("fast", [B])])
        with pytest.raises(
            ConfigurationError, match=r"unknown route: 'fats'; did you mean 'fast'\? There are: fast, smart"
        ):
            order(router, "fats")
        assert [router.knows(alias) for alias in ("fast", "fats")] == [True, False]

    def test_an_alias_like_no_other_has_no_nearest_one(self):
        with pytest.raises(ConfigurationError, match="unknown route: 'q'; There are: none"):
            order(Router(), "q")

    @pytest.mark.parametrize(
        ("routes", "message"),
        [
            ([Route("fast", [])], "'fast' has no deployments"),
            ([Route("fast", [A]), Route("fast", [B])], "two routes are named 'fast'"),
            ([Route("fast", [A], ["slwo"]), Route("slow", [B])], r"fallback of route 'fast'.*mean 'slow'"),
        ],
    )
    def test_routes_that_contradict_themselves_are_refused(self, routes, message):
        with pytest.raises(ConfigurationError, match=message):
            Router(routes)

    @pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan")])
    def test_a_weight_is_a_number_above_nothing(self, weight):
        with pytest.raises(ConfigurationError, match="weight of a/m"):
            Deployment("a", "m", weight)


deployments = st.lists(
    st.builds(Deployment, st.sampled_from("abcdef"), st.just("m"), st.floats(0.01, 100)),
    min_size=1,
    max_size=6,
    unique_by=lambda each: each.provider,
)
seen = st.lists(
    st.tuples(st.integers(0, 5), st.floats(0, 1e6), st.booleans(), st.floats(0, 1e6)), max_size=20
)


@given(deployments, seen, st.floats(0, 1), st.floats(0, 1e7), st.one_of(st.none(), st.text()))
def test_whatever_was_observed_every_deployment_is_tried_in_the_end(group, history, random, now, session):
    router = Router([Route("fast", group)])
    for number, seconds, ok, at in history:
        router.observe(group[number % len(group)], seconds, ok, at)
    tried = order(router, now=now, random=random, session=session)
    assert sorted(each.provider for each in tried) == sorted(each.provider for each in group)


@given(st.lists(deployments, min_size=2, max_size=4), st.floats(0, 1, exclude_max=True))
def test_fallbacks_come_after_what_they_stand_in_for(groups, random):
    groups = [[Deployment(each.provider, f"m{at}") for each in group] for at, group in enumerate(groups)]
    aliases = [f"r{at}" for at in range(len(groups))]
    spares = [Route(alias, group) for alias, group in zip(aliases[1:], groups[1:], strict=True)]
    router = Router([Route("r0", groups[0], aliases[1:]), *spares])
    models = [each.model for each in order(router, "r0", random=random)]
    assert models == sorted(models)
