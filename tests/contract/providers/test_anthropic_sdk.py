"""The fake of Anthropic's API against an independent client, Anthropic's own package; and the adapter against
both: the package's types take what it sends, and it reads what the fake answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from pydantic import BaseModel, Field, TypeAdapter

from nexusai.providers import ChatResponse, Client, RateLimitError, RetryableError, RetryPolicy
from tests.fixtures.anthropic_upstream import running_upstream
from tests.fixtures.openai_upstream import Upstream

HAIKU, SONNET, OPUS = "claude-haiku-4-5", "claude-sonnet-5-5", "claude-opus-4-1"
TOOLS: Any = [
    {"name": name, "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}}}
    for name in ("weather", "time")
]
FUNCTIONS = [
    {"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}}
    for tool in TOOLS
]


class Echo(BaseModel):
    text: str = Field(min_length=1)


CASES = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parents[2] / "fixtures/providers/anthropic").glob("*.json"))
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def official(upstream: Upstream) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=upstream.base_url, api_key=upstream.api_key, max_retries=0, timeout=5
    ) as client:
        yield client


@pytest.fixture
def client(upstream: Upstream) -> Iterator[Client]:
    with Client("anthropic", api_key=upstream.api_key, base_url=upstream.base_url, timeout=5) as client:
        yield client


def ask(official: anthropic.Anthropic, prompt: str, model: str = HAIKU, **options: Any) -> Message:
    messages: Any = [{"role": "user", "content": prompt}]
    return official.messages.create(**{"model": model, "max_tokens": 2000, "messages": messages, **options})


# the official package as a client of the fake


def test_the_package_chats(official: anthropic.Anthropic):
    answer = ask(official, "hello there 你好", system="Be brief.")
    assert [block.text for block in answer.content if block.type == "text"] == ["hello there 你好"]
    assert (answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == ("end_turn", 6, 4)


def test_the_package_is_cut_by_max_tokens(official: anthropic.Anthropic):
    assert ask(official, "one two three", max_tokens=2).stop_reason == "max_tokens"


def test_the_package_streams(official: anthropic.Anthropic):
    with official.messages.stream(
        model=HAIKU, max_tokens=9, messages=[{"role": "user", "content": "one 二 three"}]
    ) as stream:
        assert list(stream.text_stream) == ["one", " 二", " three"]
        assert stream.get_final_message().usage.output_tokens == 3


def test_the_package_calls_tools_and_gives_back_thoughts(official: anthropic.Anthropic):
    answer = ask(official, "London", SONNET, tools=TOOLS)
    kinds = [block.type for block in answer.content]
    assert kinds == ["thinking", "tool_use", "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
        for block in answer.content
        if block.type == "tool_use"
    ]
    history: Any = [
        {"role": "user", "content": "London"},
        answer.to_param(),
        {"role": "user", "content": results},
    ]
    again = official.messages.create(model=SONNET, max_tokens=100, messages=history, tools=TOOLS)
    assert [block.text for block in again.content if block.type == "text"] == ["rain rain"]
    history[1] = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "", "signature": "forged"}],
    }
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        official.messages.create(model=SONNET, max_tokens=100, messages=history[:2])


def test_the_package_streams_tools(official: anthropic.Anthropic):
    messages: Any = [{"role": "user", "content": "London"}]
    with official.messages.stream(model=HAIKU, max_tokens=9, messages=messages, tools=TOOLS) as stream:
        called = [block for block in stream.get_final_message().content if block.type == "tool_use"]
    assert [(block.name, block.input) for block in called] == [
        ("weather", {"text": "London"}),
        ("time", {"text": "London"}),
    ]


def test_the_package_gets_json_by_a_schema(official: anthropic.Anthropic):
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "additionalProperties": False}
    answer = ask(official, "hi", output_config={"format": {"type": "json_schema", "schema": schema}})
    assert [block.text for block in answer.content if block.type == "text"] == ['{"text": "hi"}']


def test_the_package_counts_tokens_and_lists_models(official: anthropic.Anthropic):
    counted = official.messages.count_tokens(model=HAIKU, messages=[{"role": "user", "content": "one two"}])
    assert counted.input_tokens == 2
    assert {HAIKU, SONNET} <= {model.id for model in official.models.list()}


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        ("[[status=400]]", anthropic.BadRequestError),
        ("[[status=403]]", anthropic.PermissionDeniedError),
        ("[[status=413]]", anthropic.RequestTooLargeError),
        ("[[status=429]]", anthropic.RateLimitError),
        ("[[status=500]]", anthropic.InternalServerError),
        ("[[status=529]]", anthropic.OverloadedError),
        ("[[html]]", anthropic.InternalServerError),
        ("[[drop=0]]", anthropic.APIConnectionError),
    ],
)
def test_the_package_knows_the_errors(
    official: anthropic.Anthropic, prompt: str, error: type[anthropic.APIError]
):
    with pytest.raises(error):
        ask(official, prompt)


def test_the_package_knows_what_stands_in_an_error(official: anthropic.Anthropic):
    with pytest.raises(anthropic.NotFoundError) as failure:
        ask(official, "hi", "claude-99")
    assert (failure.value.type, failure.value.request_id) == ("not_found_error", "req_fake")


def test_the_package_raises_an_error_in_a_stream(official: anthropic.Anthropic):
    with pytest.raises(anthropic.APIStatusError, match="Told to answer 500"):
        list(ask(official, "a b c [[error=2]]", stream=True))


def test_a_wrong_key_is_refused(upstream: Upstream):
    with anthropic.Anthropic(base_url=upstream.base_url, api_key="sk-wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError):
            ask(client, "hi")


@pytest.mark.parametrize(
    ("model", "options", "told"),
    [
        (SONNET, {"extra_body": {"temperature": 0.5}}, "deprecated"),
        (SONNET, {"tools": TOOLS, "tool_choice": {"type": "any"}}, "forced tool use"),
        (SONNET, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking.type.enabled"),
        (HAIKU, {"thinking": {"type": "adaptive"}}, "thinking.type.adaptive"),
        (HAIKU, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, "less than max_tokens"),
        (HAIKU, {"max_tokens": 100_000}, "which is the maximum"),
        (HAIKU, {"extra_body": {"seed": 1}}, "Extra inputs are not permitted"),
    ],
)
def test_models_refuse_what_the_real_ones_refuse(
    official: anthropic.Anthropic, model: str, options: Any, told: str
):
    with pytest.raises(anthropic.BadRequestError, match=told):
        ask(official, "hi", model, **options)


# the package's types


def body_of(name: str) -> Any:
    return CASES[name].get("sent", {}).get("body")


@pytest.mark.parametrize("name", [name for name in CASES if body_of(name)])
def test_the_types_take_what_the_adapter_sends(name: str):
    body, types = body_of(name), MessageCreateParamsNonStreaming
    if CASES[name]["kind"] == "count_tokens":
        types = MessageCountTokensParams
    elif body.get("stream"):
        types = MessageCreateParamsStreaming
    TypeAdapter(types).validate_python(body)
    # which only API versions before the package's own take
    assert body.keys() - {"temperature", "top_p"} <= {*types.__required_keys__, *types.__optional_keys__}


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if case["kind"] == "chat" and "result" in case]
)
def test_the_types_take_what_the_adapter_reads(name: str):
    if name not in ("chat_content_of_unknown_type", "chat_finish_something_new"):
        Message.model_validate(CASES[name]["answer"]["body"], strict=True)


@pytest.mark.parametrize("name", ["stream_plain", "stream_reasoning", "stream_parallel_tool_fragments"])
def test_the_types_take_the_events_that_the_adapter_reads(name: str):
    data = [line[6:] for event in CASES[name]["events"] for line in event.split("\n") if line[:6] == "data: "]
    for event in map(json.loads, data):
        if event["type"] != "ping":  # which the package does not pass on
            TypeAdapter(RawMessageStreamEvent).validate_python(event)


# the adapter as a client of the fake


def test_the_adapter_chats(client: Client):
    answer = client.chat(messages="hello there 你好", model=HAIKU, temperature=0.5, top_p=0.9)
    assert (answer.content, answer.finish_reason) == ("hello there 你好", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 4)


@pytest.mark.parametrize("model", [OPUS, HAIKU, "claude-opus-4-6", SONNET, "claude-opus-5-5"])
@pytest.mark.parametrize("effort", [None, "none", "minimal", "high", "max"])
def test_every_model_takes_what_it_is_sent(client: Client, model: str, effort: str | None):
    answer = client.chat(
        messages="hi",
        model=model,
        temperature=1.2,
        reasoning_effort=effort,
        tools=FUNCTIONS,
        tool_choice="required",
    )
    assert [call["function"]["name"] for call in answer.tool_calls or ()] == ["weather", "time"]
    echo = client.parse(messages="hi", model=model, reasoning_effort=effort, response_model=Echo)
    assert echo.text == "hi"


def test_the_adapter_streams(client: Client):
    chunks = list(client.chat(messages="one 二 three", model=SONNET, reasoning_effort="low", stream=True))
    assert "".join(chunk.delta for chunk in chunks) == "one 二 three"
    assert "".join(chunk.reasoning or "" for chunk in chunks) == "Let me think."
    assert chunks[-1].usage is not None


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
def test_thoughts_and_calls_go_back_with_their_results(client: Client, is_streamed: bool):
    asked: list[Any] = [{"role": "user", "content": "London"}]
    options: dict[str, Any] = {"model": SONNET, "tools": FUNCTIONS, "reasoning_effort": "low"}
    if is_streamed:
        message = put_together(list(client.chat(messages=asked, stream=True, **options)))
    else:
        answer = client.chat(messages=asked, **options)
        assert isinstance(answer, ChatResponse)
        message = answer.message
    asked += [
        message,
        *({"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in message["tool_calls"]),
    ]
    assert client.chat(messages=asked, **options).content == "rain rain"


def put_together(chunks: Sequence[Any]) -> dict[str, Any]:
    calls: dict[int, Any] = {}
    for fragment in (fragment for chunk in chunks for fragment in chunk.tool_calls or ()):
        call = calls.setdefault(fragment["index"], {**fragment, "function": {"arguments": ""}})
        call["function"] |= {"name": call["function"].get("name") or fragment["function"].get("name")}
        call["function"]["arguments"] += fragment["function"].get("arguments") or ""
    return {
        "role": "assistant",
        "content": "".join(chunk.delta for chunk in chunks),
        "tool_calls": list(calls.values()),
        "reasoning_blocks": [block for chunk in chunks for block in chunk.reasoning_blocks or ()],
    }


def test_the_adapter_counts_tokens(client: Client):
    counted = client.count_tokens("one two three", model=HAIKU)
    assert (counted.tokens, counted.source) == (3, "provider")


def test_the_adapter_knows_the_errors(upstream: Upstream):
    once = RetryPolicy(max_retries=0)
    with Client("anthropic", api_key=upstream.api_key, base_url=upstream.base_url, retry=once) as client:
        with pytest.raises(RateLimitError) as failure:
            client.chat(messages="[[status=429 retry_after=3]]", model=HAIKU)
        assert (failure.value.retry_after, failure.value.request_id) == (3.0, "req_fake")
        with pytest.raises(RetryableError, match="Told to answer 529"):
            client.chat(messages="[[status=529]]", model=HAIKU)
        with pytest.raises(RetryableError, match="Told to answer 500"):
            list(client.chat(messages="a b c [[error=2]]", model=HAIKU, stream=True))
        with pytest.raises(RetryableError, match="ended the stream early"):
            list(client.chat(messages="a b c [[end=2]]", model=HAIKU, stream=True))
