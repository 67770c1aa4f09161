"""Files as the API offers them, and as tasks use them: results are files with links."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from nexusai.server.clock import now_ms
from nexusai.server.files.models import StoredFile
from nexusai.server.files.storage import LocalDisk, Written
from nexusai.server.files.store import FileStore
from nexusai.server.http import KEY_LIFETIME, Problem
from nexusai.server.ids import new_id

__all__ = ["FileService"]

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class FileService:
    """Every call names the project that asks: what belongs to another does not exist for it."""

    store: FileStore
    storage: LocalDisk
    secret: bytes
    link_seconds: int
    public_url: str | None

    async def upload(
        self, project: str, filename: str, media_type: str, chunks: AsyncIterator[bytes], key: str | None
    ) -> StoredFile:
        """Store a file. The same idempotency key with the same bytes gives the file that is there already."""
        file_id = new_id("file")
        written = await self.storage.write(file_id, chunks)
        file = _describe(file_id, project, filename, media_type, written, key)
        if await self.store.add(file):
            return file
        earlier = await self.store.find_by_key(project, key or "")
        if earlier is not None and earlier.created_at < now_ms() - KEY_LIFETIME:
            await self.store.free_key(earlier.id)
            if await self.store.add(file):
                return file
        await self.storage.delete(file_id)
        if earlier is None or (earlier.sha256, earlier.filename) != (file.sha256, file.filename):
            raise Problem("CONFLICT", "This Idempotency-Key was used for another file; use a new key.")
        return earlier

    async def keep(self, project: str, filename: str, data: bytes, media_type: str) -> str:
        """Store a task's result; its file id."""

        async def whole() -> AsyncIterator[bytes]:
            yield data

        return (await self.upload(project, filename, media_type, whole(), None)).id

    async def get(self, project: str, file_id: str) -> StoredFile:
        return _there(await self.store.find(project, file_id), file_id)

    async def page(self, project: str, page: int, per_page: int) -> tuple[list[StoredFile], int]:
        return await self.store.page(project, (page - 1) * per_page, per_page)

    async def delete(self, project: str, file_id: str) -> None:
        """The row first: bytes without a row are only waste, a row without bytes is a broken promise."""
        if not await self.store.delete(project, file_id):
            raise _missing(file_id)
        await self.storage.delete(file_id)

    async def data_uri(self, project: str, file_id: str) -> str:
        file = await self.store.find(project, file_id)
        if file is None:
            raise Problem.field(["input", "file_id"], f"there is no file {file_id!r}")
        data = base64.b64encode(await self.storage.read(file.id)).decode()
        return f"data:{file.content_type};base64,{data}"

    def path(self, file: StoredFile) -> Path:
        return self.storage.path(file.id)

    def link(self, file_id: str, base_url: str) -> str:
        """An address that gives the file without a key until it expires."""
        expires = int(time.time()) + self.link_seconds
        base = (self.public_url or base_url).rstrip("/")
        signature = self._sign(file_id, expires)
        return f"{base}/api/v1/files/{quote(file_id)}/content?expires={expires}&signature={signature}"

    async def get_by_link(self, file_id: str, expires: str, signature: str) -> StoredFile:
        """The file of a signed link. Raises a 403 `Problem` for a link that is not ours, or is over."""
        known = expires.isascii() and expires.isdigit() and len(expires) < 19
        if not known or not hmac.compare_digest(
            self._sign(file_id, int(expires)).encode(), signature.encode()
        ):
            raise Problem("FORBIDDEN", "This link is not valid.")
        if int(expires) < time.time():
            raise Problem("FORBIDDEN", "This link has expired; ask for the task again to get a new one.")
        return _there(await self.store.find_any(file_id), file_id)

    def _sign(self, file_id: str, expires: int) -> str:
        return hmac.new(self.secret, f"file:{file_id}:{expires}".encode(), hashlib.sha256).hexdigest()


def _describe(
    file_id: str, project: str, filename: str, media_type: str, written: Written, key: str | None
) -> StoredFile:
    return StoredFile(
        file_id, project, _named(filename), media_type, written.size, written.sha256, key, now_ms()
    )


def _named(filename: str) -> str:
    """The name without its folders (RFC 7578, 4.2) and without what does not show, or shows another."""
    name = re.split(r"[/\\]", _UNPRINTABLE.sub("", filename))[-1].strip()[-255:]
    return name if name.strip(".") else "unnamed"


def _there(file: StoredFile | None, file_id: str) -> StoredFile:
    if file is None:
        raise _missing(file_id)
    return file


def _missing(file_id: str) -> Problem:
    return Problem("NOT_FOUND", f"There is no file {file_id!r}.")
