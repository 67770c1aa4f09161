"""How both clients reach a vendor: connections, proxies, certificates, loops, headers that go along."""

from __future__ import annotations

import asyncio
import inspect
import json
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from nexusai.providers import (
    AdapterError,
    AsyncClient,
    AuthenticationError,
    CallRecord,
    Client,
    upstream_headers,
)
from tests.fixtures.forward_proxy import forwarding
from tests.fixtures.wire import WireServer, answer, chunked, serving

NAME = "vendor.test"
"""Nobody but the proxy knows where that is."""

CHOICE = {"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
WHOLE = answer(json.dumps({"choices": [CHOICE]}).encode(), content_type="application/json")
EVENTS = [
    {"choices": [{"delta": {"content": "hello"}}]},
    {
        "choices": [{"delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    },
]
STREAM = chunked(
    *[f"data: {json.dumps(event)}\n\n".encode() for event in EVENTS], b"data: [DONE]\n\n"
).replace(b"transfer-encoding", b"content-type: text/event-stream\r\ntransfer-encoding", 1)


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "nexus_provider_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def vendor() -> Iterator[WireServer]:
    def say(request: Any) -> bytes:
        return STREAM if json.loads(request.body).get("stream") else WHOLE

    with serving(say) as server:
        yield server


Use = Callable[..., list[Any]]


@pytest.fixture(params=["sync", "async"])
def nexus(request: pytest.FixtureRequest) -> Use:
    """`nexus(base_url, use, use, …)`: what each use of one client comes to."""

    def settings(base_url: str, options: dict[str, Any]) -> dict[str, Any]:
        return {"api_key": "sk-test", "base_url": base_url, "max_retries": 0, **options}

    def now(base_url: str, *uses: Any, **options: Any) -> list[Any]:
        with Client("openai_compatible", **settings(base_url, options)) as client:
            found = [use(client) for use in uses]
            return [list(one) if inspect.isgenerator(one) else one for one in found]

    async def later(base_url: str, *uses: Any, **options: Any) -> list[Any]:
        found = []
        async with AsyncClient("openai_compatible", **settings(base_url, options)) as client:
            for use in uses:
                one = use(client)
                found.append([item async for item in one] if inspect.isasyncgen(one) else await one)
        return found

    return now if request.param == "sync" else lambda *args, **options: asyncio.run(later(*args, **options))


def chat(client: Any) -> Any:
    return client.chat(messages="hi", model="m")


def stream(client: Any) -> Any:
    return client.chat(messages="hi", model="m", stream=True)


def test_one_connection_carries_chats_and_streams(nexus: Use, vendor: WireServer):
    answers = nexus(vendor.origin, chat, stream, chat)
    assert [answers[0].content, answers[1][0].delta, answers[2].content] == ["hello"] * 3
    assert (vendor.connections, len(vendor.requests)) == (1, 3)


def test_streams_one_after_another_share_a_connection(nexus: Use, vendor: WireServer):
    def read(client: Any) -> Any:
        if isinstance(client, Client):
            return [list(stream(client)) for _ in range(3)]
        return reading(client)

    async def reading(client: AsyncClient) -> None:
        for _ in range(3):
            assert [chunk async for chunk in stream(client)]

    nexus(vendor.origin, read)
    assert (vendor.connections, len(vendor.requests)) == (1, 3)


def test_calls_go_through_a_proxy_of_their_own(nexus: Use, vendor: WireServer):
    with forwarding({NAME: vendor.port}, "me:secret") as proxy:
        url = proxy.url.replace("//", "//me:secret@")
        [answer] = nexus(f"http://{NAME}/v1", chat, proxy=url)
    assert answer.content == "hello"
    assert proxy.requests[0].line == f"POST http://{NAME}/v1/chat/completions HTTP/1.1"


def test_calls_go_through_the_proxy_of_the_setting(
    nexus: Use, vendor: WireServer, monkeypatch: pytest.MonkeyPatch
):
    with forwarding({NAME: vendor.port}) as proxy:
        monkeypatch.setenv("NEXUS_PROVIDER_PROXY", proxy.url)
        nexus(f"http://{NAME}/v1", chat)
        nexus(vendor.origin, chat)  # of this very machine
    assert len(proxy.requests) == 1


def test_calls_go_through_the_proxy_of_the_environment(
    nexus: Use, vendor: WireServer, monkeypatch: pytest.MonkeyPatch
):
    with forwarding({NAME: vendor.port}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        nexus(f"http://{NAME}/v1", chat)
        nexus(vendor.origin, chat)
    assert len(proxy.requests) == 1


def test_a_ca_of_ones_own_is_trusted(nexus: Use, tmp_path: Any):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with serving(WHOLE, tls=context) as server:
        [answer] = nexus(server.origin, chat, ca_file=str(tmp_path / "ca.pem"))
        assert answer.content == "hello"
        with pytest.raises(AdapterError, match="is not trusted") as failure:
            nexus(server.origin, chat, max_retries=3)
        assert (failure.value.provider, failure.value.model) == ("openai_compatible", "m")
        assert len(server.requests) == 1


def test_a_key_that_no_header_can_hold_is_an_error_of_ours(nexus: Use, vendor: WireServer):
    with pytest.raises(AuthenticationError) as failure:
        nexus(vendor.origin, chat, api_key="sk-secret\r\nx-admin: 1", max_retries=3)
    assert failure.value.provider == "openai_compatible"
    assert "secret" not in repr(failure.value)
    assert vendor.connections == 0


def test_the_callers_trace_goes_along(nexus: Use, vendor: WireServer):
    token = upstream_headers.set({"traceparent": "00-1-2-01"})
    try:
        nexus(vendor.origin, chat, stream)
    finally:
        upstream_headers.reset(token)
    assert [request.headers.get("traceparent") for request in vendor.requests] == ["00-1-2-01"] * 2


def test_hooks_are_told_of_whole_answers_and_of_streams(nexus: Use, vendor: WireServer):
    records: list[CallRecord] = []
    nexus(vendor.origin, chat, stream, hooks=[records.append])
    assert [record.operation for record in records] == ["chat", "stream"]
    assert {record.server for record in records} == {("127.0.0.1", vendor.port)}
    assert all(record.error is None and record.finish_reason == "stop" for record in records)


def test_an_awaited_client_serves_one_loop_after_another(vendor: WireServer):
    client = AsyncClient("openai_compatible", api_key="sk-test", base_url=vendor.origin)

    async def ask() -> str:
        answer = await chat(client)
        await client.aclose()
        return str(answer.content)

    assert [asyncio.run(ask()) for _ in range(3)] == ["hello"] * 3
    assert vendor.connections == 3
