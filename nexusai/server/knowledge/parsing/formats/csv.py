"""Comma, semicolon, tab or bar separated values: one table."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from nexusai.server.knowledge.parsing.content import Content, table
from nexusai.server.knowledge.parsing.models import Block, DocumentError, Limits

__all__ = ["read"]


def read(text: str, limits: Limits) -> Content:
    csv.field_size_limit(limits.characters)
    rows = csv.reader(text.splitlines(keepends=True), delimiter=_delimiter(text))
    return Content(iter([Block("table", table(_counted(rows, limits.cells)))]))


def _delimiter(text: str) -> str:
    """The one that is in most of the first lines, and in the first of them most often."""
    lines = [line for line in text[:20_000].splitlines()[:20] if line.strip()]
    first = lines[0] if lines else ""
    return max(",;\t|", key=lambda mark: (sum(mark in line for line in lines), first.count(mark)))


def _counted(rows: Iterator[list[str]], most: int) -> Iterator[list[str]]:
    for row in rows:
        most -= len(row)
        if most < 0:
            raise DocumentError("too_large", "The table has more cells than are read; split it.")
        yield row
