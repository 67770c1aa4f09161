"""What the cases of the contract suite do not show of the Responses API."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai._internal._streaming import ServerSentEvent
from nexusai.providers import AdapterError, ChatRequest, ProviderConfig, ValidationError
from nexusai.providers.adapters.openai_responses import build_responses, parse_count, parse_responses
from nexusai.providers.adapters.openai_responses_stream import ResponsesStream
from nexusai.providers.transport import HttpResponse

CONFIG = ProviderConfig("openai", "sk-test", "https://api.openai.com/v1")
REQUEST = ChatRequest("gpt-5.1", [{"role": "user", "content": "hi"}])
HEADERS = {"content-type": "application/json"}

NAMES = st.sampled_from(
    [
        *(
            "type",
            "output",
            "output_index",
            "item",
            "delta",
            "response",
            "status",
            "content",
            "text",
            "summary",
        ),
        *(
            "encrypted_content",
            "name",
            "call_id",
            "arguments",
            "usage",
            "input_tokens",
            "output_tokens",
            "error",
        ),
        *("code", "message", "incomplete_details", "reason", "model", "created_at", "input_tokens_details"),
    ]
)
KINDS = st.sampled_from(
    [
        *("message", "reasoning", "function_call", "error", "response.completed", "response.failed"),
        *("response.output_item.added", "response.output_item.done", "response.output_text.delta"),
        *("response.function_call_arguments.delta", "response.reasoning_summary_text.delta", "failed"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | KINDS
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
ITEMS = st.fixed_dictionaries(
    {"type": KINDS}, optional={"content": ANYTHING, "summary": ANYTHING, "name": LEAVES}
)
ANSWERS = ANYTHING | st.fixed_dictionaries(
    {"output": st.lists(ITEMS | ANYTHING, max_size=3)},
    optional={"status": KINDS, "usage": ANYTHING, "created_at": st.floats(), "error": ANYTHING},
)
EVENTS = ANYTHING | st.fixed_dictionaries(
    {"type": KINDS},
    optional={"item": ITEMS | ANYTHING, "response": ANSWERS, "delta": ANYTHING, "output_index": ANYTHING},
)


@given(st.binary(max_size=40) | ANSWERS.map(lambda answer: json.dumps(answer).encode()))
def test_whatever_is_answered_only_adapter_errors_are_raised(body: bytes):
    for parse in (parse_responses, parse_count):
        with contextlib.suppress(AdapterError):
            parse(CONFIG, REQUEST, HttpResponse(200, HEADERS, body))


@given(st.lists(st.text(max_size=20) | EVENTS.map(json.dumps), max_size=4))
def test_whatever_is_streamed_only_adapter_errors_are_raised(events: list[str]):
    stream = ResponsesStream(CONFIG, REQUEST)
    with contextlib.suppress(AdapterError):
        for event in events:
            stream.feed(ServerSentEvent(data=event))
        stream.end()


def sent(request: ChatRequest) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(build_responses(CONFIG, request).body or b"")
    return body


@pytest.mark.parametrize("name", ["stop", "seed", "presence_penalty", "frequency_penalty"])
def test_what_the_api_has_not_is_refused_by_name(name: str):
    with pytest.raises(ValidationError, match=f"no {name}: leave it out"):
        sent(ChatRequest("gpt-5.1", REQUEST.messages, **{name: 1}))


def test_sound_is_refused():
    part = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    with pytest.raises(ValidationError, match="no sound"):
        sent(ChatRequest("gpt-5.1", [{"role": "user", "content": [part]}]))


def test_encrypted_reasoning_is_asked_of_models_that_reason_alone():
    assert sent(REQUEST)["include"] == ["reasoning.encrypted_content"]
    assert "include" not in sent(ChatRequest("gpt-4.1", REQUEST.messages))


def test_an_answer_goes_back_in_the_order_in_which_it_came():
    def call(number: int) -> dict[str, Any]:
        return {"type": "function_call", "call_id": f"call_{number}", "name": "f", "arguments": "{}"}

    def thought(number: int) -> dict[str, Any]:
        return {"type": "reasoning", "id": f"rs_{number}", "encrypted_content": "gA", "summary": []}

    output = [thought(1), call(1), thought(2), call(2), thought(3), call(3)]
    body = json.dumps({"status": "completed", "output": output}).encode()
    answer = parse_responses(CONFIG, REQUEST, HttpResponse(200, HEADERS, body))
    assert sent(ChatRequest("gpt-5.1", [*REQUEST.messages, answer.message]))["input"][1:] == output


def test_a_streamed_answer_goes_back_in_the_same_order():
    stream = ResponsesStream(CONFIG, REQUEST)
    items = [
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "gA", "summary": []},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": ""},
        {"type": "reasoning", "id": "rs_2", "encrypted_content": "gB", "summary": []},
    ]
    blocks = []
    for place, item in enumerate(items):
        for kind in ("added", "done"):
            event = {"type": f"response.output_item.{kind}", "output_index": place, "item": item}
            for chunk in stream.feed(ServerSentEvent(data=json.dumps(event))):
                blocks += chunk.reasoning_blocks or ()
    assert [(block["id"], block.get("calls_before")) for block in blocks] == [("rs_1", None), ("rs_2", 1)]
