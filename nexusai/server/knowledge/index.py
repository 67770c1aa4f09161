"""What a search finds, and the protocol of what it searches in.

The writing calls work inside the caller's transaction, so that a document's row, its chunks, its words and
its vectors come and go together. A knowledge base has one version that answers (`index_version`); another
may be built beside it and takes its place by `activate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Chunk", "ChunkIndex", "NewChunk", "Vector"]

Vector = Sequence[float]


class NewChunk(NamedTuple):
    """A piece of a document. `start` and `end` are places in its text, `position` counts from 0."""

    content: str
    position: int
    start: int = 0
    end: int = 0
    page: int | None = None
    headings: tuple[str, ...] = ()


class Chunk(NamedTuple):
    """A piece that is indexed, with what its document is called and said to be."""

    id: str
    doc_id: str
    kb_id: str
    content: str
    position: int
    page: int | None
    headings: tuple[str, ...]
    filename: str
    metadata: Mapping[str, Any]


class ChunkIndex(Protocol):
    """Scores are 0 to 1, best first. A chunk answers while its document is there, in the active version."""

    def replace(
        self,
        connection: Connection,
        kb_id: str,
        doc_id: str,
        version: int,
        pieces: Sequence[NewChunk],
        embeddings: Sequence[Vector] | None = None,
    ) -> None:
        """Make these the document's chunks in this version; `embeddings`, one for each, if there are any."""

    def remove(self, connection: Connection, kb_id: str, doc_id: str) -> None:
        """Forget a document, in every version."""

    def remove_kb(self, connection: Connection, kb_id: str) -> None:
        """Forget all documents of a knowledge base."""

    def activate(self, connection: Connection, kb_id: str, version: int) -> None:
        """Answer from this version from now on, and forget the others."""

    async def keyword(
        self,
        kb_ids: Sequence[str],
        tokens: Sequence[str],
        limit: int,
        filter: Mapping[str, Any] | None = None,
    ) -> list[tuple[str, float]]:
        """Ids and scores of the chunks that have the words (`query_tokens`).

        A score is the share of the words that the chunk has, each weighted by how rare it is: 1 is all of
        them, many times.
        """

    async def semantic(
        self,
        queries: Mapping[str, Vector],
        limit: int,
        filter: Mapping[str, Any] | None = None,
    ) -> list[tuple[str, float]]:
        """Ids and scores of the chunks that are nearest to their knowledge base's query.

        A score is the cosine of the angle, 0 where that is negative.
        """

    async def chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """The chunks of these ids that are there, in their order."""
