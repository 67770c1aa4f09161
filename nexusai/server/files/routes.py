"""The routes of files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from nexusai.server.files.service import FileService
from nexusai.server.files.upload import Upload
from nexusai.server.http import JsonResponse, Problem, idempotency_key
from nexusai.server.keys.service import KeyService

__all__ = ["FileRoutes"]

Page = Annotated[int, Query(ge=1, le=1_000_000)]
PerPage = Annotated[int, Query(ge=1, le=100)]

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII)
_SHOWN_IN_PLACE = ("image/png", "image/jpeg", "image/webp", "image/gif", "audio/", "video/")


@dataclass(frozen=True, slots=True)
class FileRoutes:
    files: FileService
    keys: KeyService
    max_file_bytes: int

    async def upload(self, request: Request) -> Response:
        """Store a file, sent as multipart part `file`."""
        project = await self.keys.project(request)
        key = idempotency_key(request)
        upload = Upload(request, self.max_file_bytes)
        await upload.open()
        file = await self.files.upload(project, upload.filename, upload.media_type, upload.chunks(), key)
        return JsonResponse(file.show() | {"message": "The file is stored."}, 201)

    async def list(self, request: Request, page: Page = 1, per_page: PerPage = 20) -> Response:
        """List files, newest first."""
        project = await self.keys.project(request)
        files, total = await self.files.page(project, page, per_page)
        return JsonResponse(
            {"files": [file.show() for file in files], "total": total, "page": page, "per_page": per_page}
        )

    async def get(self, request: Request, file_id: str) -> Response:
        """What is known of a file."""
        project = await self.keys.project(request)
        return JsonResponse((await self.files.get(project, file_id)).show())

    async def content(
        self, request: Request, file_id: str, expires: str = "", signature: str | None = None
    ) -> Response:
        """The file's bytes, by key or by a signed link. `Range` and `If-None-Match` are honoured."""
        if signature is not None:
            file = await self.files.get_by_link(file_id, expires, signature)
        else:
            file = await self.files.get(await self.keys.project(request), file_id)
        etag = f'"{file.sha256}"'
        headers = {
            "ETag": etag,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, max-age=3600",
        }
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if not _asks_for_a_part(request, file.size, etag):
            request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]
        shown = file.content_type.startswith(_SHOWN_IN_PLACE)
        return FileResponse(
            self.files.path(file),
            headers=headers,
            media_type=file.content_type,
            filename=file.filename,
            content_disposition_type="inline" if shown else "attachment",
        )

    async def delete(self, request: Request, file_id: str) -> Response:
        """Delete a file and its bytes."""
        project = await self.keys.project(request)
        await self.files.delete(project, file_id)
        return JsonResponse({"message": "The file is deleted.", "deleted_count": 1})


def _asks_for_a_part(request: Request, size: int, etag: str) -> bool:
    """Whether there is a `Range` to honour. Raises a 416 `Problem` for one outside the file.

    One that is malformed, or of another version of the file, is ignored, as RFC 9110 (14.2) has it;
    Starlette would answer it with a 400 in plain text.
    """
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or request.headers.get("if-range", etag) != etag:
        return False
    first, last, suffix = match.groups()
    start = int(first) if first else max(size - int(suffix), 0)
    if last and int(last) < start:
        return False
    if start >= size:
        outside = {"Content-Range": f"bytes */{size}"}
        raise Problem("RANGE_NOT_SATISFIABLE", f"The file has {size:,} bytes.", headers=outside)
    return True
