"""The routes of files."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from nexusai.server.files.models import StoredFile
from nexusai.server.files.service import FileService
from nexusai.server.files.upload import Upload
from nexusai.server.http import JsonResponse, Problem, idempotency_key
from nexusai.server.keys.service import KeyService

__all__ = ["FileRoutes"]

Page = Annotated[int, Query(ge=1, le=1_000_000)]
PerPage = Annotated[int, Query(ge=1, le=100)]

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII)
_SHOWN_IN_PLACE = ("image/png", "image/jpeg", "image/webp", "image/gif", "audio/", "video/")
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src 'self'; media-src 'self'",
    "Cache-Control": "private, max-age=3600",
}
"""A file is a stranger's: a browser that opens it here must run nothing of it."""


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
        headers = {**_SAFE, "ETag": f'"{file.sha256}"', "Accept-Ranges": "bytes"}
        if _is_known(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        headers |= {"Content-Type": file.content_type, "Content-Disposition": _disposition(file)}
        part = _part(request, file.size, headers["ETag"])
        start, size = part or (0, file.size)
        headers["Content-Length"] = str(size)
        if part:
            headers["Content-Range"] = f"bytes {start}-{start + size - 1}/{file.size}"
        content = self.files.read(file, start, size)
        return Content(content, 206 if part else 200, headers)

    async def delete(self, request: Request, file_id: str, force: bool = False) -> Response:
        """Delete a file and its bytes; one that a knowledge base uses only with `force`."""
        project = await self.keys.project(request)
        await self.files.delete(project, file_id, force)
        return JsonResponse({"message": "The file is deleted.", "deleted_count": 1})


class Content(StreamingResponse):
    """A stream that is closed however its sending ends, and begins only once there is something to send."""

    body_iterator: AsyncGenerator[bytes, None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.body_iterator):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        piece = await anext(self.body_iterator, b"")
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        while piece:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await anext(self.body_iterator, b"")
        await send({"type": "http.response.body", "body": b""})


def _disposition(file: StoredFile) -> str:
    """How the file is shown, and its name (RFC 6266): quoted, or encoded when it is not plain."""
    shown = "inline" if file.content_type.startswith(_SHOWN_IN_PLACE) else "attachment"
    encoded = quote(file.filename, safe="")
    name = f'filename="{encoded}"' if encoded == file.filename else f"filename*=utf-8''{encoded}"
    return f"{shown}; {name}"


def _is_known(tags: str, etag: str) -> bool:
    """Whether `If-None-Match` (RFC 9110, 13.1.2) names it; weak tags match too."""
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in tags.split(","))


def _part(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """Start and size of what `Range` asks for. Raises a 416 `Problem` for what is outside the file.

    A `Range` that is malformed, or of another version of the file, is ignored, as RFC 9110 (14.2) has it.
    """
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or request.headers.get("if-range", etag) != etag:
        return None
    first, last, suffix = match.groups()
    start = int(first) if first else max(size - int(suffix), 0)
    if last and int(last) < start:
        return None
    if start >= size:
        outside = {"Content-Range": f"bytes */{size}"}
        raise Problem("RANGE_NOT_SATISFIABLE", f"The file has {size:,} bytes.", headers=outside)
    return start, min(int(last) + 1 if last else size, size) - start
