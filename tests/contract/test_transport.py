"""What every transport must do, over a real socket against the fake upstream."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from nexusai.providers import transport_aiohttp, transport_http, transport_httptools, transport_httpx
from nexusai.providers.errors import AdapterError, RetryableError, TimeoutError
from nexusai.providers.transport import UNREACHABLE, HttpRequest, Transport
from tests.fixtures.openai_upstream import Upstream, running_upstream
from tests.fixtures.transports import TRANSPORTS, Threaded
from tests.fixtures.wire import CLOSE, SILENCE, Part, answer, serving


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture(params=TRANSPORTS)
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    transport = request.param()
    yield transport
    await transport.aclose()


@pytest.fixture
def chat(upstream: Upstream) -> Callable[..., HttpRequest]:
    def chat(prompt: str, timeout: float = 5.0, **body: Any) -> HttpRequest:
        messages = [{"role": "user", "content": prompt}]
        return HttpRequest(
            "POST",
            f"{upstream.base_url}/chat/completions",
            {"authorization": f"Bearer {upstream.api_key}", "content-type": "application/json"},
            json.dumps({"model": "echo", "messages": messages, **body}).encode(),
            timeout,
        )

    return chat


async def last_call(upstream: Upstream, *, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The last call, once it is as it should be, or as it is after 5 s."""
    call: dict[str, Any] = {"body": None}
    for _ in range(100):
        call = (upstream.calls() or [call])[-1]
        if until(call):
            break
        await asyncio.sleep(0.05)
    return call


async def test_status_headers_and_body_of_an_answer(transport: Transport, chat: Callable[..., HttpRequest]):
    answer = await transport.send(chat("hello"))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == "req_fake"
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "hello"


async def test_an_error_status_is_an_answer(transport: Transport, chat: Callable[..., HttpRequest]):
    answer = await transport.send(chat("[[status=429 retry_after=7]]"))
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


async def test_headers_and_body_arrive_as_sent(
    transport: Transport, chat: Callable[..., HttpRequest], upstream: Upstream
):
    await transport.send(chat("你好 hello"))
    call = upstream.calls()[-1]
    assert call["headers"]["authorization"] == "Bearer sk-test"
    assert call["headers"]["content-type"] == "application/json"
    assert call["body"]["messages"][0]["content"] == "你好 hello"


async def test_a_body_of_megabytes_arrives(transport: Transport, chat: Callable[..., HttpRequest]):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = await transport.send(chat("x" * 3_000_000))
    assert len(answer.body) > 3_000_000


async def test_a_compressed_answer_is_unpacked(transport: Transport, chat: Callable[..., HttpRequest]):
    answer = await transport.send(chat("hello [[gzip]]"))
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "hello"


async def test_a_compressed_stream_arrives_in_pieces(transport: Transport, chat: Callable[..., HttpRequest]):
    async with transport.stream(chat("a b [[gzip]] [[hang=1]]", stream=True)) as answer:
        chunks = answer.chunks()
        assert b'"role":"assistant"' in await anext(chunks)


async def test_a_refused_connection_is_unreachable(transport: Transport):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(RetryableError, match=rf"could not connect to 127.0.0.1:{port}: ") as failure:
            await transport.send(HttpRequest("GET", f"http://127.0.0.1:{port}/v1?key=secret"))
    assert failure.value.code == UNREACHABLE
    assert "secret" not in str(failure.value)


async def test_a_name_that_is_not_found_is_unreachable(transport: Transport):
    with pytest.raises(RetryableError) as failure:
        await transport.send(HttpRequest("GET", "http://nowhere.invalid/"))
    assert failure.value.code == UNREACHABLE


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://[::1", "nonsense"])
async def test_what_is_no_http_url_is_not_retryable(transport: Transport, url: str):
    with pytest.raises(AdapterError, match="is no http URL") as failure:
        await transport.send(HttpRequest("GET", url))
    assert not failure.value.retryable


async def test_silence_before_the_answer_is_a_timeout(transport: Transport, chat: Callable[..., HttpRequest]):
    with pytest.raises(TimeoutError, match=r"sent nothing for 0\.1 s"):
        await transport.send(chat("[[hang]]", timeout=0.1))


async def test_silence_within_a_stream_is_a_timeout(transport: Transport, chat: Callable[..., HttpRequest]):
    async with transport.stream(chat("a b c [[hang=1]]", timeout=0.2, stream=True)) as answer:
        with pytest.raises(TimeoutError):
            _ = [chunk async for chunk in answer.chunks()]


async def test_the_chunks_of_a_stream_arrive_before_its_end(
    transport: Transport, chat: Callable[..., HttpRequest]
):
    async with transport.stream(chat("a b c [[hang=2]]", stream=True)) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert b"data: " in await anext(answer.chunks())


async def test_a_whole_stream_arrives(transport: Transport, chat: Callable[..., HttpRequest]):
    async with transport.stream(chat("a b c", stream=True)) as answer:
        body = b"".join([chunk async for chunk in answer.chunks()])
    assert body.endswith(b"data: [DONE]\n\n")


async def test_leaving_a_stream_early_closes_the_connection(
    transport: Transport, chat: Callable[..., HttpRequest], upstream: Upstream
):
    async with transport.stream(chat("a b c [[hang=1]]", stream=True)) as answer:
        await anext(answer.chunks())
    call = await last_call(upstream, until=lambda call: call["hung_up"])
    assert call["hung_up"]


