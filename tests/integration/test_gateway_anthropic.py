"""The official `anthropic` client against the platform, over each protocol that a provider may speak."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream
from tests.integration.test_gateway import CHATTING, ECHOES, others, platform  # noqa: F401 - fixtures

TOOL: Any = {
    "name": "look_up",
    "description": "Looks something up.",
    "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}},
}
CALLING = ["openai/tools", "claude-haiku-4-5", "gemini/gemini-2.5-flash"]


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[anthropic.Anthropic]:  # noqa: F811
    with anthropic.Anthropic(api_key=platform.api_key, base_url=platform.url) as client:
        yield client


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.mark.parametrize("protocol", CHATTING)
def test_a_message_is_answered_whole(client: anthropic.Anthropic, protocol: str) -> None:
    message = client.messages.create(
        model=CHATTING[protocol],
        max_tokens=500,
        system="Be brief.",
        messages=said("the lamp is lit"),
        metadata={"user_id": "somebody"},
    )

    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert text_of(message)
    if protocol in ECHOES:
        assert "the lamp is lit" in text_of(message)
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


@pytest.mark.parametrize("protocol", CHATTING)
def test_a_message_is_streamed_event_by_event(client: anthropic.Anthropic, protocol: str) -> None:
    with client.messages.stream(
        model=CHATTING[protocol], max_tokens=500, messages=said("one two three four")
    ) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()

    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") >= 1
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0
    if protocol in ECHOES:
        assert "one two three four" in text_of(message)


@pytest.mark.parametrize("model", CALLING)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_tools_are_called_and_their_results_are_taken(
    client: anthropic.Anthropic, model: str, stream: bool
) -> None:
    asked: list[Any] = said("lighthouse")
    options: Any = {"model": model, "max_tokens": 500, "tools": [TOOL]}
    if stream:
        with client.messages.stream(messages=asked, **options) as running:
            first = running.get_final_message()
    else:
        first = client.messages.create(messages=asked, **options)

    assert first.stop_reason == "tool_use"
    [call] = [block for block in first.content if block.type == "tool_use"]
    assert (call.name, call.input) == ("look_up", {"text": "lighthouse"})

    result = {"type": "tool_result", "tool_use_id": call.id, "content": "a tall tower"}
    asked += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": [result]},
    ]
    assert "a tall tower" in text_of(client.messages.create(messages=asked, **options))


def test_what_was_thought_comes_and_goes_back(client: anthropic.Anthropic) -> None:
    options: Any = {"model": "claude-haiku-4-5", "max_tokens": 3000, "tools": [TOOL]}
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    asked: list[Any] = said("lighthouse")
    first = client.messages.create(messages=asked, thinking=thinking, **options)
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    [call] = [block for block in first.content if block.type == "tool_use"]
    asked += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "a tower"}]},
    ]
    assert "a tower" in text_of(client.messages.create(messages=asked, thinking=thinking, **options))


def test_thoughts_of_another_protocol_are_blocks_too(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model="openai_compatible/reasoner", max_tokens=500, messages=said("hi there")
    ) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text"]


def test_what_is_marked_for_the_cache_reaches_anthropic(
    client: anthropic.Anthropic,
    others: dict[str, Upstream],  # noqa: F811
) -> None:
    others["anthropic"].forget()
    system: Any = [{"type": "text", "text": "A long rule.", "cache_control": {"type": "ephemeral"}}]
    client.messages.create(
        model="claude-haiku-4-5", max_tokens=9, system=system, messages=said("hi"), extra_body={"top_k": 5}
    )
    [call] = others["anthropic"].calls("/v1/messages")
    assert call["body"]["system"] == system
    assert call["body"]["top_k"] == 5


async def test_the_asynchronous_client_works_as_well(platform: Platform) -> None:  # noqa: F811
    async with anthropic.AsyncAnthropic(api_key=platform.api_key, base_url=platform.url) as client:
        async with client.messages.stream(
            model="gpt-4o-mini", max_tokens=50, messages=said("one two")
        ) as stream:
            text = "".join([piece async for piece in stream.text_stream])
    assert text == "one two"


def test_tokens_are_counted(client: anthropic.Anthropic) -> None:
    few = client.messages.count_tokens(model="claude-haiku-4-5", messages=said("one two three"))
    more = client.messages.count_tokens(
        model="claude-haiku-4-5", system="Be brief.", messages=said("one two three"), tools=[TOOL]
    )
    assert 3 <= few.input_tokens < 30 < more.input_tokens < 100


# Errors


@pytest.mark.parametrize(
    ("directive", "kind"),
    [
        ("status=400", anthropic.BadRequestError),
        ("status=429 retry_after=1", anthropic.RateLimitError),
        ("status=500", anthropic.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_each_failure_of_a_provider_is_its_class_and_is_not_tried_again(
    client: anthropic.Anthropic,
    others: dict[str, Upstream],  # noqa: F811
    directive: str,
    kind: type[Exception],
    stream: bool,
) -> None:
    others["anthropic"].forget()
    with pytest.raises(kind) as failed:
        client.messages.create(
            model="claude-opus-4-1", max_tokens=9, messages=said(f"hi [[{directive}]]"), stream=stream
        )
    error: Any = failed.value
    assert error.body["error"]["message"]
    assert error.request_id.startswith("req_")
    assert len(others["anthropic"].calls()) <= 3


def test_what_is_wrong_with_a_request_is_said(client: anthropic.Anthropic, platform: Platform) -> None:  # noqa: F811
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.messages.create(model="gpt-4o-mini", max_tokens=0, messages=said("hi"))
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="anthropic/none-of-these", max_tokens=9, messages=said("hi"))
    odd: Any = [{"role": "user", "content": [{"type": "hologram"}]}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages\.0\.content\.0"):
        client.messages.create(model="gpt-4o-mini", max_tokens=9, messages=odd)
    with (
        anthropic.Anthropic(api_key="nxs_unknown", base_url=platform.url) as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        stranger.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=said("hi"))
    with platform.client() as admin:
        narrow = admin.keys.create("narrow", allowed_models=["local/*"])
    with (
        anthropic.Anthropic(api_key=narrow.api_key, base_url=platform.url) as other,
        pytest.raises(anthropic.PermissionDeniedError, match="local/"),
    ):
        other.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=said("hi"))


def test_paths_that_there_are_not_are_anthropics_errors_too(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as lost:
        client.messages.batches.retrieve("msgbatch_none")
    assert (lost.value.type, lost.value.request_id) == ("not_found_error", lost.value.body["request_id"])  # type: ignore[index]
    with pytest.raises(anthropic.APIStatusError) as refused:
        client.get("/v1/messages", cast_to=object)
    assert (refused.value.status_code, refused.value.type) == (405, "invalid_request_error")
    assert refused.value.response.headers["allow"] == "POST"


def test_a_stream_that_breaks_is_an_error_event(client: anthropic.Anthropic, platform: Platform) -> None:  # noqa: F811
    prompt = said("a b c d e [[drop=3]]")
    broken: Any = {"model": "openai/gpt-4o", "max_tokens": 50, "messages": prompt}
    with (
        httpx.Client(headers={"x-api-key": platform.api_key}) as http,
        http.stream("POST", f"{platform.url}/v1/messages", json={**broken, "stream": True}) as answer,
    ):
        lines = [line for line in answer.iter_lines() if line.startswith("event: ")]
    assert lines[0] == "event: message_start"
    assert lines[-1] == "event: error"
    with (
        pytest.raises(anthropic.APIError),
        client.messages.stream(**broken) as stream,
    ):
        stream.get_final_message()


def test_a_client_that_hangs_up_closes_the_providers_connection(
    platform: Platform,  # noqa: F811
    others: dict[str, Upstream],  # noqa: F811
) -> None:
    others["anthropic"].forget()
    body = {"model": "claude-haiku-4-5", "max_tokens": 50, "stream": True, "messages": said("a b [[hang=1]]")}
    with (
        httpx.Client(headers={"x-api-key": platform.api_key}) as http,
        http.stream("POST", f"{platform.url}/v1/messages", json=body) as answer,
    ):
        for _ in answer.iter_lines():
            break
    deadline = time.monotonic() + 20
    while not any(call["hung_up"] for call in others["anthropic"].calls()):
        assert time.monotonic() < deadline, "the provider is still being listened to"
        time.sleep(0.05)
