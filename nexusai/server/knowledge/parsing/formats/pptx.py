"""Presentations: each slide is a page, its title a heading; tables, groups and notes are read too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pptx

from nexusai.server.knowledge.parsing.content import Content, table
from nexusai.server.knowledge.parsing.models import Block, DocumentError, Limits

__all__ = ["read"]


def read(path: Path, limits: Limits) -> Content:
    deck = pptx.Presentation(str(path))
    if len(deck.slides) > limits.pages:
        raise DocumentError("too_large", f"The document has more than {limits.pages:,} slides.")
    about = deck.core_properties
    return Content(_slides(deck.slides), len(deck.slides), about.title, about.language or None)


def _slides(slides: Any) -> Iterator[Block]:
    for page, slide in enumerate(slides, 1):
        title = slide.shapes.title
        if title is not None and title.has_text_frame:
            yield Block("heading", title.text_frame.text, page, 1)
        for shape in slide.shapes:
            if title is None or shape.shape_id != title.shape_id:
                yield from _shape(shape, page)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            yield Block("paragraph", slide.notes_slide.notes_text_frame.text, page)


def _shape(shape: Any, page: int) -> Iterator[Block]:
    if hasattr(shape, "shapes"):
        for inner in shape.shapes:
            yield from _shape(inner, page)
    elif getattr(shape, "has_table", False) and shape.has_table:
        rows = ([cell.text_frame.text for cell in row.cells] for row in shape.table.rows)
        yield Block("table", table(rows), page)
    elif shape.has_text_frame:
        paragraphs = [(paragraph.level, paragraph.text.strip()) for paragraph in shape.text_frame.paragraphs]
        lines = [f"{'  ' * level}- {text}" for level, text in paragraphs if text]
        if len(lines) > 1:
            yield Block("list", "\n".join(lines), page)
        else:
            yield Block("paragraph", shape.text_frame.text, page)
