"""JSON and JSON lines: a list of flat objects is a table, anything else lines of `path: value`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nexusai.server.knowledge.parsing.content import Content, table
from nexusai.server.knowledge.parsing.models import Block, DocumentError, Limits

__all__ = ["read"]


def read(text: str, limits: Limits) -> Content:
    return Content(_blocks(_load(text)))


def _load(text: str) -> Any:
    try:
        return _parse(text)
    except ValueError as error:
        broken = error
    try:
        return [_parse(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        raise DocumentError("broken", f"The document is no JSON: {broken}.") from broken


def _parse(text: str) -> Any:
    """Numbers as they are written: none is too large, and none loses a digit."""
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)


def _blocks(value: Any) -> Iterator[Block]:
    if _is_table(value):
        columns = list(dict.fromkeys(name for row in value for name in row))
        rows = [[_shown(row.get(name)) for name in columns] for row in value]
        yield Block("table", table([columns, *rows]))
    elif isinstance(value, dict):
        yield from _sections(value)
    elif isinstance(value, list):
        for item in value:
            yield Block("paragraph", "\n".join(_lines(item, "")))
    else:
        yield Block("paragraph", _shown(value))


def _sections(value: dict[str, Any]) -> Iterator[Block]:
    """Each name at the top with something below it is a heading; plain values before it stand together."""
    plain = {name: item for name, item in value.items() if not isinstance(item, dict | list)}
    yield Block("paragraph", "\n".join(_lines(plain, "")))
    for name, item in value.items():
        if name not in plain:
            yield Block("heading", name, level=1)
            if _is_table(item):
                yield from _blocks(item)
            else:
                yield Block("paragraph", "\n".join(_lines(item, name)))


def _is_table(value: Any) -> bool:
    """At least two objects of plain values, most of their names shared."""
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(row, dict) for row in value):
        return False
    if any(isinstance(item, dict | list) for row in value for item in row.values()):
        return False
    names = set().union(*value)
    return sum(map(len, value)) >= len(names) * len(value) / 2


def _lines(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _lines(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _lines(item, f"{path}[{index}]")
    else:
        yield f"{path}: {_shown(value)}" if path else _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)
