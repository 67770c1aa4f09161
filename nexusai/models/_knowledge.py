"""Knowledge bases, their documents, and what is found in them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from nexusai.models._answer import Answer, Date, Rows

__all__ = ["Document", "KnowledgeBase", "SearchResponse", "SearchResult"]

_FINAL: Final = frozenset({"completed", "failed"})


class KnowledgeBase(Answer):
    """A set of documents that is searched as one."""

    kb_id: str = Field(description="`kb_…`")
    name: str | None = Field(default=None, description="The name that it was given.")
    description: str | None = Field(default=None, description="What it is about.", repr=False)
    embedding_model: str | None = Field(default=None, description="The model of its vectors.", repr=False)
    chunk_size: int | None = Field(default=None, description="Characters in a chunk, at most.", repr=False)
    chunk_overlap: int | None = Field(
        default=None, description="Characters that two chunks share.", repr=False
    )
    document_count: int = Field(default=0, description="Documents in it.")
    total_chunks: int = Field(default=0, description="Chunks of all of them.")
    index_status: str | None = Field(
        default=None,
        description="`ready`; `reindexing` while another model or other chunks are prepared, and the former "
        "ones answer; `failed` when they could not be.",
        repr=False,
    )
    index_task_id: str | None = Field(default=None, description="The task that prepares them.", repr=False)
    index_error: str | None = Field(default=None, description="Why it failed.", repr=False)
    created_at: Date | None = Field(default=None, description="When it was made.", repr=False)
    updated_at: Date | None = Field(default=None, description="When it last changed.", repr=False)

    @property
    def id(self) -> str:
        return self.kb_id


class Document(Answer):
    """A document of a knowledge base, and how far its processing is."""

    doc_id: str = Field(description="`doc_…`; empty for a file that the platform never took.")
    kb_id: str | None = Field(default=None, description="The knowledge base.", repr=False)
    file_id: str | None = Field(default=None, description="Its file.", repr=False)
    task_id: str | None = Field(default=None, description="The task that processes it.", repr=False)
    filename: str | None = Field(default=None, description="The name of its file.")
    file_type: str | None = Field(default=None, description="For example `pdf`.", repr=False)
    file_size: int | None = Field(default=None, description="Bytes.", repr=False)
    processing_status: str = Field(default="queued", description="queued, processing, completed or failed.")
    stage: str | None = Field(default=None, description="parse, chunk, embed or index.")
    progress: float | None = Field(default=None, description="0 to 100.")
    chunk_count: int | None = Field(default=None, description="Chunks that it was cut into.")
    content_preview: str | None = Field(default=None, description="How its text begins.", repr=False)
    error: str | None = Field(default=None, description="Why it failed, in words.")
    error_code: str | None = Field(default=None, description="Why it failed: a code.", repr=False)
    retryable: bool | None = Field(
        default=None, description="Whether the same file may succeed later.", repr=False
    )
    metadata: dict[str, Any] | None = Field(default=None, description="The caller's own labels.", repr=False)
    uploaded_at: Date | None = Field(default=None, description="When it came.", repr=False)
    processed_at: Date | None = Field(default=None, description="When it could be found first.", repr=False)

    @property
    def id(self) -> str:
        return self.doc_id

    @property
    def finished(self) -> bool:
        """Whether its processing is over, well or badly."""
        return self.processing_status in _FINAL


class SearchResult(Answer):
    """One chunk that was found."""

    chunk_id: str = Field(description="`chunk_…`")
    doc_id: str | None = Field(default=None, description="Its document.")
    kb_id: str | None = Field(default=None, description="The knowledge base of the document.", repr=False)
    content: str = Field(default="", description="The text of the chunk.", repr=False)
    similarity_score: float = Field(default=0.0, description="0 to 1, higher is nearer.")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="`filename`, `page` where it has one, `chunk_index`.", repr=False
    )

    @property
    def id(self) -> str:
        return self.chunk_id

    @property
    def filename(self) -> str | None:
        """The file that the chunk stands in."""
        return self.metadata.get("filename")

    @property
    def page(self) -> int | None:
        """Its page, from 1, where the file has pages."""
        return self.metadata.get("page")


class SearchResponse(Rows[SearchResult]):
    """What a search found, best first: `for result in response`."""

    _rows = "results"

    query: str = Field(default="", description="What was searched for.", repr=False)
    mode: str | None = Field(
        default=None, description="How it was really done: keyword, where no model makes vectors."
    )
    results: list[SearchResult] = Field(description="The rows.")
    total_results: int = Field(default=0, description="How many there are.")
