"""The index in SQLite: words in FTS5, vectors as blobs that a cache in memory searches exactly."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    func,
    select,
    update,
)

from nexusai.server.db.engine import Database
from nexusai.server.db.schema import chunks, documents, knowledge_bases, vectors
from nexusai.server.knowledge import sqlite_words as words
from nexusai.server.knowledge.filters import matches
from nexusai.server.knowledge.index import Chunk, NewChunk, Vector
from nexusai.server.knowledge.relevance import rarities, rate

if TYPE_CHECKING:
    from nexusai.server.knowledge.vectors import Block

__all__ = ["SqliteIndex"]

CACHE_BYTES = 512 * 1024**2
MOST_TOKENS = 64

_VECTORS = (
    "SELECT chunk, doc_id, data FROM vectors WHERE kb_id = ? AND version = ? AND chunk > ? ORDER BY chunk"
)
_IDS = "SELECT number, id FROM chunks WHERE number IN (SELECT value FROM json_each(?))"
_CONTENT = "SELECT id, content FROM chunks WHERE number IN (SELECT value FROM json_each(?))"
_SHOWN = (
    select(
        *chunks.c["id", "doc_id", "kb_id", "content", "position", "page", "headings_json"],
        documents.c.filename,
        documents.c.metadata_json,
    )
    .join(documents, documents.c.id == chunks.c.doc_id)
    .join(
        knowledge_bases,
        and_(knowledge_bases.c.id == chunks.c.kb_id, knowledge_bases.c.index_version == chunks.c.version),
    )
)


class SqliteIndex:
    """A `ChunkIndex`. Matrices of vectors take `cache_bytes` at most; a larger one is read for each query."""

    def __init__(self, database: Database, cache_bytes: int = CACHE_BYTES) -> None:
        self._database = database
        self._cache_bytes = cache_bytes
        self._cache: Any = None

    # Writing, in the caller's transaction

    def replace(
        self,
        connection: Connection,
        kb_id: str,
        doc_id: str,
        version: int,
        pieces: Sequence[NewChunk],
        embeddings: Sequence[Vector] | None = None,
    ) -> None:
        """See `ChunkIndex`. A piece keeps its id when the document is indexed again in the same version."""
        _changed(connection, kb_id)
        words.prepare(connection)
        _forget(connection, chunks.c.doc_id == doc_id, chunks.c.version == version)
        numbers = _insert_chunks(connection, kb_id, doc_id, version, pieces)
        if embeddings is not None:
            _insert_vectors(connection, kb_id, doc_id, version, zip(numbers, embeddings, strict=True))

    def remove(self, connection: Connection, kb_id: str, doc_id: str) -> None:
        _changed(connection, kb_id)
        words.prepare(connection)
        _forget(connection, chunks.c.doc_id == doc_id, chunks.c.kb_id == kb_id)

    def remove_kb(self, connection: Connection, kb_id: str) -> None:
        _changed(connection, kb_id)
        words.prepare(connection)
        _forget(connection, chunks.c.kb_id == kb_id)

    def activate(self, connection: Connection, kb_id: str, version: int) -> None:
        _changed(connection, kb_id, index_version=version)
        words.prepare(connection)
        _forget(connection, chunks.c.kb_id == kb_id, chunks.c.version != version)

    # Reading

    async def keyword(
        self,
        kb_ids: Sequence[str],
        tokens: Sequence[str],
        limit: int,
        filter: Mapping[str, Any] | None = None,
    ) -> list[tuple[str, float]]:
        if not tokens or limit < 1:
            return []

        def read(connection: Connection) -> list[tuple[str, float]]:
            words.prepare(connection)
            found_in = words.found_in(connection, tokens[:MOST_TOKENS])
            bases = [(kb_id, version) for kb_id, version, _ in _bases(connection, kb_ids)]
            allowed = _allowed(connection, kb_ids, filter)
            numbers = words.candidates(connection, bases, found_in, limit, allowed)
            rows = connection.exec_driver_sql(_CONTENT, (json.dumps(numbers),)).all()
            weights = rarities(found_in, words.total(connection))
            scores = rate([content for _, content in rows], weights)
            hits = zip([id for id, _ in rows], scores, strict=True)
            return sorted(hits, key=lambda hit: (-hit[1], hit[0]))

        return await self._database.run(read)

    async def semantic(
        self, queries: Mapping[str, Vector], limit: int, filter: Mapping[str, Any] | None = None
    ) -> list[tuple[str, float]]:
        if not queries or limit < 1:
            return []
        return await self._database.run(lambda connection: self._nearest(connection, queries, limit, filter))

    async def chunks(self, ids: Sequence[str]) -> list[Chunk]:
        def read(connection: Connection) -> list[Chunk]:
            there = {row.id: row for row in connection.execute(_SHOWN.where(chunks.c.id.in_(ids)))}
            return [_shown(there[id]) for id in ids if id in there]

        return await self._database.run(read)

    def _nearest(
        self,
        connection: Connection,
        queries: Mapping[str, Vector],
        limit: int,
        filter: Mapping[str, Any] | None,
    ) -> list[tuple[str, float]]:
        from nexusai.server.knowledge.vectors import nearest

        allowed = _allowed(connection, list(queries), filter)
        hits: list[tuple[int, float]] = []
        for kb_id, version, revision in _bases(connection, list(queries)):
            blocks = self._blocks(connection, kb_id, version, revision)
            hits += nearest(blocks, queries[kb_id], limit, allowed)
        hits = sorted(hits, key=lambda hit: -hit[1])[:limit]
        ids = _ids(connection, [number for number, _ in hits])
        return [(ids[number], min(1.0, max(0.0, score))) for number, score in hits if number in ids]

    def _blocks(self, connection: Connection, kb_id: str, version: int, revision: int) -> Iterable[Block]:
        """The vectors of a knowledge base: from memory, brought up to date first, else as they are read."""
        from nexusai.server.knowledge.vectors import Entry, VectorCache, blocks_of, refreshed

        if self._cache is None:
            self._cache = VectorCache(self._cache_bytes)
        entry = self._cache.get((kb_id, version))
        if entry is None or entry.revision != revision:
            there, nbytes = _extent(connection, kb_id, version)
            if nbytes > self._cache_bytes:
                return blocks_of(_vectors(connection, kb_id, version, after=0))
            block = entry.block if entry else None
            new = _vectors(connection, kb_id, version, after=block.newest if block else 0)
            entry = Entry(revision, refreshed(block, there, new))
            self._cache.put((kb_id, version), entry)
        return [entry.block] if entry.block else []


def _changed(connection: Connection, kb_id: str, **values: Any) -> None:
    """A new revision: what caches know is old. The first write, so that the transaction holds the lock."""
    base = knowledge_bases.c
    revised = update(knowledge_bases).where(base.id == kb_id).values(revision=base.revision + 1, **values)
    connection.execute(revised)


def _forget(connection: Connection, *where: ColumnElement[bool]) -> None:
    gone = select(chunks.c.number).where(*where)
    words.remove(connection, gone)
    connection.execute(vectors.delete().where(vectors.c.chunk.in_(gone)))
    connection.execute(chunks.delete().where(*where))


def _insert_chunks(
    connection: Connection, kb_id: str, doc_id: str, version: int, pieces: Sequence[NewChunk]
) -> list[int]:
    """Their numbers, in their order."""
    if not pieces:
        return []
    ids = [f"chunk_{doc_id.removeprefix('doc_')}{version:04x}{piece.position:06x}" for piece in pieces]
    same = {"kb_id": kb_id, "doc_id": doc_id, "version": version}
    rows = [same | {"id": id} | _columns(piece) for id, piece in zip(ids, pieces, strict=True)]
    connection.execute(chunks.insert(), rows)
    mine = select(chunks.c.id, chunks.c.number).where(chunks.c.doc_id == doc_id, chunks.c.version == version)
    numbers = {row.id: row.number for row in connection.execute(mine)}
    texts = [(numbers[id], piece.content) for id, piece in zip(ids, pieces, strict=True)]
    words.add(connection, kb_id, version, texts)
    return [numbers[id] for id in ids]


def _columns(piece: NewChunk) -> dict[str, Any]:
    fields = piece._asdict()
    headings = fields.pop("headings")
    content = piece.content.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be stored
    return fields | {"content": content, "headings_json": json.dumps(headings) if headings else None}


def _insert_vectors(
    connection: Connection, kb_id: str, doc_id: str, version: int, rows: Iterable[tuple[int, Vector]]
) -> None:
    from nexusai.server.knowledge.vectors import pack

    same = {"kb_id": kb_id, "doc_id": doc_id, "version": version}
    packed = [(number, pack(vector)) for number, vector in rows]
    if len({len(data) for _, data in packed}) > 1:
        raise ValueError("the embeddings of one document must have the same dimensions")
    values = [same | {"chunk": number, "data": data} for number, data in packed]
    if values:
        connection.execute(vectors.insert(), values)


def _bases(connection: Connection, kb_ids: Sequence[str]) -> list[tuple[str, int, int]]:
    """Id, active version and revision of those that are there."""
    base = knowledge_bases.c
    query = select(base.id, base.index_version, base.revision).where(base.id.in_(kb_ids))
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def _allowed(
    connection: Connection, kb_ids: Sequence[str], filter: Mapping[str, Any] | None
) -> set[str] | None:
    """Ids of the documents that fit the filter; None without one."""
    if not filter:
        return None
    columns = documents.c.id, documents.c.filename, documents.c.file_type, documents.c.metadata_json
    rows = connection.execute(select(*columns).where(documents.c.kb_id.in_(kb_ids)))
    return {id for id, name, type, said in rows if matches(filter, _described(id, name, type, said))}


def _described(doc_id: str, filename: str, file_type: str, said: str | None) -> dict[str, Any]:
    own: dict[str, Any] = {"doc_id": doc_id, "filename": filename, "file_type": file_type}
    return {**json.loads(said or "{}"), **own}


def _extent(connection: Connection, kb_id: str, version: int) -> tuple[list[int], int]:
    """The numbers of the chunks with vectors, and the bytes of all."""
    mine = vectors.c.kb_id == kb_id, vectors.c.version == version
    there = list(connection.execute(select(vectors.c.chunk).where(*mine)).scalars())
    one = connection.execute(select(func.length(vectors.c.data)).where(*mine).limit(1)).scalar() or 0
    return there, one * len(there)


def _vectors(
    connection: Connection, kb_id: str, version: int, after: int
) -> Iterator[tuple[int, str, bytes]]:
    rows = connection.exec_driver_sql(_VECTORS, (kb_id, version, after))
    while some := rows.fetchmany(1024):
        yield from ((number, doc_id, data) for number, doc_id, data in some)


def _ids(connection: Connection, numbers: Sequence[int]) -> dict[int, str]:
    return {row.number: row.id for row in connection.exec_driver_sql(_IDS, (json.dumps(numbers),))}


def _shown(row: Any) -> Chunk:
    headings = tuple(json.loads(row.headings_json or "[]"))
    said = json.loads(row.metadata_json or "{}")
    return Chunk(
        row.id, row.doc_id, row.kb_id, row.content, row.position, row.page, headings, row.filename, said
    )
