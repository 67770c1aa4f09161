"""Files at the edge: an upload is read from where it is, a download appears whole or not at all."""

from __future__ import annotations

import asyncio
import errno
import inspect
import io
import mimetypes
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from nexusai._internal._flow import Upload

__all__ = ["AsyncForm", "Form", "multipart", "whole_or_nothing"]

_CHUNK = 1 << 18
_ESCAPES = {'"': "%22", "\r": "%0D", "\n": "%0A"}  # HTML, 4.10.21.8: multipart form data


class _Form:
    """A multipart form with one field, `file`: `headers` go with it, and its parts are asked for in turn.

    An open file is sent from its beginning on, and what is written to it meanwhile is left for later.
    """

    def __init__(self, upload: Upload, file: BinaryIO) -> None:
        boundary = secrets.token_hex(16)
        name = "".join(_ESCAPES.get(character, character) for character in upload.name)
        kind = upload.content_type or mimetypes.guess_type(upload.name)[0] or "application/octet-stream"
        disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
        self._head = f"--{boundary}\r\n{disposition}\r\nContent-Type: {kind}\r\n\r\n".encode(errors="replace")
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._file = file
        self._upload = upload
        self._total = _rewound(file)
        self._sent = 0
        self.headers: Mapping[str, str] = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if self._total is not None:
            length = len(self._head) + self._total + len(self._tail)
            self.headers = {**self.headers, "Content-Length": str(length)}

    def _read(self) -> bytes:
        left = _CHUNK if self._total is None else min(_CHUNK, self._total - self._sent)
        return self._file.read(left) if left else b""

    def _tell(self, sent: int) -> object:
        self._sent += sent
        return self._upload.on_progress and self._upload.on_progress(self._sent, self._total)


class Form(_Form):
    """The form, read in the calling thread."""

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        self._tell(0)
        while chunk := self._read():
            yield chunk
            self._tell(len(chunk))
        yield self._tail


class AsyncForm(_Form):
    """The form, read in other threads: a slow disk does not hold up the event loop."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._head
        await self._told(0)
        while chunk := await self._read_aside():
            yield chunk
            await self._told(len(chunk))
        yield self._tail

    async def _told(self, sent: int) -> None:
        heard = self._tell(sent)
        if inspect.isawaitable(heard):
            await heard

    async def _read_aside(self) -> bytes:
        return self._read() if isinstance(self._file, io.BytesIO) else await asyncio.to_thread(self._read)


F = TypeVar("F", bound=_Form)


@contextmanager
def multipart(upload: Upload | None, form: type[F]) -> Iterator[F | None]:
    """The form for `upload`, if there is one; a path is open meanwhile."""
    if upload is None:
        yield None
    elif isinstance(upload.content, Path):
        with upload.content.open("rb") as file:
            yield form(upload, file)
    elif isinstance(upload.content, bytes):
        yield form(upload, io.BytesIO(upload.content))
    else:
        yield form(upload, upload.content)


def _rewound(file: BinaryIO) -> int | None:
    """Its length in bytes, and it stands at its beginning; None where it cannot go there (a pipe)."""
    try:
        length = file.seek(0, io.SEEK_END)
        file.seek(0)
    except (AttributeError, OSError):
        return None
    return length


@contextmanager
def whole_or_nothing(path: Path) -> Iterator[BinaryIO]:
    """What is written goes to a file beside `path`, which is renamed when all went well and removed if not.

    A device or a pipe is written to as it is, and what a symbolic link leads to is replaced. Raises
    `IsADirectoryError` and `FileNotFoundError` before anything is written, of `path` as it was given.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "This is a folder: add the name of a file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"The folder {str(path.parent)!r} is missing", str(path))
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
