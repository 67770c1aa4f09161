"""How well a text answers words, 0 to 1: the same on every index that finds the candidates. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nexusai.server.db.words import count

__all__ = ["rarities", "rate"]

SATURATION = 0.25
LENGTH = 0.5


def rarities(found_in: Mapping[str, int], total: int) -> dict[str, float]:
    """The weight of each token by how many of `total` chunks have it (BM25's, which is never negative)."""
    return {
        token: math.log(1 + (total - min(times, total) + 0.5) / (min(times, total) + 0.5))
        for token, times in found_in.items()
    }


def rate(texts: Sequence[str], weights: Mapping[str, float]) -> list[float]:
    """BM25 over its greatest possible value: the share of the tokens that a text has, by their weight.

    A token that a text of average length has once counts 0.8, and never quite 1.
    """
    possible = sum(weights.values())
    average = sum(map(len, texts)) / max(1, len(texts))
    return [_share(text, weights, average) / possible if possible else 0.0 for text in texts]


def _share(text: str, weights: Mapping[str, float], average: float) -> float:
    damping = SATURATION * (1 - LENGTH + LENGTH * len(text) / (average or 1))
    return sum(weights[token] * times / (times + damping) for token, times in count(text, weights).items())
