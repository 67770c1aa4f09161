"""Knowledge bases as the API offers them: what is in them, how it gets in, what is found."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
import orjson
from msgspec import UNSET, UnsetType

from nexusai.server.clock import now_ms
from nexusai.server.files.models import StoredFile
from nexusai.server.files.service import FileService
from nexusai.server.http import KEY_LIFETIME, Problem
from nexusai.server.ids import new_id
from nexusai.server.knowledge.artefacts import Artefacts
from nexusai.server.knowledge.embedding import Embeddings
from nexusai.server.knowledge.finder import Finder, Found, no_base
from nexusai.server.knowledge.models import (
    OPEN,
    CreateKnowledgeBase,
    IndexingInput,
    ReindexingInput,
    SearchKnowledgeBases,
    UpdateKnowledgeBase,
    raw,
)
from nexusai.server.knowledge.pipeline import DOCUMENT_INDEXING, KNOWLEDGE_BASE_INDEXING
from nexusai.server.knowledge.rows import BaseRow, Counts, DocumentRow
from nexusai.server.knowledge.store import KnowledgeStore
from nexusai.server.tasks.endings import CANCELLED
from nexusai.server.tasks.models import InvokeRequest, TaskRow
from nexusai.server.tasks.service import TaskService

__all__ = ["KnowledgeService", "Shown"]

logger: logging.Logger = logging.getLogger("nexusai.server.knowledge")

LONGEST_INDEXING: Final = 86_400.0
"""Seconds: a document may wait long for its turn; each of its stages has limits of its own."""

UNTOLD: Final = 60_000
"""Milliseconds after which a document whose task nobody knows is lost: until then it may be on its way."""

BACKGROUND: Final = -50
"""The priority of indexing again: behind what somebody waits for."""

LARGEST_METADATA: Final = 16_384

_LOST = {
    "code": "WORKER_LOST",
    "message": "Its task is gone; send the file again.",
    "retryable": True,
}


class Shown(NamedTuple):
    """A knowledge base with what is said of it."""

    base: BaseRow
    counts: Counts
    error: str | None


@dataclass(frozen=True, slots=True)
class KnowledgeService:
    """Every call names the project that asks: what belongs to another does not exist for it."""

    store: KnowledgeStore
    finder: Finder
    embeddings: Embeddings
    artefacts: Artefacts
    files: FileService
    tasks: TaskService

    # Knowledge bases

    async def create(self, project: str, wanted: CreateKnowledgeBase, key: str | None) -> Shown:
        named = wanted.embedding_model
        model = None if named is None else self.embeddings.model(None if named is UNSET else named)
        now = now_ms()
        base = BaseRow(
            id=new_id("kb"),
            project=project,
            name=wanted.name,
            description=wanted.description,
            embedding_model=model,
            chunk_size=wanted.chunk_size,
            chunk_overlap=_overlap(wanted.chunk_size, wanted.chunk_overlap),
            created_at=now,
            updated_at=now,
            index_model=model,
            idempotency_key=key,
            request_hash=hashlib.sha256(msgspec.json.encode(wanted)).digest() if key else None,
        )
        if await self.store.add_base(base):
            return Shown(base, Counts(), None)
        earlier = await self.store.find_base_by_key(project, key or "")
        if earlier is not None and earlier.created_at < now - KEY_LIFETIME:
            await self.store.change_base(project, earlier.id, idempotency_key=None)
            if await self.store.add_base(base):
                return Shown(base, Counts(), None)
        if earlier is None or earlier.request_hash != base.request_hash:
            raise Problem("CONFLICT", "This Idempotency-Key was used for another request; use a new key.")
        return await self._shown(earlier)

    async def bases(self, project: str) -> list[Shown]:
        bases = await self.store.bases(project)
        counts = await self.store.counts([base.id for base in bases])
        return [Shown(base, counts[base.id], await self._failure_of(base)) for base in bases]

    async def get(self, project: str, kb_id: str) -> Shown:
        return await self._shown(await self._base(project, kb_id))

    async def update(self, project: str, kb_id: str, wanted: UpdateKnowledgeBase) -> Shown:
        """Change what is given. What changes the chunks or their vectors builds another index beside this."""
        base = await self._base(project, kb_id)
        given = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
        values = {name: value for name, value in given.items() if value is not UNSET}
        if values.get("embedding_model"):
            values["embedding_model"] = self.embeddings.model(values["embedding_model"])
        if "chunk_size" in values or "chunk_overlap" in values:
            size = values.setdefault("chunk_size", base.chunk_size)
            overlap = values.get("chunk_overlap", min(base.chunk_overlap, size // 5))
            values["chunk_overlap"] = _overlap(size, overlap)
        changed = {name for name, value in values.items() if value != getattr(base, name)}
        stale = changed & {"embedding_model", "chunk_size", "chunk_overlap"}
        retried = {"embedding_model", "chunk_size"} & values.keys() and await self._failure_of(base)
        if stale or retried:
            version = max(base.index_version, base.building_version or 0) + 1
            values |= {"building_version": version, "building_task": new_id("task")}
        await self.store.change_base(project, kb_id, **values, updated_at=now_ms())
        base = await self._base(project, kb_id)
        if stale or retried:
            await self._index_again(base)
        return await self._shown(base)

    async def delete(self, project: str, kb_id: str) -> None:
        """The knowledge base and all that is derived of it leave at once; then the bytes and the tasks."""
        base = await self._base(project, kb_id)
        documents = await self.store.documents(kb_id)
        if not await self.store.remove_base(project, kb_id):
            raise no_base(kb_id)
        await self._clear(documents)
        if base.building_version is not None:
            await self._abandon(project, base.building_task)

    async def _shown(self, base: BaseRow) -> Shown:
        counts = await self.store.counts([base.id])
        return Shown(base, counts[base.id], await self._failure_of(base))

    async def _base(self, project: str, kb_id: str) -> BaseRow:
        base = await self.store.find_base(project, kb_id)
        if base is None:
            raise no_base(kb_id)
        return base

    async def _failure_of(self, base: BaseRow) -> str | None:
        """Why the newer index could not be built."""
        if base.building_version is None:
            return None
        task = await self._task(base.project, base.building_task)
        if task is None:
            return None if base.updated_at > now_ms() - UNTOLD else str(_LOST["message"])
        if task.status not in ("failed", "cancelled"):
            return None
        return str(_error_of(task)["message"])

    # Documents

    async def upload(
        self, project: str, kb_id: str, file: StoredFile, key: str | None, request_id: str
    ) -> tuple[DocumentRow, TaskRow]:
        """Add a file that came for this knowledge base alone: it leaves with the document."""
        try:
            document, task = await self._add(project, kb_id, file, None, key, request_id, owns_file=True)
        except BaseException:
            await self._drop_file(project, file.id)
            raise
        if document.file_id != file.id:
            await self._drop_file(project, file.id)
        return document, task

    async def add(
        self,
        project: str,
        kb_id: str,
        file_id: str,
        metadata: Mapping[str, Any] | None,
        key: str | None,
        request_id: str,
    ) -> tuple[DocumentRow, TaskRow]:
        """Add a file that is stored already."""
        await self._base(project, kb_id)
        _check_metadata(metadata)
        try:
            file = await self.files.get(project, file_id)
        except Problem:
            raise Problem.field(["file_id"], f"there is no file {file_id[:100]!r}") from None
        return await self._add(project, kb_id, file, metadata, key, request_id, owns_file=False)

    async def check_base(self, project: str, kb_id: str) -> None:
        """Raises a 404 `Problem` when there is none."""
        await self._base(project, kb_id)

    async def _add(
        self,
        project: str,
        kb_id: str,
        file: StoredFile,
        metadata: Mapping[str, Any] | None,
        key: str | None,
        request_id: str,
        *,
        owns_file: bool,
    ) -> tuple[DocumentRow, TaskRow]:
        document = DocumentRow(
            id=new_id("doc"),
            kb_id=kb_id,
            project=project,
            file_id=file.id,
            filename=file.filename,
            file_type=file.filename.rpartition(".")[2].lower()[:10] if "." in file.filename else "",
            file_size=file.size,
            sha256=file.sha256,
            uploaded_at=now_ms(),
            metadata_json=orjson.dumps(metadata).decode() if metadata else None,
            task_id=new_id("task"),
            idempotency_key=key,
            owns_file=owns_file,
        )
        if not await self._stored(document):
            return await self._there_already(document, request_id)
        try:
            return document, await self._index(document, request_id)
        except BaseException:
            await self.store.remove_document(project, kb_id, document.id)
            raise

    async def _stored(self, document: DocumentRow) -> bool:
        """Raises a 409 `Problem` when its idempotency key belongs to another document."""
        key = document.idempotency_key
        earlier = await self.store.find_document_by_key(document.project, key) if key else None
        if earlier is not None:
            if earlier.uploaded_at < now_ms() - KEY_LIFETIME:
                await self.store.change_document(earlier.id, idempotency_key=None)
            elif (earlier.kb_id, earlier.sha256) != (document.kb_id, document.sha256):
                raise Problem("CONFLICT", "This Idempotency-Key was used for another file; use a new key.")
        return await self.store.add_document(document)

    async def _there_already(self, document: DocumentRow, request_id: str) -> tuple[DocumentRow, TaskRow]:
        """The document that has the same bytes; one that failed is tried again."""
        await self._base(document.project, document.kb_id)
        earlier = await self.store.find_document_by_bytes(document.kb_id, document.sha256)
        if earlier is None:
            raise Problem("CONFLICT", "The document is being changed at this moment; send it again.")
        earlier = await self._settled(earlier)
        if document.metadata_json is not None and document.metadata_json != earlier.metadata_json:
            await self.store.change_document(earlier.id, metadata_json=document.metadata_json)
            earlier = earlier._replace(metadata_json=document.metadata_json)
        task = await self._task(earlier.project, earlier.task_id)
        if task is not None and earlier.processing_status != "failed":
            return earlier, task
        return await self._again(earlier, document, request_id)

    async def _again(
        self, earlier: DocumentRow, document: DocumentRow, request_id: str
    ) -> tuple[DocumentRow, TaskRow]:
        values: dict[str, Any] = {"task_id": new_id("task")}
        if earlier.processing_status == "failed":
            values |= {"processing_status": "queued", "stage": None, "progress": 0.0, "uploaded_at": now_ms()}
            values |= {"error": None, "error_code": None, "retryable": None, "processed_at": None}
            values |= {"filename": document.filename}
        if not await self.store.change_document(earlier.id, **values):
            raise _no_document(earlier.id)
        earlier = earlier._replace(**values)
        return earlier, await self._index(earlier, request_id)

    async def documents(self, project: str, kb_id: str) -> list[DocumentRow]:
        await self._base(project, kb_id)
        return [await self._settled(row) for row in await self.store.documents(kb_id)]

    async def document(self, project: str, kb_id: str, doc_id: str) -> DocumentRow:
        row = await self.store.find_document(project, kb_id, doc_id)
        if row is None:
            raise _no_document(doc_id)
        return await self._settled(row)

    async def delete_document(self, project: str, kb_id: str, doc_id: str) -> None:
        """The document and all that is derived of it leave at once; then its bytes and its task."""
        row = await self.store.find_document(project, kb_id, doc_id)
        if row is None or not await self.store.remove_document(project, kb_id, doc_id):
            raise _no_document(doc_id)
        await self._clear([row])

    async def use_of_file(self, project: str, file_id: str) -> str | None:
        """See `FileUser`."""
        uses = await self.store.uses_of_file(project, file_id)
        return f"the document {uses[0].id} of the knowledge base {uses[0].kb_id}" if uses else None

    async def _clear(self, gone: Sequence[DocumentRow]) -> None:
        await self.artefacts.remove({row.id for row in gone})
        for row in gone:
            if row.processing_status in OPEN:
                await self._abandon(row.project, row.task_id)
            if row.owns_file:
                await self._drop_file(row.project, row.file_id)

    async def _drop_file(self, project: str, file_id: str) -> None:
        """One that another document was made of since stays."""
        try:
            await self.files.delete(project, file_id)
        except Problem as problem:
            logger.info("the file %s stays: %s", file_id, problem.detail)

    async def _settled(self, row: DocumentRow) -> DocumentRow:
        """The document as it really is: one whose task has ended without it has failed, and says why."""
        if row.processing_status not in OPEN:
            return row
        task = await self._task(row.project, row.task_id)
        if task is None and row.uploaded_at > now_ms() - UNTOLD:
            return row
        if task is not None and task.status not in ("failed", "cancelled"):
            return row
        error = _LOST if task is None else _error_of(task)
        values: dict[str, Any] = {
            "processing_status": "failed",
            "error": error["message"],
            "error_code": error["code"],
            "retryable": error["retryable"],
            "processed_at": now_ms(),
        }
        current = await self.store.find_document(row.project, row.kb_id, row.id)
        if current is None or current.processing_status not in OPEN or current.task_id != row.task_id:
            return current or row
        await self.store.change_document(row.id, **values)
        return row._replace(**values)

    # Tasks

    async def reconcile(self) -> None:
        """On start: no document and no index waits for a task that is not there."""
        unfinished = [await self._settled(row) for row in await self.store.unfinished()]
        for row in unfinished:
            if row.processing_status in OPEN and await self._task(row.project, row.task_id) is None:
                await self._index(row, "-")
        building = await self.store.building()
        for base in building:
            if await self._task(base.project, base.building_task) is None:
                await self._index_again(base)
        kept = {row.id for row in unfinished if row.processing_status in OPEN}
        for base in building:
            kept |= {row.id for row in await self.store.documents(base.id)}
        await self.artefacts.keep_only(kept)

    async def _index(self, row: DocumentRow, request_id: str) -> TaskRow:
        about = raw(IndexingInput(kb_id=row.kb_id, doc_id=row.id))
        return await self._submit(row.project, DOCUMENT_INDEXING, about, row.task_id, request_id)

    async def _index_again(self, base: BaseRow) -> None:
        about = raw(ReindexingInput(kb_id=base.id, version=base.building_version or 0))
        await self._submit(base.project, KNOWLEDGE_BASE_INDEXING, about, base.building_task, "-", BACKGROUND)

    async def _submit(
        self,
        project: str,
        task_type: str,
        about: msgspec.Raw,
        task_id: str | None,
        request_id: str,
        priority: int = 0,
    ) -> TaskRow:
        request = InvokeRequest(task_type=task_type, input=about, priority=priority, timeout=LONGEST_INDEXING)
        return await self.tasks.submit(
            project, request, idempotency_key=None, request_id=request_id, internal=True, task_id=task_id
        )

    async def _task(self, project: str, task_id: str | None) -> TaskRow | None:
        try:
            return await self.tasks.get(project, task_id) if task_id else None
        except Problem:
            return None

    async def _abandon(self, project: str, task_id: str | None) -> None:
        task = await self._task(project, task_id)
        if task is not None:
            self.tasks.abandon(task)

    async def search(self, project: str, wanted: SearchKnowledgeBases) -> Found:
        return await self.finder.search(project, wanted)


def _overlap(size: int, wanted: int | UnsetType) -> int:
    """A fifth of the chunk, as 200 is of 1000, when none is wanted. Raises a 400 `Problem`."""
    overlap = size // 5 if isinstance(wanted, UnsetType) else wanted
    if overlap * 2 > size:
        raise Problem.field(["chunk_overlap"], f"must be at most half of chunk_size ({size})")
    return overlap


def _check_metadata(metadata: Mapping[str, Any] | None) -> None:
    if metadata and len(orjson.dumps(metadata)) > LARGEST_METADATA:
        raise Problem.field(["metadata"], f"must be at most {LARGEST_METADATA:,} bytes of JSON")


def _error_of(task: TaskRow) -> dict[str, Any]:
    error: dict[str, Any] = orjson.loads(task.error_json) if task.error_json else CANCELLED
    return error


def _no_document(doc_id: str) -> Problem:
    return Problem("NOT_FOUND", f"There is no such document: {doc_id[:100]!r}.")
