from __future__ import annotations

import pytest

from nexusai.server.knowledge.filters import check, matches

SAID = {"language": "zh", "year": 2024, "tags": ["hr", "leave"], "draft": False, "team": None}


@pytest.mark.parametrize(
    "filter",
    [
        {},
        {"language": "zh"},
        {"language": ["en", "zh"]},
        {"year": {"gte": 2024, "lt": 2025}},
        {"year": {"gt": 2023.5, "lte": 2024}},
        {"tags": "hr"},
        {"tags": ["sales", "leave"]},
        {"tags": ["hr", "leave"]},
        {"draft": False},
        {"team": None},
        {"language": {"ne": "en"}},
        {"absent": {"ne": "en"}},
        {"language": "zh", "year": 2024},
    ],
)
def test_a_document_that_fits_matches(filter):
    assert matches(filter, SAID)


@pytest.mark.parametrize(
    "filter",
    [
        {"language": "en"},
        {"language": []},
        {"year": "2024"},
        {"year": {"gt": 2024}},
        {"year": {"gte": "2024"}},
        {"absent": {"lt": 1}},
        {"absent": "zh"},
        {"tags": "sales"},
        {"draft": 0},
        {"language": {"ne": "zh"}},
        {"language": "zh", "year": 2023},
    ],
)
def test_a_document_that_does_not_fit_matches_not(filter):
    assert not matches(filter, SAID)


def test_a_comparison_that_is_not_known_is_named():
    with pytest.raises(ValueError, match=r"year: 'above' is not one of gt, gte, lt, lte, ne"):
        check({"language": "zh", "year": {"above": 1}})


def test_known_comparisons_pass():
    check({"language": "zh", "year": {"gt": 1, "ne": 5}, "tags": ["a"]})
