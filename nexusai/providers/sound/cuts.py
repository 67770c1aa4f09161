"""Where to cut a long recording: planned from how loud it is, window by window."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Final

from nexusai.providers.sound.samples import RATE

__all__ = ["WINDOW", "cuts", "loudness"]

WINDOW: Final = RATE // 20
"""Samples in a window: a twentieth of a second."""

_AROUND: Final = 3
"""Windows on either side of a cut that should be quiet: a pause between words, not within one."""


def loudness(block: array[int]) -> Iterator[int]:
    """The highest swing in each window of a block; the last window may be short."""
    for start in range(0, len(block), WINDOW):
        window = block[start : start + WINDOW]
        yield max(max(window), -min(window))


def cuts(loudness: Sequence[int], most: int) -> list[int]:
    """The windows before which to cut, so that no piece has more than `most` of them (1 or more).

    The pieces are about as long as each other; each cut is where it is quietest near its place.
    """
    found: list[int] = []
    start = 0
    while (left := len(loudness) - start) > most:
        even = ceil(left / ceil(left / most))
        slack = even // 3
        first = start + max(1, even - slack)
        last = start + max(1, min(most, even + slack, left - even + slack))
        start = _quietest(loudness, range(first, max(first, last) + 1), start + even)
        found.append(start)
    return found


def _quietest(loudness: Sequence[int], places: Sequence[int], middle: int) -> int:
    return min(places, key=lambda at: (_around(loudness, at), abs(at - middle)))


def _around(loudness: Sequence[int], at: int) -> int:
    return sum(loudness[max(at - _AROUND, 0) : at + _AROUND])
