from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.providers.sound.cuts import WINDOW, cuts, loudness
from nexusai.providers.sound.samples import RATE
from tests.fixtures.sounds import tones

levels = st.lists(st.integers(0, 32_768), max_size=400)


def pieces(loud, most):
    places = [0, *cuts(loud, most), len(loud)]
    return [second - first for first, second in pairwise(places)]


@given(levels, st.integers(1, 120))
def test_no_piece_is_longer_than_the_most_and_none_is_empty(loud, most):
    assert all(0 < piece <= most for piece in pieces(loud, most)) or not loud


@given(st.lists(st.integers(0, 32_768), min_size=60, max_size=400), st.integers(30, 120))
def test_no_piece_is_a_shred(loud, most):
    assert min(pieces(loud, most)) >= min(len(loud), most) // 4


@given(levels)
def test_what_is_short_enough_is_not_cut(loud):
    assert cuts(loud, max(len(loud), 1)) == []


@pytest.mark.parametrize(("length", "most"), [(100, 50), (101, 50), (1000, 300), (90, 30)])
def test_where_all_is_as_quiet_the_pieces_are_about_as_long(length, most):
    found = pieces([0] * length, most)
    assert max(found) - min(found) <= 2
    assert len(found) == -(-length // most)


def test_it_is_cut_in_the_pause():
    loud = [5000] * 95 + [10] * 10 + [5000] * 95
    assert cuts(loud, 120) == [100]


def test_a_long_pause_is_better_than_a_short_one():
    loud = [5000] * 80 + [10] + [5000] * 20 + [10] * 8 + [5000] * 91
    assert cuts(loud, 150)[0] in range(104, 107)


def test_a_pause_that_is_too_far_away_is_not_used():
    loud = [5000] * 10 + [10] * 10 + [5000] * 180
    assert 20 < cuts(loud, 120)[0] <= 120


def test_loudness_is_the_highest_swing_of_each_window():
    sound = tones((WINDOW / RATE, 0), (WINDOW / RATE, 9000), (WINDOW / RATE / 2, 20_000))
    assert list(loudness(sound)) == [0, pytest.approx(9000, rel=0.01), pytest.approx(20_000, rel=0.01)]


def test_the_lowest_sample_counts_as_well():
    sound = tones((0.01, 100))
    sound[5] = -32_768
    assert list(loudness(sound)) == [32_768]
