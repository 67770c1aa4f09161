"""The tables of knowledge bases and their documents; what is derived of a document goes with its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from nexusai.server.db.engine import Database
from nexusai.server.db.schema import documents, embeddings, knowledge_bases
from nexusai.server.knowledge.index import ChunkIndex, NewChunk, Vector
from nexusai.server.knowledge.rows import BaseRow, Counts, DocumentRow

__all__ = ["Counts", "KnowledgeStore"]

_BASE = knowledge_bases.c
_DOCUMENT = documents.c
_EMBEDDING = embeddings.c
_BASE_COLUMNS = [_BASE[name] for name in BaseRow._fields]
_DOCUMENT_COLUMNS = [_DOCUMENT[name] for name in DocumentRow._fields]


class KnowledgeStore:
    """Every write is one transaction, the index's part included."""

    def __init__(self, database: Database, index: ChunkIndex) -> None:
        self._database = database
        self._index = index

    # Knowledge bases

    async def add_base(self, base: BaseRow) -> bool:
        """Store it; False when its project already has one with its idempotency key."""
        return await self._add(insert(knowledge_bases).values(base._asdict()))

    async def find_base(self, project: str, kb_id: str) -> BaseRow | None:
        return await self._base(_BASE.project == project, _BASE.id == kb_id)

    async def find_base_by_key(self, project: str, idempotency_key: str) -> BaseRow | None:
        return await self._base(_BASE.project == project, _BASE.idempotency_key == idempotency_key)

    async def bases(self, project: str, kb_ids: Sequence[str] | None = None) -> list[BaseRow]:
        """The project's knowledge bases, newest first; of these ids, if they are given."""
        query = select(*_BASE_COLUMNS).where(_BASE.project == project).order_by(_BASE.id.desc())
        if kb_ids is not None:
            query = query.where(_BASE.id.in_(kb_ids))
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [BaseRow(*row) for row in rows]

    async def building(self) -> list[BaseRow]:
        """Knowledge bases of all projects that are being indexed again."""
        query = select(*_BASE_COLUMNS).where(_BASE.building_version.is_not(None))
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [BaseRow(*row) for row in rows]

    async def counts(self, kb_ids: Sequence[str]) -> dict[str, Counts]:
        """Documents, and the chunks that can be found, of each."""
        query = (
            select(_DOCUMENT.kb_id, func.count(), func.sum(_DOCUMENT.chunk_count))
            .where(_DOCUMENT.kb_id.in_(kb_ids))
            .group_by(_DOCUMENT.kb_id)
        )
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        counted = {kb_id: Counts(count, chunks) for kb_id, count, chunks in rows}
        return {kb_id: counted.get(kb_id, Counts()) for kb_id in kb_ids}

    async def change_base(self, project: str, kb_id: str, **values: Any) -> bool:
        changed = update(knowledge_bases).where(_BASE.id == kb_id, _BASE.project == project).values(values)
        return await self._done(changed)

    async def activate(self, kb_id: str, version: int) -> bool:
        """Answer from a version that was built; False when another is being built by now.

        False, too, while a document that can be found is not in it.
        """
        mine = _BASE.id == kb_id, _BASE.building_version == version
        missing = select(_DOCUMENT.id).where(
            _DOCUMENT.kb_id == kb_id,
            _DOCUMENT.processing_status == "completed",
            _DOCUMENT.index_version != version,
        )

        def swap(connection: Connection) -> bool:
            done = update(knowledge_bases).where(*mine)
            done = done.values(building_version=None, index_model=_BASE.embedding_model)
            if not connection.execute(done).rowcount:
                return False
            if connection.execute(missing.limit(1)).first() is not None:
                return _undo()
            self._index.activate(connection, kb_id, version)
            return True

        try:
            return await self._database.run(swap)
        except _UndoneError:
            return False

    async def remove_base(self, project: str, kb_id: str) -> bool:
        """The knowledge base, its documents and all that is derived from them leave at once."""
        gone = delete(knowledge_bases).where(_BASE.id == kb_id, _BASE.project == project)

        def remove(connection: Connection) -> bool:
            if not connection.execute(gone).rowcount:
                return False
            connection.execute(delete(documents).where(_DOCUMENT.kb_id == kb_id))
            connection.execute(delete(embeddings).where(embeddings.c.kb_id == kb_id))
            self._index.remove_kb(connection, kb_id)
            return True

        return await self._database.run(remove)

    # Documents

    async def add_document(self, document: DocumentRow) -> bool:
        """Store it; False when the same bytes, or the idempotency key, are there, or the base is not."""
        there = select(_BASE.id).where(_BASE.id == document.kb_id, _BASE.project == document.project)

        def add(connection: Connection) -> bool:
            connection.execute(insert(documents).values(document._asdict()))
            return connection.execute(there).first() is not None or _undo()

        try:
            return await self._database.run(add)
        except (IntegrityError, _UndoneError):
            return False

    async def find_document(self, project: str, kb_id: str, doc_id: str) -> DocumentRow | None:
        return await self._document(
            _DOCUMENT.id == doc_id, _DOCUMENT.kb_id == kb_id, _DOCUMENT.project == project
        )

    async def find_document_by_bytes(self, kb_id: str, sha256: str) -> DocumentRow | None:
        return await self._document(_DOCUMENT.kb_id == kb_id, _DOCUMENT.sha256 == sha256)

    async def find_document_by_key(self, project: str, idempotency_key: str) -> DocumentRow | None:
        return await self._document(
            _DOCUMENT.project == project, _DOCUMENT.idempotency_key == idempotency_key
        )

    async def documents(self, kb_id: str) -> list[DocumentRow]:
        """Newest first."""
        return await self._documents(_DOCUMENT.kb_id == kb_id)

    async def unfinished(self) -> list[DocumentRow]:
        """Documents of all projects that are neither completed nor failed."""
        return await self._documents(_DOCUMENT.processing_status.in_(("queued", "processing")))

    async def uses_of_file(self, project: str, file_id: str) -> list[DocumentRow]:
        return await self._documents(_DOCUMENT.file_id == file_id, _DOCUMENT.project == project)

    async def change_document(self, doc_id: str, **values: Any) -> bool:
        """False when it is gone."""
        return await self._done(update(documents).where(_DOCUMENT.id == doc_id).values(values))

    async def index_document(
        self,
        document: DocumentRow,
        version: int,
        pieces: Sequence[NewChunk],
        embeddings: Sequence[Vector] | None,
        **values: Any,
    ) -> bool:
        """Make the chunks findable and change the row at once.

        False, and nothing, when the document is gone, or its base has no such version any more. What was
        indexed of the document in this version before is replaced.
        """
        wanted = exists().where(
            _BASE.id == document.kb_id, or_(_BASE.index_version == version, _BASE.building_version == version)
        )
        changed = update(documents).where(_DOCUMENT.id == document.id, wanted)
        changed = changed.values(index_version=version, **values)

        def complete(connection: Connection) -> bool:
            if not connection.execute(changed).rowcount:
                return False
            self._index.replace(connection, document.kb_id, document.id, version, pieces, embeddings)
            return True

        return await self._database.run(complete)

    async def remove_document(self, project: str, kb_id: str, doc_id: str) -> bool:
        """The document and all that is derived from it leave at once."""
        gone = delete(documents).where(
            _DOCUMENT.id == doc_id, _DOCUMENT.kb_id == kb_id, _DOCUMENT.project == project
        )

        def remove(connection: Connection) -> bool:
            if not connection.execute(gone).rowcount:
                return False
            self._index.remove(connection, kb_id, doc_id)
            connection.execute(delete(embeddings).where(embeddings.c.doc_id == doc_id))
            return True

        return await self._database.run(remove)

    # Vectors that were paid for, by the hash of their text

    async def known_vectors(self, kb_id: str, model: str, hashes: Sequence[str]) -> dict[str, bytes]:
        """The vectors of this knowledge base that the model made of these texts before, as they were kept."""
        query = select(_EMBEDDING.hash, _EMBEDDING.data).where(
            _EMBEDDING.kb_id == kb_id, _EMBEDDING.model == model, _EMBEDDING.hash.in_(hashes)
        )
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return {row.hash: row.data for row in rows}

    async def keep_vectors(self, kb_id: str, doc_id: str, model: str, vectors: Mapping[str, bytes]) -> None:
        """Keep them for as long as the document is there."""
        same = {"kb_id": kb_id, "doc_id": doc_id, "model": model}
        rows = [{**same, "hash": hash, "data": data} for hash, data in vectors.items()]
        there = select(_DOCUMENT.id).where(_DOCUMENT.id == doc_id)
        mine = _EMBEDDING.doc_id == doc_id, _EMBEDDING.model == model, _EMBEDDING.hash.in_(list(vectors))

        def keep(connection: Connection) -> None:
            connection.execute(delete(embeddings).where(*mine))  # a write first: the lock is ours from here
            if connection.execute(there).first() is not None:
                connection.execute(insert(embeddings), rows)

        await self._database.run(keep)

    async def _add(self, statement: Any) -> bool:
        try:
            await self._database.run(lambda connection: connection.execute(statement))
        except IntegrityError:
            return False
        return True

    async def _done(self, statement: Any) -> bool:
        return await self._database.run(lambda connection: connection.execute(statement).rowcount > 0)

    async def _base(self, *where: ColumnElement[bool]) -> BaseRow | None:
        query = select(*_BASE_COLUMNS).where(*where)
        row = await self._database.run(lambda connection: connection.execute(query).first())
        return BaseRow(*row) if row else None

    async def _document(self, *where: ColumnElement[bool]) -> DocumentRow | None:
        rows = await self._documents(*where)
        return rows[0] if rows else None

    async def _documents(self, *where: ColumnElement[bool]) -> list[DocumentRow]:
        query = select(*_DOCUMENT_COLUMNS).where(*where).order_by(_DOCUMENT.id.desc())
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [DocumentRow(*row) for row in rows]


class _UndoneError(Exception):
    """Rolls a transaction back."""


def _undo() -> bool:
    raise _UndoneError
