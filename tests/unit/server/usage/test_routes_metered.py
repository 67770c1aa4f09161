"""What is taken from the limits for a call that may get to several deployments."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nexusai.providers.models import default_models
from nexusai.providers.pricing import Prices
from nexusai.providers.types import ChatRequest, RelayRequest
from nexusai.server.catalogue import Names
from nexusai.server.clock import now_ms
from nexusai.server.http import Problem
from nexusai.server.keys.caller import Caller, current_caller
from nexusai.server.keys.guard import Guard
from nexusai.server.keys.limits import Lanes, MemoryLedger
from nexusai.server.keys.models import Budget, Key, Limits, Project
from nexusai.server.usage.metered import Meter
from nexusai.server.usage.models import Rates

LINES = {
    "a/cheap": {"price": {"input": 1, "output": 1}},
    "b/dear": {"price": {"input": 1000, "output": 1000}},
    "own/priced": {"price": {"input": 5, "output": 5}},
    "own/known": {"context_window": 10},
}
NAMES = Names(
    {"fast": ("a", "cheap")},
    {
        "both": [("a", "cheap"), ("b", "dear")],
        "odd": [("a", "cheap"), ("b", "unpriced")],
        "free": [("own", "x"), ("own", "known")],
        "mixed": [("own", "x"), ("a", "cheap")],
    },
)


@pytest.fixture
def guard() -> Guard:
    return Guard(MemoryLedger(), Lanes())


@pytest.fixture
def meter(guard: Guard) -> Meter:
    return Meter(guard, Prices(default_models().merged(LINES)), Rates({}), {"own"}, NAMES)


def ask(limits: Limits, models: str | None = None) -> None:
    key = Key("key_1", "proj_1", "k", b"", "", 0, limits_json=limits.dump(), models_json=models)
    current_caller.set(Caller(Project("proj_1", "p", "{}", 0), key))


async def taken(meter: Meter, provider: str, model: str) -> float | None:
    """Dollars that are taken for a call of a million tokens."""
    ask(Limits(budget=Budget(per_day=1e9)))
    request = ChatRequest(model, [{"role": "user", "content": ""}], max_tokens=1_000_000)
    reservation: Any = await meter.reserve(provider, request)
    if reservation is None:
        return None
    amount = -reservation._dollars
    return float(round(amount))


@pytest.mark.parametrize(
    ("provider", "model", "dollars"),
    [
        ("a", "cheap", 1),
        ("route", "both", 1000),
        ("route", "mixed", 1),
        ("route", "free", None),
        ("own", "known", None),
        ("own", "priced", 5),
    ],
)
async def test_the_most_expensive_deployment_is_taken(
    meter: Meter, provider: str, model: str, dollars: float | None
):
    assert await taken(meter, provider, model) == dollars


async def test_a_route_to_a_model_without_a_price_is_nothing_for_a_budget(meter: Meter):
    with pytest.raises(Problem, match="no price of b/unpriced"):
        await taken(meter, "route", "odd")


async def test_what_failed_and_what_answered_are_both_counted(meter: Meter, guard: Guard):
    ask(Limits(budget=Budget(per_day=1e9)))
    reservation = await meter.reserve("route", ChatRequest("both", [], max_tokens=1))
    assert reservation is not None
    reservation.count(10, 0.25)
    reservation.count(10, 0.5)
    reservation.settle()

    assert await guard.ledger.used("key_1", "day", now_ms()) == 0.75


async def test_what_nobody_knows_the_use_of_stays_taken_beside_what_its_fallback_used(
    meter: Meter, guard: Guard
):
    ask(Limits(budget=Budget(per_day=1e9)))
    reservation = await meter.reserve("route", ChatRequest("both", [], max_tokens=1000))
    reserved = await guard.ledger.used("key_1", "day", now_ms())
    assert reservation is not None
    reservation.keep()
    reservation.count(10, 0.5)
    reservation.settle()

    assert await guard.ledger.used("key_1", "day", now_ms()) == pytest.approx(reserved + 0.5)


@pytest.mark.parametrize(
    ("models", "target", "allowed"),
    [
        ('["a/*"]', ("route", "both"), False),
        ('["a/*", "b/*"]', ("route", "both"), True),
        ('["both"]', ("route", "both"), True),
        ('["route/both"]', ("route", "both"), True),
        ('["bo*"]', ("route", "both"), False),
        ('["*"]', ("route", "both"), True),
        ('["both"]', ("b", "dear"), False),
        ('["fast"]', ("a", "cheap"), True),
        ('["fast"]', ("a", "other"), False),
        ('["*"]', ("route", "gone"), False),
        (None, ("route", "both"), True),
    ],
)
def test_a_key_may_use_what_it_is_given_by_name_or_altogether(
    models: str | None, target: tuple[str, str], allowed: bool
):
    key = Key("key_1", "proj_1", "k", b"", "", 0, models_json=models)
    assert Caller(Project("proj_1", "p", "{}", 0), key).may_use(*target, NAMES) == allowed


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({"prompt": "x"}, 1),
        ({"prompt": "x", "n": 2, "best_of": 5}, 5),
        ({"prompt": ["x", "y", "z"], "n": 2}, 6),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1], [2]]}, 2),
        ({"prompt": 10**400}, 1),
    ],
)
async def test_each_answer_to_each_prompt_is_taken_from_the_limits(
    meter: Meter, fields: dict[str, Any], answers: int
) -> None:
    ask(Limits(budget=Budget(per_day=1e9)))
    told = {name: json.dumps(value).encode() for name, value in {**fields, "max_tokens": 1_000_000}.items()}
    reservation: Any = await meter.reserve("a", RelayRequest("completions", "cheap", told))
    amount = -reservation._dollars
    assert round(amount) == answers


@pytest.mark.parametrize("number", ["-1000000000", "-1e9", "1e999", "1" * 40, "1e6", "1000000.0", "true"])
async def test_no_number_of_tokens_gives_back_what_was_not_taken(meter: Meter, number: str):
    ask(Limits(budget=Budget(per_day=1e9)))
    passing = {"messages": b"[]", "max_tokens": number.encode()}
    written = {"messages": b"[]", "max_tokens": f'"{number}"'.encode()}
    for request in (
        RelayRequest("chat", "cheap", passing),
        RelayRequest("chat", "cheap", written),
        ChatRequest("cheap", [], extra={"max_output_tokens": json.loads(number)}),
    ):
        reservation: Any = await meter.reserve("a", request)
        amount = -reservation._dollars
        assert amount > 0
        if number.startswith("1"):
            assert amount >= 1  # a dollar for a million


@pytest.mark.parametrize(
    ("tools", "allowed"),
    [
        ([{"type": "web_search"}], True),
        ([{"type": "function", "name": "f", "parameters": {"properties": {"model": {}}}}], True),
        ([{"name": "f", "input_schema": {"properties": {"model": {}}}}], True),
        ("model", True),
        ([{"type": "web_search"}, {"type": "image_generation"}], False),
        ([{"type": "image_generation", "model": "gpt-image-1"}], False),
        ([{"type": "advisor_20260301", "name": "advisor", "model": "dear"}], False),
    ],
)
async def test_a_tool_of_a_vendor_does_not_lead_to_models_that_the_key_may_not_use(
    meter: Meter, tools: Any, allowed: bool
) -> None:
    ask(Limits(), models='["a/cheap"]')
    written = json.dumps(tools).encode(), json.dumps(tools).replace("image_g", "image\\u005fg").encode()
    for raw in written:
        request = RelayRequest("responses", "cheap", {"tools": raw})
        if allowed:
            await meter.reserve("a", request)
            continue
        with pytest.raises(Problem, match="leads to other models"):
            await meter.reserve("a", request)
    ask(Limits())
    await meter.reserve("a", RelayRequest("responses", "cheap", {"tools": written[0]}))
