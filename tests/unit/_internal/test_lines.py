from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nexusai._internal._lines import Lines


def read(*pieces: bytes) -> list[bytes]:
    lines = Lines()
    return [line for piece in pieces for line in lines.feed(piece)] + lines.rest()


def test_a_line_is_told_once_it_is_whole():
    lines = Lines()
    assert lines.feed(b'{"a"') == []
    assert lines.feed(b': 1}\n{"b": 2}\n{"c"') == [b'{"a": 1}', b'{"b": 2}']
    assert lines.rest() == [b'{"c"']


def test_empty_lines_are_left_out():
    assert read(b"a\n\n  \r\nb\n") == [b"a", b"b"]


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
def test_the_lines_are_the_same_however_the_bytes_are_cut(data: bytes, cuts: list[int]):
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(places)]
    assert read(*pieces) == read(data) == [line for line in data.split(b"\n") if line.strip()]
