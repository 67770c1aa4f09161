from __future__ import annotations

import json
from collections import UserDict, UserList
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusai._internal._json import encoded
from nexusai.error import InvalidRequestError

LONE = "\ud83d"

text = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)
anything = st.recursive(
    values | st.floats() | st.binary(max_size=8) | st.sampled_from([LONE, object()]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text | st.just(b"name"), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=50)
@given(values)
def test_what_json_has_a_form_for_is_sent_as_it_is(value: Any):
    assert json.loads(encoded(value)) == value


@settings(max_examples=50)
@given(anything)
def test_what_is_no_json_is_said_and_nothing_else_raised(value: Any):
    try:
        json.loads(encoded(value))
    except InvalidRequestError as error:
        assert error.errors  # noqa: PT017 - either is right


def test_it_is_compact_and_in_utf_8():
    assert encoded({"prompt": "灯塔", "n": [1, 2]}) == '{"prompt":"灯塔","n":[1,2]}'.encode()


def test_mappings_and_sequences_of_any_make_are_sent():
    body = UserDict(messages=UserList([UserDict(role="user")]), stop=("a", "b"))
    assert json.loads(encoded(body)) == {"messages": [{"role": "user"}], "stop": ["a", "b"]}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"config": {"temperature": float("nan")}}, "config.temperature is nan"),
        ({"config": {"seed": float("inf")}}, "config.seed is inf"),
        ({"input": {"messages": [{"content": b"raw"}]}}, "input.messages[0].content is of type bytes"),
        ({"input": {"prompt": f"secret {LONE}"}}, "input.prompt has half of a surrogate pair"),
        ({"metadata": {f"secret{LONE}": 1}}, "metadata has a name with half of a surrogate pair"),
        ({"metadata": {b"secret": 1}}, "metadata has a name of type bytes"),
        ({"config": {"stop": {"secret"}}}, "config.stop is of type set"),
        (object(), "The body is of type object"),
    ],
)
def test_what_has_no_form_is_named_by_its_place_and_not_shown(body: Any, told: str):
    with pytest.raises(InvalidRequestError) as raised:
        encoded(body)
    assert told in str(raised.value)
    assert "secret" not in str(raised.value)
    assert raised.value.errors[0]["type"] == "json"


def test_what_holds_itself_is_said():
    body: dict[str, Any] = {}
    body["config"] = {"again": body}
    with pytest.raises(InvalidRequestError, match="nested too deeply, or in itself"):
        encoded(body)
