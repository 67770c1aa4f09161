from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from nexusai.providers import AdapterError, ChatResponse, Usage
from nexusai.providers.structured import CODE_TOOL, Code, code_in, model_in, schema_of


class Place(BaseModel):
    city: str
    people: int


class Trip(BaseModel):
    places: list[Place]


def answer(content="", arguments=None, finish_reason="stop"):
    calls = None
    if arguments is not None:
        calls = [{"id": "c", "type": "function", "function": {"name": "write_code", "arguments": arguments}}]
    return ChatResponse(content, "m", finish_reason, Usage(1, 1), tool_calls=calls)


def test_a_schema_is_strict_down_to_the_last_object():
    wanted = schema_of(Trip)["json_schema"]
    assert (wanted["name"], wanted["strict"]) == ("Trip", True)
    assert wanted["schema"]["additionalProperties"] is False
    assert wanted["schema"]["$defs"]["Place"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "text",
    [
        '{"city": "成都", "people": 3}',
        '```json\n{"city": "成都", "people": 3}\n```',
        ' \n{"city":"成都","people":3}\n',
    ],
)
def test_an_answer_is_read_as_its_model(text):
    assert model_in(Place, answer(text)) == Place(city="成都", people=3)


def test_an_answer_of_another_shape_says_which_fields_are_wrong_and_what_came():
    with pytest.raises(AdapterError, match=r"no Place: people: .* begins with .*many") as failure:
        model_in(Place, answer('{"city": "Rome", "people": "many"}'))
    assert failure.value.code == "invalid_output"


def test_an_answer_that_was_cut_off_says_so():
    with pytest.raises(AdapterError, match="cut off at max_tokens"):
        model_in(Place, answer('{"city": "Ro', finish_reason="length"))


PRINT = 'print("hi")'


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (answer(arguments=json.dumps({"language": "Python", "code": PRINT})), Code("python", PRINT)),
        (answer(arguments='{"language": "python", "code": "a\nb"}'), Code("python", "a\nb")),
        (answer(arguments=json.dumps({"code": f"```python\n{PRINT}\n```"})), Code("", PRINT)),
        (answer(arguments=f"```python\n{PRINT}\n```"), Code("python", PRINT)),
        (answer(arguments=PRINT), Code("", PRINT)),
        (answer(f"Sure!\n```js\n{PRINT}\n```\nDone."), Code("js", PRINT)),
        (answer(f"```py\n{PRINT}"), Code("py", PRINT)),
        (answer(PRINT), Code("", PRINT)),
        (answer(f"```c++\n{PRINT}\n```", arguments='{"code": 7}'), Code("c++", PRINT)),
    ],
)
def test_code_is_found_wherever_the_model_put_it(given, code):
    assert code_in(given) == code


def test_no_code_at_all_says_what_came_back():
    with pytest.raises(AdapterError, match=r"no code\. What came back begins with .*oops"):
        code_in(answer(" ", arguments='{"oops": 1}'))


def test_the_tool_has_a_schema():
    assert CODE_TOOL["function"]["parameters"]["required"] == ["language", "code"]
    assert str(Code("python", PRINT)) == PRINT
