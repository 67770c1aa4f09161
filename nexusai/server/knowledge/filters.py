"""Which documents a search may look in: a filter on their metadata. Pure.

`{"lang": "zh"}` is equality; a list is any of its values; `{"year": {"gte": 2020, "lt": 2024}}` compares.
Where the document's own value is a list, one of its values must fit. All keys must fit.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["check", "matches"]

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "ne": operator.ne,
}


def check(filter: Mapping[str, Any]) -> None:
    """Raises `ValueError` for a comparison that is not known."""
    for key, wanted in filter.items():
        if isinstance(wanted, Mapping):
            for name in wanted:
                if name not in _COMPARISONS:
                    raise ValueError(f"{key}: {name!r} is not one of {', '.join(_COMPARISONS)}")


def matches(filter: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    return all(_fits(wanted, metadata.get(key)) for key, wanted in filter.items())


def _fits(wanted: Any, value: Any) -> bool:
    if isinstance(value, list) and not isinstance(wanted, Mapping):
        return value == wanted or any(_fits(wanted, one) for one in value)
    if isinstance(wanted, Mapping):
        return all(_compare(name, value, limit) for name, limit in wanted.items())
    if isinstance(wanted, list):
        return any(_same(one, value) for one in wanted)
    return _same(wanted, value)


def _same(wanted: Any, value: Any) -> bool:
    """Equal as JSON is: true is not 1."""
    return bool(wanted == value) and isinstance(wanted, bool) == isinstance(value, bool)


def _compare(name: str, value: Any, limit: Any) -> bool:
    if name == "ne":
        return not _same(limit, value)
    try:
        return value is not None and bool(_COMPARISONS[name](value, limit))
    except TypeError:  # a number beside a text
        return False
