"""A provider over a real socket: what is sent how often, and when connections close."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from nexusai.providers import (
    AdapterError,
    AsyncClient,
    AsyncProvider,
    AuthenticationError,
    CallRecord,
    ChatRequest,
    HttpxTransport,
    ImageRequest,
    ProviderConfig,
    RateLimitError,
    RetryableError,
    RetryPolicy,
    SpeechRequest,
    TimeoutError,
    open_provider,
)
from nexusai.providers.transport_aiohttp import AiohttpTransport
from tests.fixtures.openai_upstream import Upstream, running_upstream

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture(params=[HttpxTransport, AiohttpTransport])
async def provider(request: pytest.FixtureRequest, upstream: Upstream) -> AsyncIterator[AsyncProvider]:
    upstream.forget()
    transport = request.param()
    config = ProviderConfig("openai", upstream.api_key, upstream.base_url, timeout=5)
    yield open_provider(config, transport, retry=RetryPolicy(base_delay=0))
    await transport.aclose()


def chat(prompt: str, model: str = "echo", **options: Any) -> ChatRequest:
    return ChatRequest(model, [{"role": "user", "content": prompt}], **options)


async def call_when(upstream: Upstream, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The last call, once it is as it should be, or as it is after 5 s."""
    call: dict[str, Any] = {}
    for _ in range(100):
        call = (upstream.calls() or [call])[-1]
        if call and until(call):
            break
        await asyncio.sleep(0.05)
    return call


async def test_chat(provider: AsyncProvider):
    answer = await provider.chat(chat("hello 你好"))
    assert (answer.content, answer.finish_reason, answer.usage.total_tokens) == ("hello 你好", "stop", 6)


async def test_stream(provider: AsyncProvider):
    chunks = [chunk async for chunk in provider.stream(chat("one two 三"))]
    assert [chunk.delta for chunk in chunks] == ["one", " two", " 三", "", ""]
    assert chunks[-2].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.source == "provider"


async def test_a_stream_without_usage_is_estimated(provider: AsyncProvider):
    *_, last = [chunk async for chunk in provider.stream(chat("one two [[usage=none]]"))]
    assert last.usage is not None
    assert (last.usage.source, last.usage.completion_tokens) == ("estimate", 2)


async def test_streamed_tools(provider: AsyncProvider):
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    chunks = [chunk async for chunk in provider.stream(chat("Paris", "tools", tools=[tool]))]
    fragments = [call for chunk in chunks for call in chunk.tool_calls or ()]
    assert fragments[0]["function"]["name"] == "weather"
    assert "".join(fragment["function"]["arguments"] for fragment in fragments) == '{"text": "Paris"}'


async def test_pictures_as_data(provider: AsyncProvider):
    answer = await provider.generate_images(ImageRequest("gpt-image-1", "a cat", (1536, 1024), n=2))
    assert [image.media_type for image in answer.images] == ["image/png"] * 2
    assert answer.usage is not None


async def test_pictures_by_link_are_fetched_without_the_key(provider: AsyncProvider, upstream: Upstream):
    request = ImageRequest("dall-e-3", "a cat", (64, 32), extra={"response_format": "url"})
    [image] = (await provider.generate_images(request)).images
    assert image.data.startswith(b"\x89PNG")
    assert image.revised_prompt == "A picture of a cat"
    [fetch] = upstream.calls("/pictures/64x32.png")
    assert "authorization" not in fetch["headers"]


async def test_speech(provider: AsyncProvider):
    answer = await provider.synthesize(SpeechRequest("tts-1", "hello"))
    assert (answer.format, answer.data[:4]) == ("wav", b"RIFF")


@pytest.mark.parametrize(
    "fault", ["status=500", "status=503 retry_after=0.01", "status=429", "html", "empty"]
)
async def test_what_may_pass_is_tried_again(provider: AsyncProvider, upstream: Upstream, fault: str):
    answer = await provider.chat(chat(f"hello [[{fault} times=2]] chat {uuid4()}"))
    assert answer.content.startswith("hello")
    assert len(upstream.calls(CHAT)) == 3


