"""Books: the chapters in the order of their spine, each read as HTML."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lxml import etree

from nexusai.server.knowledge.parsing.content import Content
from nexusai.server.knowledge.parsing.formats import html
from nexusai.server.knowledge.parsing.models import Block, DocumentError, Limits
from nexusai.server.knowledge.parsing.sniffing import decode

__all__ = ["read"]

_DC = "{http://purl.org/dc/elements/1.1/}"
_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def read(path: Path, limits: Limits) -> Content:
    with zipfile.ZipFile(path) as archive:
        return _read(archive)


def _read(archive: zipfile.ZipFile) -> Content:
    _refuse_locks(archive)
    container = _xml(archive.read("META-INF/container.xml"))
    package = next((part.get("full-path") for part in container.iter("{*}rootfile")), None)
    if package is None:
        raise DocumentError("broken", "The book is damaged: it does not say where its contents are.")
    contents = _xml(archive.read(package))
    title, language = (contents.findtext(f".//{_DC}{name}") for name in ("title", "language"))
    blocks = list(_chapters(archive, contents, posixpath.dirname(package)))
    return Content(iter(blocks), None, title, _short(language))


def _chapters(archive: zipfile.ZipFile, contents: Any, folder: str) -> Iterator[Block]:
    items = {item.get("id"): item.get("href", "") for item in contents.iter("{*}item")}
    there = set(archive.namelist())
    for reference in contents.iter("{*}itemref"):
        href = unquote(items.get(reference.get("idref"), "")).partition("#")[0]
        name = posixpath.normpath(posixpath.join(folder, href))
        if name in there:
            root = html.tree(decode(archive.read(name)))
            if root is not None:
                yield from html.blocks(root)


def _refuse_locks(archive: zipfile.ZipFile) -> None:
    """Fonts may be scrambled; when more is, the book is locked."""
    if "META-INF/encryption.xml" in archive.namelist():
        methods = _xml(archive.read("META-INF/encryption.xml")).iter("{*}EncryptionMethod")
        if any(method.get("Algorithm") not in _FONTS for method in methods):
            raise DocumentError("encrypted", "The book is locked by its publisher (DRM).")


def _xml(data: bytes) -> Any:
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))


def _short(language: str | None) -> str | None:
    return language.strip().split("-")[0].lower()[:8] or None if language else None
