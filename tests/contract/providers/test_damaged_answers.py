"""Answers of every vendor with something else in one place: adapters raise `AdapterError`s alone."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusai.providers import AdapterError
from tests.fixtures.adapter_cases import CASES, FOLDERS, Case, Vendor

LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3)
VALUES = LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.text(max_size=3), LEAVES, max_size=2)
TYPES: dict[str, Any] = {
    **dict.fromkeys(("content", "delta", "reasoning", "model", "id", "text", "language"), str | None),
    **dict.fromkeys(("tool_calls", "reasoning_blocks", "segments"), list | tuple | None),
    "created": int | None,
    "duration": float | int | None,
}
COUNTS = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "cache_write_tokens")
LONG = "[" * 2000 + "]" * 2000


def damaged(value: Any, draw: Any) -> Any:
    """The value with another one in a place that is drawn, or without that place."""
    if not value or not isinstance(value, dict | list) or draw(st.integers(0, 3)) == 0:
        return draw(VALUES)
    at = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    if draw(st.integers(0, 9)) == 0:
        del value[at]
    else:
        value[at] = damaged(value[at], draw)
    return value


def damaged_event(block: str, draw: Any) -> str:
    head, data, body = block.rpartition("data: ")
    try:
        return head + data + json.dumps(damaged(json.loads(body), draw))
    except ValueError:
        return draw(
            st.sampled_from([block, "data: " + LONG, "data: \ud800".encode("utf-8", "replace").decode()])
        )


@st.composite
def damages(draw: Any, vendor: str) -> Case:
    case = copy.deepcopy(draw(st.sampled_from([case for case in CASES if case["adapter"] == vendor])))
    for exchange in case.get("exchanges", [case]):
        if events := exchange.get("events"):
            at = draw(st.integers(0, len(events) - 1))
            events[at] = damaged_event(events[at], draw)
        elif "body" in exchange.get("answer", {}):
            exchange["answer"]["body"] = damaged(exchange["answer"]["body"], draw)
    return case


@pytest.mark.parametrize("vendor", [folder.name for folder in FOLDERS])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_an_answer_that_is_damaged_is_an_adapter_error_or_of_the_types_that_it_should_be(
    vendor: str, data: st.DataObject
):
    run = Vendor(data.draw(damages(vendor)))
    with contextlib.suppress(AdapterError):
        check_types(run.run())
    for chunk in run.emitted:
        check_types(chunk)


def check_types(answer: Any) -> None:
    for name, kinds in TYPES.items():
        assert isinstance(getattr(answer, name, None), kinds)
    usage = getattr(answer, "usage", None)
    counts = [getattr(usage, name, None) for name in COUNTS]
    assert all(isinstance(count, int | None) and not isinstance(count, bool) for count in counts)
