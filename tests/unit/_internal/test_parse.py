from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from pydantic import BaseModel, Field, RootModel, field_validator

from nexusai._internal._parse import parsed, response_format
from nexusai.error import ParseError
from nexusai.models import TextResponse


class Unit(Enum):
    GRAM = "g"
    PIECE = "piece"


class Ingredient(BaseModel):
    name: str
    amount: float = Field(default=1, ge=0)
    unit: Unit = Unit.PIECE


class Recipe(BaseModel):
    title: str = Field(description="Short.")
    ingredients: list[Ingredient]
    main: Annotated[Ingredient, Field(description="What it is known for.")]
    hint: str | None = None
    course: Literal["starter", "dessert"] = "starter"


class Node(BaseModel):
    children: list[Node] = []


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    content: T


WHOLE = '{"title": "Rice", "ingredients": [{"name": "rice"}], "main": {"name": "rice"}}'


def asked(model: type[BaseModel]) -> dict[str, Any]:
    made: dict[str, Any] = response_format(model)
    assert made["type"] == "json_schema"
    return dict(made["json_schema"])


def text(content: str, finish_reason: str = "stop") -> TextResponse:
    return TextResponse(text=content, finish_reason=finish_reason, task_id="task_1")


# What is asked for


def test_a_model_is_asked_for_by_its_schema():
    schema = asked(Ingredient)
    assert (schema["name"], schema["strict"]) == ("Ingredient", True)
    assert schema["schema"]["properties"]["amount"] == {"minimum": 0, "title": "Amount", "type": "number"}


def test_strictly_every_field_is_required_and_no_other_allowed():
    schema = asked(Recipe)["schema"]
    for one in (schema, schema["$defs"]["Ingredient"]):
        assert one["additionalProperties"] is False
        assert one["required"] == list(one["properties"])
        assert all("default" not in field for field in one["properties"].values())


def test_a_described_reference_keeps_its_description():
    main = asked(Recipe)["schema"]["properties"]["main"]
    assert main == {"description": "What it is known for.", "anyOf": [{"$ref": "#/$defs/Ingredient"}]}


def test_a_model_that_contains_itself_is_an_object_on_top():
    schema = asked(Node)
    assert schema["strict"]
    assert schema["schema"]["type"] == "object"
    assert schema["schema"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}


class Free(BaseModel):
    labels: dict[str, str]


class AnyThing(BaseModel):
    thing: Any


class Limited(BaseModel):
    name: str = Field(max_length=9)


class Pair(BaseModel):
    both: tuple[int, str]


class Listed(RootModel[list[int]]):
    pass


class Odd(BaseModel):
    numbers: list[int] = Field(json_schema_extra={"items": True})


@pytest.mark.parametrize("model", [Free, AnyThing, Limited, Pair, Listed, Odd])
def test_what_no_model_can_be_held_to_is_asked_for_as_it_is(model: type[BaseModel]):
    schema = asked(model)
    assert not schema["strict"]
    assert schema["schema"] == model.model_json_schema()


def test_a_name_has_the_letters_that_vendors_take():
    assert asked(Box[Ingredient])["name"] == "Box_Ingredient_"


@pytest.mark.parametrize("model", [dict, Recipe.model_construct(), "Recipe"])
def test_what_is_no_model_is_named(model: Any):
    with pytest.raises(TypeError, match="response_model is a class of pydantic's BaseModel, not"):
        response_format(model)


# What is answered


@pytest.mark.parametrize(
    "answer",
    [
        WHOLE,
        f"\n {WHOLE}\n",
        f"```json\n{WHOLE}\n```",
        f"Here you are:\n\n```\n{WHOLE}\n```\nEnjoy!",
        f"<think>```?</think>\n```JSON \n{WHOLE}```",
    ],
)
def test_an_answer_is_read_with_or_without_a_fence(answer: str):
    recipe = parsed(Recipe, text(answer))
    assert (recipe.title, recipe.ingredients[0].unit, recipe.hint) == ("Rice", Unit.PIECE, None)


def test_a_fence_inside_the_data_is_data():
    assert parsed(Box[str], text('{"content": "```json\\n{}\\n```"}')).content == "```json\n{}\n```"


def failure(content: str, finish_reason: str = "stop", model: type[BaseModel] = Recipe) -> ParseError:
    with pytest.raises(ParseError) as raised:
        parsed(model, text(content, finish_reason))
    assert raised.value.text == content
    return raised.value


def test_the_fields_that_are_wrong_are_named():
    error = failure('{"title": 7, "ingredients": [{"amount": -1}], "main": {"name": "rice"}}')
    assert [(fault["loc"], fault["type"]) for fault in error.errors] == [
        (["title"], "string_type"),
        (["ingredients", 0, "name"], "missing"),
        (["ingredients", 0, "amount"], "greater_than_equal"),
    ]
    assert error.message.startswith(
        "The answer of task_1 is no Recipe: title: Input should be a valid string;"
    )
    assert "ingredients.0.name: Field required" in error.message
    assert error.retryable


def test_many_wrong_fields_are_counted():
    error = failure('{"content": [1, 2, 3, 4, 5, 6, 7]}', model=Box[list[str]])
    assert "content.4: Input should be a valid string; and 2 more." in error.message
    assert len(error.errors) == 7


def test_an_answer_in_prose_may_be_a_refusal():
    error = failure("I cannot help with that.")
    assert "the text: Invalid JSON" in error.message
    assert "may have refused" in error.message
    assert "cannot help" not in error.message


@pytest.mark.parametrize(
    ("finish_reason", "told"),
    [("length", "max_tokens"), ("content_filter", "content filter"), ("tool_calls", "text.generate")],
)
def test_the_reason_to_stop_is_told(finish_reason: str, told: str):
    error = failure('{"title": "Ri', finish_reason)
    assert told in error.message
    assert not error.retryable


class Picky(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        raise ValueError("too long")


def test_a_fault_that_the_model_finds_is_told_without_what_was_written():
    error = failure('{"name": "my secret"}', model=Picky)
    assert error.errors == [{"loc": ["name"], "msg": "Value error, too long", "type": "value_error"}]
    assert "my secret" not in str(error)
