"""`local/embedding`: hashed n-grams of characters and words. It is likeness of wording, not of meaning."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from math import hypot, sqrt
from typing import Final
from unicodedata import normalize
from zlib import crc32

from nexusai.providers.adapters.local.prompt import HAN
from nexusai.providers.errors import ValidationError
from nexusai.providers.types import EmbeddingRequest

__all__ = ["DIMENSIONS", "MODEL", "dimensions_of", "embed"]

MODEL: Final = "local/embedding"
DIMENSIONS: Final = 512

_FEWEST, _MOST = 16, 4096
_WORD: Final = re.compile(rf"[^\W_{HAN}]+|[{HAN}]|[^\w\s]|_")


def dimensions_of(request: EmbeddingRequest) -> int:
    """Raises `ValidationError`."""
    wanted = DIMENSIONS if request.dimensions is None else request.dimensions
    if not _FEWEST <= wanted <= _MOST:
        raise ValidationError(
            f"{MODEL}: dimensions must be from {_FEWEST} to {_MOST}", provider="local", model=MODEL
        )
    return wanted


def embed(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A vector of length one, the same on every machine; all zeros when there is nothing in the text."""
    vector = [0.0] * dimensions
    for gram, count in Counter(_grams(normalize("NFKC", text).casefold())).items():
        # two grams that meet in one number add up or cancel out: on average they change no likeness
        number = crc32(gram.encode("utf-8", "replace"))
        vector[(number >> 1) % dimensions] += sqrt(count) if number & 1 else -sqrt(count)
    length = hypot(*vector)
    return [number / length for number in vector] if length else vector


def _grams(text: str) -> Iterator[str]:
    """Words and pairs of them, three letters of each, Chinese characters and pairs of them."""
    words = _WORD.findall(text)
    yield from words
    for one, other in pairwise(words):
        yield f"{one} {other}"
    for word in words:
        if len(word) > 2:
            edged = f"^{word}$"
            yield from (edged[at : at + 3] for at in range(len(edged) - 2))
