from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nexusai.providers.types import ChatRequest
from nexusai.server.gateway.responses_request import ResponsesBody, head_of, request_of
from nexusai.server.http import Problem

HI = [{"role": "user", "content": "hi"}]
FUNCTION = {
    "type": "function",
    "name": "f",
    "description": "d",
    "parameters": {"type": "object"},
    "strict": True,
}


def asked(protocol: str = "anthropic", **fields: Any) -> ChatRequest:
    body = msgspec.convert({"model": "m", **fields}, ResponsesBody)
    return request_of(body, {}, "m", HI, protocol)


def refused(**fields: Any) -> str:
    with pytest.raises(Problem) as problem:
        asked(**fields)
    return ".".join(map(str, problem.value.errors[0]["loc"]))


def test_fields_have_the_words_of_a_chat() -> None:
    request = asked(
        instructions="Be brief.",
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        reasoning={"effort": "low", "summary": "auto"},
        tools=[FUNCTION],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
    )
    assert request.messages == [{"role": "system", "content": "Be brief."}, *HI]
    assert (request.max_tokens, request.temperature, request.top_p) == (9, 0.5, 0.9)
    assert request.reasoning_effort == "low"
    assert request.tools == [
        {"type": "function", "function": {name: FUNCTION[name] for name in FUNCTION if name != "type"}}
    ]
    assert request.tool_choice == {"type": "function", "function": {"name": "f"}}
    assert request.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
    }
    assert request.extra == {"parallel_tool_calls": False}


def test_plain_text_is_no_format() -> None:
    assert asked(text={"format": {"type": "text"}}).response_format is None
    assert asked(text={"format": {"type": "json_object"}}).response_format == {"type": "json_object"}


def test_the_tools_that_are_allowed_are_those_that_are_offered() -> None:
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    request = asked(tools=[FUNCTION, {**FUNCTION, "name": "g"}], tool_choice=choice)
    assert [tool["function"]["name"] for tool in request.tools or ()] == ["g"]
    assert request.tool_choice == "required"


def test_what_chat_completions_has_too_goes_to_those_who_speak_it() -> None:
    fields = {"user": "u", "service_tier": "flex", "metadata": {"a": "b"}, "text": {"verbosity": "low"}}
    assert asked("azure", **fields).extra == {"user": "u", "service_tier": "flex", "verbosity": "low"}
    assert asked("gemini", **fields).extra == {}


def test_a_tool_of_openai_is_refused_with_who_has_it() -> None:
    with pytest.raises(Problem, match="OpenAI runs") as problem:
        asked(tools=[FUNCTION, {"type": "file_search"}])
    assert problem.value.errors[0]["loc"] == ["tools", 1, "type"]


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"tools": [{"type": "function", "name": "f", "parameters": 5}]}, "tools.0.parameters"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
    ],
)
def test_what_makes_no_sense_is_named(fields: dict[str, Any], loc: str) -> None:
    assert refused(**fields) == loc


def test_the_head_tells_the_request_again() -> None:
    body = msgspec.convert(
        {"model": "m", "metadata": {"a": "b"}, "reasoning": {"effort": "low"}, "user": "u"}, ResponsesBody
    )
    head = head_of(body, 7, "m", {"id": "resp_1", "store": False, "previous_response_id": "resp_0"})
    assert (head["id"], head["store"], head["previous_response_id"]) == ("resp_1", False, "resp_0")
    assert head["reasoning"] == {"effort": "low", "summary": None}
    assert (head["status"], head["created_at"], head["metadata"]) == ("in_progress", 7, {"a": "b"})
    assert (head["tool_choice"], head["tools"], head["truncation"]) == ("auto", [], "disabled")
