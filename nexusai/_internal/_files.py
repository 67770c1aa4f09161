"""Files at the edge: an upload is read from where it is, a download appears whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from nexusai._internal._flow import Upload

__all__ = ["multipart", "whole_or_nothing"]


@contextmanager
def multipart(upload: Upload | None) -> Iterator[dict[str, Any] | None]:
    """The form field as httpx takes it; a path is open meanwhile."""
    if upload is None:
        yield None
    elif isinstance(upload.content, Path):
        with upload.content.open("rb") as file:
            yield {"file": (upload.name, file, upload.content_type)}
    else:
        yield {"file": (upload.name, upload.content, upload.content_type)}


@contextmanager
def whole_or_nothing(path: Path) -> Iterator[BinaryIO]:
    """What is written goes to `path` + `.part`, which is renamed when all went well and removed if not.

    Raises `IsADirectoryError` and `FileNotFoundError` before anything is written, of `path` as it was given.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "This is a folder: add the name of a file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"The folder {str(path.parent)!r} is missing", str(path))
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
