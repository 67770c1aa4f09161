"""Search by words and by meaning, and both fused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from nexusai.server.db.words import query_tokens
from nexusai.server.knowledge.index import Chunk, ChunkIndex, Vector

__all__ = ["MODES", "Hit", "Mode", "Search", "fused", "mode_of"]

Mode = Literal["hybrid", "semantic", "keyword"]
MODES: tuple[Mode, ...] = get_args(Mode)

DEPTH = 50
"""How many hits of words are fused, at least."""
DEPTH_OF_MEANING = 200
"""Every chunk is somehow near: where words found one, its rank by meaning has to count even if it is low."""
RANK_DAMPING = 60

Ranking = Sequence[tuple[str, float]]
"""Ids of chunks with scores of 0 to 1, best first."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found. `metadata` is what was said of its document, and where in it the chunk is."""

    chunk_id: str
    doc_id: str
    kb_id: str
    content: str = field(repr=False)
    score: float
    metadata: Mapping[str, Any]


def mode_of(mode: Mode, vectors: Mapping[str, Vector] | None) -> Mode:
    """The mode in which a search is really done: without vectors there are only words."""
    return mode if vectors else "keyword"


def fused(rankings: Sequence[Ranking]) -> list[tuple[str, float]]:
    """Reciprocal rank fusion: each ranking gives a chunk 1 / (60 + its rank), and the sum orders them.

    What a ranking gives is weighted by the chunk's score beside its best: a half that found one thing counts
    for more than one that cannot tell. The score shown is the best that the chunk has in any ranking, and no
    more than that of the hit before.
    """
    sums: dict[str, float] = {}
    best: dict[str, float] = {}
    for ranking in rankings:
        top = max((score for _, score in ranking), default=0.0) or 1.0
        for rank, (chunk_id, score) in enumerate(ranking, start=1):
            sums[chunk_id] = sums.get(chunk_id, 0.0) + score / top / (RANK_DAMPING + rank)
            best[chunk_id] = max(best.get(chunk_id, 0.0), score)
    order = sorted(sums, key=lambda chunk_id: (-sums[chunk_id], -best[chunk_id]))
    ceiling = 1.0
    return [(chunk_id, ceiling := min(ceiling, best[chunk_id])) for chunk_id in order]


@dataclass(frozen=True, slots=True)
class Search:
    """Asks an index."""

    index: ChunkIndex

    async def search(
        self,
        kb_ids: Sequence[str],
        query: str,
        vectors: Mapping[str, Vector] | None = None,
        top_k: int = 5,
        threshold: float | None = None,
        mode: Mode = "hybrid",
        filter: Mapping[str, Any] | None = None,
    ) -> list[Hit]:
        """The best `top_k` chunks. `vectors` is the query as each knowledge base's embedding model sees it.

        A chunk below `threshold` in words is no hit of words, one below it in meaning no hit of meaning.
        """
        mode = mode_of(mode, vectors)
        asked = []
        if mode != "semantic":
            asked.append(self.index.keyword(kb_ids, query_tokens(query), max(DEPTH, 2 * top_k), filter))
        if mode != "keyword":
            depth = DEPTH_OF_MEANING if mode == "hybrid" else top_k
            asked.append(self.index.semantic(vectors or {}, depth, filter))
        rankings = [_above(threshold, ranking) for ranking in await asyncio.gather(*asked)]
        scores = dict(fused(rankings)[:top_k])
        return [_hit(chunk, scores[chunk.id]) for chunk in await self.index.chunks(list(scores))]


def _above(threshold: float | None, ranking: Ranking) -> Ranking:
    return [hit for hit in ranking if hit[1] >= (threshold or 0.0)]


def _hit(chunk: Chunk, score: float) -> Hit:
    place: dict[str, Any] = {"filename": chunk.filename, "chunk_index": chunk.position}
    if chunk.page is not None:
        place["page"] = chunk.page
    if chunk.headings:
        place["headings"] = list(chunk.headings)
    return Hit(
        chunk.id, chunk.doc_id, chunk.kb_id, chunk.content, round(score, 4), {**chunk.metadata, **place}
    )
