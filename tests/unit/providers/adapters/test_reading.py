from __future__ import annotations

import pytest

from nexusai.providers.adapters.reading import count_of, text_of


@pytest.mark.parametrize(
    ("value", "count"),
    [(0, 0), (7, 7), (7.0, 7), (7.5, None), (-1, None), (True, None), ("7", None), (None, None)],
)
def test_a_count_is_a_whole_number_from_zero(value: object, count: int | None):
    assert count_of(value) == count


@pytest.mark.parametrize(("value", "text"), [("a", "a"), ("", None), (1, None), ({}, None), (None, None)])
def test_a_text_has_letters(value: object, text: str | None):
    assert text_of(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_count(value: float):
    assert count_of(value) is None
