"""The media type of a file, from its bytes: what a name or a header says of it is only a claim."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final

__all__ = ["SAMPLE", "content_type", "is_among"]

SAMPLE: Final = 65_536
"""As many of the first bytes tell the type."""

UNKNOWN: Final = "application/octet-stream"
_OFFICE = "application/vnd.openxmlformats-officedocument."
_SIGNATURES: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF.{4}WEBP", "image/webp"),
        (rb"BM.{4}\0{4}", "image/bmp"),
        (rb"II\*\0|MM\0\*", "image/tiff"),
        (rb".{4}ftyp(avif|avis)", "image/avif"),
        (rb".{4}ftyp(heic|heix|mif1|msf1)", "image/heic"),
        (rb"RIFF.{4}WAVE", "audio/wav"),
        (rb"ID3[\x02-\x04]|\xff[\xe2\xe3\xf2\xf3\xfa\xfb](?!\xff)", "audio/mpeg"),
        (rb"\xff[\xf0\xf1\xf8\xf9]", "audio/aac"),
        (rb"fLaC", "audio/flac"),
        (rb"OggS.{24,64}\x80theora", "video/ogg"),
        (rb"OggS", "audio/ogg"),
        (rb".{4}ftypM4[AB]", "audio/mp4"),
        (rb".{4}ftypqt  ", "video/quicktime"),
        (rb".{4}ftyp", "video/mp4"),
        (rb"\x1aE\xdf\xa3.{0,64}webm", "video/webm"),
        (rb"\x1aE\xdf\xa3", "video/x-matroska"),
        (rb"RIFF.{4}AVI ", "video/x-msvideo"),
        (rb"%PDF-", "application/pdf"),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
        (rb"\x1f\x8b", "application/gzip"),
        (rb"BZh[1-9]1AY", "application/x-bzip2"),
        (rb"\xfd7zXZ\0", "application/x-xz"),
        (rb"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
        (rb"Rar!\x1a\x07", "application/vnd.rar"),
        (rb"\{\\rtf", "application/rtf"),
        (rb"%!PS", "application/postscript"),
    )
)
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PART = re.compile(rb"PK\x03\x04.{26}(word(?=/)|xl(?=/)|ppt(?=/)|META-INF/container\.xml)", re.DOTALL)
_PARTS = {
    b"word": f"{_OFFICE}wordprocessingml.document",
    b"xl": f"{_OFFICE}spreadsheetml.sheet",
    b"ppt": f"{_OFFICE}presentationml.presentation",
    b"META-INF/container.xml": "application/epub+zip",
}
_BOMS = (b"\xff\xfe", b"\xfe\xff")
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_PROLOG = rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*|<!--.{0,4000}?-->\s*)*"
_HTML = re.compile(
    _PROLOG + rb"<(!doctype\s+html|html|head|body|script|iframe|style|meta|base)\b", re.I | re.DOTALL
)
_SVG = re.compile(_PROLOG + rb"(<!doctype\s+svg[^>]*>\s*)?<(\w+:)?svg\b", re.I | re.DOTALL)
_XML = re.compile(rb"(\xef\xbb\xbf)?\s*<\?xml\b")
_TEXTS = {
    "md": "text/markdown", "markdown": "text/markdown", "csv": "text/csv", "html": "text/html",
    "tsv": "text/tab-separated-values", "json": "application/json", "jsonl": "application/jsonl",
    "ndjson": "application/jsonl", "htm": "text/html", "xhtml": "text/html",
}  # fmt: skip
"""Texts look alike: their endings tell which one it is, and nothing but that."""


def content_type(head: bytes, filename: str, said: str) -> str:
    """The type of a file of this beginning; its name and what was `said` only tell one text from another."""
    for signature, kind in _SIGNATURES:
        if signature.match(head):
            return kind
    if head.startswith(_ZIP):
        part = _PART.search(head)
        return _PARTS[part[1]] if part else "application/zip"
    if head.startswith(_BOMS):
        return "text/plain"
    if _BINARY.search(head):
        return UNKNOWN
    return _text(head, filename, said.partition(";")[0].strip().lower())


def _text(head: bytes, filename: str, said: str) -> str:
    for pattern, kind in ((_SVG, "image/svg+xml"), (_HTML, "text/html"), (_XML, "application/xml")):
        if pattern.match(head):
            return kind
    promised = _TEXTS.get(filename.rpartition(".")[2].lower()) if "." in filename else None
    return promised or (said if said in _TEXTS.values() else "text/plain")


def is_among(kind: str, patterns: tuple[str, ...]) -> bool:
    """Whether a media type is one of these, of which `image/*` and `*/*` are any of theirs."""
    return any(fnmatchcase(kind, pattern) for pattern in patterns)
