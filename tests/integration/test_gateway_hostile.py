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
