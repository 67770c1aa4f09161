"""Vendors that answer anything at all, over a socket: what comes is an answer or an `AdapterError`."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from nexusai.providers import AdapterError, AsyncClient, Client, LogHook
from nexusai.providers.adapters.vendors import VENDORS
from tests.fixtures.wire import CLOSE, answer, chunked, serving

KEY = "sk-very-secret-key-0123456789"
ADAPTERS = sorted({vendor.adapter for vendor in VENDORS.values()})
OPTIONS: dict[str, dict[str, Any]] = {
    "azure": {"options": {"api_version": "2024-10-21"}},
    "coze": {"options": {"bot_id": "73"}},
}
DEEP = b"[" * 200_000
OBJECTS = b'{"choices":' * 60_000
NUMBER = b'{"usage":{"prompt_tokens":' + b"9" * 6000 + b"}}"


def chat(message: Any, **more: Any) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], **more}).encode()


BODIES = {
    "nothing": b"",
    "null": b"null",
    "a number": b"7",
    "a text": b'"hello"',
    "an empty list": b"[]",
    "an empty object": b"{}",
    "no JSON": b"<html><title>Welcome</title></html>",
    "half of it": b'{"choices": [{"mess',
    "no UTF-8": b'{"choices": "\xff\xfe"}',
    "deep lists": DEEP,
    "deep objects": OBJECTS,
    "a long number": NUMBER,
    "NaN": b'{"choices": NaN}',
    "half a character": b'{"choices": [{"message": {"content": "\\ud800"}}]}',
    "no content": chat(None),
    "a list of numbers": chat({"content": [1, 2]}),
    "calls without functions": chat({"content": None, "tool_calls": [{}, {"function": None}, None]}),
    "calls of numbers": chat({"content": None, "tool_calls": [{"id": 1, "function": {"name": 2}}]}),
    "usage below nothing": chat({"content": "a"}, usage={"prompt_tokens": -5, "completion_tokens": -1}),
    "usage in words": chat({"content": "a"}, usage={"prompt_tokens": "many", "completion_tokens": []}),
    "content of Anthropic's": b'{"content": [{"type": "text"}, {"type": "tool_use"}], "usage": 1}',
    "candidates of Gemini's": b'{"candidates": [{"content": {"parts": [{"functionCall": 1}, 2]}}]}',
    "output of OpenAI's": b'{"output": [{"type": "message", "content": 1}], "status": "completed"}',
    "data of Coze's": b'{"code": 0, "data": {"status": "completed", "id": 1}}',
    "an error of numbers": b'{"error": 1}',
    "an error that tells the key": json.dumps({"error": {"message": f"bad key {KEY}", "code": KEY}}).encode(),
    "an error of objects": b'{"error": {"message": {"message": [1]}, "code": {}, "type": []}}',
    "a code of objects": b'{"code": {"a": 1}, "msg": []}',
}
EVENTS = {
    **BODIES,
    "an index that jumps": b'{"choices":[{"delta":{"tool_calls":[{"index":7,"function":{"name":"f"}}]}}]}',
    "an index of words": b'{"choices":[{"delta":{"tool_calls":[{"index":"x"}]}}]}',
    "a block that never began": b'{"type":"content_block_delta","index":9,"delta":{"type":"text_delta"}}',
    "a message of numbers": b'{"type":"message_start","message":1}',
    "items of numbers": b'{"type":"response.output_item.added","item":1}',
}


def events(data: bytes) -> bytes:
    """The body with every name of an event under which a vendor could send it."""
    names = ("message", "error", "message_start", "response.completed", "conversation.message.delta")
    return b"".join(b"event: %s\ndata: %s\n\n" % (name.encode(), data) for name in names)


def streamed(*pieces: bytes) -> bytes:
    return chunked(*pieces).replace(b"transfer-", b"content-type: text/event-stream\r\ntransfer-", 1)


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that was logged has the key in it."""
    caplog.set_level(logging.DEBUG)
    yield
    assert KEY not in caplog.text


def ask(adapter: str, url: str, *, stream: bool, asynchronous: bool) -> None:
    """Raises nothing but an `AdapterError`, which is as it should be."""
    settings = {"api_key": KEY, "base_url": url, "max_retries": 0, "timeout": 5, "hooks": [LogHook()]}
    settings |= OPTIONS.get(adapter, {})
    call: dict[str, Any] = {"messages": "hi", "model": "the-model", "stream": stream}

    def now() -> None:
        with Client(adapter, **settings) as client:
            assert KEY not in repr(client)
            found = client.chat(**call)
            if stream:
                list(found)

    async def later() -> None:
        async with AsyncClient(adapter, **settings) as client:
            found = client.chat(**call)
            if not stream:
                await found
                return
            async for _ in found:
                pass

    with check(adapter):
        asyncio.run(later()) if asynchronous else now()


@contextlib.contextmanager
def check(adapter: str) -> Iterator[None]:
    error: AdapterError | None = None
    try:
        yield
    except AdapterError as raised:
        error = raised
    if error is not None:
        assert (error.provider, error.model) == (adapter, "the-model")
        assert KEY not in f"{error!r} {error} {vars(error)}"


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("adapter", ADAPTERS)
class TestWhateverComes:
    @pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "500 Oops", "302 Found", "999 What"])
    def test_as_a_whole(self, adapter: str, asynchronous: bool, status: str):
        with serving(
            *[answer(body, status, content_type="application/json") for body in BODIES.values()]
        ) as it:
            for _ in BODIES:
                ask(adapter, it.origin, stream=False, asynchronous=asynchronous)
            assert len(it.requests) >= len(BODIES)
            assert all(KEY not in request.line for request in it.requests)

    def test_in_a_stream(self, adapter: str, asynchronous: bool):
        with serving(*[streamed(events(body)) for body in EVENTS.values()]) as it:
            for _ in EVENTS:
                ask(adapter, it.origin, stream=True, asynchronous=asynchronous)
            assert len(it.requests) == len(EVENTS)

    @pytest.mark.parametrize("stream", [False, True])
    def test_on_the_line(self, adapter: str, asynchronous: bool, stream: bool):
        answers: list[Any] = [
            [CLOSE],
            [b"hello\r\n\r\n", CLOSE],
            [b"HTTP/1.1 two hundred\r\n\r\n", CLOSE],
            [answer(b"{}" * 50)[:-20], CLOSE],
            [streamed(b"data: {")[:-5], CLOSE],
            [chunked(b"data: a\n\n", end=False) + b"zz\r\n", CLOSE],
            answer(b"no gzip", content_encoding="gzip"),
            answer(gzip.compress(b"{}" * 999)[:-9], content_encoding="gzip"),
            answer(b"{}", content_type="application/json; charset=\xff"),
            answer(b"{}", retry_after="-1e999", status="429 Too Many"),
            streamed(b"data: " + b"x" * (33 << 20)),
            streamed(b"\xef\xbb\xbf\xff\x00\r\r\n\n:\n\ndata\n\ndata:\xed\xa0\x80\n\n"),
        ]
        with serving(*answers) as it:
            for _ in answers:
                ask(adapter, it.origin, stream=stream, asynchronous=asynchronous)
