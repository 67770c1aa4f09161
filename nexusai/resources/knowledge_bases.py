"""Knowledge bases: documents that are searched by meaning and by word."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from nexusai._internal._flow import Call, Flow, Reply, ask, at, create, given
from nexusai._internal._invoke import texts, words
from nexusai._internal._several import run_all, run_all_async
from nexusai._internal._wait import apart, check_callback
from nexusai.models import Document, KnowledgeBase, SearchResponse
from nexusai.resources import _documents as documents
from nexusai.resources._resource import AsyncResource, SyncResource
from nexusai.resources.files import upload_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import FileInput, SearchMode, WaitOptions

__all__ = ["AsyncKnowledgeBases", "KnowledgeBases"]


def _settings(**fields: Any) -> dict[str, Any]:
    settings = given(**fields)
    if settings.get("embedding_model") == "none":
        settings["embedding_model"] = None
    return settings


def _create(fields: Mapping[str, Any]) -> Flow[KnowledgeBase]:
    return ask(create("/knowledge-bases", json=fields), KnowledgeBase)


def _get(kb_id: str) -> Flow[KnowledgeBase]:
    return ask(Call("GET", at("knowledge-bases", kb_id)), KnowledgeBase)


def _list() -> Flow[list[KnowledgeBase]]:
    reply: Reply = yield Call("GET", "/knowledge-bases")
    return reply.parse_list(KnowledgeBase)


def _update(kb_id: str, fields: Mapping[str, Any]) -> Flow[KnowledgeBase]:
    return ask(Call("PATCH", at("knowledge-bases", kb_id), json=fields), KnowledgeBase)


def _delete(kb_id: str) -> Flow[None]:
    yield Call("DELETE", at("knowledge-bases", kb_id))


def _list_documents(kb_id: str) -> Flow[list[Document]]:
    reply: Reply = yield Call("GET", at("knowledge-bases", kb_id, "documents"))
    return reply.parse_list(Document)


def _delete_document(kb_id: str, doc_id: str) -> Flow[None]:
    yield Call("DELETE", at("knowledge-bases", kb_id, "documents", doc_id))


def _search(
    query: str, knowledge_base_ids: str | Sequence[str], options: Mapping[str, Any]
) -> Flow[SearchResponse]:
    ids = texts("knowledge_base_ids", knowledge_base_ids)
    fields = {"query": words("query", query), "knowledge_base_ids": ids, **options}
    return ask(Call("POST", "/knowledge-bases/search", json=fields), SearchResponse)


class KnowledgeBases(SyncResource):
    """Documents that are searched by meaning and by word."""

    def create(
        self,
        name: str,
        *,
        description: str | None = None,
        embedding_model: str | None = None,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
    ) -> KnowledgeBase:
        """Make a knowledge base.

        A chunk has `chunk_size` characters at most (1000 by default), and shares `chunk_overlap` (200) with
        the next. Without `embedding_model` the platform's own is taken; `"none"` searches by words alone.
        """
        fields = _settings(
            name=name,
            description=description,
            embedding_model=embedding_model,
            chunk_size=chunk_size,
            chunk_overlap=chunk_overlap,
        )
        return self._driver.run(_create(fields))

    def get(self, kb_id: str) -> KnowledgeBase:
        """What is known of a knowledge base. Raises `NotFoundError`."""
        return self._driver.run(_get(kb_id))

    def list(self) -> Sequence[KnowledgeBase]:
        """All knowledge bases."""
        return self._driver.run(_list())

    def update(
        self,
        kb_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        embedding_model: str | None = None,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
    ) -> KnowledgeBase:
        """Change what is given and leave the rest. Raises `NotFoundError`."""
        fields = _settings(
            name=name,
            description=description,
            embedding_model=embedding_model,
            chunk_size=chunk_size,
            chunk_overlap=chunk_overlap,
        )
        return self._driver.run(_update(kb_id, fields))

    def delete(self, kb_id: str) -> None:
        """Delete a knowledge base with its documents. Raises `NotFoundError`."""
        self._driver.run(_delete(kb_id))

    def upload_document(
        self,
        kb_id: str,
        file: FileInput,
        *,
        metadata: Mapping[str, Any] | None = None,
        wait: bool = True,
        **options: Unpack[WaitOptions],
    ) -> Document:
        """Put a file into a knowledge base, and wait until it can be found: parsed, cut, embedded, indexed.

        `wait=False` returns once the platform has it. Raises `TaskFailedError` for a file that cannot be
        processed, and `TaskTimeoutError`.
        """
        apart(options, waits=wait)
        upload = upload_of(file)
        return self._attend(
            lambda poller: documents.processed(poller, kb_id, upload, metadata, wait), **options
        )

    def upload_documents(
        self,
        kb_id: str,
        files: documents.Files,
        *,
        pattern: str = "**/*",
        metadata: Mapping[str, Any] | None = None,
        concurrency: int = 4,
        on_progress: Callable[[Document], Any] | None = None,
        timeout: float | None = None,
    ) -> Sequence[Document]:
        """Put files into a knowledge base, `concurrency` at a time; of a folder, those that match `pattern`.

        Their documents come in the order of the files (by name, those of a folder), and to `on_progress` as
        they are done. A file that goes wrong stops no other and raises nothing: its document is the one
        whose `processing_status` is failed, with `error`, `error_code` and `retryable`. `timeout` is in
        seconds for all; without it each has the client's `poll_timeout`. What is not done by then is failed,
        or still processing.
        """
        check_callback(on_progress)
        uploads = documents.uploads_of(files, pattern)
        limit = documents.limit_of(timeout, self._driver.config.poll_timeout, len(uploads), concurrency)
        flows = documents.workers(self._poller, kb_id, uploads, metadata, concurrency)
        made: dict[int, Document] = {}
        with closing(run_all(self._driver, flows, limit)) as news:
            for number, made[number] in news:
                if on_progress:
                    on_progress(made[number])
        return [made[number] for number in sorted(made)]

    def add_document(
        self,
        kb_id: str,
        file_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        wait: bool = True,
        **options: Unpack[WaitOptions],
    ) -> Document:
        """Put a file that is stored already into a knowledge base, and wait until it can be found.

        `wait=False` returns once the platform has begun. Raises as `upload_document`.
        """
        apart(options, waits=wait)
        return self._attend(
            lambda poller: documents.processed(poller, kb_id, file_id, metadata, wait), **options
        )

    def list_documents(self, kb_id: str) -> Sequence[Document]:
        """All documents of a knowledge base. Raises `NotFoundError`."""
        return self._driver.run(_list_documents(kb_id))

    def get_document(self, kb_id: str, doc_id: str) -> Document:
        """A document as it stands now. Raises `NotFoundError`."""
        return self._driver.run(documents.get(kb_id, doc_id))

    def delete_document(self, kb_id: str, doc_id: str) -> None:
        """Delete a document with its chunks: it is never found again. Raises `NotFoundError`."""
        self._driver.run(_delete_document(kb_id, doc_id))

    def search(
        self,
        query: str,
        knowledge_base_ids: str | Sequence[str],
        *,
        top_k: int = 5,
        similarity_threshold: float | None = None,
        mode: SearchMode = "hybrid",
        filter: Mapping[str, Any] | None = None,
    ) -> SearchResponse:
        """The `top_k` chunks that are nearest to the query, best first: `for result in response`.

        `similarity_threshold` (0 to 1) leaves out what is farther; `filter` looks at the documents' metadata.
        """
        fields = given(top_k=top_k, similarity_threshold=similarity_threshold, mode=mode, filter=filter)
        return self._driver.run(_search(query, knowledge_base_ids, fields))


class AsyncKnowledgeBases(AsyncResource):
    """Documents that are searched by meaning and by word."""

    async def create(
        self,
        name: str,
        *,
        description: str | None = None,
        embedding_model: str | None = None,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
    ) -> KnowledgeBase:
        """Make a knowledge base.

        A chunk has `chunk_size` characters at most (1000 by default), and shares `chunk_overlap` (200) with
        the next. Without `embedding_model` the platform's own is taken; `"none"` searches by words alone.
        """
        fields = _settings(
            name=name,
            description=description,
            embedding_model=embedding_model,
            chunk_size=chunk_size,
            chunk_overlap=chunk_overlap,
        )
        return await self._driver.run(_create(fields))

    async def get(self, kb_id: str) -> KnowledgeBase:
        """What is known of a knowledge base. Raises `NotFoundError`."""
        return await self._driver.run(_get(kb_id))

    async def list(self) -> Sequence[KnowledgeBase]:
        """All knowledge bases."""
        return await self._driver.run(_list())

    async def update(
        self,
        kb_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        embedding_model: str | None = None,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
    ) -> KnowledgeBase:
        """Change what is given and leave the rest. Raises `NotFoundError`."""
        fields = _settings(
            name=name,
            description=description,
            embedding_model=embedding_model,
            chunk_size=chunk_size,
            chunk_overlap=chunk_overlap,
        )
        return await self._driver.run(_update(kb_id, fields))

    async def delete(self, kb_id: str) -> None:
        """Delete a knowledge base with its documents. Raises `NotFoundError`."""
        await self._driver.run(_delete(kb_id))

    async def upload_document(
        self,
        kb_id: str,
        file: FileInput,
        *,
        metadata: Mapping[str, Any] | None = None,
        wait: bool = True,
        **options: Unpack[WaitOptions],
    ) -> Document:
        """Put a file into a knowledge base, and wait until it can be found: parsed, cut, embedded, indexed.

        `wait=False` returns once the platform has it. Raises `TaskFailedError` for a file that cannot be
        processed, and `TaskTimeoutError`.
        """
        apart(options, waits=wait)
        upload = upload_of(file)
        return await self._attend(
            lambda poller: documents.processed(poller, kb_id, upload, metadata, wait), **options
        )

    async def upload_documents(
        self,
        kb_id: str,
        files: documents.Files,
        *,
        pattern: str = "**/*",
        metadata: Mapping[str, Any] | None = None,
        concurrency: int = 4,
        on_progress: Callable[[Document], Any] | None = None,
        timeout: float | None = None,
    ) -> Sequence[Document]:
        """Put files into a knowledge base, `concurrency` at a time; of a folder, those that match `pattern`.

        Their documents come in the order of the files (by name, those of a folder), and to `on_progress` as
        they are done. A file that goes wrong stops no other and raises nothing: its document is the one
        whose `processing_status` is failed, with `error`, `error_code` and `retryable`. `timeout` is in
        seconds for all; without it each has the client's `poll_timeout`. What is not done by then is failed,
        or still processing.
        """
        check_callback(on_progress, awaited=True)
        uploads = await asyncio.to_thread(documents.uploads_of, files, pattern)
        limit = documents.limit_of(timeout, self._driver.config.poll_timeout, len(uploads), concurrency)
        flows = documents.workers(self._poller, kb_id, uploads, metadata, concurrency)
        made: dict[int, Document] = {}
        async with aclosing(run_all_async(self._driver, flows, limit)) as news:
            async for number, made[number] in news:
                told = on_progress(made[number]) if on_progress else None
                if inspect.isawaitable(told):
                    await told
        return [made[number] for number in sorted(made)]

    async def add_document(
        self,
        kb_id: str,
        file_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        wait: bool = True,
        **options: Unpack[WaitOptions],
    ) -> Document:
        """Put a file that is stored already into a knowledge base, and wait until it can be found.

        `wait=False` returns once the platform has begun. Raises as `upload_document`.
        """
        apart(options, waits=wait)
        return await self._attend(
            lambda poller: documents.processed(poller, kb_id, file_id, metadata, wait), **options
        )

    async def list_documents(self, kb_id: str) -> Sequence[Document]:
        """All documents of a knowledge base. Raises `NotFoundError`."""
        return await self._driver.run(_list_documents(kb_id))

    async def get_document(self, kb_id: str, doc_id: str) -> Document:
        """A document as it stands now. Raises `NotFoundError`."""
        return await self._driver.run(documents.get(kb_id, doc_id))

    async def delete_document(self, kb_id: str, doc_id: str) -> None:
        """Delete a document with its chunks: it is never found again. Raises `NotFoundError`."""
        await self._driver.run(_delete_document(kb_id, doc_id))

    async def search(
        self,
        query: str,
        knowledge_base_ids: str | Sequence[str],
        *,
        top_k: int = 5,
        similarity_threshold: float | None = None,
        mode: SearchMode = "hybrid",
        filter: Mapping[str, Any] | None = None,
    ) -> SearchResponse:
        """The `top_k` chunks that are nearest to the query, best first: `for result in response`.

        `similarity_threshold` (0 to 1) leaves out what is farther; `filter` looks at the documents' metadata.
        """
        fields = given(top_k=top_k, similarity_threshold=similarity_threshold, mode=mode, filter=filter)
        return await self._driver.run(_search(query, knowledge_base_ids, fields))
