"""The way of a document into the index: parse, chunk, embed, index. The bodies of the tasks that do it.

A task may run several times: what a stage made is kept for the next attempt, and the last stage replaces what
was indexed of the document before, so nothing is done twice that was done, and nothing is there twice.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from nexusai.server.clock import now_ms
from nexusai.server.http import Problem
from nexusai.server.knowledge.artefacts import Artefacts
from nexusai.server.knowledge.chunking import chunk, full_text
from nexusai.server.knowledge.embedding import Embeddings, Spent
from nexusai.server.knowledge.index import NewChunk, Vector
from nexusai.server.knowledge.models import IndexingInput, Nothing, ReindexingInput
from nexusai.server.knowledge.parsing import DocumentError, Limits, Parsed, parse
from nexusai.server.knowledge.rows import BaseRow, DocumentRow
from nexusai.server.knowledge.store import KnowledgeStore
from nexusai.server.tasks.endings import failure
from nexusai.server.tasks.kinds.kind import Job, Kind, Media, Output

__all__ = ["DOCUMENT_INDEXING", "KNOWLEDGE_BASE_INDEXING", "Pipeline", "problem_of"]

DOCUMENT_INDEXING: Final = "document_indexing"
KNOWLEDGE_BASE_INDEXING: Final = "knowledge_base_indexing"

PREVIEW: Final = 200
"""Characters of a document that stand for it in lists."""

TOLD_EVERY: Final = 0.5
"""Seconds between two notes of a document's progress."""

Stage = Literal["parse", "chunk", "embed", "index"]
_STARTS: Final[dict[Stage, float]] = {"parse": 0, "chunk": 20, "embed": 25, "index": 90}
"""Where each stage begins, of 100."""

_CODES: Final = {
    "unsupported": "UNSUPPORTED_MEDIA_TYPE",
    "too_large": "PAYLOAD_TOO_LARGE",
    "bomb": "PAYLOAD_TOO_LARGE",
    "timeout": "TIMEOUT",
    "memory": "SERVICE_UNAVAILABLE",
}


def problem_of(error: DocumentError) -> Problem:
    """A document that cannot be read, in the contract's words."""
    return Problem(_CODES.get(error.code, "INVALID_REQUEST"), error.message)


class _Prepared(NamedTuple):
    """A document that is ready for the index."""

    parsed: Parsed
    chunks: list[NewChunk]
    vectors: list[Vector] | None
    spent: Spent


Told = Callable[[Stage, float], None]
"""Hears of a stage and of the share of it that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    store: KnowledgeStore
    artefacts: Artefacts
    embeddings: Embeddings
    media: Media
    limits: Limits = field(default_factory=Limits)
    parsers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(os.cpu_count() or 2))
    """A parser is a process with a limit on memory of its own: there are no more of them than processors."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The task types that only the platform asks for."""
        index = Kind(DOCUMENT_INDEXING, None, IndexingInput, Nothing, self.index, internal=True)
        again = Kind(KNOWLEDGE_BASE_INDEXING, None, ReindexingInput, Nothing, self.index_again, internal=True)
        return index, again

    # One document

    async def index(self, job: Job) -> Output:
        """Make a document findable. What goes wrong stands in its row before it stands in the task."""
        kb_id, doc_id = job.input.kb_id, job.input.doc_id
        progress = _Progress(job, self.store, doc_id)
        try:
            return await self._index(job, kb_id, doc_id, progress)
        except Exception as error:
            await progress.over()
            code, message, retryable = _explained(error)
            await self.store.change_document(
                doc_id,
                processing_status="failed",
                error=message,
                error_code=code,
                retryable=retryable,
                processed_at=now_ms(),
            )
            await self.artefacts.remove([doc_id])
            raise problem_of(error) if isinstance(error, DocumentError) else error from None

    async def _index(self, job: Job, kb_id: str, doc_id: str, progress: _Progress) -> Output:
        while True:
            base = await self.store.find_base(job.project, kb_id)
            document = await self.store.find_document(job.project, kb_id, doc_id)
            if base is None or document is None:
                await self.artefacts.remove([doc_id])
                raise Problem("NOT_FOUND", "The document was deleted while it was processed.")
            if document.processing_status == "completed":  # by an attempt that died before it could say so
                return _output(document, base.index_model, Spent())
            made = await self._prepare(base, document, base.index_model, progress.told)
            progress.told("index", 0)
            await progress.over()
            if await self._complete(document, base.index_version, made):
                await self.artefacts.remove([doc_id])
                done = document._replace(chunk_count=len(made.chunks))
                return _output(done, base.index_model, made.spent)
            # another index took its place meanwhile, or the document is gone: look again

    async def _complete(self, document: DocumentRow, version: int, made: _Prepared) -> bool:
        return await self.store.index_document(
            document,
            version,
            made.chunks,
            made.vectors,
            processing_status="completed",
            stage="index",
            progress=100.0,
            chunk_count=len(made.chunks),
            file_type=made.parsed.file_type,
            content_preview=_preview(made.parsed),
            error=None,
            error_code=None,
            retryable=None,
            processed_at=now_ms(),
        )

    async def _prepare(
        self, base: BaseRow, document: DocumentRow, model: str | None, told: Told
    ) -> _Prepared:
        parsed = await self._parsed(document, told)
        told("chunk", 0)
        chunks = await self._chunks(base, document, parsed)
        vectors, spent = None, Spent()
        if model is not None:
            told("embed", 0)
            texts = [piece.content for piece in chunks]
            vectors, spent = await self.embeddings.document(
                model, base.id, document.id, texts, lambda share: told("embed", share)
            )
        return _Prepared(parsed, chunks, vectors, spent)

    async def _parsed(self, document: DocumentRow, told: Told) -> Parsed:
        parsed = await self.artefacts.parsed(document.id)
        if parsed is None:
            async with self.parsers, self.media.on_disk(document.project, document.file_id) as file:
                told("parse", 0)
                parsed = await parse(file.path, document.filename, file.content_type, self.limits)
            await self.artefacts.keep_parsed(document.id, parsed)
        return parsed

    async def _chunks(self, base: BaseRow, document: DocumentRow, parsed: Parsed) -> list[NewChunk]:
        name = f"{base.chunk_size}-{base.chunk_overlap}"
        chunks = await self.artefacts.chunks(document.id, name)
        if chunks is None:
            made = await asyncio.to_thread(chunk, parsed.blocks, base.chunk_size, base.chunk_overlap)
            chunks = [
                NewChunk(piece.text, piece.index, piece.start, piece.end, piece.page, piece.heading_path)
                for piece in made
            ]
            await self.artefacts.keep_chunks(document.id, name, chunks)
        return chunks

    # A knowledge base, anew

    async def index_again(self, job: Job) -> Output:
        """Build a newer index beside the one that answers, which it replaces once it has every document."""
        kb_id, version = job.input.kb_id, job.input.version
        spent = Spent()
        while True:
            base = await self.store.find_base(job.project, kb_id)
            if base is None or base.building_version != version:
                return {"kb_id": kb_id, "version": version, "replaced": True}
            documents = await self.store.documents(kb_id)
            findable = [one for one in documents if one.processing_status == "completed"]
            waiting = [one for one in findable if one.index_version != version]
            if not waiting and await self.store.activate(kb_id, version):
                output = {"kb_id": kb_id, "version": version, "documents": len(findable)}
                return output | _origin(base.embedding_model, spent)
            for number, document in enumerate(waiting, len(findable) - len(waiting)):
                job.progress(100 * number / len(findable))
                if not await self._index_into(base, document, version, spent):
                    break  # it is gone, or this index is no longer wanted

    async def _index_into(self, base: BaseRow, document: DocumentRow, version: int, spent: Spent) -> bool:
        try:
            made = await self._prepare(base, document, base.embedding_model, lambda stage, share: None)
        except Exception as error:
            if await self.store.find_document(base.project, base.id, document.id) is None:
                await self.artefacts.remove([document.id])
                return False
            if isinstance(error, DocumentError):
                raise Problem("CONFLICT", f"{document.filename}: {error.message}") from None
            raise
        spent.tokens += made.spent.tokens
        spent.amount, spent.currency = spent.amount + made.spent.amount, made.spent.currency or spent.currency
        done = await self.store.index_document(
            document, version, made.chunks, made.vectors, chunk_count=len(made.chunks)
        )
        await self.artefacts.remove([document.id])
        return done


