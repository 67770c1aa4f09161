"""The check of an archive before anything in it is unpacked: office documents and books are zip files."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import IO

from nexusai.server.knowledge.parsing.models import DocumentError, Limits

__all__ = ["check", "file_type"]

_SMALL = 10 * 1024**2
"""Below this a high ratio is only a lot of spaces."""

_UNSAFE = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|[\x00-\x1f]")
_DECLARATION = re.compile(rb"<!(DOCTYPE|ENTITY)")
_MAIN_PARTS = {
    b"wordprocessingml.document.main+xml": "docx",
    b"presentationml.presentation.main+xml": "pptx",
    b"ms-powerpoint.presentation.macroEnabled.main+xml": "pptx",
    b"spreadsheetml.sheet.main+xml": "xlsx",
    b"ms-excel.sheet.macroEnabled.main+xml": "xlsx",
}


def check(path: Path, limits: Limits) -> str:
    """The type of the document in the archive. Raises `DocumentError` for one that is unsafe to unpack."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _measure(entries, limits)
            kind = file_type(archive)
            for entry in entries:
                _look_inside(archive, entry, kind)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, KeyError) as error:
        raise DocumentError("broken", "The document is damaged: its archive cannot be read.") from error
    return kind


def _measure(entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(entries) > limits.archive_entries:
        raise DocumentError("bomb", f"The document is an archive of over {limits.archive_entries:,} files.")
    if sum(entry.file_size for entry in entries) > limits.archive_bytes:
        size = limits.archive_bytes // 1024**2
        raise DocumentError("bomb", f"The document is an archive that unpacks to more than {size:,} MiB.")
    for entry in entries:
        if _UNSAFE.search(entry.orig_filename) or _UNSAFE.search(entry.filename):
            raise DocumentError("broken", "The document is an archive with an unsafe path in it.")
        if entry.flag_bits & 1:
            raise DocumentError("encrypted", "The document is protected by a password; save it without one.")
        if entry.file_size > max(_SMALL, limits.archive_ratio * entry.compress_size):
            raise DocumentError("bomb", "The document is an archive that unpacks to far more than it holds.")


def file_type(archive: zipfile.ZipFile) -> str:
    """`docx`, `pptx`, `xlsx` or `epub`, by what the archive says of itself."""
    names = set(archive.namelist())
    if "[Content_Types].xml" in names:
        types = archive.read("[Content_Types].xml")
        for part, kind in _MAIN_PARTS.items():
            if part in types:
                return kind
    if "META-INF/container.xml" in names:
        return "epub"
    raise DocumentError(
        "unsupported", "The document is a zip archive, and none of docx, pptx, xlsx or epub; unpack it first."
    )


def _look_inside(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, kind: str) -> None:
    """Refuse archives in archives (but what an author embedded, which is never opened), and entities."""
    with archive.open(entry) as file:
        head = _head(file)
    if head.startswith(b"PK\x03\x04") and "/embeddings/" not in entry.filename:
        raise DocumentError("bomb", "The document is an archive with another archive in it.")
    if kind != "epub" and entry.filename.endswith((".xml", ".rels")) and _declares(head):
        raise DocumentError("broken", "The document declares XML entities, which its format forbids.")


def _head(file: IO[bytes]) -> bytes:
    return file.read(4096)


def _declares(head: bytes) -> bool:
    return _DECLARATION.search(head.replace(b"\x00", b"")) is not None  # in UTF-16, too
