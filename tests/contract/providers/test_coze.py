"""Coze over a real socket: a chat is begun, asked after and listed, or streamed, by both clients."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nexusai.providers import (
    AdapterError,
    AsyncClient,
    AuthenticationError,
    Client,
    RateLimitError,
    RetryableError,
    RetryPolicy,
    TimeoutError,
    ValidationError,
)
from nexusai.providers.adapters import coze
from tests.fixtures.coze_upstream import CALLER, ECHO, THINKER, THOUGHT, running_upstream
from tests.fixtures.openai_upstream import Upstream

PNG = b"\x89PNG\r\n\x1a\n"
Use = Callable[..., Any]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture(params=["sync", "async"])
def nexus(request: pytest.FixtureRequest, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Use:
    """`nexus(lambda client: client.chat(…))`, on the sync client or the async one."""
    upstream.forget()
    monkeypatch.setattr(coze, "_PAUSE", 0.01)
    reached: dict[str, Any] = {"api_key": upstream.api_key, "base_url": upstream.base_url, "timeout": 5}
    reached["retry"] = RetryPolicy(base_delay=0)

    def now(use: Use, **options: Any) -> Any:
        with Client("coze", **{**reached, **options}) as client:
            found = use(client)
            return list(found) if inspect.isgenerator(found) else found

    async def later(use: Use, **options: Any) -> Any:
        async with AsyncClient("coze", **{**reached, **options}) as client:
            found = use(client)
            return [chunk async for chunk in found] if inspect.isasyncgen(found) else await found

    return now if request.param == "sync" else lambda use, **options: asyncio.run(later(use, **options))


def chat(prompt: str, model: str = ECHO, **options: Any) -> Use:
    return lambda client: client.chat(messages=prompt, model=model, **options)


def lines(upstream: Upstream) -> list[str]:
    return [f"{call['method']} {call['path']}" for call in upstream.calls()]


def test_a_chat_is_begun_asked_after_until_it_is_over_and_listed(nexus: Use, upstream: Upstream):
    answer = nexus(chat("你好 Coze [[polls=2]]"))
    assert (answer.content, answer.finish_reason, answer.model) == ("你好 Coze", "stop", ECHO)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.source) == (
        3,
        3,
        "provider",
    )
    assert answer.extra["follow_up"] == ["And then?"]
    polls = ["GET /v3/chat/retrieve"] * 3
    assert lines(upstream) == ["POST /v3/chat", *polls, "GET /v3/chat/message/list"]


def test_a_chat_is_streamed_by_one_request(nexus: Use, upstream: Upstream):
    chunks = nexus(chat("你好 Coze", THINKER, stream=True))
    assert "".join(chunk.delta for chunk in chunks) == "你好 Coze"
    assert "".join(chunk.reasoning or "" for chunk in chunks) == THOUGHT
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    assert chunks[-1].usage.source == "provider"
    assert lines(upstream) == ["POST /v3/chat"]


def test_a_thought_comes_with_the_answer(nexus: Use):
    assert nexus(chat("hi", THINKER)).reasoning == THOUGHT


def test_a_conversation_goes_on(nexus: Use, upstream: Upstream):
    first = nexus(chat("one"))
    where = first.extra["conversation_id"]
    assert nexus(chat("two", conversation_id=where)).extra["conversation_id"] == where


def test_bytes_are_uploaded_first(nexus: Use, upstream: Upstream):
    parts = [{"type": "text", "text": "seen"}, {"type": "image", "data": PNG}]
    answer = nexus(lambda client: client.chat(messages=[{"role": "user", "content": parts}], model=ECHO))
    assert answer.content == "seen"
    assert lines(upstream)[:2] == ["POST /v1/files/upload", "POST /v3/chat"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_plugin_of_the_callers_is_answered(nexus: Use, stream: bool):
    asked = {"role": "user", "content": "weather"}
    answer = nexus(lambda client: client.chat(messages=[asked], model=CALLER))
    assert (answer.finish_reason, answer.tool_calls[0]["function"]["name"]) == ("tool_calls", "look_up")
    result = {"role": "tool", "tool_call_id": answer.tool_calls[0]["id"], "content": "sunny"}
    messages = [asked, answer.message, result]
    last = nexus(lambda client: client.chat(messages=messages, model=CALLER, stream=stream))
    assert ("".join(chunk.delta for chunk in last) if stream else last.content) == "sunny"


@pytest.mark.parametrize(
    ("prompt", "kind", "status", "sent"),
    [
        ("[[code=4013]]", RateLimitError, 429, 3),
        ("[[code=4009]]", RetryableError, 503, 3),
        ("[[code=4028]]", RateLimitError, 429, 1),
        ("[[code=4000]]", ValidationError, 400, 1),
        ("[[status=503]]", RetryableError, 503, 3),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_repeated_where_that_helps(
    nexus: Use,
    upstream: Upstream,
    prompt: str,
    kind: type[AdapterError],
    status: int,
    sent: int,
    stream: bool,
):
    with pytest.raises(kind) as failure:
        nexus(chat(prompt, stream=stream))
    assert (failure.value.provider, failure.value.model, failure.value.status) == ("coze", ECHO, status)
    assert len(lines(upstream)) == sent


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_that_fails_says_why(nexus: Use, stream: bool):
    with pytest.raises(AdapterError, match="Told to fail") as failure:
        nexus(chat("hi [[failed=4011]]", stream=stream))
    assert (failure.value.code, failure.value.retryable) == ("4011", False)


@pytest.mark.parametrize("stream", [False, True])
def test_a_token_that_is_refused(nexus: Use, stream: bool):
    with pytest.raises(AuthenticationError) as failure:
        nexus(chat("hi", stream=stream), api_key="pat_wrong_and_secret")
    assert (failure.value.code, failure.value.request_id) == ("4100", "log_fake")
    assert "pat_wrong" not in repr(failure.value)


def test_a_bot_that_is_not_there(nexus: Use):
    with pytest.raises(ValidationError, match="does not exist") as failure:
        nexus(chat("hi", "123"))
    assert failure.value.status == 404


@pytest.mark.parametrize("fault", ["drop=1", "end=1", "error=1"])
def test_a_stream_that_breaks_off_is_an_error(nexus: Use, fault: str):
    with pytest.raises(RetryableError):
        nexus(chat(f"one two [[{fault}]]", stream=True))


def test_a_chat_that_is_not_over_in_time(nexus: Use):
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        nexus(chat("hi [[polls=1000000]]", timeout=0.15))
    assert time.monotonic() - begun < 2


def test_closing_a_stream_closes_the_connection(upstream: Upstream):
    upstream.forget()
    with Client("coze", api_key=upstream.api_key, base_url=upstream.base_url) as client:
        chunks = client.chat(messages="one two three [[hang=1]]", model=ECHO, stream=True)
        assert next(chunks).delta == "one"
        chunks.close()
        for _ in range(100):
            if upstream.calls()[-1]["hung_up"]:
                break
            time.sleep(0.02)
    assert upstream.calls()[-1]["hung_up"]
