from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from pytest_httpx import HTTPXMock, IteratorStream

from nexusai._internal._streaming import SSEDecoder
from nexusai.error import ConfigurationError
from nexusai.providers import (
    AdapterError,
    AsyncClient,
    AsyncProvider,
    CapabilityError,
    ChatRequest,
    HttpxTransport,
    ImageRequest,
    ProviderConfig,
    RetryableError,
    RetryPolicy,
    SpeechRequest,
    ValidationError,
    flow,
    open_provider,
)
from nexusai.providers.adapters import openai_media, openai_stream
from nexusai.providers.adapters.vendors import VENDORS

HI = ChatRequest("m", [{"role": "user", "content": "hi"}])
LINK = "https://pictures.example/1.png"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
async def transport() -> AsyncIterator[HttpxTransport]:
    transport = HttpxTransport()
    yield transport
    await transport.aclose()


@pytest.fixture
def provider(transport: HttpxTransport) -> AsyncProvider:
    config = ProviderConfig(
        "openai", "sk-1", "https://vendor.example/v1", models={"chat": "c", "images": "i"}
    )
    return open_provider(config, transport, retry=RetryPolicy(base_delay=0))


def sse(*blocks: str) -> dict[str, Any]:
    content = "".join(f"data: {block}\n\n" for block in blocks).encode()
    return {"content": content, "headers": {"content-type": "text/event-stream"}}


def test_the_chat_model_serves_what_chat_can_do(provider: AsyncProvider):
    uses = ("chat", "stream", "tools", "vision", "images", "speech")
    assert [provider.default_model(use) for use in uses] == ["c", "c", "c", "c", "i", None]


def test_there_is_no_default_model_for_what_a_vendor_cannot_do(transport: HttpxTransport):
    deepseek = open_provider(
        ProviderConfig("deepseek", "k", "https://d.example", models={"chat": "c"}), transport
    )
    assert deepseek.default_model("embeddings") is None


@pytest.mark.parametrize("use", ["images", "speech"])
async def test_a_missing_capability_names_who_has_it(transport: HttpxTransport, use: str):
    deepseek = open_provider(ProviderConfig("deepseek", "k", "https://d.example"), transport)
    call = {
        "images": deepseek.generate_images(ImageRequest("m", "a cat")),
        "speech": deepseek.synthesize(SpeechRequest("m", "hello")),
    }
    asked = call.pop(use)
    for other in call.values():
        other.close()  # type: ignore[attr-defined]
    with pytest.raises(
        CapabilityError, match=rf"deepseek cannot do {use}; these can: .*openai, .*siliconflow"
    ):
        await asked


async def test_a_stream_answered_with_json_is_read_whole(provider: AsyncProvider, httpx_mock: HTTPXMock):
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "greet"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    choice = {"index": 0, "message": message, "finish_reason": "length"}
    httpx_mock.add_response(json={"model": "m2", "choices": [choice], "usage": usage})
    text, last = [chunk async for chunk in provider.stream(HI)]
    assert (text.delta, text.reasoning, text.finish_reason, text.model) == ("Hi", "greet", "length", "m2")
    assert last.usage is not None
    assert last.usage.total_tokens == 3


async def test_an_error_answered_to_a_stream_as_json_is_raised(
    provider: AsyncProvider, httpx_mock: HTTPXMock
):
    httpx_mock.add_response(json={"error": {"message": "no such model", "type": "invalid_request_error"}})
    with pytest.raises(ValidationError, match="openai: no such model"):
        _ = [chunk async for chunk in provider.stream(HI)]


