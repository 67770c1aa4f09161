"""Texts that are to be data: the schema that is asked for, and the answer read by it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from nexusai.error import ParseError
from nexusai.models import TextResponse

__all__ = ["parsed", "response_format"]

M = TypeVar("M", bound=BaseModel)

_FENCE: Final = re.compile(r"```(?:json)?[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")

_SAYING: Final = ("$ref", "anyOf", "const", "enum", "type")
"""Without one of these words a schema says nothing, and takes anything."""

_PARTS: Final = ("$defs", "additionalProperties", "items", "properties", "required")
_LIMITS: Final = ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf")
_FURTHER: Final = ("description", "format", "maxItems", "minItems", "pattern", "title")
_STRICT: Final = frozenset((*_SAYING, *_PARTS, *_LIMITS, *_FURTHER))
"""The words of JSON Schema that models can be held to exactly (OpenAI's structured outputs)."""

_WHY: Final[Mapping[str | None, str]] = {
    "length": "It was cut off at the limit of tokens, which max_tokens raises",
    "content_filter": "The provider's content filter stopped it",
    "tool_calls": "The model asks for its tools, which text.generate gives",
}
"""What else the reason to stop says of an answer that cannot be read."""

_SHOWN: Final = 5


def response_format(model: type[BaseModel]) -> dict[str, Any]:
    """The `response_format` that asks for a `model`: strict, where its schema allows that."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"response_model is a class of pydantic's BaseModel, not {model!r}")
    schema = model.model_json_schema()
    strict = _strict(schema)
    asked = {
        "name": _NO_NAME.sub("_", model.__name__)[:64],
        "schema": schema if strict is None else strict,
        "strict": strict is not None,
    }
    return {"type": "json_schema", "json_schema": asked}


class _Loose(Exception):
    """A schema has something that no model can be held to."""


def _strict(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema in the form that strict models take; None for one that cannot be put so."""
    if "$ref" in schema:  # a model that contains itself
        own = schema["$defs"][schema["$ref"].rpartition("/")[2]]
        schema = {**own, "$defs": schema["$defs"]}
    try:
        return _node(schema) if schema.get("type") == "object" else None
    except _Loose:
        return None


def _node(schema: Any) -> dict[str, Any]:
    """Every object closed and every field required: one with a default is written as well."""
    if not isinstance(schema, Mapping):
        raise _Loose
    kept = {word: value for word, value in schema.items() if word != "default"}
    if not _STRICT.issuperset(kept) or not any(word in kept for word in _SAYING):
        raise _Loose
    if (kept.get("type") == "object") != ("properties" in kept) or kept.get("additionalProperties"):
        raise _Loose
    for word in ("properties", "$defs"):
        if word in kept:
            kept[word] = {name: _node(part) for name, part in kept[word].items()}
    if "items" in kept:
        kept["items"] = _node(kept["items"])
    if "anyOf" in kept:
        kept["anyOf"] = [_node(part) for part in kept["anyOf"]]
    if "properties" in kept:
        kept.update(required=list(kept["properties"]), additionalProperties=False)
    reference = kept.pop("$ref", None)
    if reference is None:
        return kept
    return {**kept, "anyOf": [{"$ref": reference}]} if kept else {"$ref": reference}


def parsed(model: type[M], response: TextResponse) -> M:
    """What the text says, as a `model`. Raises `ParseError`."""
    try:
        return model.model_validate_json(_json(response.text))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    told = [{"loc": list(fault["loc"]), "msg": fault["msg"], "type": fault["type"]} for fault in faults]
    raise _unlike(model, response, told)


def _json(text: str) -> str:
    """The data in a text: all of it, or what stands in a fence."""
    if text.lstrip()[:1] in ("{", "["):
        return text
    fenced = _FENCE.search(text)
    return fenced[1] if fenced else text


def _unlike(model: type[BaseModel], response: TextResponse, faults: list[dict[str, Any]]) -> ParseError:
    said = [f"{'.'.join(map(str, fault['loc'])) or 'the text'}: {fault['msg']}" for fault in faults]
    more = f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    why = _WHY.get(response.finish_reason)
    return ParseError(
        f"The answer of {response.task_id} is no {model.__name__}: {'; '.join(said[:_SHOWN])}{more}. "
        f"{why or 'The model may have refused, or not keep to a schema'}; error.text has what it wrote.",
        text=response.text,
        errors=faults,
        retryable=why is None,
    )
