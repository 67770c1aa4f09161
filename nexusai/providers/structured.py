"""Answers with a shape: a pydantic model, or code. Pure: what to ask for, and how to read what comes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nexusai.providers.errors import AdapterError
from nexusai.providers.types import ChatResponse

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["CODE_TOOL", "Code", "code_in", "model_in", "schema_of"]

M = TypeVar("M", bound="BaseModel")

_FENCE: Final = re.compile(r"```[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:\n[ \t]*```|\Z)", re.S)
_SHOWN: Final = 300

CODE_TOOL: Final[Mapping[str, Any]] = {
    "type": "function",
    "function": {
        "name": "write_code",
        "description": "Hand over the code that was asked for.",
        "parameters": {
            "type": "object",
            "properties": {
                "language": {"type": "string", "description": "Its language, like python"},
                "code": {"type": "string", "description": "The whole code, and nothing else"},
            },
            "required": ["language", "code"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True, slots=True)
class Code:
    """Code; `language` is empty when the model did not say it."""

    language: str
    code: str

    def __str__(self) -> str:
        return self.code


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The `response_format` that asks for a model."""
    schema = _closed(model.model_json_schema())
    return {"type": "json_schema", "json_schema": {"name": model.__name__, "schema": schema, "strict": True}}


def model_in(model: type[M], answer: ChatResponse) -> M:
    """Raises `AdapterError`, which says which fields are wrong and what came back."""
    from pydantic import ValidationError

    text = _unfenced(answer.content)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'JSON'}: {fault['msg']}" for fault in error.errors()
        )
    raise _unfit(answer, f"the answer is no {model.__name__}: {faults}")


def code_in(answer: ChatResponse) -> Code:
    """The code of a tool call, of a fenced block, or the text itself. Raises `AdapterError` for none."""
    for call in answer.tool_calls or ():
        if code := _of_call((call.get("function") or {}).get("arguments") or ""):
            return code
    text = answer.content.strip()
    if block := _FENCE.search(text):
        return Code(block[1].lower(), block[2])
    if not text:
        raise _unfit(answer, "the answer has no code")
    return Code("", text)


def _of_call(arguments: str) -> Code | None:
    """Some models write the code itself where its JSON should stand, or JSON with raw line breaks."""
    try:
        value = json.loads(arguments, strict=False)
    except (ValueError, RecursionError):
        value = arguments
    if isinstance(value, dict) and isinstance(value.get("code"), str):
        return Code(str(value.get("language") or "").lower(), _unfenced(value["code"]))
    if not isinstance(value, str) or not value.strip() or value.lstrip().startswith("{"):
        return None
    block = _FENCE.search(value)
    return Code(block[1].lower(), block[2]) if block else Code("", value)


def _unfenced(text: str) -> str:
    block = _FENCE.search(text)
    return block[2] if block and text.lstrip().startswith("```") else text


def _unfit(answer: ChatResponse, what: str) -> AdapterError:
    said = answer.content.strip() or json.dumps(answer.tool_calls or [], ensure_ascii=False, default=str)
    cut = " It was cut off at max_tokens." if answer.finish_reason == "length" else ""
    message = f"{what}.{cut} What came back begins with {said[:_SHOWN]!r}"
    return AdapterError(message, code="invalid_output", provider=answer.provider, model=answer.model)


def _closed(schema: Any) -> Any:
    """Every object of a schema without further properties, as strict modes want it."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed
