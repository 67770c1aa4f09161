"""Bodies of requests as JSON; what cannot be one is named by its place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nexusai.error import InvalidRequestError

__all__ = ["encoded"]


def encoded(body: Any) -> bytes:
    """JSON in UTF-8. Raises `InvalidRequestError` for what has no form in it, and shows none of it."""
    try:
        return _ENCODER.encode(body).encode()
    except (TypeError, ValueError, RecursionError):
        place, what = _fault(body)
    name = place.removeprefix(".") or "The body"
    fault = {"loc": name.split("."), "msg": what, "type": "json"}
    raise InvalidRequestError(f"{name} {what}: it cannot be sent.", errors=[fault]) from None


def _plain(value: Any) -> Any:
    """Mappings and sequences of any make."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value)
    raise TypeError


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)


def _fault(body: Any) -> tuple[str, str]:
    try:
        return next(_faults("", body), ("", "has no form in JSON"))
    except RecursionError:
        return "", "is nested too deeply, or in itself"


def _faults(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """What is wrong, and where."""
    if isinstance(value, str):
        if not _is_unicode(value):
            yield place, "has half of a surrogate pair, which is no character"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield place, f"is {value}, a number that JSON has not"
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if isinstance(name, str) and not _is_unicode(name):
                yield place, "has a name with half of a surrogate pair"
            if not isinstance(name, (str, int, float, type(None))):
                yield place, f"has a name of type {type(name).__name__}, which JSON has not"
            yield from _faults(f"{place}.{name}", part)
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        for number, part in enumerate(value):
            yield from _faults(f"{place}[{number}]", part)
    elif not isinstance(value, (int, type(None))):
        yield place, f"is of type {type(value).__name__}, which JSON has not"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