async def test_an_event_nested_beyond_reading_is_an_adapter_error(
    provider: AsyncProvider, httpx_mock: HTTPXMock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(openai_stream, "json", json)  # orjson refuses it as bad JSON; json with another error
    httpx_mock.add_response(**sse("[" * 100_000), is_reusable=True)
    with pytest.raises(RetryableError, match="sent a chunk that is not JSON"):
        _ = [chunk async for chunk in provider.stream(HI)]


async def test_an_event_over_the_decoders_limit_is_an_adapter_error(
    provider: AsyncProvider, httpx_mock: HTTPXMock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(flow, "SSEDecoder", partial(SSEDecoder, 10))
    httpx_mock.add_response(**sse('{"choices": []}'))
    with pytest.raises(AdapterError, match="larger than 10 bytes"):
        _ = [chunk async for chunk in provider.stream(HI)]


async def test_a_body_that_does_not_end_after_done_is_left(provider: AsyncProvider, httpx_mock: HTTPXMock):
    class Endless(IteratorStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield sse('{"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}', "[DONE]")[
                "content"
            ]
            await asyncio.Event().wait()

    httpx_mock.add_response(stream=Endless([]), headers={"content-type": "text/event-stream"})
    chunks = [chunk async for chunk in provider.stream(HI)]
    assert chunks[0].delta == "Hi"


async def test_pictures_are_fetched_from_links(provider: AsyncProvider, httpx_mock: HTTPXMock):
    httpx_mock.add_response(
        method="POST", json={"data": [{"url": LINK, "revised_prompt": "r"}, {"url": LINK}]}
    )
    httpx_mock.add_response(method="GET", url=LINK, content=PNG, is_reusable=True)
    answer = await provider.generate_images(ImageRequest("dall-e-3", "a cat"))
    assert [(image.media_type, image.revised_prompt) for image in answer.images] == [
        ("image/png", "r"),
        ("image/png", None),
    ]
    assert all("authorization" not in request.headers for request in httpx_mock.get_requests(method="GET"))


@pytest.mark.parametrize("declared", ["text/html", "image/svg+xml", "image/png"])
async def test_a_link_to_no_known_picture_is_an_error_whatever_its_server_says(
    provider: AsyncProvider, httpx_mock: HTTPXMock, declared: str
):
    httpx_mock.add_response(method="POST", json={"data": [{"url": LINK}]})
    httpx_mock.add_response(method="GET", content=b"<svg/>", headers={"content-type": declared})
    with pytest.raises(AdapterError, match="openai answered with something that is no picture") as failure:
        await provider.generate_images(ImageRequest("dall-e-3", "a cat"))
    assert not failure.value.retryable


async def test_data_that_is_no_picture_is_an_error(provider: AsyncProvider, httpx_mock: HTTPXMock):
    httpx_mock.add_response(json={"data": [{"b64_json": "PHN2Zy8+"}]})
    with pytest.raises(AdapterError, match="openai answered with something that is no picture"):
        await provider.generate_images(ImageRequest("dall-e-3", "a cat"))


async def test_a_picture_over_the_limit_is_an_error(
    provider: AsyncProvider, httpx_mock: HTTPXMock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(openai_media, "_MOST_BYTES", 10)
    httpx_mock.add_response(method="POST", json={"data": [{"url": LINK}]})
    httpx_mock.add_response(method="GET", content=PNG * 2)
    with pytest.raises(AdapterError, match=r"its picture has more than 10 bytes"):
        await provider.generate_images(ImageRequest("dall-e-3", "a cat"))


async def test_a_picture_is_fetched_again_but_made_once(provider: AsyncProvider, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", json={"data": [{"url": LINK}]})
    httpx_mock.add_response(method="GET", status_code=503)
    httpx_mock.add_response(method="GET", content=PNG)
    await provider.generate_images(ImageRequest("dall-e-3", "a cat"))
    assert [request.method for request in httpx_mock.get_requests()] == ["POST", "GET", "GET"]


async def test_a_picture_that_is_gone_is_an_error(provider: AsyncProvider, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", json={"data": [{"url": LINK}]})
    httpx_mock.add_response(method="GET", status_code=404)
    with pytest.raises(AdapterError, match="its picture answered 404") as failure:
        await provider.generate_images(ImageRequest("dall-e-3", "a cat"))
    assert (failure.value.provider, failure.value.model) == ("openai", "dall-e-3")


async def test_a_failed_call_is_named(provider: AsyncProvider, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=500, is_reusable=True)
    with pytest.raises(RetryableError) as failure:
        await provider.chat(HI)
    assert (failure.value.provider, failure.value.model) == ("openai", "m")
    await provider.aclose()


async def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(transport: HttpxTransport):
    provider = open_provider(ProviderConfig("openai", "sk-密钥", "https://vendor.example/v1"), transport)
    with pytest.raises(
        AdapterError, match="the key in OPENAI_API_KEY has characters that no key has"
    ) as failure:
        await provider.chat(HI)
    assert "密钥" not in str(failure.value)


@pytest.mark.parametrize("extra", [{"seed": float("nan")}, {"user": object()}])
async def test_a_request_that_is_no_json_is_refused(provider: AsyncProvider, extra: dict[str, Any]):
    with pytest.raises(ValidationError, match="cannot be written as JSON"):
        await provider.chat(ChatRequest("m", [], extra=extra))


async def test_half_a_surrogate_pair_does_not_break_the_request(
    provider: AsyncProvider, httpx_mock: HTTPXMock
):
    httpx_mock.add_response(json={"choices": [{"message": {"content": "Hi"}}]})
    await provider.chat(ChatRequest("m", [{"role": "user", "content": "a\ud83d"}]))
    assert b'"content":"a?"' in httpx_mock.get_requests()[0].content


async def test_the_client_asks_the_default_model(monkeypatch: pytest.MonkeyPatch, httpx_mock: HTTPXMock):
    monkeypatch.setenv("MOONSHOT_API_KEY", "sk-env")
    httpx_mock.add_response(json={"choices": [{"message": {"content": "Hi"}}]})
    async with AsyncClient(transport=HttpxTransport()) as nexus:
        await nexus.chat(messages=[{"role": "user", "content": "hi"}], extra={"user": "u"}, store=True)
    [request] = httpx_mock.get_requests()
    assert request.headers["authorization"] == "Bearer sk-env"
    assert str(request.url) == "https://api.moonshot.cn/v1/chat/completions"
    assert json.loads(request.content)["model"] == VENDORS["moonshot"].models["chat"]
    assert b'"user":"u"' in request.content
    assert b'"store":true' in request.content


def test_the_client_says_what_key_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="needs api_key: pass it, or set OPENAI_API_KEY"):
        AsyncClient("openai")


async def test_the_client_asks_for_a_model_where_there_is_no_default(
    monkeypatch: pytest.MonkeyPatch, transport: HttpxTransport
):
    monkeypatch.delenv("NEXUS_PROVIDER_MODEL", raising=False)
    nexus = AsyncClient("openai_compatible", base_url="http://localhost:1/v1", transport=transport)
    with pytest.raises(ValidationError, match="name a model"):
        await nexus.chat(messages="hi")


async def test_the_client_leaves_a_transport_that_it_was_given_open(
    transport: HttpxTransport, httpx_mock: HTTPXMock
):
    async with AsyncClient("qwen", api_key="sk-1", transport=transport):
        pass
    httpx_mock.add_response(json={"choices": [{"message": {"content": "Hi"}}]})
    nexus = AsyncClient("qwen", api_key="sk-1", transport=transport)
    assert (await nexus.chat(messages="hi")).content == "Hi"


async def test_the_local_provider_needs_nothing():
    async with AsyncClient("local") as nexus:
        assert "demo" in (await nexus.chat(messages="hi")).extra
