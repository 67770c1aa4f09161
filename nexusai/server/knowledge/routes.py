"""The routes of knowledge bases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from nexusai.server.files.service import FileService
from nexusai.server.files.upload import Upload
from nexusai.server.http import JsonResponse, header, idempotency_key, read_as, request_id
from nexusai.server.keys.service import KeyService
from nexusai.server.knowledge.models import (
    AddDocument,
    CreateKnowledgeBase,
    SearchKnowledgeBases,
    UpdateKnowledgeBase,
    show_base,
    show_document,
    show_hits,
)
from nexusai.server.knowledge.service import KnowledgeService
from nexusai.server.tasks.models import accepted

__all__ = ["KnowledgeRoutes"]

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class KnowledgeRoutes:
    knowledge: KnowledgeService
    files: FileService
    keys: KeyService
    max_body_bytes: int
    max_file_bytes: int

    async def create(self, request: Request) -> Response:
        """Make a knowledge base."""
        project = await self.keys.project(request)
        wanted = await self._body(request, CreateKnowledgeBase)
        base = await self.knowledge.create(project, wanted, idempotency_key(request))
        return JsonResponse(show_base(*base), 201)

    async def list(self, request: Request) -> Response:
        """List knowledge bases, newest first."""
        project = await self.keys.project(request)
        return JsonResponse([show_base(*base) for base in await self.knowledge.bases(project)])

    async def get(self, request: Request, kb_id: str) -> Response:
        """What is known of a knowledge base."""
        project = await self.keys.project(request)
        return JsonResponse(show_base(*await self.knowledge.get(project, kb_id)))

    async def update(self, request: Request) -> Response:
        """Change a knowledge base; another model or other chunks are prepared in the background."""
        project = await self.keys.project(request)
        wanted = await self._body(request, UpdateKnowledgeBase)
        base = await self.knowledge.update(project, request.path_params["kb_id"], wanted)
        return JsonResponse(show_base(*base))

    async def delete(self, request: Request, kb_id: str) -> Response:
        """Delete a knowledge base with its documents."""
        project = await self.keys.project(request)
        await self.knowledge.delete(project, kb_id)
        return Response(status_code=204)

    async def add_document(self, request: Request) -> Response:
        """Add a document: a file as multipart part `file`, or the id of one that is stored."""
        project = await self.keys.project(request)
        kb_id, key = request.path_params["kb_id"], idempotency_key(request)
        await self.knowledge.check_base(project, kb_id)
        if (header(request, b"content-type") or "").lower().startswith("multipart/"):
            upload = Upload(request, self.max_file_bytes)
            await upload.open()
            file = await self.files.upload(project, upload.filename, upload.media_type, upload.chunks(), None)
            document, task = await self.knowledge.upload(project, kb_id, file, key, request_id.get())
        else:
            wanted = await self._body(request, AddDocument)
            document, task = await self.knowledge.add(
                project, kb_id, wanted.file_id, wanted.metadata, key, request_id.get()
            )
        shown = {**accepted(task), "doc_id": document.id, "kb_id": kb_id}
        return JsonResponse(shown, 202, {"Location": f"/api/v1/tasks/{task.id}", "Retry-After": "1"})

    async def list_documents(self, request: Request, kb_id: str) -> Response:
        """List the documents of a knowledge base, newest first."""
        project = await self.keys.project(request)
        documents = await self.knowledge.documents(project, kb_id)
        return JsonResponse([show_document(document) for document in documents])

    async def get_document(self, request: Request, kb_id: str, doc_id: str) -> Response:
        """A document and how far it is."""
        project = await self.keys.project(request)
        return JsonResponse(show_document(await self.knowledge.document(project, kb_id, doc_id)))

    async def delete_document(self, request: Request, kb_id: str, doc_id: str) -> Response:
        """Delete a document: it is never found again."""
        project = await self.keys.project(request)
        await self.knowledge.delete_document(project, kb_id, doc_id)
        return Response(status_code=204)

    async def search(self, request: Request) -> Response:
        """Find the chunks that answer a query best."""
        project = await self.keys.project(request)
        wanted = await self._body(request, SearchKnowledgeBases)
        found = await self.knowledge.search(project, wanted)
        return JsonResponse(show_hits(wanted.query, found.mode, found.hits))

    async def _body(self, request: Request, kind: type[T]) -> T:
        return await read_as(request, kind, self.max_body_bytes)
