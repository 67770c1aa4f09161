"""Bodies that come compressed though nobody asked for that."""

from __future__ import annotations

import zlib
from typing import Any, Final

__all__ = ["Unpacking", "unpacking"]


_GZIP: Final = b"\x1f\x8b"
_MOST: Final = 32 * 1024 * 1024
"""Bytes that a piece, of some 256 KB, may unpack to."""
_PADDING: Final = 64 * 1024
"""Bytes that may follow the end, and are left."""


class Unpacking:
    """Gzip, or deflate with or without the header that it should have, unpacked as it comes.

    Raises `zlib.error` for what is neither, for a little that is packed to be very much, and for much that
    follows the end.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._unpack: Any = None

    def feed(self, piece: bytes) -> bytes:
        if self._unpack is None:
            bare = self._coding == "deflate" and piece[0] & 15 != 8
            self._unpack = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
        unpacked: bytes = self._unpack.decompress(piece, _MOST)
        while self._unpack.unused_data.startswith(_GZIP):  # one after the other is as good as one (RFC 1952)
            rest = self._unpack.unused_data
            self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
            unpacked += self._unpack.decompress(rest, _MOST)
            if len(unpacked) > _MOST:
                break
        if self._unpack.unconsumed_tail or len(unpacked) > _MOST:
            raise zlib.error(f"{len(piece)} bytes that unpack to more than {_MOST}")
        if len(self._unpack.unused_data) > _PADDING:
            raise zlib.error(f"more than {_PADDING} bytes after the end of the compressed body")
        return unpacked

    def end(self) -> None:
        """Raises `EOFError` when there should have been more."""
        if self._unpack is not None and not self._unpack.eof:
            raise EOFError("the compressed body ended too early")


def unpacking(headers: Any) -> Unpacking | None:
    """What unpacks a body with these headers, where it is packed."""
    coding = headers.get("content-encoding", "").strip().lower()
    return Unpacking(coding) if coding in ("gzip", "x-gzip", "deflate") else None
