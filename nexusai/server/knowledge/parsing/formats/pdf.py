"""PDF: the lines of each page, put together to paragraphs; what is set larger than the rest is a heading."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pypdfium2

from nexusai.server.knowledge.parsing.content import Content
from nexusai.server.knowledge.parsing.models import Block, DocumentError, Limits

__all__ = ["read"]

_PASSWORD = 4
_SCANNED = "The document has pages but no text: it seems to be scanned pictures."


class Line(NamedTuple):
    page: int
    text: str
    height: float

    @property
    def width(self) -> int:
        """In Latin letters: a CJK character takes two."""
        return len(self.text) + sum(char > "\u2e80" for char in self.text)


def read(path: Path, limits: Limits) -> Content:
    document = _open(path)
    if len(document) > limits.pages:
        raise DocumentError("too_large", f"The document has more than {limits.pages:,} pages.")
    title = document.get_metadata_value("Title")
    lines = list(_lines(document, limits.characters))
    return Content(_blocks(lines), len(document), title, if_empty=_SCANNED)


def _open(path: Path) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD:
            raise DocumentError(
                "encrypted", "The document is protected by a password; save it without one."
            ) from error
        raise DocumentError("broken", "The document is damaged: it cannot be read as PDF.") from error


def _lines(document: pypdfium2.PdfDocument, most: int) -> Iterator[Line]:
    for number in range(len(document)):
        try:
            page = document[number]
        except pypdfium2.PdfiumError as error:
            raise DocumentError("broken", f"The document is damaged: page {number + 1} is lost.") from error
        words = page.get_textpage()
        start = 0
        for text in words.get_text_range().split("\r\n"):
            if text.strip():
                yield Line(number + 1, text, _height(words, start + len(text) - len(text.lstrip())))
                most -= len(text)
            start += len(text) + 2
        words.close()
        page.close()
        if most < 0:
            raise DocumentError("too_large", "The document has more characters than are read.")


def _height(words: pypdfium2.PdfTextPage, index: int) -> float:
    """The size of the character's font after all scaling, in points rounded to halves."""
    matrix = pypdfium2.raw.FS_MATRIX()
    if not pypdfium2.raw.FPDFText_GetMatrix(words, index, matrix):
        return 0
    size: float = pypdfium2.raw.FPDFText_GetFontSize(words, index) * math.hypot(matrix.c, matrix.d)
    return round(2 * size) / 2


def _blocks(lines: list[Line]) -> Iterator[Block]:
    heights: Counter[float] = Counter()
    for line in lines:
        heights[line.height] += len(line.text)
    body = heights.most_common(1)[0][0] if heights else 0
    levels = _levels(lines, body)
    for (page, level), run in groupby(lines, lambda line: (line.page, levels.get(line.height))):
        if level is not None:
            yield Block("heading", _join([line.text for line in run]), page, level)
        else:
            for paragraph in _paragraphs(list(run)):
                yield Block("paragraph", paragraph, page)


def _levels(lines: list[Line], body: float) -> dict[float, int]:
    """The level of each height that is a heading's: a fifth larger than the text, in short lines only."""
    longest: dict[float, int] = {}
    for line in lines:
        longest[line.height] = max(longest.get(line.height, 0), line.width)
    large = sorted((height for height, width in longest.items() if height >= 1.2 * body > 0 and width <= 160))
    return {height: min(rank, 6) for rank, height in enumerate(reversed(large), 1)}


def _paragraphs(lines: list[Line]) -> Iterator[str]:
    """A line that ends well before the margin ends its paragraph."""
    margin = max(line.width for line in lines)
    paragraph: list[str] = []
    for line in lines:
        paragraph.append(line.text)
        if line.width < 0.75 * margin:
            yield _join(paragraph)
            paragraph = []
    if paragraph:
        yield _join(paragraph)


def _join(lines: list[str]) -> str:
    """Lines as one: a space between words, nothing between CJK characters or where a word was divided."""
    text = ""
    for line in (line.strip() for line in lines):
        if text.endswith(("\ufffe", "\x02", "\xad")):
            text = text[:-1]
        elif text and line and not (text[-1] > "\u2e80" and line[0] > "\u2e80"):
            text += " "
        text += line
    return text
