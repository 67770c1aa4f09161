"""Where the bytes of files lie: a protocol, and the local disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

__all__ = ["LocalDisk", "Storage", "Written", "pieces_of"]

PIECE = 1024 * 1024


class Written(NamedTuple):
    size: int
    sha256: str


class Storage(Protocol):
    """Bytes under a name. A name that exists is whole: a write that breaks off leaves nothing."""

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> Written: ...

    def read(self, name: str, start: int = 0, size: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `start`, `size` of them or all, piece by piece. Raises `FileNotFoundError`."""

    def on_disk(self, name: str) -> AbstractAsyncContextManager[Path]:
        """A path where the bytes lie for as long as the block lasts; they are not to be changed."""

    async def delete(self, name: str) -> None:
        """Fine when there is nothing of that name."""

    async def check(self) -> object:
        """Write something and remove it. Raises what keeps that from working."""


class LocalDisk:
    """One file a name, in one folder; written beside and renamed, after it reached the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob("*.part"):  # of a process that was killed while it wrote
            left.unlink()

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> Written:
        part = self._folder / f"{name}.part"
        digest, size = hashlib.sha256(), 0
        try:
            with await asyncio.to_thread(part.open, "wb") as file:
                async for piece in pieces_of(chunks):
                    await asyncio.to_thread(_add, file, digest, piece)
                    size += len(piece)
                await asyncio.to_thread(_sync, file)
            await asyncio.to_thread(_rename, part, self._folder / name)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        return Written(size, digest.hexdigest())

    async def read(self, name: str, start: int = 0, size: int | None = None) -> AsyncGenerator[bytes, None]:
        with await asyncio.to_thread((self._folder / name).open, "rb") as file:
            file.seek(start)
            left = size
            while piece := await asyncio.to_thread(file.read, PIECE if left is None else min(PIECE, left)):
                if left is not None:
                    left -= len(piece)
                yield piece

    @asynccontextmanager
    async def on_disk(self, name: str) -> AsyncIterator[Path]:
        yield self._folder / name

    async def delete(self, name: str) -> None:
        await asyncio.to_thread((self._folder / name).unlink, missing_ok=True)

    async def check(self) -> None:
        await asyncio.to_thread(_try_out, self._folder / "check.part")


async def pieces_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in fewer, larger pieces: each costs a trip to a thread, or to a network."""
    gathered: list[bytes] = []
    size = 0
    async for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


def _add(file: BinaryIO, digest: hashlib._Hash, piece: bytes) -> None:
    file.write(piece)
    digest.update(piece)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _try_out(path: Path) -> None:
    path.write_bytes(b"a disk that is full takes no byte")
    path.unlink()


def _rename(part: Path, path: Path) -> None:
    part.replace(path)
    if os.name != "nt":  # elsewhere a name is safe only when its folder is
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
