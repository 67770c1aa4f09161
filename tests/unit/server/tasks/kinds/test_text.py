from __future__ import annotations

import json
from typing import Any

import pytest

from nexusai.providers.errors import RetryableError
from nexusai.providers.types import ChatRequest, ChatResponse, Cost, StreamChunk, Usage
from nexusai.server.http import Problem
from nexusai.server.tasks.kinds import KINDS, text
from tests.fixtures.jobs import Attempt, Vendor
from tests.fixtures.server import OTHER_PROJECT, PROJECT

ANSWER = ChatResponse("Hi.", "used-model", "stop", Usage(3, 2))
PROMPT = b'{"prompt":"Hello"}'


def attempt(answer: Any = ANSWER) -> Attempt:
    return Attempt("text_generation", Vendor(answer))


def messages(*given: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"messages": given, **more}).encode()


async def test_a_prompt_is_a_message_of_the_user():
    tried = attempt()

    await tried.run(PROMPT)

    assert tried.request == ChatRequest("given-model", [{"role": "user", "content": "Hello"}])


async def test_a_system_prompt_goes_first():
    tried = attempt()

    await tried.run(b'{"prompt":"Hello","system":"Be brief."}')

    assert tried.request.messages[0] == {"role": "system", "content": "Be brief."}


async def test_messages_go_to_the_provider_as_they_are():
    given = [
        {"role": "developer", "content": "d"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "x", "y": [1, None]}],
            "name": "ann",
        },
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "function": {"name": "f"}}]},
        {"role": "tool", "content": "42", "tool_call_id": "call_1"},
    ]
    tried = attempt()

    await tried.run(messages(*given))

    assert tried.request.messages == given


async def test_a_stored_picture_goes_along_as_a_data_uri():
    tried = attempt()
    file_id = await tried.media.keep(PROJECT, "a.png", b"", "image/png")

    await tried.run(messages({"role": "user", "content": [{"type": "file", "file_id": file_id}]}))

    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}
    assert tried.request.messages[0]["content"] == [part]


async def test_a_picture_of_another_project_does_not_exist():
    tried = attempt()
    file_id = await tried.media.keep(OTHER_PROJECT, "a.png", b"", "image/png")

    with pytest.raises(Problem, match=file_id):
        await tried.run(messages({"role": "user", "content": [{"file_id": file_id}]}))
    assert tried.vendor.asked == []


async def test_a_short_prompt_cannot_name_a_large_file_again_and_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text, "MOST_ATTACHED", 50)
    tried = attempt()
    file_id = await tried.media.keep(PROJECT, "a.png", b"", "image/png")
    one, two = ({"role": "user", "content": [{"file_id": file_id}] * many} for many in (1, 2))

    await tried.run(messages(one))
    with pytest.raises(Problem, match="too large together"):
        await tried.run(messages(one, two))


async def test_the_config_goes_to_the_provider():
    config = {
        "temperature": 0.5, "top_p": 1, "max_tokens": 9, "stop": ["x"], "seed": 7, "presence_penalty": -2,
        "frequency_penalty": 2, "tools": [{"type": "function"}], "tool_choice": {"type": "function"},
        "response_format": {"type": "json_object"}, "reasoning_effort": "low",
    }  # fmt: skip
    tried = attempt()

    await tried.run(PROMPT, {**config, "cancel_on_disconnect": True, "top_k": 40, "nested": {"a": 1}})

    assert {name: getattr(tried.request, name) for name in config} == config
    assert tried.request.extra == {"top_k": 40, "nested": {"a": 1}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1), ("temperature", 2.1), ("temperature", "hot"), ("top_p", 1.1), ("top_p", -1),
        ("max_tokens", 0), ("max_tokens", 1.5), ("stop", 5), ("seed", "x"), ("presence_penalty", 3),
        ("frequency_penalty", -3), ("tools", {}), ("tool_choice", 1), ("response_format", "json"),
        ("reasoning_effort", 1), ("cancel_on_disconnect", "yes"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named(name: str, value: Any):
    with pytest.raises(Problem) as refused:
        KINDS["text_generation"].parse(PROMPT, {name: value})

    assert refused.value.errors[0]["loc"] == ["config", name]


@pytest.mark.parametrize(
    ("input", "loc"),
    [
        (b'{"prompt":"a","messages":[{"role":"user"}]}', ["input"]),
        (b'{"system":"a"}', ["input"]),
        (b'{"prompt":null}', ["input"]),
        (b'{"prompt":["a"]}', ["input", "prompt"]),
        (b'{"messages":{}}', ["input", "messages"]),
        (b'{"messages":[{"role":"robot","content":"a"}]}', ["input", "messages", 0, "role"]),
        (b'{"messages":[{"role":"user","content":{}}]}', ["input", "messages", 0, "content"]),
        (b'{"messages":[{"role":"user","tool_calls":"a"}]}', ["input", "messages", 0, "tool_calls"]),
        (b'{"messages":[{"role":"user","tool_call_id":1}]}', ["input", "messages", 0, "tool_call_id"]),
    ],
)
def test_a_wrong_input_is_named(input: bytes, loc: list[Any]):
    with pytest.raises(Problem) as refused:
        KINDS["text_generation"].parse(input, {})

    assert refused.value.errors[0]["loc"] == loc


async def test_the_output_is_the_contracts():
    output = await attempt().run(PROMPT)

    assert output == {
        "text": "Hi.",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "source": "provider"},
        "provider": "vendor",
        "model": "used-model",
        "cost": None,
    }


