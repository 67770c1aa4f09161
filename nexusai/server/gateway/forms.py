"""Forms (multipart/form-data) as the routes under `/v1` take them: files and fields, of bounded size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message, Receive

from nexusai.server.http import ClientGone, Problem, too_large

__all__ = ["fields_of", "form_of", "sizes_of"]

LARGEST: Final = 200 * 1024 * 1024


@asynccontextmanager
async def form_of(request: Request, most_files: int, most_field: int) -> AsyncIterator[FormData]:
    """A request's form; its files are on disk while the block lasts. Raises a 400, 413 or 415 `Problem`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Problem("UNSUPPORTED_MEDIA_TYPE", "Send the body as multipart/form-data.")
    if int(request.headers.get("content-length") or 0) > LARGEST:
        raise too_large("form", LARGEST)
    bounded = Request(request.scope, _bounded(request.receive))
    try:
        form = await bounded.form(max_files=most_files, max_part_size=most_field)
    except (HTTPException, MultiPartException) as error:
        told = error.detail if isinstance(error, HTTPException) else error.message
        raise Problem("INVALID_REQUEST", f"The form cannot be read: {told}") from None
    try:
        yield form
    finally:
        await form.close()


def _bounded(receive: Receive) -> Receive:
    """A form that tells no length, or a wrong one, does not fill the disk."""
    size = 0

    async def next_part() -> Message:
        nonlocal size
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        size += len(message.get("body", b""))
        if size > LARGEST:
            raise too_large("form", LARGEST)
        return message

    return next_part


def fields_of(form: FormData) -> dict[str, str]:
    """What is no file; of one that comes several times the last."""
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


def sizes_of(form: FormData) -> Mapping[str, str]:
    """Fields, and of files the size: what is written down of a form."""
    return {
        name: f"[{value.content_type}, {value.size} bytes]" if isinstance(value, UploadFile) else value
        for name, value in form.multi_items()
    }
