"""The rows of knowledge bases and documents."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BaseRow", "Counts", "DocumentRow"]


class Counts(NamedTuple):
    """What is in a knowledge base."""

    documents: int = 0
    chunks: int = 0


class BaseRow(NamedTuple):
    """A row of the table `knowledge_bases`.

    `index_version` answers searches; `building_version` is the one that is made beside it, if any.
    `revision` counts the changes of the index. `index_model` made the vectors that answer, `embedding_model`
    makes those that are built; `building_task` builds, or has failed to.
    """

    id: str
    project: str
    name: str
    description: str | None
    embedding_model: str | None
    chunk_size: int
    chunk_overlap: int
    created_at: int
    updated_at: int
    index_version: int = 1
    building_version: int | None = None
    revision: int = 0
    index_model: str | None = None
    building_task: str | None = None
    idempotency_key: str | None = None
    request_hash: bytes | None = None


class DocumentRow(NamedTuple):
    """A row of the table `documents`. `processing_status` is queued, processing, completed or failed.

    `owns_file` says that the file came with the document, and goes with it.
    """

    id: str
    kb_id: str
    project: str
    file_id: str
    filename: str
    file_type: str
    file_size: int
    sha256: str
    uploaded_at: int
    metadata_json: str | None = None
    processing_status: str = "queued"
    stage: str | None = None
    progress: float = 0.0
    chunk_count: int = 0
    content_preview: str | None = None
    error: str | None = None
    error_code: str | None = None
    retryable: bool | None = None
    task_id: str | None = None
    index_version: int | None = None
    idempotency_key: str | None = None
    processed_at: int | None = None
    owns_file: bool = False
