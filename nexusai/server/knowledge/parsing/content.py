"""What a format's `read` gives, and how all of them write tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from nexusai.server.knowledge.parsing.models import Block

__all__ = ["Content", "table"]


class Content(NamedTuple):
    """A document as it comes: `blocks` may still be read while they are taken."""

    blocks: Iterator[Block]
    pages: int | None = None
    title: str | None = None
    language: str | None = None
    if_empty: str = "The document has no text."


def table(rows: Iterable[Iterable[str]]) -> str:
    """Rows as a Markdown table, the first of them its header. Empty for rows without a word."""
    lines: list[str] = []
    for row in rows:
        cells = [" ".join(cell.split()).replace("|", "\\|") for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            continue
        lines.append(f"| {' | '.join(cells)} |")
        if len(lines) == 1:
            lines.append("|" + " --- |" * len(cells))
    return "\n".join(lines)
