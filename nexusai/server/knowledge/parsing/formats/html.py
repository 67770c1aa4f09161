"""HTML: headings, paragraphs, lists, tables and code; scripts, styles and drawings are left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from nexusai.server.knowledge.parsing.content import Content, table
from nexusai.server.knowledge.parsing.models import Block, DocumentError, Limits

__all__ = ["blocks", "read", "tree"]

_SKIPPED = {"script", "style", "template", "noscript", "svg", "math", "head", "iframe", "object", "select"}
_CLOSED = re.compile(r"<(title|script|style|iframe|textarea|a)\b([^<>]*)/>", re.I)
"""As XHTML may write them; HTML would take all that follows for their content."""

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_INLINE = {
    "a", "abbr", "b", "bdi", "bdo", "big", "br", "button", "cite", "code", "data", "del", "dfn", "em", "font",
    "i", "img", "input", "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span",
    "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}  # fmt: skip


def read(text: str, limits: Limits) -> Content:
    root = tree(text)
    if root is None:
        return Content(iter(()))
    title = root.findtext(".//title")
    return Content(blocks(root), None, title, _language(root.get("lang")))


def tree(text: str) -> Any:
    """The tree of HTML; None when there is nothing in it. Nothing is fetched.

    Raises `DocumentError` for one that is deeper than 2,048 elements.
    """
    parser = etree.HTMLParser(
        encoding="utf-8", no_network=True, huge_tree=True, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(_CLOSED.sub(r"<\1\2></\1>", text).encode(), parser)
    except etree.XMLSyntaxError:
        return None
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):  # the rest was dropped
        raise DocumentError("broken", "The document is nested too deeply.")
    return root


def blocks(root: Any) -> Iterator[Block]:
    """The blocks below an element. Trees of any depth: nothing here calls itself."""
    words: list[str] = []
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        tag = element.tag
        if tag not in _INLINE and tag not in _SKIPPED:
            yield from _paragraph(words)
        if event == "end":
            words.append((element.tail or "") if element is not root else "")
        elif tag in _SKIPPED:
            walk.skip_subtree()
        elif block := _whole(element):
            walk.skip_subtree()
            yield block
        else:
            words.append("\n" if tag == "br" else element.text or "")
    yield from _paragraph(words)


def _paragraph(words: list[str]) -> Iterator[Block]:
    lines = (" ".join(line.split()) for line in _joined(words))
    text = "\n".join(filter(None, lines))
    words.clear()
    if text:
        yield Block("paragraph", text)


def _joined(words: list[str]) -> list[str]:
    """The lines that `br` makes; line ends of the source are spaces."""
    return "".join(word if word == "\n" else word.replace("\n", " ") for word in words).split("\n")


def _whole(element: Any) -> Block | None:
    """The block of an element that is one with all it holds."""
    tag = element.tag
    if tag in _HEADINGS:
        return Block("heading", _text(element), level=_HEADINGS[tag])
    if tag == "pre":
        return Block("code", "".join(element.itertext()))
    if tag == "table":
        return Block("table", table([_text(cell) for cell in _cells(row)] for row in element.iter("tr")))
    if tag in ("ul", "ol"):
        return Block("list", "\n".join(_items(element)))
    return None


def _cells(row: Any) -> Iterator[Any]:
    return (cell for cell in row if cell.tag in ("td", "th"))


def _items(container: Any) -> Iterator[str]:
    """A line for each item, set in by its depth in the list."""
    depth = 0
    words: list[str] = []
    for starts, element in _walk(container, words):
        if element.tag in ("ul", "ol", "li"):
            if text := _taken(words):
                yield f"{'  ' * min(depth - 1, 8)}- {text}"
            if element.tag != "li":
                depth += 1 if starts else -1


def _text(element: Any) -> str:
    words: list[str] = []
    for _ in _walk(element, words):
        pass
    return _taken(words)


def _walk(top: Any, words: list[str]) -> Iterator[tuple[bool, Any]]:
    """Whether an element starts, and the element, with the words before that added to `words`."""
    walk = etree.iterwalk(top, events=("start", "end"))
    for event, element in walk:
        starts = event == "start"
        if element.tag not in _INLINE or element.tag == "br":
            words.append(" ")
        yield starts, element
        if starts and element.tag in _SKIPPED:
            walk.skip_subtree()
        elif starts or element is not top:
            words.append((element.text if starts else element.tail) or "")


def _taken(words: list[str]) -> str:
    text = " ".join("".join(words).split())
    words.clear()
    return text


def _language(value: str | None) -> str | None:
    return value.strip().split("-")[0].lower()[:8] or None if value else None
