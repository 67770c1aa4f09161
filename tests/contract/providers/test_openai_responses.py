"""OpenAI's own package and our adapter, both over a socket, against the same fake of the Responses API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)
from pydantic import TypeAdapter

from nexusai.providers import (
    AuthenticationError,
    ChatRequest,
    Client,
    ProviderConfig,
    RateLimitError,
    RetryableError,
    ValidationError,
)
from nexusai.providers.adapters.openai_responses import build_responses
from tests.fixtures.openai_upstream import Upstream, running_upstream

MODEL = "gpt-5.1"
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": TEXT}} for name in ("weather", "time")
]
FLAT: Any = [{"type": "function", "name": "weather", "parameters": TEXT, "strict": False}]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def official(upstream: Upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=upstream.base_url, api_key=upstream.api_key, max_retries=0) as client:
        yield client


@pytest.fixture
def client(upstream: Upstream) -> Iterator[Client]:
    upstream.forget()
    settings = {"max_retries": 0, "options": {"api": "responses"}}
    with Client("openai", api_key=upstream.api_key, base_url=upstream.base_url, **settings) as client:
        yield client


# OpenAI's package as a client of the fake: what it reads is what OpenAI's API answers


def test_the_package_reads_a_whole_answer_of_the_fake(official: openai.OpenAI):
    answer = official.responses.create(
        model=MODEL, input="Hello 你好", instructions="Be brief.", reasoning={"summary": "auto"}, store=False
    )
    assert answer.output_text == "Hello 你好"
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens_details.reasoning_tokens) == (5, 3)


def test_the_package_reads_a_streamed_answer_of_the_fake(official: openai.OpenAI):
    with official.responses.stream(model=MODEL, input="Paris", tools=FLAT) as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.function_call_arguments.delta") == 3
    [call] = [item for item in answer.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"text": "Paris"}


def test_the_package_reads_streamed_text_of_the_fake(official: openai.OpenAI):
    with official.responses.stream(model=MODEL, input="one two", reasoning={"summary": "auto"}) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert deltas == ["one", " two"]
    assert stream.get_final_response().output_text == "one two"


def test_the_package_counts_with_the_fake(official: openai.OpenAI):
    assert official.responses.input_tokens.count(model=MODEL, input="one two").input_tokens == 2


@pytest.mark.parametrize("name", ["stop", "messages"])
def test_the_fake_knows_no_fields_of_chat_completions(official: openai.OpenAI, name: str):
    with pytest.raises(openai.BadRequestError, match=name):
        official.responses.create(model=MODEL, input="hi", extra_body={name: ["x"]})


# Our adapter's requests in the types of OpenAI's package


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_with_everything_is_what_the_official_types_allow(stream: bool):
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    block = {"type": "reasoning", "id": "rs_1", "encrypted_content": "gA", "summary": []}
    request = ChatRequest(
        MODEL,
        [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi"},
                    {"type": "image", "data": b"\x89PNG\r\n\x1a\n"},
                    {"type": "file", "data": b"%PDF", "filename": "a.pdf"},
                ],
            },
            {
                "role": "assistant",
                "content": "I look",
                "tool_calls": [call, {**call, "id": "call_2"}],
                "reasoning_blocks": [block, {**block, "id": "rs_2", "calls_before": 1}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
        ],
        max_tokens=100,
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "weather"}},
        response_format={"type": "json_schema", "json_schema": {"name": "N", "schema": TEXT}},
        reasoning_effort="low",
    )
    sent = build_responses(ProviderConfig("openai", "sk-test", "http://x"), request, stream=stream)
    body = json.loads(sent.body or b"")
    params: Any = ResponseCreateParamsStreaming if stream else ResponseCreateParamsNonStreaming
    assert TypeAdapter(params).validate_python(body)
    assert body.keys() <= {*params.__required_keys__, *params.__optional_keys__}


# Our adapter over the socket


def test_a_whole_answer(client: Client, upstream: Upstream):
    answer = client.chat(model=MODEL, messages="Hello 你好", reasoning={"summary": "auto"}, temperature=0.5)
    assert (answer.content, answer.reasoning, answer.finish_reason) == ("Hello 你好", "Let me think.", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.reasoning_tokens) == (3, 3)
    [call] = upstream.calls("/v1/responses")
    assert call["body"]["store"] is False


def test_a_streamed_answer(client: Client):
    chunks = list(client.chat(model=MODEL, messages="one 二", stream=True, reasoning={"summary": "auto"}))
    assert "".join(chunk.delta for chunk in chunks) == "one 二"
    assert "".join(chunk.reasoning or "" for chunk in chunks) == "Let me think."
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    assert chunks[-1].usage is not None


def test_an_answer_that_is_cut_short(client: Client):
    assert client.chat(model="gpt-4o", messages="one two three", max_tokens=2).finish_reason == "length"


def test_a_conversation_with_tools_gives_the_reasoning_back(client: Client, upstream: Upstream):
    messages: list[Any] = [{"role": "user", "content": "Paris"}]
    answer = client.chat(model=MODEL, messages=messages, tools=TOOLS)
    assert answer.tool_calls is not None
    assert [call["function"]["name"] for call in answer.tool_calls] == ["weather", "time"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in answer.tool_calls]
    last = client.chat(model=MODEL, messages=[*messages, answer.message, *results], tools=TOOLS)
    assert last.content == "rain"
    kinds = [
        item.get("type", item.get("role")) for item in upstream.calls("/v1/responses")[-1]["body"]["input"]
    ]
    calls = ["function_call", "function_call", "function_call_output", "function_call_output"]
    assert kinds == ["user", "reasoning", *calls]


def test_streamed_calls_come_in_fragments_with_their_reasoning(client: Client):
    chunks = list(client.chat(model=MODEL, messages="Paris", tools=TOOLS, stream=True))
    fragments = [call for chunk in chunks for call in chunk.tool_calls or ()]
    written = ["".join(f["function"]["arguments"] for f in fragments if f["index"] == at) for at in (0, 1)]
    assert written == ['{"text": "Paris"}'] * 2
    [block] = [block for chunk in chunks for block in chunk.reasoning_blocks or ()]
    assert block["encrypted_content"]


def test_the_vendors_own_count_of_tokens(client: Client):
    counted = client.count_tokens([{"role": "user", "content": "one two"}], model=MODEL)
    assert (counted.tokens, counted.source) == (2, "provider")


def test_elsewhere_than_at_openai_chat_goes_by_chat_completions(upstream: Upstream):
    with Client("openai", api_key=upstream.api_key, base_url=upstream.base_url) as client:
        assert client.chat(model=MODEL, messages="hi").content == "hi"
    assert upstream.calls()[-1]["path"] == "/v1/chat/completions"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("[[status=429 retry_after=3]]", RateLimitError),
        ("[[status=500]]", RetryableError),
        ("[[status=400]]", ValidationError),
        ("[[status=401]]", AuthenticationError),
        ("[[html]]", RetryableError),
    ],
)
def test_errors(client: Client, prompt: str, kind: type[Exception], stream: bool):
    with pytest.raises(kind):
        list(client.chat(model=MODEL, messages=f"hi {prompt}", stream=stream))  # type: ignore[call-overload]


@pytest.mark.parametrize("prompt", ["a b c [[error=2]]", "a b c [[end=2]]", "a b c [[drop=2]]"])
def test_a_stream_that_breaks(client: Client, prompt: str):
    chunks = client.chat(model="gpt-4o", messages=prompt, stream=True)
    assert [next(chunks).delta, next(chunks).delta] == ["a", " b"]
    with pytest.raises(RetryableError):
        next(chunks)
