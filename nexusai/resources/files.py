"""Stored files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, overload

from nexusai._internal._flow import Call, Flow, Reply, Upload, at, create, fetch
from nexusai.models import File
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from nexusai.types import FileInput

__all__ = ["AsyncFiles", "Files"]


def _upload(file: FileInput) -> Flow[File]:
    reply: Reply = yield create("/files", upload=_named(file))
    return reply.parse(File)


def _named(file: FileInput) -> Upload:
    if isinstance(file, tuple):
        name, content, *content_type = file
        return Upload(name, content, *content_type)
    if isinstance(file, bytes):
        return Upload("upload", file)
    if isinstance(file, (str, os.PathLike)):
        return Upload(Path(file).name, Path(file))
    if not hasattr(file, "read"):
        raise TypeError(
            f"a file is a path, bytes, an open file or (name, content), not {type(file).__name__}"
        )
    path = getattr(file, "name", None)  # an int for some, none for others
    return Upload(os.path.basename(path) if isinstance(path, str) else "upload", file)


def _get(file_id: str) -> Flow[File]:
    reply: Reply = yield Call("GET", at("files", file_id))
    return reply.parse(File)


def _download(file_id: str, path: str | os.PathLike[str] | None) -> Flow[bytes | Path]:
    return fetch(at("files", file_id, "content"), None if path is None else Path(path))


def _delete(file_id: str) -> Flow[None]:
    yield Call("DELETE", at("files", file_id))


class Files(SyncResource):
    """Files on the platform: what is sent to it, and what its tasks made."""

    def upload(self, file: FileInput) -> File:
        """Store a file, read from where it is as it is sent.

        An open file that cannot be rewound (a pipe) is sent once and not retried.
        """
        return self._driver.run(_upload(file))

    def get(self, file_id: str) -> File:
        """What is known of a file. Raises `NotFoundError`."""
        return self._driver.run(_get(file_id))

    @overload
    def download(self, file_id: str, path: None = None) -> bytes: ...
    @overload
    def download(self, file_id: str, path: str | os.PathLike[str]) -> Path: ...
    def download(self, file_id: str, path: str | os.PathLike[str] | None = None) -> bytes | Path:
        """A file's bytes; with a `path` they go there as they arrive, and it appears once it is whole."""
        return self._driver.run(_download(file_id, path))

    def delete(self, file_id: str) -> None:
        """Delete a file. Raises `NotFoundError`."""
        self._driver.run(_delete(file_id))


class AsyncFiles(AsyncResource):
    """Files on the platform: what is sent to it, and what its tasks made."""

    async def upload(self, file: FileInput) -> File:
        """Store a file, read from where it is as it is sent.

        An open file that cannot be rewound (a pipe) is sent once and not retried.
        """
        return await self._driver.run(_upload(file))

    async def get(self, file_id: str) -> File:
        """What is known of a file. Raises `NotFoundError`."""
        return await self._driver.run(_get(file_id))

    @overload
    async def download(self, file_id: str, path: None = None) -> bytes: ...
    @overload
    async def download(self, file_id: str, path: str | os.PathLike[str]) -> Path: ...
    async def download(self, file_id: str, path: str | os.PathLike[str] | None = None) -> bytes | Path:
        """A file's bytes; with a `path` they go there as they arrive, and it appears once it is whole."""
        return await self._driver.run(_download(file_id, path))

    async def delete(self, file_id: str) -> None:
        """Delete a file. Raises `NotFoundError`."""
        await self._driver.run(_delete(file_id))
