"""Files as the API offers them, and as tasks use them: results are files with links."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from nexusai.server.clock import now_ms
from nexusai.server.files.content_type import SAMPLE, content_type, is_among
from nexusai.server.files.models import Part, Said, StoredFile
from nexusai.server.files.storage import Storage
from nexusai.server.files.store import FileStore
from nexusai.server.http import KEY_LIFETIME, Problem
from nexusai.server.ids import new_id
from nexusai.server.tasks.kinds.kind import FileOnDisk

__all__ = ["FileService", "FileUser"]

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_MOST_IN_A_PROMPT = 32 * 1024 * 1024


class FileUser(Protocol):
    """A feature that makes something of files."""

    async def use_of_file(self, project: str, file_id: str) -> str | None:
        """What is made of the file, in words that end a sentence; None when nothing is."""


@dataclass(frozen=True, slots=True)
class FileService:
    """Every call names the project that asks: what belongs to another does not exist for it."""

    store: FileStore
    storage: Storage
    secret: bytes
    link_seconds: int
    public_url: str | None
    types: tuple[str, ...] = ("*/*",)
    users: list[FileUser] = field(default_factory=list)

    async def upload(
        self,
        project: str,
        filename: str,
        said_type: str,
        chunks: AsyncIterator[bytes],
        key: str | None,
        said: Callable[[], Said] = Said,
    ) -> StoredFile:
        """Store a file. The same idempotency key with the same bytes gives the file that is there already.

        Its type is what its bytes are. Raises a 415 `Problem` for one that is not taken. `said` is asked
        after the last of the bytes: what is said of a file may come behind it.
        """
        name = _named(filename)
        head, chunks = await _peeked(chunks)
        kind = content_type(head, name, said_type)
        if not is_among(kind, self.types):
            taken = ", ".join(self.types)
            raise Problem("UNSUPPORTED_MEDIA_TYPE", f"The file is {kind}; what is taken is {taken}.")
        return await self._store(project, name, kind, chunks, key, said)

    async def keep(self, project: str, filename: str, data: bytes, media_type: str) -> str:
        """Store a task's result; its file id."""

        async def whole() -> AsyncIterator[bytes]:
            yield data

        return (await self._store(project, filename, media_type, whole(), None)).id

    async def _store(
        self,
        project: str,
        name: str,
        kind: str,
        chunks: AsyncIterator[bytes],
        key: str | None,
        said: Callable[[], Said] = Said,
    ) -> StoredFile:
        file_id = new_id("file")
        written = await self.storage.write(file_id, chunks)
        now = now_ms()
        try:
            purpose, seconds = said()
        except Problem:
            await self.storage.delete(file_id)
            raise
        expires_at = None if seconds is None else now + seconds * 1000
        size, digest = written
        file = StoredFile(file_id, project, name, kind, size, digest, key, now, purpose, expires_at)
        if await self.store.add(file):
            return file
        earlier = await self.store.find_by_key(project, key or "")
        if earlier is not None and _is_over(earlier, now_ms()):
            await self.store.free_key(earlier.id)
            if await self.store.add(file):
                return file
        await self.storage.delete(file_id)
        if earlier is None or (earlier.sha256, earlier.filename) != (file.sha256, file.filename):
            raise Problem("CONFLICT", "This Idempotency-Key was used for another file; use a new key.")
        return earlier

    async def get(self, project: str, file_id: str) -> StoredFile:
        return _there(await self.store.find(project, file_id), file_id)

    async def page(self, project: str, page: int, per_page: int) -> tuple[list[StoredFile], int]:
        return await self.store.page(project, (page - 1) * per_page, per_page)

    async def part(self, project: str, part: Part) -> tuple[list[StoredFile], bool]:
        """Some of the project's files, and whether there are more."""
        rows = await self.store.part(project, part._replace(limit=part.limit + 1))
        return rows[: part.limit], len(rows) > part.limit

    async def delete_expired(self, moment: int, most: int) -> int:
        """Delete files whose time is over, whatever is made of them; how many they were."""
        expired = await self.store.expired(moment, most)
        for file in expired:
            await self.store.delete(file.project, file.id)
            await self.storage.delete(file.id)
        return len(expired)

    async def delete(self, project: str, file_id: str, force: bool = False) -> None:
        """Raises a 409 `Problem` for a file that something is made of, unless it is forced.

        The row first: bytes without a row are only waste, a row without bytes is a broken promise.
        """
        for user in () if force else self.users:
            if use := await user.use_of_file(project, file_id):
                raise Problem(
                    "CONFLICT", f"The file is in use by {use}; `?force=true` deletes it all the same."
                )
        if not await self.store.delete(project, file_id):
            raise _missing(file_id)
        await self.storage.delete(file_id)

    async def data_uri(self, project: str, file_id: str) -> str:
        file = await self._input(project, file_id)
        if file.size > _MOST_IN_A_PROMPT:
            limit = f"{_MOST_IN_A_PROMPT >> 20} MiB"
            raise Problem.field(["input", "file_id"], f"{file_id!r} is larger than a prompt holds: {limit}")
        data = base64.b64encode(b"".join([piece async for piece in self.read(file)])).decode()
        return f"data:{file.content_type};base64,{data}"

    async def named_data(self, project: str, file_id: str) -> tuple[str, str]:
        """The name of a file, and its data URI."""
        return (await self._input(project, file_id)).filename, await self.data_uri(project, file_id)

    @asynccontextmanager
    async def on_disk(self, project: str, file_id: str) -> AsyncIterator[FileOnDisk]:
        """A file where parsers can open it, for as long as the block lasts."""
        file = await self._input(project, file_id)
        async with self.path(file) as path:
            yield FileOnDisk(path, file.filename, file.content_type)

    async def _input(self, project: str, file_id: str) -> StoredFile:
        file = await self.store.find(project, file_id)
        if file is None:
            raise Problem.field(["input", "file_id"], f"there is no file {file_id!r}")
        return file

    def path(self, file: StoredFile) -> AbstractAsyncContextManager[Path]:
        return self.storage.on_disk(file.id)

    def read(self, file: StoredFile, start: int = 0, size: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `start`, `size` of them or all, piece by piece."""
        return self.storage.read(file.id, start, size)

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


async def _peeked(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first bytes, and all of them again."""
    first: list[bytes] = []
    size = 0
    async for chunk in chunks:
        first.append(chunk)
        size += len(chunk)
        if size >= SAMPLE:
            break

    async def again() -> AsyncIterator[bytes]:
        while first:
            yield first.pop(0)
        async for chunk in chunks:
            yield chunk

    return b"".join(first)[:SAMPLE], again()


def _named(filename: str) -> str:
    """The name without its folders (RFC 7578, 4.2) and without what does not show, or shows another."""
    name = re.split(r"[/\\]", _UNPRINTABLE.sub("", filename))[-1].strip()[-255:]
    return name if name.strip(".") else "unnamed"


def _is_over(earlier: StoredFile, now: int) -> bool:
    """Whether an idempotency key is free again: after a day, and once its file has expired."""
    expired = earlier.expires_at is not None and earlier.expires_at <= now
    return expired or earlier.created_at < now - KEY_LIFETIME


def _there(file: StoredFile | None, file_id: str) -> StoredFile:
    if file is None:
        raise _missing(file_id)
    return file


def _missing(file_id: str) -> Problem:
    return Problem("NOT_FOUND", f"There is no file {file_id!r}.")