class _Progress:
    """Tells the task and the document how far it is; the row of the document hears of it now and then."""

    def __init__(self, job: Job, store: KnowledgeStore, doc_id: str) -> None:
        self._job = job
        self._store = store
        self._doc_id = doc_id
        self._stage: Stage | None = None
        self._noted = 0.0
        self._note: asyncio.Task[bool] | None = None

    def told(self, stage: Stage, share: float) -> None:
        begin = _STARTS[stage]
        end = min([start for start in _STARTS.values() if start > begin], default=100.0)
        percent = round(begin + share * (end - begin), 1)
        self._job.progress(percent)
        now = time.monotonic()
        if stage == self._stage and (now - self._noted < TOLD_EVERY or not self._is_written):
            return
        self._stage, self._noted = stage, now
        before = self._note
        self._note = asyncio.ensure_future(self._write(before, stage, percent))

    @property
    def _is_written(self) -> bool:
        return self._note is None or self._note.done()

    async def _write(self, before: asyncio.Task[bool] | None, stage: Stage, percent: float) -> bool:
        if before is not None:
            await asyncio.wait([before])
        return await self._store.change_document(
            self._doc_id, processing_status="processing", stage=stage, progress=percent
        )

    async def over(self) -> None:
        """Wait for the last note: nothing may be written after the document's end."""
        if self._note is not None:
            with suppress(Exception):
                await self._note


def _explained(error: Exception) -> tuple[str, str, bool]:
    """Code, message, and whether the same file may fare better another time."""
    if isinstance(error, DocumentError):
        return f"DOCUMENT_{error.code.upper()}", error.message, error.retryable
    failed: dict[str, Any] = failure(error)
    return failed["code"], failed["message"], failed["retryable"]


def _preview(parsed: Parsed) -> str:
    text = " ".join(full_text(parsed.blocks[:50])[: 4 * PREVIEW].split())
    return text if len(text) <= PREVIEW else text[: PREVIEW - 1] + "…"


def _output(document: DocumentRow, model: str | None, spent: Spent) -> Output:
    about: Output = {"doc_id": document.id, "kb_id": document.kb_id, "chunk_count": document.chunk_count}
    return about | _origin(model, spent)


def _origin(model: str | None, spent: Spent) -> Output:
    """Who made the vectors, and what they took; nobody where there are none."""
    if model is None:
        return {}
    provider, _, name = model.partition("/")
    cost = {"amount": spent.amount, "currency": spent.currency} if spent.currency else None
    usage = {"prompt_tokens": spent.tokens, "completion_tokens": 0, "total_tokens": spent.tokens}
    return {"provider": provider, "model": name, "usage": usage, "cost": cost}
