"""One document, in this process: what type it is, its blocks, and every way of failing by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import cast

from nexusai.server.knowledge.parsing import archive, sniffing
from nexusai.server.knowledge.parsing.content import Content
from nexusai.server.knowledge.parsing.models import Block, DocumentError, Limits, Parsed

__all__ = ["read"]

_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")
_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")


def read(path: Path, hint: str, limits: Limits) -> Parsed:
    """Read a document. Raises `DocumentError` for one that cannot be read, and never anything else."""
    try:
        return _read(path, hint, limits)
    except DocumentError:
        raise
    except MemoryError:
        size = limits.memory_bytes // 1024**2
        raise DocumentError("memory", f"Reading the document takes more than {size:,} MiB.") from None
    except RecursionError:
        raise DocumentError("broken", "The document is nested too deeply.") from None
    except Exception as error:  # whatever its parser makes of it
        raise DocumentError("broken", "The document is damaged: its parser gave up on it.") from error


def _read(path: Path, hint: str, limits: Limits) -> Parsed:
    size = path.stat().st_size
    if size == 0:
        raise DocumentError("empty", "The document has no bytes.")
    if size > limits.file_bytes:
        raise DocumentError("too_large", f"The document has more than {limits.file_bytes // 1024**2:,} MiB.")
    with path.open("rb") as file:
        kind = sniffing.signature(file.read(sniffing.SAMPLE))
    if kind == "ole":
        raise _office_of_old(path)
    if kind == "zip":
        kind = archive.check(path, limits)
    if kind is None:
        return _read_text(path, hint, limits)
    return _gather(_reader(kind)(path, limits), kind, limits)


def _read_text(path: Path, hint: str, limits: Limits) -> Parsed:
    if path.stat().st_size > 4 * limits.characters:
        raise DocumentError("too_large", f"The document has more than {limits.characters:,} characters.")
    text = _clean(sniffing.decode(path.read_bytes()))
    kind = sniffing.text_type(text, hint)
    return _gather(_reader(kind)(text, limits), kind, limits)


def _reader(kind: str) -> Callable[[object, Limits], Content]:
    """A format's `read`; its parser is loaded only when there is something to parse."""
    module = import_module(f"nexusai.server.knowledge.parsing.formats.{kind}")
    return cast("Callable[[object, Limits], Content]", module.read)


def _gather(content: Content, kind: str, limits: Limits) -> Parsed:
    blocks: list[Block] = []
    characters = 0
    for block in _tidy(content.blocks):
        blocks.append(block)
        characters += len(block.text)
        if characters > limits.characters:
            raise DocumentError("too_large", f"The document has more than {limits.characters:,} characters.")
    if not blocks:
        raise DocumentError("empty", content.if_empty)
    title = _clean(content.title or "").strip()[:500] or None
    if title is None and blocks[0].kind == "heading":
        title = blocks[0].text[:500]
    return Parsed(blocks, kind, content.pages, title, content.language or _script(blocks))


def _tidy(blocks: Iterator[Block]) -> Iterator[Block]:
    for block in blocks:
        text = _clean(block.text)
        text = text.strip("\n") if block.kind == "code" else text.strip()
        if block.kind == "heading":
            text = " ".join(text.split())
        if text.strip():
            yield replace(block, text=text)


def _clean(text: str) -> str:
    """The text without what cannot be shown or stored, one kind of line end."""
    return _INVISIBLE.sub("", _LINE_END.sub("\n", text))


def _script(blocks: list[Block]) -> str | None:
    """The language that the script gives away; Latin letters give none away."""
    sample = "".join(block.text[:1000] for block in blocks[:50])[:10_000]
    letters = sum(map(str.isalpha, sample)) or 1
    for language, least, pattern in (
        ("ja", 0.05, "[\u3040-\u30ff]"),
        ("ko", 0.2, "[\uac00-\ud7af]"),
        ("zh", 0.2, "[\u4e00-\u9fff]"),
    ):
        if len(re.findall(pattern, sample)) >= least * letters:
            return language
    return None


def _office_of_old(path: Path) -> DocumentError:
    """An OLE container: an office document under a password, or one from before 2007."""
    if "EncryptedPackage".encode("utf-16-le") in path.read_bytes():
        return DocumentError("encrypted", "The document is protected by a password; save it without one.")
    return DocumentError(
        "unsupported", "The document is in an old Office format; save it as docx or the like."
    )
