"""What is found in knowledge bases: by words, and by meaning where a model for it answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nexusai.providers.errors import AdapterError
from nexusai.server.http import Problem
from nexusai.server.knowledge.embedding import Embeddings
from nexusai.server.knowledge.filters import check
from nexusai.server.knowledge.index import Vector
from nexusai.server.knowledge.models import SearchKnowledgeBases
from nexusai.server.knowledge.rows import BaseRow
from nexusai.server.knowledge.search import Hit, Mode, Search, mode_of
from nexusai.server.knowledge.store import KnowledgeStore
from nexusai.server.sessions.agents import Passage

__all__ = ["Finder", "Found", "no_base"]

logger: logging.Logger = logging.getLogger("nexusai.server.knowledge")


class Found(NamedTuple):
    """What a search found, and how it was really done."""

    mode: Mode
    hits: Sequence[Hit]


@dataclass(frozen=True, slots=True)
class Finder:
    store: KnowledgeStore
    index: Search
    embeddings: Embeddings

    async def search(self, project: str, wanted: SearchKnowledgeBases) -> Found:
        """Raises a 404 `Problem` for a knowledge base that is not there."""
        try:
            check(wanted.filter or {})
        except ValueError as error:
            raise Problem.field(["filter"], str(error)) from None
        return await self._search(
            project,
            wanted.knowledge_base_ids,
            wanted.query,
            wanted.top_k,
            wanted.similarity_threshold,
            wanted.mode,
            wanted.filter,
        )

    async def retrieve(
        self, project: str, kb_ids: Sequence[str], query: str, top_k: int
    ) -> Sequence[Passage]:
        """See `Retriever`: by words and by meaning."""
        return [_passage(hit) for hit in (await self._search(project, kb_ids, query, top_k)).hits]

    async def missing(self, project: str, kb_ids: Sequence[str]) -> list[str]:
        """See `Retriever`."""
        known = {base.id for base in await self.store.bases(project, kb_ids)}
        return [kb_id for kb_id in kb_ids if kb_id not in known]

    async def _search(
        self,
        project: str,
        kb_ids: Sequence[str],
        query: str,
        top_k: int,
        threshold: float | None = None,
        mode: Mode = "hybrid",
        filter: Mapping[str, Any] | None = None,
    ) -> Found:
        """Once more when another index took its place meanwhile: what was found in the former is gone."""
        bases = await self._bases(project, kb_ids)
        while True:
            found = await self._ask(bases, query, top_k, threshold, mode, filter)
            asked, bases = bases, await self._bases(project, kb_ids)
            if [base.index_version for base in bases] == [base.index_version for base in asked]:
                return found

    async def _bases(self, project: str, kb_ids: Sequence[str]) -> Sequence[BaseRow]:
        bases = await self.store.bases(project, kb_ids)
        for kb_id in kb_ids:
            if kb_id not in {base.id for base in bases}:
                raise no_base(kb_id)
        return bases

    async def _ask(
        self,
        bases: Sequence[BaseRow],
        query: str,
        top_k: int,
        threshold: float | None,
        mode: Mode,
        filter: Mapping[str, Any] | None,
    ) -> Found:
        vectors = {} if mode == "keyword" else await self._vectors(bases, query, needed=mode == "semantic")
        mode = mode_of(mode, vectors)
        ids = [base.id for base in bases]
        try:
            hits = await self.index.search(ids, query, vectors, top_k, threshold, mode, filter)
        except ValueError as error:
            logger.warning("searched by words alone: %s", error)
            mode = "keyword"
            hits = await self.index.search(ids, query, None, top_k, threshold, mode, filter)
        return Found(mode, hits)

    async def _vectors(self, bases: Sequence[BaseRow], query: str, needed: bool) -> dict[str, Vector]:
        """The query as the model of each index sees it; without those whose model does not answer.

        Unless they are needed: then its error is the answer.
        """
        vectors: dict[str, Vector] = {}
        for model in dict.fromkeys(base.index_model for base in bases if base.index_model is not None):
            try:
                vector = await self.embeddings.query(model, query)
            except (AdapterError, Problem) as error:
                if needed:
                    raise _not_embedded(model, error) from None
                logger.warning("searched by words alone, %s does not answer: %s", model, error)
            else:
                vectors |= {base.id: vector for base in bases if base.index_model == model}
        return vectors


def _not_embedded(model: str, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    return Problem("PROVIDER_ERROR", f"{model} could not embed the query: {error}")


def no_base(kb_id: str) -> Problem:
    return Problem("NOT_FOUND", f"There is no knowledge base {kb_id[:100]!r}.")


def _passage(hit: Hit) -> Passage:
    about = hit.metadata
    return Passage(
        hit.doc_id, hit.chunk_id, hit.kb_id, str(about["filename"]), about.get("page"), hit.content, hit.score
    )
