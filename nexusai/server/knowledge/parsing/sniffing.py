"""What bytes are: the type of a document, and the characters of a text."""

from __future__ import annotations

import codecs
import re
from typing import Final

from nexusai.server.knowledge.parsing.models import DocumentError

__all__ = ["decode", "hint", "signature", "text_type"]

SAMPLE: Final = 65_536

_TEXT_TYPES = {
    "text/markdown": "md",
    "text/x-markdown": "md",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/json": "json",
    "application/x-ndjson": "json",
    "text/html": "html",
    "application/xhtml+xml": "html",
}
_ENDINGS = {
    "md": "md", "markdown": "md", "csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json",
    "ndjson": "json", "html": "html", "htm": "html", "xhtml": "html",
}  # fmt: skip

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
)
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"SQLite format 3\x00", "a database"),
    (b"ID3", "a sound"),
    (b"OggS", "a sound"),
    (b"fLaC", "a sound"),
    (b"RIFF", "a sound, picture or film"),
    (b"{\\rtf", "an RTF document; save it as docx"),
    (b"%!PS", "a PostScript document; save it as PDF"),
)
_BOMS: tuple[tuple[bytes, str], ...] = (  # the longer of two that begin alike comes first
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HTML = re.compile(
    r"\s*(<\?xml[^>]*>\s*)?(<!--.{0,2000}?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S
)
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
_WRITTEN = re.compile(
    "[\t\n\r -~\xa0-\u024f\u0370-\u04ff\u2000-\u206f\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]"
)
_WESTERN = re.compile("[àâäçéèêëîïôöùûüñáíóúßÀÂÄÇÉÈÊËÎÏÔÖÙÛÜÑÁÍÓÚ“”‘’–—…€«»°§©®]")
_TAG = re.compile(r"<(p|div|h[1-6]|ul|ol|table|span|br|article|section)\b[^>]*>", re.I)


def hint(filename: str, content_type: str | None) -> str:
    """The kind of text that a name, or else a content type, promises: `md`, `csv`, `json`, `html` or none."""
    ending = filename.rpartition(".")[2].lower() if "." in filename else ""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return _ENDINGS.get(ending) or _TEXT_TYPES.get(media_type, "")


def signature(head: bytes) -> str | None:
    """`pdf`, `zip`, `ole`, or None for what may be text. Raises `DocumentError` for what is not read."""
    for mark, kind in _SIGNATURES:
        if head.startswith(mark):
            return kind
    for mark, what in _OTHERS:
        if head.startswith(mark):
            raise DocumentError("unsupported", f"The document is {what}.")
    if head[4:8] == b"ftyp":
        raise DocumentError("unsupported", "The document is a film or a sound.")
    if b"%PDF-" in head[:1024] and b"\x00" in head:
        return "pdf"  # behind what a server or a mail program left before it
    return None


def text_type(text: str, hint: str) -> str:
    """`html`, `json`, `md`, `csv` or `txt`: what shows in the text itself, else what its name promises."""
    head = text[:4096]
    if _HTML.match(head) or (hint == "html" and _TAG.search(head)):
        return "html"
    return "txt" if hint == "html" else hint or "txt"


def decode(data: bytes) -> str:
    """The characters of a text in UTF-8, -16, -32, GB18030, Big5 or what charset-normalizer finds.

    Raises `DocumentError` for bytes that are no text.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    sample = data[:SAMPLE]
    if wide := _utf16(sample):
        return data.decode(wide, "replace")
    if b"\x00" in data or len(_CONTROL.findall(sample)) > len(sample) // 50:
        raise DocumentError("unsupported", "The document is neither text nor of a type that is read.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_legacy(sample), "replace")


def _utf16(sample: bytes) -> str | None:
    """UTF-16 without its mark: zeros in it, and nearly all of it characters that people write."""
    if b"\x00" not in sample:
        return None
    for encoding in ("utf-16-le", "utf-16-be"):
        text = sample.decode(encoding, "replace")
        if len(_WRITTEN.findall(text)) >= 0.95 * len(text) > 0:
            return encoding
    return None


def _legacy(sample: bytes) -> str:
    """The encoding of text that is not UTF-8. UTF-8 with a few broken bytes is still that."""
    multibyte = len(_MULTIBYTE.findall(sample))
    if sample.decode("utf-8", "replace").count("�") <= multibyte // 20 + 1 and multibyte > 3:
        return "utf-8"
    for encoding, common in (("gb18030", range(0xB0, 0xD8)), ("big5", range(0xA4, 0xC7))):
        if _is_chinese(sample, encoding, common):
            return "cp949" if _is_korean(sample) else encoding
    if _is_western(sample):
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None:
        raise DocumentError("unsupported", "The document is neither text nor of a type that is read.")
    return best.encoding


def _is_chinese(sample: bytes, encoding: str, common: range) -> bool:
    """Whether nearly all double bytes are everyday characters, which stand together in each encoding."""
    text = sample.decode(encoding, "ignore")
    wide = [char.encode(encoding, "ignore") for char in text if "\u2e80" <= char <= "\ufffd"]
    everyday = sum(len(pair) == 2 and pair[0] in common for pair in wide if pair[0] > 0xA3)
    letters = sum(len(pair) == 2 and pair[0] > 0xA3 for pair in wide)
    lost = len(sample) - len(text.encode(encoding, "ignore"))
    return letters > 0 and everyday >= 0.85 * letters and lost <= 2 + len(sample) // 200


def _is_korean(sample: bytes) -> bool:
    """Whether all double bytes are those of Hangul, to which a Chinese text never keeps for long."""
    leads = re.findall(rb"([\xa4-\xfe])[\xa1-\xfe]", sample)
    return len(leads) >= 12 and all(b"\xb0" <= lead <= b"\xc8" for lead in leads)


def _is_western(sample: bytes) -> bool:
    """Whether it is Latin text with a few letters and signs of Western Europe, and nothing else."""
    text = sample.decode("cp1252", "replace")
    foreign = sum(char > "\x7f" for char in text)
    return len(_WESTERN.findall(text)) == foreign <= 0.3 * len(text)