async def test_what_else_the_provider_told_is_in_the_output():
    answer = ChatResponse(
        "",
        "m",
        "tool_calls",
        Usage(1, 1, cached_tokens=0, reasoning_tokens=4, source="estimate"),
        reasoning="Hm.",
        tool_calls=[{"id": "call_1"}],
        cost=Cost(0.25, "EUR", estimated=True),
        extra={"demo": True},
    )

    output = await attempt(answer).run(PROMPT)

    assert output["tool_calls"] == [{"id": "call_1"}]
    assert output["reasoning"] == "Hm."
    assert (output["usage"]["cached_tokens"], output["usage"]["reasoning_tokens"]) == (0, 4)
    assert output["usage"]["source"] == "estimate"
    assert output["cost"] == {"amount": 0.25, "currency": "EUR", "estimated": True}
    assert output["demo"] is True


# Streams


def call(index: int | None = None, **fragment: Any) -> StreamChunk:
    return StreamChunk(tool_calls=[fragment if index is None else {"index": index, **fragment}])


async def test_a_streamed_answer_is_told_piece_by_piece_and_kept_whole():
    chunks = [
        StreamChunk(reasoning="H"),
        StreamChunk(reasoning="m."),
        StreamChunk("H", model="used-model"),
        StreamChunk("i."),
        StreamChunk(finish_reason="length"),
        StreamChunk(usage=Usage(3, 2), cost=Cost(1.0), extra={"demo": True}),
    ]
    tried = attempt(chunks)

    output = await tried.run(PROMPT, stream=True)

    assert tried.emitted == [
        {"delta": {"reasoning_content": "H"}},
        {"delta": {"reasoning_content": "m."}},
        {"delta": {"content": "H"}},
        {"delta": {"content": "i."}},
    ]
    assert (
        output.items() >= {"text": "Hi.", "reasoning": "Hm.", "finish_reason": "length", "demo": True}.items()
    )
    assert (output["model"], output["usage"]["total_tokens"], output["cost"]["amount"]) == (
        "used-model",
        5,
        1.0,
    )


async def test_a_stream_that_tells_nothing_of_itself_has_defaults():
    output = await attempt([StreamChunk("Hi.")]).run(PROMPT, stream=True)

    assert (output["model"], output["finish_reason"]) == ("given-model", "stop")
    assert output["usage"]["source"] == "estimate"


async def test_the_fragments_of_tool_calls_are_put_together():
    chunks = [
        call(0, id="call_1", function={"name": "weather", "arguments": ""}),
        call(0, function={"arguments": '{"city"'}),
        call(1, id="call_2", type="function", function={"name": "time"}),
        call(0, function={"arguments": ':"Ulm"}'}),
        call(1, function={"name": None, "arguments": "{}"}),
        call(1, function=None),
    ]
    tried = attempt(chunks)

    output = await tried.run(PROMPT, stream=True)

    assert output["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
    ]
    assert tried.emitted[1] == {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"city"'}}]}}


async def test_a_tool_call_without_an_index_is_the_first():
    output = await attempt([call(id="call_1", function={"name": "f", "arguments": "{}"})]).run(
        PROMPT, stream=True
    )

    assert [found["id"] for found in output["tool_calls"]] == ["call_1"]


async def test_a_stream_that_breaks_is_closed_and_fails():
    tried = attempt([StreamChunk("H"), RetryableError("reset")])

    with pytest.raises(RetryableError):
        await tried.run(PROMPT, stream=True)

    assert tried.emitted == [{"delta": {"content": "H"}}]
    assert tried.vendor.closed == 1
