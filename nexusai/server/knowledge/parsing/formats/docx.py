"""Word documents: paragraphs, headings, lists and tables in the order of the body."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import docx
from docx.oxml.ns import qn

from nexusai.server.knowledge.parsing.content import Content, table
from nexusai.server.knowledge.parsing.models import Block, Limits

__all__ = ["read"]

_P, _TABLE = qn("w:p"), qn("w:tbl")
_THROUGH = {qn(f"w:{name}") for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag")}
_TEXT, _FALLBACK = qn("w:t"), "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SIGNS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
_HEADING = re.compile(r"heading (\d)", re.I)


def read(path: Path, limits: Limits) -> Content:
    document = docx.Document(str(path))
    styles = {style.style_id: style.name or "" for style in document.styles if style.style_id}
    about = document.core_properties
    return Content(_blocks(document.element.body, styles), None, about.title, about.language or None)


def _blocks(body: Any, styles: dict[str, str]) -> Iterator[Block]:
    items = (_item(element, styles) for element in _flow(body))
    for kind, run in groupby(items, lambda block: block.kind):
        if kind == "list":
            yield Block("list", "\n".join(f"- {block.text}" for block in run if block.text.strip()))
        else:
            yield from run


def _flow(container: Any) -> Iterator[Any]:
    """Paragraphs and tables, those in content controls and insertions too."""
    for element in container:
        if element.tag in (_P, _TABLE):
            yield element
        elif element.tag in _THROUGH:
            yield from _flow(element)


def _item(element: Any, styles: dict[str, str]) -> Block:
    if element.tag == _TABLE:
        return Block("table", table([_text(cell) for cell in row.tc_lst] for row in element.tr_lst))
    text = _text(element)
    style = styles.get(element.style or "", "")
    if level := _level(element, style):
        return Block("heading", text, level=level)
    properties = element.pPr
    if style.startswith("List") or (properties is not None and properties.numPr is not None):
        return Block("list", text)
    return Block("paragraph", text)


def _level(paragraph: Any, style: str) -> int | None:
    if style == "Title":
        return 1
    if match := _HEADING.match(style):
        return max(1, int(match[1]))
    outline = paragraph.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
    level = int(outline.get(qn("w:val"), "9")) if outline is not None else 9
    return level + 1 if level < 9 else None


def _text(element: Any) -> str:
    """The words of an element; of what is there in two versions, the first. Deleted text has another tag."""
    parts: list[str] = []
    twice = {part for fallback in element.iter(_FALLBACK) for part in fallback.iter(_TEXT)}
    for part in element.iter(_TEXT, _P, *_SIGNS):
        if part.tag == _TEXT:
            parts.append("" if part in twice else part.text or "")
        else:
            parts.append(_SIGNS.get(part.tag, "\n"))
    return "".join(parts).strip()
