"""What the routes of knowledge bases answer, for the published contract."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from nexusai.server.tasks.schema import Accepted

__all__ = ["DocumentAccepted", "KnowledgeBase", "KnowledgeDocument", "SearchAnswer", "SearchHit"]


class KnowledgeBase(BaseModel):
    """A set of documents that is searched as one."""

    kb_id: str
    name: str
    description: str | None
    embedding_model: str | None = Field(description="`provider/model`; null where search is by words alone.")
    chunk_size: int
    chunk_overlap: int
    document_count: int
    total_chunks: int
    index_status: Literal["ready", "reindexing", "failed"] = Field(
        description="`reindexing` while another model or other chunks are prepared; the former ones answer."
    )
    index_task_id: str | None = Field(description="The task that prepares them.")
    index_error: str | None = Field(description="Why they could not be prepared.")
    created_at: datetime
    updated_at: datetime


class KnowledgeDocument(BaseModel):
    """A document and how far it is."""

    doc_id: str
    kb_id: str
    file_id: str
    task_id: str | None
    filename: str
    file_type: str
    file_size: int = Field(description="Bytes.")
    processing_status: Literal["queued", "processing", "completed", "failed"]
    stage: Literal["parse", "chunk", "embed", "index"] | None
    progress: float = Field(ge=0, le=100)
    chunk_count: int
    content_preview: str | None
    metadata: dict[str, Any]
    uploaded_at: datetime
    processed_at: datetime | None
    error: str | None = None
    error_code: str | None = None
    retryable: bool | None = Field(None, description="Whether sending the file again may help.")


class DocumentAccepted(Accepted):
    """A document that is stored and will be processed."""

    doc_id: str
    kb_id: str


class SearchHit(BaseModel):
    """A chunk that was found."""

    chunk_id: str
    doc_id: str
    kb_id: str
    content: str
    similarity_score: float = Field(ge=0, le=1)
    metadata: dict[str, Any] = Field(
        description="The document's own, `filename`, `chunk_index`; `page` and `headings` if there are any."
    )


class SearchAnswer(BaseModel):
    """What was found, best first. `mode` is how it was really looked for."""

    query: str
    mode: Literal["hybrid", "semantic", "keyword"]
    results: list[SearchHit]
    total_results: int
