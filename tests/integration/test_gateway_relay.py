"""What passes through the gateway as it is: to and from a vendor that speaks the caller's own language."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from nexusai.testing import Platform
from tests.fixtures.wire import CLOSE, SILENCE, WireServer, answer, chunked, serving

WHOLE = (
    b'{ "id" : "c1", "object": "chat.completion", "created": 1, "model": "m-2025", "brand_new": [1.50],\n'
    b' "choices": [{"index": 0, "message": {"role": "assistant", "content": "\\u4f60\\u597d"},'
    b' "logprobs": {"content": []}, "finish_reason": "stop"}],'
    b' "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15, "exotic": 1} }'
)
FIRST = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"one"},"logprobs":{"x":1.0}}]}\n\n'
LAST = b'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"obfuscation":"zz"}\n\n'
USED = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"
BODY = (
    b'{"model": "openai_compatible/m", "messages": [{"role": "user", "content": "hi"}], "odd": 1.50, "n": 1}'
)


@contextmanager
def platform_before(*answers: object, **settings: str) -> Iterator[tuple[httpx.Client, WireServer, Platform]]:
    with serving(*answers) as vendor:  # type: ignore[arg-type]
        environ = {
            **settings,
            "NEXUS_PROVIDER_BASE_URL": f"{vendor.origin}/v1",
            "NEXUS_PROVIDER_MODEL": "m",
            "ANTHROPIC_API_KEY": "sk-ant-test",
            "ANTHROPIC_BASE_URL": vendor.origin,
        }
        with Platform(environ) as platform:
            headers = {"Authorization": f"Bearer {platform.api_key}", "Content-Type": "application/json"}
            with httpx.Client(base_url=f"{platform.url}/v1", headers=headers, timeout=20) as client:
                yield client, vendor, platform


def test_a_whole_answer_is_the_vendors_to_the_byte():
    with platform_before(answer(WHOLE, content_type="application/json")) as (client, vendor, platform):
        heard = client.post("/chat/completions", content=BODY)
        assert (heard.status_code, heard.content) == (200, WHOLE)
        assert heard.headers["x-nexus-provider"] == "openai_compatible"
        [asked] = vendor.requests
        assert asked.body == (
            b'{"model":"m","messages":[{"role": "user", "content": "hi"}],"odd":1.50,"n":1}'
        )
        with platform.client() as admin:
            [row] = admin.usage.get().data
            assert (row.prompt_tokens, row.completion_tokens) == (12, 3)


def test_a_stream_is_the_vendors_to_the_byte_and_its_usage_is_ours_to_see():
    body = chunked(FIRST, LAST[:30], LAST[30:] + USED, DONE)
    with platform_before(body) as (client, vendor, platform):
        streamed = BODY.replace(b"}]", b"}]").replace(b'"n": 1', b'"stream": true')
        heard = client.post("/chat/completions", content=streamed)
        assert heard.content == FIRST + LAST + DONE  # nobody asked to see the usage
        assert b'"stream_options":{"include_usage": true}' in vendor.requests[0].body
        wanted = streamed.replace(b"true}", b'true, "stream_options": {"include_usage": true}}')
        assert client.post("/chat/completions", content=wanted).content == FIRST + LAST + USED + DONE
        with platform.client() as admin:
            [row] = admin.usage.get().data
            assert (row.requests, row.prompt_tokens, row.completion_tokens) == (2, 24, 6)


def test_the_first_events_are_there_before_the_last_were_sent():
    seen = threading.Event()

    def slowly(_: object) -> Iterator[bytes | str]:
        head = chunked(FIRST, end=False)
        yield head
        assert seen.wait(10)
        yield chunked(LAST, DONE).partition(b"\r\n\r\n")[2]

    with platform_before(slowly) as (client, _, _platform):
        streamed = BODY.replace(b'"n": 1', b'"stream": true')
        with client.stream("POST", "/chat/completions", content=streamed) as heard:
            pieces = heard.iter_raw()
            assert next(pieces) == FIRST
            seen.set()
            assert b"".join(pieces) == LAST + DONE


def test_a_stream_that_breaks_ends_with_an_error_and_is_billed_for_what_came():
    with platform_before([chunked(FIRST, end=False), CLOSE]) as (client, _, platform):
        streamed = BODY.replace(b'"n": 1', b'"stream": true')
        heard = client.post("/chat/completions", content=streamed).content
        assert heard.startswith(FIRST + b'data: {"error":{')
        assert b"[DONE]" not in heard
        with platform.client() as admin:
            [row] = admin.usage.get(group_by="model").data
            assert (row.failed, row.completion_tokens) == (1, 1)


@pytest.mark.parametrize("name", ["anthropic-beta", "anthropic-version"])
def test_messages_pass_with_their_headers_as_far_as_they_are_the_vendors(name: str):
    said = b'{"id":"m1","content":[{"type":"novel"}],"usage":{"input_tokens":1,"output_tokens":2}}'
    with platform_before(answer(said, content_type="application/json")) as (client, vendor, _):
        body = b'{"model": "anthropic/claude-x", "max_tokens": 5, "messages": [], "unheard_of": {"a": 1.0}}'
        heard = client.post("/messages", content=body, headers={name: "2030-01-01", "x-evil": "1"})
        assert (heard.status_code, heard.content) == (200, said)
        [asked] = vendor.requests
        assert b'"unheard_of":{"a": 1.0}' in asked.body
        assert "x-evil" not in asked.headers
        assert (asked.headers[name] == "2030-01-01") is (name == "anthropic-beta")


def test_vectors_pass_as_they_are_too():
    said = (
        b'{"object":"list","data":[{"embedding":"AAAA","index":0}],"model":"e","usage":{"prompt_tokens":2}}'
    )
    with platform_before(answer(said, content_type="application/json")) as (client, vendor, _):
        body = b'{"model": "openai_compatible/e", "input": [[1, 2]], "encoding_format": "base64"}'
        assert client.post("/embeddings", content=body).content == said
        assert vendor.requests[0].body.startswith(b'{"model":"e","input":[[1, 2]]')


def test_a_body_that_is_none_is_refused_before_anything_is_sent():
    with platform_before(answer(WHOLE)) as (client, vendor, _):
        for body, named in (
            (b"[]", "object"),
            (b'{"model": 3, "messages": []}', "model"),
            (b'{"messages": []}', "model"),
            (b'{"model": "openai_compatible/m"}', "messages"),
            (b"\xff", "JSON"),
            (BODY.replace(b"hi", b"\xff"), "JSON"),
            (BODY.replace(b'"n": 1', b'"stream": "true"'), "stream"),
            (BODY.replace(b'"n": 1', b'"stream": 1'), "stream"),
            (BODY.replace(b"/m", b"/" + b"m" * 2000), "model"),
        ):
            refused = client.post("/chat/completions", content=body)
            assert refused.status_code == 400, body
            assert named in refused.json()["error"]["message"], body
        assert vendor.requests == []


def test_a_vendor_that_takes_too_long_is_cut_off():
    begun = chunked(FIRST, end=False)
    with platform_before([SILENCE], [begun, SILENCE], NEXUS_TASK_TIMEOUT="0.4") as (client, vendor, _):
        late = client.post("/chat/completions", content=BODY)
        assert (late.status_code, late.headers["x-should-retry"]) == (408, "false")
        assert "0.4 s" in late.json()["error"]["message"]
        assert vendor.left.wait(5)
        vendor.left.clear()
        heard = client.post("/chat/completions", content=BODY.replace(b'"n": 1', b'"stream": true')).content
        assert heard.startswith(FIRST + b'data: {"error":{')
        assert b"[DONE]" not in heard
        assert vendor.left.wait(5)
