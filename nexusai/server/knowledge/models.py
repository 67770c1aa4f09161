"""What may be asked of knowledge bases, and how they, their documents and what is found are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
import orjson
from msgspec import UNSET, Meta, Struct, UnsetType

from nexusai.server.clock import rfc3339
from nexusai.server.knowledge.rows import BaseRow, Counts, DocumentRow
from nexusai.server.knowledge.search import Hit, Mode
from nexusai.server.tasks.kinds.kind import NonEmpty

__all__ = [
    "OPEN",
    "AddDocument",
    "CreateKnowledgeBase",
    "SearchKnowledgeBases",
    "UpdateKnowledgeBase",
    "show_base",
    "show_document",
    "show_hits",
]

OPEN: Final = ("queued", "processing")
"""What a document is until it can be found, or has failed."""

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Description = Annotated[str, Meta(max_length=2000)]
Model = Annotated[str, Meta(min_length=1, max_length=200)]
ChunkSize = Annotated[int, Meta(ge=100, le=20_000, description="Characters, at most.")]
ChunkOverlap = Annotated[int, Meta(ge=0, le=10_000, description="Characters that two chunks share.")]
Labels = Annotated[dict[str, Any], Meta(max_length=50)]


class CreateKnowledgeBase(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /knowledge-bases`.

    Without `embedding_model` the first configured provider's makes the vectors; with null, and where none is
    configured, search is by words alone.
    """

    name: Name
    description: Description | None = None
    embedding_model: Model | UnsetType | None = UNSET
    chunk_size: ChunkSize = 1000
    chunk_overlap: ChunkOverlap | UnsetType = UNSET


class UpdateKnowledgeBase(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `PATCH /knowledge-bases/{id}`: another model or other chunks index all documents again."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    embedding_model: Model | UnsetType | None = UNSET
    chunk_size: ChunkSize | UnsetType = UNSET
    chunk_overlap: ChunkOverlap | UnsetType = UNSET


class AddDocument(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /knowledge-bases/{id}/documents` for a file that is stored already."""

    file_id: NonEmpty
    metadata: Labels | None = None


class SearchKnowledgeBases(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /knowledge-bases/search`.

    `filter` looks at the documents' metadata: `{"lang": "zh", "year": {"gte": 2020}, "team": ["a", "b"]}`.
    """

    query: Annotated[str, Meta(min_length=1, max_length=10_000)]
    knowledge_base_ids: Annotated[list[NonEmpty], Meta(min_length=1, max_length=50)]
    top_k: Annotated[int, Meta(ge=1, le=100)] = 5
    similarity_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    mode: Literal["hybrid", "semantic", "keyword"] = "hybrid"
    filter: dict[str, Any] | None = None


def show_base(base: BaseRow, counts: Counts, error: str | None) -> dict[str, Any]:
    """`error` says why the newer index could not be built, if it could not."""
    status = "ready" if base.building_version is None else "failed" if error else "reindexing"
    return {
        "kb_id": base.id,
        "name": base.name,
        "description": base.description,
        "embedding_model": base.embedding_model,
        "chunk_size": base.chunk_size,
        "chunk_overlap": base.chunk_overlap,
        "document_count": counts.documents,
        "total_chunks": counts.chunks,
        "index_status": status,
        "index_task_id": base.building_task if base.building_version is not None else None,
        "index_error": error,
        "created_at": rfc3339(base.created_at),
        "updated_at": rfc3339(base.updated_at),
    }


def show_document(document: DocumentRow) -> dict[str, Any]:
    shown = {
        "doc_id": document.id,
        "kb_id": document.kb_id,
        "file_id": document.file_id,
        "task_id": document.task_id,
        "filename": document.filename,
        "file_type": document.file_type,
        "file_size": document.file_size,
        "processing_status": document.processing_status,
        "stage": document.stage,
        "progress": document.progress,
        "chunk_count": document.chunk_count,
        "content_preview": document.content_preview,
        "metadata": orjson.Fragment(document.metadata_json or "{}"),
        "uploaded_at": rfc3339(document.uploaded_at),
        "processed_at": None if document.processed_at is None else rfc3339(document.processed_at),
    }
    if document.processing_status == "failed":
        shown |= {
            "error": document.error,
            "error_code": document.error_code,
            "retryable": bool(document.retryable),
        }
    return shown


def show_hits(query: str, mode: Mode, hits: Sequence[Hit]) -> dict[str, Any]:
    results = [
        {
            "chunk_id": hit.chunk_id,
            "doc_id": hit.doc_id,
            "kb_id": hit.kb_id,
            "content": hit.content,
            "similarity_score": hit.score,
            "metadata": dict(hit.metadata),
        }
        for hit in hits
    ]
    return {"query": query, "mode": mode, "results": results, "total_results": len(results)}


class IndexingInput(Struct, forbid_unknown_fields=True, kw_only=True):
    """What the task `document_indexing` is about."""

    kb_id: str
    doc_id: str


class ReindexingInput(Struct, forbid_unknown_fields=True, kw_only=True):
    """What the task `knowledge_base_indexing` is about."""

    kb_id: str
    version: int


class Nothing(Struct):
    """A task's config that has nothing in it."""


def raw(value: Struct) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