async def test_cancelling_a_call_closes_the_connection(
    transport: Transport, chat: Callable[..., HttpRequest], upstream: Upstream
):
    if isinstance(transport, Threaded):
        pytest.skip("a call in a thread cannot be cancelled")
    task = asyncio.create_task(transport.send(chat("cancel me [[hang]]")))
    await last_call(upstream, until=lambda call: "cancel me" in str(call["body"]))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    call = await last_call(upstream, until=lambda call: call["hung_up"])
    assert call["hung_up"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reset_in_mid_body_is_retryable_but_not_unreachable(
    transport: Transport, chat: Callable[..., HttpRequest], stream: bool
):
    with pytest.raises(RetryableError, match="broke the connection") as failure:
        await transport.send(chat("a b c [[drop=1]]", stream=stream))
    assert failure.value.code != UNREACHABLE


async def test_a_reset_before_the_answer_is_retryable_but_not_unreachable(
    transport: Transport, chat: Callable[..., HttpRequest]
):
    with pytest.raises(RetryableError, match="broke the connection") as failure:
        await transport.send(chat("[[drop=0]]"))
    assert failure.value.code != UNREACHABLE


async def test_calls_run_side_by_side(transport: Transport, chat: Callable[..., HttpRequest]):
    hanging = asyncio.create_task(transport.send(chat("[[hang]]")))
    answers = await asyncio.gather(*(transport.send(chat(str(number))) for number in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert not hanging.done()
    hanging.cancel()


async def test_an_answer_over_the_limit_is_an_error(
    transport: Transport, chat: Callable[..., HttpRequest], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transport_httpx, "MAX_ANSWER_BYTES", 1000)
    monkeypatch.setattr(transport_aiohttp, "MAX_ANSWER_BYTES", 1000)
    monkeypatch.setattr(transport_http, "MAX_ANSWER_BYTES", 1000)
    monkeypatch.setattr(transport_httptools, "MAX_ANSWER_BYTES", 1000)
    with pytest.raises(AdapterError, match="sent more than 1000 bytes") as failure:
        await transport.send(chat("x" * 1000))
    assert not failure.value.retryable


async def test_cookies_are_not_kept(
    transport: Transport, chat: Callable[..., HttpRequest], upstream: Upstream
):
    for _ in range(2):
        await transport.send(chat("hello [[cookie]]"))
    assert "cookie" not in upstream.calls()[-1]["headers"]


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 307)])
async def test_redirects_are_followed_for_get_alone(
    transport: Transport, upstream: Upstream, method: str, status: int
):
    answer = await transport.send(HttpRequest(method, f"{upstream.origin}/redirect/8x8.png"))
    assert answer.status == status


async def test_a_signed_url_is_sent_as_it_is(transport: Transport, upstream: Upstream):
    target = "/pictures/8x8.png?signature=a%2Fb%2Bc%3D&x=1,2"
    await transport.send(HttpRequest("GET", f"{upstream.origin}{target}"))
    assert upstream.calls()[-1]["target"] == target


async def test_closing_twice_is_harmless(transport: Transport):
    await transport.aclose()
    await transport.aclose()


UNASKED = answer(b"of somebody else")


@pytest.mark.parametrize("unasked", [[UNASKED], [CLOSE]], ids=["an answer", "the end"])
async def test_what_came_unasked_while_the_loop_was_busy_is_no_answer(unasked: list[Part]):
    transport = transport_httptools.HttptoolsTransport()
    with serving([answer(b"first"), 0.01, *unasked], answer(b"second")) as server:
        request = HttpRequest("POST", server.origin, body=b"{}", timeout=5)
        assert (await transport.send(request)).body == b"first"
        time.sleep(0.1)  # noqa: ASYNC251 - nothing is read meanwhile
        assert (await transport.send(request)).body == b"second"
    await transport.aclose()


async def test_what_came_unasked_after_an_answer_that_was_read_late_is_no_answer():
    transport = transport_httptools.HttptoolsTransport()
    first = b"1" * (256 * 1024 + 50)  # more than is read ahead, by its last few bytes
    with serving([answer(first)[:-100], 0.02, first[-100:], 0.02, UNASKED], answer(b"second")) as server:
        request = HttpRequest("POST", server.origin, body=b"{}", timeout=5)
        async with transport.stream(request) as stream:
            await asyncio.sleep(0.1)
            assert b"".join([piece async for piece in stream.chunks()]) == first
        assert (await transport.send(request)).body == b"second"
    await transport.aclose()


@pytest.mark.parametrize(("status", "size"), [("200 OK", 20_000_000), ("413 Content Too Large", 100_000)])
async def test_what_is_left_of_a_request_that_was_answered_early_is_no_request(status: str, size: int):
    """A vendor that reads on where it stopped would take it for one, and answer it to somebody else."""
    transport = transport_httptools.HttptoolsTransport()
    with serving([answer(b"early", status), 0.1, SILENCE], answer(b"second"), reads=False) as server:
        request = HttpRequest("POST", server.origin, body=b"x" * size, timeout=5)
        assert (await transport.send(request)).body == b"early"
        assert (await transport.send(HttpRequest("POST", server.origin, timeout=5))).body == b"second"
        assert server.connections == 2
    await transport.aclose()
