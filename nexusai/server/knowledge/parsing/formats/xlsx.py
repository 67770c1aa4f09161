"""Workbooks: each sheet is a heading and a table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl

from nexusai.server.knowledge.parsing.content import Content, table
from nexusai.server.knowledge.parsing.models import Block, DocumentError, Limits

__all__ = ["read"]


def read(path: Path, limits: Limits) -> Content:
    with path.open("rb") as file:  # a name would have to end in xlsx
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        blocks = list(_sheets(book, limits.cells))
    return Content(iter(blocks), None, book.properties.title, book.properties.language or None)


def _sheets(book: Any, most: int) -> Iterator[Block]:
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # the file says how large a sheet is, and is believed otherwise
        rows = list(_rows(sheet, most))
        most -= sum(map(len, rows))
        if rows:
            yield Block("heading", sheet.title, level=1)
            yield Block("table", table(rows))


def _rows(sheet: Any, most: int) -> Iterator[list[str]]:
    """Rows with something in them. Raises `DocumentError` after `most` cells, of those that are empty too."""
    for row in sheet.iter_rows(values_only=True):
        most -= len(row)
        if most < 0:
            raise DocumentError("too_large", "The workbook has more cells than are read; split it.")
        if any(value is not None for value in row):
            yield [_shown(value) for value in row]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return str(value).removesuffix(" 00:00:00")
    return str(value)
