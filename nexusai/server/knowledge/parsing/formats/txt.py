"""Plain text: paragraphs between blank lines; chapters by the words that head them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nexusai.server.knowledge.parsing.content import Content
from nexusai.server.knowledge.parsing.models import Block, Limits

__all__ = ["read"]

_CHAPTER = re.compile(
    r"\s*(第[一二三四五六七八九十百千零〇两\d]{1,9}[章回卷部篇](\s.*)?"
    r"|(Chapter|CHAPTER|Part|PART) [\dIVXLC]{1,7}\b.*)"
)
_LONGEST = 80


def read(text: str, limits: Limits) -> Content:
    return Content(_blocks(text))


def _blocks(text: str) -> Iterator[Block]:
    paragraph: list[str] = []
    for line in [*text.split("\n"), ""]:
        heads = len(line) <= _LONGEST and _CHAPTER.fullmatch(line)
        if line.strip() and not heads:
            paragraph.append(line.rstrip())
            continue
        if paragraph:
            yield Block("paragraph", "\n".join(paragraph))
            paragraph = []
        if heads:
            yield Block("heading", line, level=1)
