"""Files in a bucket of Amazon S3, or of a store that speaks its protocol. Needs the extra `s3`."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, TypeAlias
from urllib.parse import urlsplit

from nexusai.error import ConfigurationError
from nexusai.server.files.storage import PIECE, Written, pieces_of
from nexusai.server.http import Problem

try:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store
except ImportError:
    raise ConfigurationError(
        "NEXUS_STORAGE names a bucket, which needs the extra s3: pip install 'nexusai[server,s3]'"
    ) from None

__all__ = ["S3"]

logger: logging.Logger = logging.getLogger("nexusai.server")

PART = 8 * 1024 * 1024
"""S3 takes 10,000 parts, the last of them alone smaller than 5 MiB."""

_OPTIONS = {
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
}


class S3:
    """One object a name, under the prefix of a bucket; it is there once all of its parts are."""

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        """`url` is `s3://bucket/prefix`; keys, region and endpoint are in the environment by AWS's names."""
        self._url = url
        place = urlsplit(url)
        options: dict[str, Any] = {}
        for option, names in _OPTIONS.items():
            if value := next((environ[name] for name in names if environ.get(name)), None):
                options[option] = value
        plain = options.get("endpoint", "").startswith("http://")
        self._store = S3Store(
            place.netloc,
            prefix=place.path.strip("/") or None,
            client_options={"allow_http": plain, "connect_timeout": "10s", "timeout": "60s"},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
            **options,
        )

    async def check(self) -> None:
        """Raises `ConfigurationError` when the bucket cannot be used."""
        try:
            await obstore.put_async(self._store, "check", b"")
            await obstore.delete_async(self._store, "check")
        except (BaseError, OSError) as error:
            reason = str(error).partition("\n")[0][:300]
            raise ConfigurationError(
                f"NEXUS_STORAGE: {self._url} cannot be written; see that the bucket is there, and that "
                f"AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY fit: {reason}"
            ) from None

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> Written:
        """The source is read here and handed over piece by piece.

        So what breaks it off also reaches the store's client as an error of its source, at which it takes
        back the parts that it sent; a cancelled call would leave them in the bucket, unseen and paid for.
        """
        handed: Handed = asyncio.Queue(1)
        putting = asyncio.ensure_future(self._put(name, handed))
        digest, size = hashlib.sha256(), 0
        try:
            async for piece in pieces_of(chunks):
                digest.update(piece)
                size += len(piece)
                await _hand_over(handed, piece, putting)
            await _hand_over(handed, None, putting)
            await asyncio.shield(putting)
        except BaseException:
            while not handed.empty():
                handed.get_nowait()
            handed.put_nowait(_BrokenOff())
            with suppress(Exception):
                await asyncio.shield(putting)
                await self.delete(name)  # its last part was on its way
            raise
        return Written(size, digest.hexdigest())

    async def _put(self, name: str, handed: Handed) -> None:
        with _reachable((BaseError, OSError)):
            await obstore.put_async(self._store, name, _taken(handed), chunk_size=PART, max_concurrency=2)

    async def read(self, name: str, start: int = 0, size: int | None = None) -> AsyncGenerator[bytes, None]:
        if size == 0:
            return
        wanted: Any = {"range": {"offset": start} if size is None else (start, start + size)}
        with _reachable():
            found = await obstore.get_async(self._store, name, options=wanted if start or size else None)
            async for piece in found.stream(min_chunk_size=PIECE // 4):
                yield bytes(piece)

    @asynccontextmanager
    async def on_disk(self, name: str) -> AsyncIterator[Path]:
        with TemporaryDirectory(prefix="nexusai-", ignore_cleanup_errors=True) as folder:
            path = Path(folder, name)
            with await asyncio.to_thread(path.open, "wb") as file:
                await self._copy(name, file)
            yield path

    async def _copy(self, name: str, file: BinaryIO) -> None:
        async for piece in self.read(name):
            await asyncio.to_thread(file.write, piece)

    async def delete(self, name: str) -> None:
        with _reachable(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, name)


class _BrokenOff(Exception):
    """Handed over in the place of a piece: there will be no more."""


Handed: TypeAlias = "asyncio.Queue[bytes | _BrokenOff | None]"
"""Pieces on their way to the store, then None."""


async def _taken(handed: Handed) -> AsyncIterator[bytes]:
    while (piece := await handed.get()) is not None:
        if isinstance(piece, _BrokenOff):
            raise piece
        yield piece


async def _hand_over(handed: Handed, piece: bytes | None, putting: asyncio.Future[None]) -> None:
    """Wait until there is a place for the piece. Raises what ended the sending, should it have ended."""
    handing = asyncio.ensure_future(handed.put(piece))
    try:
        await asyncio.wait({handing, putting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        handing.cancel()
    if putting.done():
        putting.result()


@contextmanager
def _reachable(errors: tuple[type[Exception], ...] = (BaseError,)) -> Iterator[None]:
    """What goes wrong in the store is for its operator to read; the caller may try again."""
    try:
        yield
    except errors as error:
        logger.error("the storage of files failed: %s", str(error).partition("\n")[0])
        raise Problem(
            "SERVICE_UNAVAILABLE", "The storage of files cannot be reached at the moment.", retry_after=5
        ) from None
