from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from nexusai.providers.adapters.anthropic_schemas import native_schema


class Line(BaseModel):
    text: str = Field(max_length=80, description="What is said.")
    mood: Literal["glad", "sad"]


class Scene(BaseModel):
    lines: Annotated[list[Line], Field(min_length=2)]
    number: int | None = Field(ge=1)


def test_rules_that_the_vendor_refuses_are_told():
    sent = native_schema(Scene.model_json_schema())
    assert sent["$defs"]["Line"]["properties"]["text"] == {
        "type": "string",
        "title": "Text",
        "description": "What is said. (maxLength: 80)",
    }
    assert sent["properties"]["lines"]["description"] == "(minItems: 2)"
    assert sent["properties"]["number"]["anyOf"][0] == {"type": "integer", "description": "(minimum: 1)"}


def test_every_object_is_closed_unless_it_says_what_else_it_takes():
    sent = native_schema(Scene.model_json_schema())
    assert sent["additionalProperties"] is sent["$defs"]["Line"]["additionalProperties"] is False
    open_schema = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 3}}
    assert native_schema(open_schema)["additionalProperties"] == {
        "type": "integer",
        "description": "(minimum: 3)",
    }


@pytest.mark.parametrize("schema", [{"type": "string", "format": "uuid"}, {"type": "array", "minItems": 1}])
def test_rules_that_the_vendor_keeps_stay(schema: dict[str, object]):
    assert native_schema(schema) == schema


def test_a_property_may_be_named_like_a_rule():
    schema = {"type": "object", "properties": {"format": {"type": "string"}}, "additionalProperties": False}
    assert native_schema(schema) == schema


def test_a_reference_stands_alone():
    assert native_schema({"$ref": "#/$defs/A", "description": "x", "$defs": {"A": {"type": "object"}}}) == {
        "$ref": "#/$defs/A",
        "$defs": {"A": {"type": "object", "additionalProperties": False}},
    }