async def test_a_call_is_sent_no_more_than_three_times(provider: AsyncProvider, upstream: Upstream):
    with pytest.raises(RateLimitError) as failure:
        await provider.chat(chat("[[status=429]]"))
    assert len(upstream.calls(CHAT)) == 3
    assert (failure.value.provider, failure.value.model, failure.value.status) == ("openai", "echo", 429)
    assert failure.value.request_id == "req_fake"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status=401", AuthenticationError),
        ("status=429 retry_after=3600", RateLimitError),
        ("drop=0", RetryableError),
        ("drop=1", RetryableError),
    ],
)
async def test_what_may_have_been_done_or_will_not_pass_is_sent_once(
    provider: AsyncProvider, upstream: Upstream, fault: str, error: type[AdapterError]
):
    with pytest.raises(error):
        await provider.chat(chat(f"[[{fault}]]"))
    assert len(upstream.calls(CHAT)) == 1


async def test_a_read_timeout_is_not_tried_again(upstream: Upstream):
    upstream.forget()
    async with contextlib.aclosing(HttpxTransport()) as transport:
        config = ProviderConfig("openai", upstream.api_key, upstream.base_url, timeout=0.1)
        with pytest.raises(TimeoutError) as failure:
            await open_provider(config, transport).chat(chat("[[hang]]"))
    assert (failure.value.provider, failure.value.model) == ("openai", "echo")
    assert len(upstream.calls(CHAT)) == 1


async def test_an_unreachable_vendor_is_tried_again():
    records: list[CallRecord] = []
    async with contextlib.aclosing(HttpxTransport()) as transport:
        config = ProviderConfig("openai", "sk-test", "http://127.0.0.1:9/v1")
        provider = open_provider(config, transport, retry=RetryPolicy(base_delay=0), hooks=[records.append])
        with pytest.raises(RetryableError, match=r"could not connect to 127\.0\.0\.1:9"):
            await provider.chat(chat("hi"))
    assert [record.attempts for record in records] == [3]


async def test_a_stream_is_tried_again_before_its_first_chunk(provider: AsyncProvider, upstream: Upstream):
    chunks = [chunk async for chunk in provider.stream(chat(f"one [[status=500 times=2]] {uuid4()}"))]
    assert chunks[0].delta == "one"
    assert len(upstream.calls(CHAT)) == 3


@pytest.mark.parametrize("fault", ["drop=1", "end=1", "error=1"])
async def test_a_stream_is_not_tried_again_after_its_first_chunk(
    provider: AsyncProvider, upstream: Upstream, fault: str
):
    received = []

    async def read() -> None:
        async for chunk in provider.stream(chat(f"one two [[{fault}]]")):
            received.append(chunk.delta)

    with pytest.raises(RetryableError) as failure:
        await read()
    assert received == ["one"]
    assert (failure.value.provider, failure.value.model) == ("openai", "echo")
    assert len(upstream.calls(CHAT)) == 1


async def test_closing_the_iterator_closes_the_connection(provider: AsyncProvider, upstream: Upstream):
    async with contextlib.aclosing(provider.stream(chat("one two three [[hang=1]]"))) as chunks:
        assert (await anext(chunks)).delta == "one"
    assert (await call_when(upstream, lambda call: call["hung_up"]))["hung_up"]


async def test_cancelling_the_reader_closes_the_connection(provider: AsyncProvider, upstream: Upstream):
    async def read() -> None:
        async for _ in provider.stream(chat("one two three [[hang=1]]")):
            pass

    task = asyncio.create_task(read())
    await call_when(upstream, lambda call: call["status"] == 200)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await call_when(upstream, lambda call: call["hung_up"]))["hung_up"]


async def test_a_finished_stream_leaves_its_connection_for_the_next(
    provider: AsyncProvider, upstream: Upstream
):
    for _ in range(3):
        _ = [chunk async for chunk in provider.stream(chat("one two"))]
    assert len({call["client"] for call in upstream.calls(CHAT)}) == 1


async def test_the_client_works_alone(upstream: Upstream):
    async with AsyncClient("openai", api_key=upstream.api_key, base_url=upstream.base_url) as client:
        answer = await client.chat(messages="你好", model="echo", temperature=0.5, top_k=3)
        chunks = [chunk async for chunk in client.chat(messages="one two", model="echo", stream=True)]
    assert answer.content == "你好"
    assert "".join(chunk.delta for chunk in chunks) == "one two"
    assert upstream.calls()[-2]["body"]["top_k"] == 3
