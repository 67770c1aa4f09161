from __future__ import annotations

import pytest

from nexusai.server.knowledge.relevance import rarities, rate


def test_a_rare_word_weighs_more_than_a_common_one():
    weights = rarities({"rare": 1, "common": 90, "everywhere": 100, "absent": 0}, 100)

    assert weights["absent"] > weights["rare"] > weights["common"] > weights["everywhere"] > 0


def test_weights_bear_counts_that_are_larger_than_the_total():
    assert rarities({"word": 7}, 3)["word"] > 0


def test_all_words_once_are_four_fifths_and_more_of_them_more():
    once, often = rate(["apple pear", "pear apple"], {"apple": 1.0, "pear": 2.0})[0], None
    often = rate(["apple pear apple pear"], {"apple": 1.0, "pear": 2.0})[0]

    assert once == pytest.approx(0.8)
    assert 0.8 < often < 1


def test_a_text_is_rated_by_the_weight_of_the_words_it_has():
    heavy, light, none = rate(["pear", "apple", "plum"], {"apple": 1.0, "pear": 3.0})

    assert heavy == pytest.approx(3 * light, rel=0.1)
    assert none == 0


def test_words_count_less_in_a_long_text():
    short, long = rate(["apple", "apple " + "and something else " * 20], {"apple": 1.0})

    assert short > long > 0


def test_nothing_to_rate_by_is_0():
    assert rate(["apple"], {}) == [0.0]
    assert rate([], {"apple": 1.0}) == []
