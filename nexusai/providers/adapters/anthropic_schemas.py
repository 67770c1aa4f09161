"""JSON schemas as Anthropic's structured outputs take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["native_schema"]

_REFUSED: Final = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    }
)
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_HOLDS_ONE: Final = frozenset({"items", "not", "additionalProperties"})
_HOLDS_LIST: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_HOLDS_NAMED: Final = frozenset({"properties", "$defs", "definitions"})


def native_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema: rules that the vendor refuses stand in the description, objects take nothing more."""
    if "$ref" in schema:  # which takes nothing beside it
        return {name: _part(name, schema[name]) for name in ("$ref", "$defs") if name in schema}
    told = {name: value for name, value in schema.items() if _is_refused(name, value)}
    sent = {name: _part(name, value) for name, value in schema.items() if name not in told}
    if "oneOf" in sent:
        sent.setdefault("anyOf", sent.pop("oneOf"))
    if sent.get("type") == "object":
        sent.setdefault("additionalProperties", False)
    if told:
        rules = ", ".join(f"{name}: {value}" for name, value in told.items())
        sent["description"] = " ".join(filter(None, (sent.get("description"), f"({rules})")))
    return sent


def _is_refused(name: str, value: Any) -> bool:
    if name == "minItems":
        return value not in (0, 1)
    return name in _REFUSED or (name == "format" and value not in _FORMATS)


def _part(name: str, value: Any) -> Any:
    if name in _HOLDS_NAMED and isinstance(value, Mapping):
        return {key: _schema(part) for key, part in value.items()}
    if name in _HOLDS_LIST and isinstance(value, list):
        return [_schema(part) for part in value]
    return _schema(value) if name in _HOLDS_ONE else value


def _schema(value: Any) -> Any:
    return native_schema(value) if isinstance(value, Mapping) else value
