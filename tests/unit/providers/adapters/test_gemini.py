"""What the cases of the contract suite do not show of chats with Gemini."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai._internal._streaming import ServerSentEvent
from nexusai.providers import AdapterError, AuthenticationError, ChatRequest, ProviderConfig, ValidationError
from nexusai.providers.adapters import gemini
from nexusai.providers.adapters.gemini_stream import ChatStream
from nexusai.providers.transport import HttpResponse

CONFIG = ProviderConfig("gemini", "AIza-secret", "https://vendor.example/v1beta")
REQUEST = ChatRequest("gemini-3.8-flash", [{"role": "user", "content": "hi"}])
HEADERS = {"content-type": "application/json"}

NAMES = st.sampled_from(
    [
        *(
            "candidates",
            "content",
            "parts",
            "text",
            "thought",
            "thoughtSignature",
            "functionCall",
            "name",
            "id",
        ),
        *("args", "finishReason", "index", "usageMetadata", "promptTokenCount", "promptFeedback", "details"),
        *("blockReason", "modelVersion", "error", "code", "status", "message", "retryDelay", "violations"),
        "totalTokens",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
PARTS = st.lists(ANYTHING | st.dictionaries(NAMES, ANYTHING), max_size=3)
CANDIDATES = st.fixed_dictionaries(
    {"content": st.fixed_dictionaries({"parts": PARTS}) | ANYTHING},
    optional={"finishReason": st.sampled_from(["STOP", "SAFETY", "MALFORMED_RESPONSE"]) | ANYTHING},
)
ANSWERS = ANYTHING | st.fixed_dictionaries(
    {"candidates": st.lists(CANDIDATES, max_size=2)}, optional={"usageMetadata": ANYTHING, "error": ANYTHING}
)
BODIES = st.binary(max_size=40) | ANSWERS.map(lambda answer: json.dumps(answer).encode())


@given(BODIES)
def test_whatever_is_answered_only_adapter_errors_are_raised(body: bytes):
    for parse in (gemini.parse_chat, gemini.parse_count):
        with contextlib.suppress(AdapterError):
            parse(CONFIG, REQUEST, HttpResponse(200, HEADERS, body))


@given(st.lists(BODIES, max_size=3))
def test_whatever_is_streamed_only_adapter_errors_are_raised(bodies: list[bytes]):
    stream = ChatStream(CONFIG, REQUEST)
    with contextlib.suppress(AdapterError):
        for body in bodies:
            stream.feed(ServerSentEvent(data=body.decode("utf-8", "replace")))
        stream.end()


@given(st.integers(300, 599), BODIES)
def test_every_refusal_is_an_adapter_error(status: int, body: bytes):
    error = gemini.parse_error(CONFIG, "gemini-3.8-flash", HttpResponse(status, HEADERS, body))
    assert isinstance(error, AdapterError)
    assert error.status == status


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_arguments_nested_too_deeply_are_the_vendors_failure(depth: int):
    arguments = b"[" * depth + b"]" * depth
    part = b'{"functionCall": {"name": "f", "args": {"a": ' + arguments + b"}}}"
    body = b'{"candidates": [{"content": {"parts": [' + part + b"]}}]}"
    with pytest.raises(AdapterError):
        gemini.parse_chat(CONFIG, REQUEST, HttpResponse(200, HEADERS, body))


def test_the_key_is_in_a_header_alone():
    sent = gemini.build_stream(CONFIG, REQUEST)
    assert sent.headers["x-goog-api-key"] == "AIza-secret"
    assert "authorization" not in sent.headers
    assert "secret" not in sent.url
    assert "secret" not in repr(sent)


def test_without_a_key_no_header_is_sent():
    sent = gemini.build_chat(ProviderConfig("gemini", None, "http://gateway/v1beta"), REQUEST)
    assert sent.headers == {"content-type": "application/json"}


def test_a_key_that_no_header_can_hold_is_refused():
    with pytest.raises(AuthenticationError):
        gemini.build_chat(ProviderConfig("gemini", "a\nb", "http://x"), REQUEST)


def test_a_name_of_a_model_stays_in_its_place_in_the_url():
    sent = gemini.build_chat(CONFIG, ChatRequest("a?b#c d", REQUEST.messages))
    assert sent.url == "https://vendor.example/v1beta/models/a%3Fb%23c%20d:generateContent"


@pytest.mark.parametrize(
    "options",
    [{"reasoning_effort": "much"}, {"tool_choice": "perhaps"}],
    ids=["effort", "tool choice"],
)
def test_a_word_that_nobody_knows_is_refused_by_name(options: dict[str, Any]):
    [(name, value)] = options.items()
    with pytest.raises(ValidationError, match=f"{name} '{value}'"):
        gemini.build_chat(CONFIG, ChatRequest("gemini-3.8-flash", REQUEST.messages, **options))


def test_an_answer_goes_back_as_the_message_that_it_is():
    parts = [
        {"text": "I look.", "thoughtSignature": "dHh0"},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
    ]
    body = json.dumps({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}).encode()
    answer = gemini.parse_chat(CONFIG, REQUEST, HttpResponse(200, HEADERS, body))
    again = gemini.build_chat(CONFIG, ChatRequest("gemini-3.8-flash", [*REQUEST.messages, answer.message]))
    [_, turn] = json.loads(again.body or b"")["contents"]
    own_id = {"id": "call_1_0"}
    assert turn == {
        "role": "model",
        "parts": [parts[0], {**parts[1], "functionCall": {**own_id, "name": "f", "args": {"a": 1}}}],
    }


def test_calls_without_ids_get_others_in_each_turn():
    part = {"functionCall": {"name": "f"}}
    body = json.dumps({"candidates": [{"content": {"parts": [part, part]}}]}).encode()

    def ids(turns: int) -> list[str]:
        request = ChatRequest("gemini-2.5-flash", list(REQUEST.messages) * turns)
        calls = gemini.parse_chat(CONFIG, request, HttpResponse(200, HEADERS, body)).tool_calls
        return [call["id"] for call in calls or ()]

    assert ids(1) == ids(1)
    assert len({*ids(1), *ids(3)}) == 4
