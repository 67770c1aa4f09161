from __future__ import annotations

from contextvars import ContextVar

import pytest

from nexusai.providers import (
    CallRecord,
    ChatRequest,
    EmbeddingRequest,
    ImageRequest,
    SpeechRequest,
    ValidationError,
)
from nexusai.providers.record import settings_of
from nexusai.providers.types import RelayRequest
from tests.fixtures.vendor import Vendor, answered, refused, sse

HI = ChatRequest("m", [{"role": "user", "content": "hi"}])


def recorded(*script, operation="chat", request=HI, **options):
    """The only record of a call."""
    records = []
    vendor = Vendor(*script)
    vendor.run(vendor.calls(hooks=[records.append]).call(operation, request, **options))
    [record] = records
    return record


def test_a_record_names_the_vendor_and_its_server():
    record = recorded(answered())
    assert (record.provider, record.vendor, record.model) == ("openai_compatible", "openai_compatible", "m")
    assert record.server == ("vendor.example", 443)


@pytest.mark.parametrize(
    ("base_url", "server"),
    [
        ("http://127.0.0.1:11434/v1", ("127.0.0.1", 11434)),
        ("http://[::1]/v1", ("::1", 80)),
        (None, None),
    ],
)
def test_a_server_is_a_host_and_a_port(base_url, server):
    assert CallRecord("chat", "p", "m", base_url=base_url).server == server


def test_a_record_has_what_the_answer_says_of_itself():
    record = recorded(answered())
    assert (record.finish_reason, record.usage.total_tokens, record.attempts) == ("stop", 15, 1)
    assert record.response_model == "m"


def test_so_has_that_of_a_stream():
    record = recorded(sse("one ", "two"), operation="stream")
    assert (record.finish_reason, record.usage.total_tokens) == ("stop", 15)
    assert record.first_chunk is not None


def test_a_record_has_the_session_of_the_call():
    assert recorded(answered(), session="user-7").session == "user-7"


def test_a_record_has_what_was_asked_for_besides_the_prompt():
    request = ChatRequest(
        "m",
        HI.messages,
        temperature=0.0,
        max_tokens=9,
        stop=["END"],
        response_format={"type": "json_schema", "json_schema": {"name": "secret"}},
        tools=[{"type": "function", "function": {"name": "f"}}],
    )
    assert recorded(answered(), request=request).settings == {
        "temperature": 0.0,
        "max_tokens": 9,
        "stop": ["END"],
        "response_format": "json_schema",
    }


@pytest.mark.parametrize(
    ("request_", "settings"),
    [
        (ImageRequest("m", "a cat", n=2, seed=7), {"n": 2, "seed": 7}),
        (EmbeddingRequest("m", ["a cat"], dimensions=8), {"dimensions": 8}),
        (SpeechRequest("m", "a cat"), {}),
        (RelayRequest("chat", "m", {"n": b"2", "messages": b"[]", "stop": b"null"}), {"n": 2}),
        (RelayRequest("chat", "m", {"n": b"2", "seed": b"1" * 5000, "stop": b"[" * 5000}), {"n": 2}),
    ],
)
def test_the_content_is_no_setting(request_, settings):
    assert settings_of(request_) == settings


def test_a_record_has_the_context_in_which_the_call_began():
    span = ContextVar("span", default="none")
    records, vendor = [], Vendor(sse("one", "two"))
    span.set("the caller's")
    flow = vendor.calls(hooks=[records.append]).call("stream", HI)
    step = next(flow)
    span.set("another")
    while not vendor.emitted:
        step = flow.send(vendor._take(step))
    flow.close()
    assert records[0].context.run(span.get) == "the caller's"


def test_a_call_that_fails_is_recorded_with_its_settings_too():
    records, vendor = [], Vendor(refused(400))
    request = ChatRequest("m", HI.messages, temperature=0.5)
    with pytest.raises(ValidationError):
        vendor.run(vendor.calls(hooks=[records.append]).call("chat", request))
    assert (records[0].settings, records[0].response_model) == ({"temperature": 0.5}, None)
