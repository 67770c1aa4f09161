"""Stored files."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncGenerator, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from nexusai._internal._flow import Call, Flow, Upload, ask, at, create, fetch, given
from nexusai._internal._wait import check_callback
from nexusai.error import InvalidRequestError
from nexusai.models import File, FilePage
from nexusai.resources._resource import AsyncResource, Slice, SyncResource

if TYPE_CHECKING:
    from nexusai.types import FileInput, OnBytes

__all__ = ["AsyncFiles", "Files", "upload_of"]


def _upload(upload: Upload) -> Flow[File]:
    return ask(create("/files", upload=upload), File)


def upload_of(file: FileInput, on_progress: OnBytes | None = None, *, awaited: bool = False) -> Upload:
    """A file in any of its forms, as it is sent. Raises `TypeError` for what is none.

    `awaited` says that the client is async, and so may be `on_progress`.
    """
    check_callback(on_progress, awaited=awaited)
    name, content, kind = _named(file) if isinstance(file, tuple) else _parts(file)
    if isinstance(content, io.TextIOBase):
        raise TypeError(f'{name} is open as text: open it in binary mode, like open(path, "rb")')
    if not isinstance(content, (bytes, Path)) and not hasattr(content, "read"):
        raise TypeError(
            f"a file is a path, bytes, an open file or (name, content), not {type(content).__name__}"
        )
    return Upload(name, content, kind, on_progress)


def _named(file: tuple[Any, ...]) -> tuple[str, Any, str | None]:
    """`(name, content)` or `(name, content, content type)`."""
    name, content, kind = (*file, None, None, None)[:3]
    texts_alone = isinstance(name, str) and isinstance(kind, (str, type(None)))
    if len(file) not in (2, 3) or not texts_alone or isinstance(content, str):
        raise TypeError("a file with a name is (name, bytes or open file) or (name, …, content type)")
    if kind is not None and not kind.isprintable():
        raise InvalidRequestError(f"The content type of {name!r} has characters that no header can carry.")
    return name, _parts(content)[1], kind


def _parts(file: Any) -> tuple[str, Any, str | None]:
    """Its name, its content and its type, as far as they are known."""
    if isinstance(file, (bytearray, memoryview)):
        return "upload", bytes(file), None
    if isinstance(file, (str, os.PathLike)):
        if not os.fspath(file):
            raise InvalidRequestError("The path of a file is empty.")
        return Path(file).name, Path(file), None
    path = getattr(file, "name", None)  # an int for some, none for others
    return os.path.basename(path) if isinstance(path, str) else "upload", file, None


def _get(file_id: str) -> Flow[File]:
    return ask(Call("GET", at("files", file_id)), File)


def _list(page: int | None, per_page: int | None) -> Flow[FilePage]:
    return ask(Call("GET", "/files", params=given(page=page, per_page=per_page)), FilePage)


def _slice(per_page: int | None, page: int | None) -> Flow[Slice[File]]:
    listed = yield from _list(page, per_page)
    return listed.files, listed.next_page


def _download(file_id: str, path: str | os.PathLike[str] | None) -> Flow[bytes | Path]:
    return fetch(at("files", file_id, "content"), None if path is None else Path(path))


def _delete(file_id: str, force: bool) -> Flow[None]:
    yield Call("DELETE", at("files", file_id), params={"force": "true"} if force else None)


class Files(SyncResource):
    """Files on the platform: what is sent to it, and what its tasks made."""

    def upload(self, file: FileInput, *, on_progress: OnBytes | None = None) -> File:
        """Store a file, read from where it is as it is sent.

        `on_progress(sent, total)` is told the bytes, from 0 again when the upload is tried again; what it
        raises ends the upload. An open file that cannot be rewound (a pipe) is sent once and not retried.
        """
        return self._driver.run(_upload(upload_of(file, on_progress)))

    def get(self, file_id: str) -> File:
        """What is known of a file. Raises `NotFoundError`."""
        return self._driver.run(_get(file_id))

    def list(self, *, page: int | None = None, per_page: int | None = None) -> FilePage:
        """One page of the files, newest first; pages count from 1."""
        return self._driver.run(_list(page, per_page))

    def iter(self, *, per_page: int | None = None) -> Generator[File, None, None]:
        """All files, newest first, page after page of `per_page` files as they are wanted.

        To delete them on the way, make a list of them first.
        """
        return self._iterate(partial(_slice, per_page))

    @overload
    def download(self, file_id: str, path: None = None) -> bytes: ...
    @overload
    def download(self, file_id: str, path: str | os.PathLike[str]) -> Path: ...
    def download(self, file_id: str, path: str | os.PathLike[str] | None = None) -> bytes | Path:
        """A file's bytes; with a `path` they go there as they arrive, and it appears once it is whole."""
        return self._driver.run(_download(file_id, path))

    def delete(self, file_id: str, *, force: bool = False) -> None:
        """Delete a file; with `force` also one that a knowledge base uses, which is a `ConflictError` else.

        Raises `NotFoundError`.
        """
        self._driver.run(_delete(file_id, force))


class AsyncFiles(AsyncResource):
    """Files on the platform: what is sent to it, and what its tasks made."""

    async def upload(self, file: FileInput, *, on_progress: OnBytes | None = None) -> File:
        """Store a file, read from where it is as it is sent.

        `on_progress(sent, total)` is told the bytes, from 0 again when the upload is tried again; what it
        raises ends the upload. An open file that cannot be rewound (a pipe) is sent once and not retried.
        """
        return await self._driver.run(_upload(upload_of(file, on_progress, awaited=True)))

    async def get(self, file_id: str) -> File:
        """What is known of a file. Raises `NotFoundError`."""
        return await self._driver.run(_get(file_id))

    async def list(self, *, page: int | None = None, per_page: int | None = None) -> FilePage:
        """One page of the files, newest first; pages count from 1."""
        return await self._driver.run(_list(page, per_page))

    def iter(self, *, per_page: int | None = None) -> AsyncGenerator[File, None]:
        """All files, newest first, page after page of `per_page` files as they are wanted.

        To delete them on the way, make a list of them first.
        """
        return self._iterate(partial(_slice, per_page))

    @overload
    async def download(self, file_id: str, path: None = None) -> bytes: ...
    @overload
    async def download(self, file_id: str, path: str | os.PathLike[str]) -> Path: ...
    async def download(self, file_id: str, path: str | os.PathLike[str] | None = None) -> bytes | Path:
        """A file's bytes; with a `path` they go there as they arrive, and it appears once it is whole."""
        return await self._driver.run(_download(file_id, path))

    async def delete(self, file_id: str, *, force: bool = False) -> None:
        """Delete a file; with `force` also one that a knowledge base uses, which is a `ConflictError` else.

        Raises `NotFoundError`.
        """
        await self._driver.run(_delete(file_id, force))
