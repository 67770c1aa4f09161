"""The routes under `/v1` by which OpenAI's clients store files: the same files as under `/api/v1`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from nexusai.server.files.models import USER_DATA, Part, Said, StoredFile
from nexusai.server.files.routes import FileRoutes
from nexusai.server.files.service import FileService
from nexusai.server.files.upload import Upload
from nexusai.server.gateway.bodies import read_form
from nexusai.server.gateway.errors import answering, error_response
from nexusai.server.http import JsonResponse, Problem, idempotency_key
from nexusai.server.keys.service import KeyService

__all__ = ["GatewayFiles"]

PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", USER_DATA, "evals")
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"

_openai = answering(error_response)


class ListQuery(Struct, kw_only=True):
    purpose: str | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 10_000
    after: str | None = None
    order: Literal["asc", "desc"] = "desc"


class Expiry(Struct, kw_only=True):
    seconds: Annotated[int, Meta(ge=3600, le=2_592_000)]


@dataclass(frozen=True, slots=True)
class GatewayFiles:
    files: FileService
    routes: FileRoutes
    keys: KeyService
    max_file_bytes: int

    @_openai
    async def upload(self, request: Request) -> Response:
        """Store a file, sent as multipart/form-data: `file`, and its `purpose`."""
        project = await self.keys.project(request)
        upload = Upload(request, self.max_file_bytes)
        await upload.open()
        file = await self.files.upload(
            project,
            upload.filename,
            upload.media_type,
            upload.chunks(),
            idempotency_key(request),
            lambda: _said(upload.fields),
        )
        return JsonResponse(_shown(file))

    @_openai
    async def list_files(self, request: Request) -> Response:
        """The project's files, newest first unless asked otherwise."""
        project = await self.keys.project(request)
        asked, _ = read_form(request.query_params, ListQuery)
        part = Part(asked.purpose, asked.after, asked.limit, asked.order == "asc")
        rows, more = await self.files.part(project, part)
        shown: dict[str, Any] = {"object": "list", "data": [_shown(file) for file in rows], "has_more": more}
        if rows:
            shown |= {"first_id": rows[0].id, "last_id": rows[-1].id}
        return JsonResponse(shown)

    @_openai
    async def file(self, request: Request) -> Response:
        """What is known of a file."""
        project = await self.keys.project(request)
        return JsonResponse(_shown(await self.files.get(project, request.path_params["file_id"])))

    @_openai
    async def file_content(self, request: Request) -> Response:
        """The file's bytes."""
        return await self.routes.content(request, request.path_params["file_id"])

    @_openai
    async def delete_file(self, request: Request) -> Response:
        """Delete a file and its bytes."""
        project, file_id = await self.keys.project(request), request.path_params["file_id"]
        await self.files.delete(project, file_id)
        return JsonResponse({"id": file_id, "object": "file", "deleted": True})


def _said(fields: Mapping[str, str]) -> Said:
    """Raises a 400 `Problem`."""
    purpose = fields.get("purpose")
    if purpose not in PURPOSES:
        kind = "missing" if purpose is None else "value_error"
        raise Problem.field(["purpose"], f"is one of {', '.join(PURPOSES)}", kind)
    if _ANCHOR not in fields and _SECONDS not in fields:
        return Said(purpose)
    if fields.get(_ANCHOR) != "created_at":
        raise Problem.field(["expires_after", "anchor"], "is created_at")
    try:
        expiry, _ = read_form({"seconds": fields.get(_SECONDS, "")}, Expiry)
    except Problem:
        raise Problem.field(["expires_after", "seconds"], "is 3600 to 2592000") from None
    return Said(purpose, expiry.seconds)


def _shown(file: StoredFile) -> dict[str, Any]:
    """OpenAI's file object."""
    shown = {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_at // 1000,
        "filename": file.filename,
        "purpose": file.purpose or USER_DATA,
        "status": "processed",
    }
    return shown if file.expires_at is None else {**shown, "expires_at": file.expires_at // 1000}
