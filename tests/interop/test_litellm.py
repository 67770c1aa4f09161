"""The Anthropic and Gemini adapters against another gateway's own endpoints of those protocols."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from nexusai.providers import AsyncClient, Client, RetryPolicy, ValidationError
from tests.interop.conftest import Proxy

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    },
}
TIME = {**WEATHER, "function": {**WEATHER["function"], "name": "time"}}


@pytest.fixture(params=["anthropic", "gemini"])
def client(request: pytest.FixtureRequest, proxy: Proxy) -> Any:
    url = proxy.url if request.param == "anthropic" else f"{proxy.url}/v1beta"
    with Client(
        request.param, api_key=proxy.api_key, base_url=url, retry=RetryPolicy(max_retries=0)
    ) as client:
        yield client


def text(chunks: list[Any]) -> str:
    return "".join(chunk.delta for chunk in chunks)


def calls(chunks: list[Any]) -> dict[int, tuple[str, str]]:
    """The calls of a stream, whole: name and arguments by index."""
    whole: dict[int, tuple[str, str]] = {}
    for piece in (piece for chunk in chunks for piece in chunk.tool_calls or ()):
        name, arguments = whole.get(piece["index"], ("", ""))
        function = piece["function"]
        whole[piece["index"]] = (
            name + (function.get("name") or ""),
            arguments + (function.get("arguments") or ""),
        )
    return whole


def test_a_chat(client: Any):
    answer = client.chat(model="echo", messages="one two 你好")
    assert (answer.content, answer.finish_reason) == ("one two 你好", "stop")
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.source == "provider"


def test_a_chat_streamed(client: Any):
    chunks = list(client.chat(model="echo", messages="one two 你好", stream=True))
    assert text(chunks) == "one two 你好"
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    assert chunks[-1].usage.total_tokens > 0


def test_the_settings_arrive(client: Any, proxy: Proxy):
    client.chat(
        model="echo",
        messages=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}],
        temperature=0.5,
        max_tokens=77,
        stop=["END"],
    )
    body = proxy.upstream.calls()[-1]["body"]
    assert (body["temperature"], body["max_tokens"], body["stop"]) == (0.5, 77, ["END"])
    assert body["messages"][0]["role"] == "system"
    assert "Be kind." in json.dumps(body["messages"][0]["content"])


def test_tools_are_called_and_their_results_understood(client: Any):
    question = {"role": "user", "content": "Rome"}
    asked = client.chat(model="tools", messages=[question], tools=[WEATHER])
    assert asked.finish_reason == "tool_calls"
    [call] = asked.tool_calls
    assert call["function"]["name"] == "weather"
    assert json.loads(call["function"]["arguments"]) == {"text": "Rome"}
    result = {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
    answer = client.chat(model="tools", messages=[question, asked.message, result], tools=[WEATHER])
    assert "sunny" in answer.content


def test_parallel_tools_streamed(client: Any):
    chunks = list(client.chat(model="tools", messages="Rome", tools=[WEATHER, TIME], stream=True))
    made = calls(chunks)
    assert sorted(name for name, _ in made.values()) == ["time", "weather"]
    assert all(json.loads(arguments) == {"text": "Rome"} for _, arguments in made.values())


def test_pictures_arrive(client: Any, proxy: Proxy):
    if client.providers == ["gemini"]:
        pytest.skip("LiteLLM's Gemini endpoint leaves pictures out on the way to OpenAI's protocol")
    picture = b"\x89PNG\r\n\x1a\nmore"
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image", "data": picture}]
    client.chat(model="echo", messages=[{"role": "user", "content": parts}])
    assert "data:image/png;base64,iVBORw0KGgptb3Jl" in json.dumps(proxy.upstream.calls()[-1]["body"])


def test_a_refused_request_is_a_validation_error(client: Any):
    with pytest.raises(ValidationError):
        client.chat(model="echo", messages="hi [[status=400]]")


def test_the_async_client_does_the_same(proxy: Proxy):
    async def both() -> tuple[str, str]:
        async with AsyncClient("anthropic", api_key=proxy.api_key, base_url=proxy.url) as client:
            whole = await client.chat(model="echo", messages="one two")
            chunks = [chunk async for chunk in client.chat(model="echo", messages="one two", stream=True)]
        return whole.content, text(chunks)

    assert asyncio.run(both()) == ("one two", "one two")
