"""Requests under `/v1` that are JSON and make no sense: refused by the form of the API, never a 500."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from nexusai.testing import Platform
from tests.integration.test_gateway import others, platform  # noqa: F401 - fixtures

MODELS = ["openai_compatible/echo", "claude-haiku-4-5", "gemini/gemini-2.5-flash", "local/text"]
HI = [{"role": "user", "content": "hi"}]
CHATS: list[dict[str, Any]] = [
    {"messages": [{}]},
    {"messages": [{"role": 5, "content": "x"}]},
    {"messages": [{"role": None, "content": "x"}]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "user", "content": 5}]},
    {"messages": [{"role": "user", "content": [None]}]},
    {"messages": [{"role": "user", "content": [[]]}]},
    {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 5}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
    {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
    {"messages": [{"role": "user", "content": {"type": "text", "text": "x"}}]},
    {"messages": [{"role": "tool", "content": "x"}]},
    {"messages": [{"role": "assistant", "tool_calls": [None]}]},
    {"messages": [{"role": "assistant", "tool_calls": 5}]},
    {"messages": [{"role": "assistant", "tool_calls": [{"function": 5}]}]},
    {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": 5, "arguments": 5}}]}]},
    {"messages": [{"role": "system", "content": [{"type": "text", "text": None}]}, *HI]},
    {"messages": HI, "tools": [{}]},
    {"messages": HI, "tools": [{"type": "function", "function": None}]},
    {"messages": HI, "tools": [{"type": "function", "function": {"name": None}}]},
    {"messages": HI, "tools": [{"type": "function", "function": {"name": "f", "parameters": 5}}]},
    {"messages": HI, "tool_choice": {}},
    {
        "messages": HI,
        "tool_choice": {"type": "function"},
        "tools": [{"type": "function", "function": {"name": "f"}}],
    },
    {"messages": HI, "response_format": {}},
    {"messages": HI, "response_format": {"type": "json_schema"}},
    {"messages": HI, "response_format": {"type": "json_schema", "json_schema": {"schema": 5}}},
    {"messages": HI, "stop": [""]},
    {"messages": HI, "seed": 2**70},
    {"messages": HI, "max_tokens": 10**30},
    {"messages": HI, "n": 1000},
    {"messages": HI, "temperature": "warm"},
    {"messages": HI, "stream_options": 5},
    {"messages": HI, "reasoning_effort": "endless"},
    {"messages": HI, "model": 5},
    {"messages": HI, "model": ""},
    {"messages": HI, "model": "x" * 5000},
    {"messages": HI, "extra_body": {"a": [None]}},
    {"messages": "hi"},
    {"messages": None},
    {},
]
TALKS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": [None]}]},
    {"messages": [{"role": "user", "content": [{}]}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image", "source": 5}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": 5}}]}]},
    {
        "messages": [
            {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": 5}}]}
        ]
    },
    {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
    {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": 5}]}]},
    {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [None]}]}]},
    {"messages": [{"role": "assistant", "content": [{"type": "tool_use"}]}, *HI]},
    {
        "messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": 5, "name": 5, "input": 5}]},
            *HI,
        ]
    },
    {"messages": [{"role": "assistant", "content": [{"type": "thinking"}]}, *HI]},
    {"messages": [{"role": "assistant", "content": [{"type": "text", "text": ["x"]}]}, *HI]},
    {"messages": HI, "system": [{}]},
    {"messages": HI, "system": [{"type": "text", "text": 5}]},
    {"messages": HI, "system": 5},
    {"messages": HI, "tools": [{"name": 5, "input_schema": 5}]},
    {"messages": HI, "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    {"messages": HI, "tool_choice": {"type": "tool"}, "tools": [{"name": "f", "input_schema": {}}]},
    {"messages": HI, "tool_choice": {"type": 5}, "tools": [{"name": "f", "input_schema": {}}]},
    {"messages": HI, "thinking": 5},
    {"messages": HI, "stop_sequences": [""]},
    {"messages": HI, "max_tokens": 10**30},
    {"messages": [{"role": "system", "content": "x"}]},
]

ITEM = {"role": "user", "content": "hi"}
ASKED: list[dict[str, Any]] = [
    {"input": 5},
    {"input": [5]},
    {"input": []},
    {"input": [{}]},
    {"input": [{"type": None}]},
    {"input": [{"role": 5, "content": "x"}]},
    {"input": [{"role": "user", "content": [None]}]},
    {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file_none"}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": ["x"]}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_audio", "input_audio": 5}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
    {"input": [{"type": "item_reference"}]},
    {"input": [{"type": "item_reference", "id": ["x"]}]},
    {"input": [{"type": "function_call"}, ITEM]},
    {"input": [{"type": "function_call_output", "call_id": 5}]},
    {"input": [{"type": "function_call_output", "call_id": "x", "output": {}}]},
    {"input": [ITEM, {"type": "reasoning", "encrypted_content": 5}]},
    {"input": [ITEM, {"type": "reasoning", "summary": 5, "encrypted_content": "nexus-AAAA"}]},
    {"input": [{**ITEM, "id": 5}]},
    {"input": "hi", "tools": [{}]},
    {"input": "hi", "tools": [{"type": ["x"]}]},
    {"input": "hi", "tools": [{"type": "function", "name": "f", "parameters": []}]},
    {"input": "hi", "tool_choice": {}},
    {"input": "hi", "tool_choice": {"type": "allowed_tools", "tools": [None]}},
    {"input": "hi", "tool_choice": {"type": "allowed_tools", "tools": 5}},
    {"input": "hi", "text": 5},
    {"input": "hi", "text": {"format": 5}},
    {"input": "hi", "text": {"format": {"type": 5}}},
    {"input": "hi", "text": {"verbosity": 5}},
    {"input": "hi", "reasoning": {"effort": {}}},
    {"input": "hi", "reasoning": {"effort": "endless"}},
    {"input": "hi", "metadata": {"a": 5}},
    {"input": "hi", "include": "x"},
    {"input": "hi", "previous_response_id": ""},
    {"input": "hi", "previous_response_id": "resp_" + "x" * 5000},
    {"input": "hi", "max_output_tokens": 0},
    {"input": "hi", "truncation": "never"},
    {"input": "hi", "stream_options": 5},
    {},
]
TEXTS: list[dict[str, Any]] = [
    {"prompt": 5},
    {"prompt": []},
    {"prompt": [None]},
    {"prompt": ["a", 5]},
    {"prompt": {}},
    {"prompt": "hi", "n": 0},
    {"prompt": "hi", "stop": 5},
    {"prompt": "hi", "echo": "yes"},
    {"prompt": "hi", "logprobs": -1},
    {},
]


@pytest.fixture(scope="module")
def http(platform: Platform):  # noqa: F811
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    with httpx.Client(base_url=f"{platform.url}/v1", headers=headers, timeout=20) as http:
        yield http


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", MODELS)
def test_odd_chats_are_answered_in_openais_form(http: httpx.Client, model: str, stream: bool) -> None:
    for body in CHATS:
        answer = http.post("/chat/completions", json={"model": model, "stream": stream, **body})
        assert answer.status_code != 500, (body, answer.text)
        if answer.status_code >= 400:
            assert answer.json()["error"]["message"], body
            assert answer.status_code < 500 or "x-should-retry" in answer.headers, (body, answer.text)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", MODELS)
def test_odd_messages_are_answered_in_anthropics_form(http: httpx.Client, model: str, stream: bool) -> None:
    for body in TALKS:
        asked = {"model": model, "max_tokens": 50, "stream": stream, **body}
        answer = http.post("/messages", json=asked)
        assert answer.status_code != 500, (body, answer.text)
        if answer.status_code >= 400:
            assert answer.json()["error"]["message"], body
        counted = http.post("/messages/count_tokens", json=asked)
        assert counted.status_code in (200, 400), (body, counted.text)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("path", "bodies"), [("/responses", ASKED), ("/completions", TEXTS)])
def test_odd_responses_and_completions_are_answered_in_openais_form(
    http: httpx.Client, path: str, bodies: list[dict[str, Any]], model: str, stream: bool
) -> None:
    for body in bodies:
        answer = http.post(path, json={"model": model, "stream": stream, **body})
        assert answer.status_code != 500, (body, answer.text)
        if answer.status_code >= 400:
            assert answer.json()["error"]["message"], body
            assert answer.status_code < 500 or "x-should-retry" in answer.headers, (body, answer.text)


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("openai/gpt-4o-mini", "input"),
        *(("local/text", name) for name in ("input", "tools", "metadata", "text")),
    ],
)
def test_a_response_that_is_nested_beyond_writing_is_refused(
    http: httpx.Client, model: str, field: str
) -> None:
    deep: Any = {"type": "function", "name": "f"}
    for _ in range(400):
        deep = {"type": "x", "content": [deep]}
    body = {"model": model, "input": "hi", field: [deep] if field in ("input", "tools") else deep}
    answer = http.post("/responses", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input", [{"role": "user", "content": "hi", "x": 2**64}]),
        ("tools", [{"type": "function", "name": "f", "parameters": {"maximum": 2**64}}]),
    ],
)
def test_an_integer_that_nobody_could_write_is_told_as_one(
    http: httpx.Client, field: str, value: list[Any]
) -> None:
    refused = http.post("/responses", json={"model": "local/text", "input": "hi", field: value})
    told = refused.json()["error"]
    assert (refused.status_code, told["param"]) == (400, field)
    assert told["message"] == f"{field}: has an integer of more than 64 bits"


@pytest.mark.parametrize("path", ["/responses", "/completions", "/chat/completions"])
def test_half_a_character_is_refused(http: httpx.Client, path: str) -> None:
    body = rb'{"model": "local/text", "input": "\ud800", "prompt": "\ud800", "messages": ["\ud800"]}'
    refused = http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (refused.status_code, "message" in refused.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embeddings", {"input": []}),
        ("/embeddings", {"input": [1, 2, 3]}),
        ("/embeddings", {"input": ""}),
        ("/embeddings", {"input": "x", "dimensions": 0}),
        ("/embeddings", {"input": "x", "encoding_format": "hex"}),
        ("/images/generations", {"prompt": ""}),
        ("/images/generations", {"prompt": "x", "size": "big"}),
        ("/images/generations", {"prompt": "x", "size": "0x5"}),
        ("/images/generations", {"prompt": "x", "size": "9999999x1"}),
        ("/images/generations", {"prompt": "x", "n": 99}),
        ("/audio/speech", {"input": ""}),
        ("/audio/speech", {"input": "x", "response_format": "vinyl"}),
        ("/audio/speech", {"input": "x", "speed": 100}),
        ("/audio/speech", {"input": "x", "voice": {"name": "y"}}),
        ("/moderations", {"input": []}),
        ("/moderations", {"input": [{"type": "text"}]}),
        ("/moderations", {}),
    ],
)
def test_other_odd_bodies_are_refused(http: httpx.Client, path: str, body: dict[str, Any]) -> None:
    kinds = {"/embeddings": "embedding", "/images/generations": "image", "/audio/speech": "speech"}
    answer = http.post(path, json={"model": f"local/{kinds.get(path, 'rules')}", **body})
    refused = answer.status_code in (400, 413, 415)
    assert refused or (answer.status_code == 200 and "voice" in body), answer.text
    if refused:
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"data": {"model": "local/transcribe"}},
        {"files": {"file": ("a.wav", b"")}},
        {"files": {"file": ("a.wav", b"not a sound")}, "data": {"model": "local/transcribe"}},
        {"files": {"file": ("a.wav", b"x")}, "data": {"model": "local/text"}},
        {"files": {"file": ("a.wav", b"x")}, "data": {"model": "local/transcribe", "response_format": "pdf"}},
        {"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"{}", "headers": {"Content-Type": "application/json"}},
    ],
)
def test_odd_forms_are_refused(http: httpx.Client, sent: dict[str, Any]) -> None:
    answer = http.post("/audio/transcriptions", **sent)
    assert answer.status_code in (400, 415), answer.text
    assert answer.json()["error"]["message"]
