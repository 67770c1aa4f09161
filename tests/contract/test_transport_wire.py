"""What every transport makes of what arrives, and what it lets leave: over real sockets, byte by byte."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nexusai.providers import AdapterError, AuthenticationError, RetryableError, TimeoutError, ValidationError
from nexusai.providers.transport import UNREACHABLE, USER_AGENT, HttpRequest, Transport
from tests.fixtures.transports import TRANSPORTS
from tests.fixtures.wire import CLOSE, LINGER, answer, chunked, serving


@pytest.fixture(params=TRANSPORTS)
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    transport = request.param()
    yield transport
    await transport.aclose()


def to(server: Any, method: str = "POST", path: str = "/v1/chat", **parts: Any) -> HttpRequest:
    parts.setdefault("timeout", 5.0)
    return HttpRequest(method, f"{server.origin}{path}", body=b"{}" if method == "POST" else None, **parts)


async def read(transport: Transport, request: HttpRequest) -> bytes:
    async with transport.stream(request) as answer:
        return b"".join([chunk async for chunk in answer.chunks()])


# Connections


@pytest.mark.parametrize(
    "sent",
    [
        answer(b"hello"),
        chunked(b"hel", b"lo"),
        answer(b"", "204 No Content", content_length=""),
        answer(b"", "304 Not Modified", content_length=""),
    ],
)
async def test_one_connection_carries_one_call_after_another(transport: Transport, sent: bytes):
    with serving(sent) as server:
        for _ in range(3):
            await transport.send(to(server))
        assert (server.connections, len(server.requests)) == (1, 3)


async def test_a_stream_that_was_read_leaves_its_connection_to_the_next_call(transport: Transport):
    with serving(chunked(b"data: a\n\n", b"data: b\n\n")) as server:
        for _ in range(3):
            assert await read(transport, to(server)) == b"data: a\n\ndata: b\n\n"
        assert server.connections == 1


async def test_a_connection_that_the_server_ends_is_not_used_again(transport: Transport):
    with serving([answer(b"hello", connection="close"), CLOSE]) as server:
        for _ in range(2):
            assert (await transport.send(to(server))).body == b"hello"
        assert server.connections == 2


async def test_a_connection_that_was_closed_while_idle_is_no_error_and_nothing_is_sent_twice(
    transport: Transport,
):
    with serving() as server:
        await transport.send(to(server))
        server.drop()
        await asyncio.sleep(0.05)
        await transport.send(to(server))
        assert [request.connection for request in server.requests] == [1, 2]


# Answers


async def test_interim_answers_are_skipped(transport: Transport):
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    with serving(interim + answer(b"hello")) as server:
        for _ in range(2):
            got = await transport.send(to(server))
            assert (got.status, got.body) == (200, b"hello")
        assert server.connections == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_an_answer_without_a_body_is_not_waited_for(transport: Transport, status: str):
    with serving(answer(b"", status, content_length="")) as server:
        got = await transport.send(to(server))
    assert (got.status, got.body) == (int(status[:3]), b"")


async def test_a_body_may_last_until_the_connection_is_closed(transport: Transport):
    with serving([answer(b"", content_length=""), b"hello", CLOSE]) as server:
        assert (await transport.send(to(server))).body == b"hello"


@pytest.mark.parametrize(
    "sent",
    [
        [answer(b"hel", content_length="5"), CLOSE],
        [chunked(b"hel", end=False), CLOSE],
        [chunked(b"hel", end=False) + b"5\r\nlo", CLOSE],
    ],
)
async def test_a_body_that_ends_too_early_is_retryable(transport: Transport, sent: Any):
    with serving(sent) as server:
        with pytest.raises(RetryableError, match="broke the connection") as failure:
            await transport.send(to(server))
        assert failure.value.code != UNREACHABLE
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "sent", [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"\x16\x03\x01\x00\xff", b"HTTP/1.1 abc\r\n\r\n"]
)
async def test_what_is_no_answer_is_retryable(transport: Transport, sent: bytes):
    with serving([sent, CLOSE]) as server:
        with pytest.raises(RetryableError, match="broke the connection"):
            await transport.send(to(server))


async def test_headers_that_never_end_are_an_error(transport: Transport):
    endless = b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 8000) for n in range(200))
    with serving([endless, CLOSE]) as server:
        with pytest.raises(RetryableError, match="broke the connection"):
            await transport.send(to(server))


async def test_a_long_header_arrives(transport: Transport):
    with serving(answer(x_policy="p" * 30_000)) as server:
        got = await transport.send(to(server))
    assert got.headers["x-policy"] == "p" * 30_000


async def test_a_header_of_any_bytes_can_be_written_down(transport: Transport):
    with serving(answer(x_request_id="req_\xff\xfe", x_other="ok")) as server:
        got = await transport.send(to(server))
    assert got.headers["x-request-id"].encode().startswith(b"req_")
    assert got.headers["x-other"] == "ok"


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", bare_deflate)]
)
async def test_a_compressed_body_is_unpacked(transport: Transport, coding: str, pack: Any):
    with serving(answer(pack(b"hello" * 1000), content_encoding=coding)) as server:
        for _ in range(2):
            assert (await transport.send(to(server))).body == b"hello" * 1000
        assert server.connections == 1


async def test_a_refusal_that_comes_before_the_body_was_read_is_the_answer(transport: Transport):
    refusal = answer(b"too large", "413 Content Too Large", connection="close")
    with serving([refusal, LINGER], reads=False) as server:
        request = HttpRequest("POST", f"{server.origin}/", body=b"x" * 20_000_000)
        assert (await transport.send(request)).status == 413


# Time


def trickling(first: bytes, piece: bytes) -> list[Any]:
    return [first, *[0.02, piece] * 100]


@pytest.mark.parametrize(
    "sent",
    [
        trickling(answer(b"", content_length="9999"), b"x"),
        trickling(answer(b"", content_length=""), b"x"),
        trickling(chunked(end=False), b"1\r\nx\r\n"),
        trickling(chunked(end=False), b"0"),
        trickling(b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n"),
        trickling(b"HTTP/1.1 200", b" "),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_trickle_does_not_outlast_the_total(transport: Transport, sent: Any, streamed: bool):
    with serving(sent) as server:
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=r"was not done after 0\.1 s"):
            await (read if streamed else transport.send)(*[transport] * streamed, to(server, total=0.1))
        assert 0.1 <= time.monotonic() - begun < 0.6


async def test_the_total_counts_redirects(transport: Transport):
    with serving([0.08, answer(b"", "302 Found", location="/next")]) as server:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            await transport.send(to(server, "GET", total=0.2))
        assert time.monotonic() - begun < 0.7


# Redirects


async def test_our_key_stays_with_the_host_that_it_is_for(transport: Transport):
    with serving() as other, serving(answer(b"", "302 Found", location=f"{other.origin}/picture")) as server:
        headers = {
            "authorization": "Bearer sk-secret",
            "api-key": "sk-secret",
            "x-goog-api-key": "sk-secret",
            "traceparent": "00-1",
            "accept": "image/*",
        }
        await transport.send(to(server, "GET", headers=headers))
    assert server.requests[0].headers["authorization"] == "Bearer sk-secret"
    told = other.requests[0].headers
    assert "secret" not in str(told)
    assert "traceparent" not in told
    assert told["accept"] == "image/*"


async def test_our_key_goes_along_within_its_host(transport: Transport):
    with serving(answer(b"", "307 Temporary Redirect", location="/next?x=1"), answer(b"there")) as server:
        got = await transport.send(to(server, "GET", headers={"authorization": "Bearer sk"}))
        assert got.body == b"there"
        assert server.requests[1].line == "GET /next?x=1 HTTP/1.1"
        assert server.requests[1].headers["authorization"] == "Bearer sk"


async def test_redirects_without_end_are_an_error(transport: Transport):
    with serving(answer(b"", "302 Found", location="/again")) as server:
        with pytest.raises(RetryableError, match="too many redirects"):
            await transport.send(to(server, "GET"))
        assert len(server.requests) == 6


@pytest.mark.parametrize("link", ["ftp://127.0.0.1/picture", "http://[::1", "file:///etc/passwd"])
async def test_a_redirect_to_what_is_no_http_url_is_an_error(transport: Transport, link: str):
    with serving(answer(b"", "302 Found", location=link)) as server:
        with pytest.raises(AdapterError, match=r"is no http URL|Invalid URL"):
            await transport.send(to(server, "GET"))


# Requests


async def test_requests_say_whose_they_are(transport: Transport):
    with serving() as server:
        await transport.send(to(server))
        await transport.send(to(server, headers={"user-agent": "mine"}))
    assert [request.headers["user-agent"] for request in server.requests] == [USER_AGENT, "mine"]


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key", "x-goog-api-key"])
@pytest.mark.parametrize("key", ["sk-secret\r\nx-admin: 1", "sk-secret\n", "sk-secret\0", "sk-secret…"])
async def test_a_key_that_no_header_can_hold_is_not_sent(transport: Transport, name: str, key: str):
    with serving() as server:
        with pytest.raises(AuthenticationError, match="the API key has") as failure:
            await transport.send(to(server, headers={name: key}))
        assert server.connections == 0
    assert "secret" not in repr(failure.value)
    assert failure.value.__cause__ is None


async def test_a_header_that_would_begin_another_is_not_sent(transport: Transport):
    with serving() as server:
        with pytest.raises(ValidationError, match="'x-title'"):
            await transport.send(to(server, headers={"x-title": "a\r\nb: c"}))
        assert server.connections == 0


@pytest.mark.parametrize(
    "url", ["http://exa mple/", "http:///v1", "http://a..b/", "http://127.0.0.1:99999/", ""]
)
async def test_a_url_that_leads_nowhere_is_an_error_of_ours(transport: Transport, url: str):
    with pytest.raises(AdapterError) as failure:
        await transport.send(HttpRequest("GET", url, timeout=2.0))
    assert re.search("is no http URL|could not connect", str(failure.value))


async def test_a_body_of_megabytes_is_sent_whole(transport: Transport):
    with serving() as server:
        await transport.send(HttpRequest("POST", f"{server.origin}/", body=b"x" * 3_000_001))
    assert len(server.requests[0].body) == 3_000_001


async def test_a_transport_that_was_closed_opens_again(transport: Transport):
    with serving() as server:
        await transport.send(to(server))
        await transport.aclose()
        assert (await transport.send(to(server))).status == 200


async def leave_early(transport: Transport, request: HttpRequest) -> None:
    async with transport.stream(request) as got:
        await anext(got.chunks())
        raise KeyError


@pytest.mark.parametrize(
    "head",
    [chunked(b"data: a\n\n", end=False), answer(b"data: a\n\n", content_length="", connection="close")],
)
async def test_leaving_by_an_error_closes_the_connection_at_once(transport: Transport, head: bytes):
    """That an answer is the connection's last changes nothing."""
    with serving([head, *[0.02, b"1\r\nx\r\n"] * 100, CLOSE], answer()) as server:
        with pytest.raises(KeyError):
            await leave_early(transport, to(server))
        for _ in range(20):
            if server.broken:
                break
            await asyncio.sleep(0.02)
        assert server.broken == 1
        await transport.send(to(server))
        assert server.connections == 2
