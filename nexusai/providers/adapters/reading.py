"""What an answer says in one place, where it is of the type that the place is for."""

from __future__ import annotations

from typing import Any

__all__ = ["count_of", "text_of"]


def text_of(value: Any) -> str | None:
    """A text that is not empty."""
    return value if isinstance(value, str) and value else None


def count_of(value: Any) -> int | None:
    """A whole number from 0; some count in floats."""
    if type(value) is int:
        return value if value >= 0 else None
    return int(value) if type(value) is float and value.is_integer() and value >= 0 else None
