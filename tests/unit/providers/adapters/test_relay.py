from __future__ import annotations

import contextlib
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.providers import AdapterError, ProviderConfig
from nexusai.providers.adapters import anthropic, azure, openai, openai_compatible, relay
from nexusai.providers.adapters.openai_relay import understood
from nexusai.providers.adapters.openai_responses_relay import build_relay
from nexusai.providers.adapters.relay import DONE, Events, body_of, carried, prompt_tokens
from nexusai.providers.errors import RetryableError, ValidationError
from nexusai.providers.flow import Emit, Open
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import RelayApi, RelayChunk, RelayRequest, Usage

CONFIG = ProviderConfig("openai", "sk-test-1234", "https://vendor.example/v1")
STREAM = (
    b'data: {"id":"c1","model":"m-1","choices":[{"delta":{"content":"Hel"}}],"new":1.50}\n\n'
    b": a comment\n\n"
    b'data: {"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}],"logprobs":{}}\r\n\r\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
    b"data: [DONE]\n\n"
)
USAGE_EVENT = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'


def asked(api: RelayApi = "chat", *, stream: bool = False, **fields: Any) -> RelayRequest:
    return RelayRequest(
        api, "m", {name: json.dumps(value).encode() for name, value in fields.items()}, stream
    )


def emitted(request: RelayRequest, *pieces: bytes, adapter: Any = openai_compatible) -> list[RelayChunk]:
    """The chunks of a stream whose body comes in these pieces."""
    flow = adapter.ADAPTER.relays[request.api](CONFIG, request)
    assert isinstance(next(flow), Open)
    arriving, chunks = iter(pieces), []
    step = flow.send(HttpResponse(200, {"content-type": "text/event-stream"}, b""))
    while True:
        try:
            if isinstance(step, Emit):
                chunks += step.value
                step = flow.send(None)
            else:
                step = flow.send(next(arriving, b""))
        except StopIteration:
            return chunks


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted), shown=st.booleans())
def test_a_stream_passes_as_it_came_however_it_is_cut(cuts: list[int], shown: bool):
    request = asked(stream=True, messages=[], stream_options={"include_usage": shown})
    places = [0, *cuts, len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(places) if a != b]
    chunks = emitted(request, *pieces)
    passed = STREAM if shown else STREAM.replace(USAGE_EVENT, b"")
    assert b"".join(chunk.data for chunk in chunks) == passed
    assert "".join(chunk.delta for chunk in chunks) == "Hello"
    assert chunks[-1].usage == Usage(7, 2)
    assert (chunks[-1].model, chunks[-1].id) == ("m-1", "c1")
    assert "stop" in [chunk.finish_reason for chunk in chunks]


def test_usage_in_a_chunk_that_has_choices_is_counted_and_passes():
    last = (
        b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    )
    chunks = emitted(asked(stream=True), last, b"data: [DONE]\n\n")
    assert chunks[0].data == last
    assert chunks[-1].usage == Usage(3, 1)


def test_an_end_that_a_vendor_leaves_out_is_put_there():
    body = b'data: {"choices":[{"delta":{},"finish_reason":"length"}]}\n\n'
    chunks = emitted(asked(stream=True), body)
    assert b"".join(chunk.data for chunk in chunks) == body + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: {"cho',
        b"data: {nonsense}\n\n",
        b'data: {"choices":7}\n\n',
        b'data: {"choices":[{"delta":{},"finish_reason":"network_error"}]}\n\n',
    ],
)
def test_a_stream_without_an_end_fails(body: bytes):
    with pytest.raises(RetryableError):
        emitted(asked(stream=True, messages=[]), body)


def test_what_came_before_an_error_has_passed():
    flow = openai_compatible.ADAPTER.relays["chat"](CONFIG, asked(stream=True))
    next(flow)
    flow.send(HttpResponse(200, {}, b""))
    good = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
    step = flow.send(good + b'data: {"error":{"message":"overloaded","code":429}}\n\n')
    assert isinstance(step, Emit)
    assert step.value[0].data == good
    with pytest.raises(AdapterError, match="overloaded"):
        next(flow)


def test_an_event_that_says_error_is_one():
    with pytest.raises(AdapterError, match="broke"):
        emitted(asked(stream=True), b'event: error\ndata: {"message":"it broke"}\n\n')


def test_json_in_place_of_a_stream_fails():
    flow = openai_compatible.ADAPTER.relays["chat"](CONFIG, asked(stream=True))
    next(flow)
    with pytest.raises(RetryableError, match="answered whole"):
        flow.send(HttpResponse(200, {"content-type": "application/json"}, b""))


def test_an_event_without_an_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nexusai.providers.adapters.relay.MAX_EVENT_BYTES", 100)
    with pytest.raises(RetryableError):
        emitted(asked(stream=True), b"data: {" + b"x" * 100)


def test_the_body_is_the_callers_but_for_the_name_of_the_model():
    fields = {
        "model": b'"openai/m"',
        "odd": b"1.50",
        "big": b"123456789012345678901234567890",
        "s": b'"\\u00e9"',
    }
    sent = body_of(RelayRequest("chat", "m", fields), stream_options={"include_usage": True})
    assert sent == (
        b'{"model":"m","odd":1.50,"big":123456789012345678901234567890,"s":"\\u00e9",'
        b'"stream_options":{"include_usage": true}}'
    )


@pytest.mark.parametrize(
    ("provider", "fields", "passes"),
    [
        ("openai", {"reasoning_effort": "low", "response_format": {"type": "json_schema"}}, True),
        ("deepseek", {"temperature": 1}, True),
        ("deepseek", {"reasoning_effort": "low"}, False),
        ("deepseek", {"response_format": {"type": "json_schema"}}, False),
        ("mistral", {"seed": 1}, False),
    ],
)
def test_what_a_vendor_has_other_words_for_does_not_pass(provider: str, fields: dict[str, Any], passes: bool):
    assert understood(ProviderConfig(provider, "k", "https://x"), asked(**fields)) is passes


def test_a_whole_answer_is_read_for_what_it_used():
    flow = openai_compatible.ADAPTER.relays["chat"](
        CONFIG, asked(messages=[{"role": "user", "content": "hi"}])
    )
    sent = next(flow)
    assert isinstance(sent, HttpRequest)
    assert sent.url == "https://vendor.example/v1/chat/completions"
    body = b'{ "id":"c1", "choices":[{"message":{"content":"hello"},"finish_reason":"stop"}], "x":1.0 }'
    with pytest.raises(StopIteration) as done:
        flow.send(HttpResponse(200, {}, body))
    answer = done.value.value
    assert (answer.body, answer.id, answer.finish_reason, answer.model) == (body, "c1", "stop", "m")
    assert answer.usage.source == "estimate"  # the vendor did not count


@pytest.mark.parametrize("body", [b'{"choices":[]}', b'{"choices":[{}]}', b'{"data":[]}', b"[]", b"nonsense"])
def test_an_answer_that_is_none_fails(body: bytes):
    flow = openai_compatible.ADAPTER.relays["chat"](CONFIG, asked())
    next(flow)
    with pytest.raises(AdapterError):
        flow.send(HttpResponse(200, {}, body))


def test_azure_gets_it_at_its_own_address():
    config = ProviderConfig("azure", "k", "https://r.openai.azure.com", options={"api_version": "2024-10-21"})
    sent = next(azure.ADAPTER.relays["chat"](config, asked(messages=[])))
    assert isinstance(sent, HttpRequest)
    assert sent.url.endswith("/openai/deployments/m/chat/completions?api-version=2024-10-21")
    assert sent.headers["api-key"] == "k"


def test_messages_pass_with_the_betas_of_their_caller():
    config = ProviderConfig("anthropic", "k", "https://vendor.example/v1")
    request = RelayRequest("messages", "m", {"model": b'"x"'}, headers={"anthropic-beta": "new"})
    sent = next(anthropic.ADAPTER.relays["messages"](config, request))
    assert isinstance(sent, HttpRequest)
    assert sent.url == "https://vendor.example/v1/messages"
    assert (sent.headers["x-api-key"], sent.headers["anthropic-beta"]) == ("k", "new")


def events(*bodies: dict[str, Any]) -> bytes:
    return b"".join(
        b"event: " + body["type"].encode() + b"\ndata: " + json.dumps(body).encode() + b"\n\n"
        for body in bodies
    )


def test_a_streamed_message_counts_what_grows():
    body = events(
        {"type": "message_start", "message": {"id": "m1", "model": "c", "usage": {"input_tokens": 5}}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    )
    chunks = emitted(asked("messages", stream=True), body, adapter=anthropic)
    assert b"".join(chunk.data for chunk in chunks) == body
    assert (chunks[0].delta, chunks[0].finish_reason, chunks[0].id) == ("hi", "stop", "m1")
    assert chunks[-1].usage == Usage(5, 3)


def test_what_follows_the_end_of_a_message_is_not_waited_for_again():
    """Some who speak the Messages API end with OpenAI's [DONE] as well."""
    start = {"type": "message_start", "message": {"id": "m1", "model": "c", "usage": {"input_tokens": 5}}}
    body = events(start, {"type": "message_stop"}, {"type": "ping"}) + b"data: [DONE]\n\n"
    chunks = emitted(asked("messages", stream=True), body, adapter=anthropic)
    assert b"".join(chunk.data for chunk in chunks) == body


def test_a_streamed_message_without_its_end_fails():
    with pytest.raises(RetryableError, match="message_stop"):
        emitted(asked("messages", stream=True), events({"type": "ping"}), adapter=anthropic)
    broken = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    with pytest.raises(AdapterError, match="busy"):
        emitted(asked("messages", stream=True), events(broken), adapter=anthropic)


def test_a_streamed_response_is_over_when_it_says_so():
    usage = {"input_tokens": 4, "output_tokens": 2}
    body = events(
        {"type": "response.created", "response": {"id": "r1", "model": "o"}},
        {"type": "response.output_item.added", "item": {"type": "function_call"}},
        {"type": "response.output_text.delta", "delta": "hi"},
        {"type": "response.completed", "response": {"status": "completed", "usage": usage}},
    )
    chunks = emitted(asked("responses", stream=True), body, adapter=openai)
    assert b"".join(chunk.data for chunk in chunks) == body
    assert (chunks[0].id, chunks[0].delta, chunks[0].finish_reason) == ("r1", "hi", "tool_calls")
    assert chunks[-1].usage == Usage(4, 2)
    with pytest.raises(RetryableError, match="open"):
        emitted(asked("responses", stream=True), events({"type": "response.created"}), adapter=openai)


WORDS = ["type", "choices", "delta", "usage", "error", "message", "response", "item", "content", "tool_calls"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*WORDS, DONE]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(event=ANYTHING)
@pytest.mark.parametrize(
    ("api", "adapter"), [("chat", openai_compatible), ("messages", anthropic), ("responses", openai)]
)
def test_no_event_fails_in_a_way_that_nobody_expects(api: RelayApi, adapter: Any, event: Any):
    with contextlib.suppress(AdapterError):
        emitted(asked(api, stream=True), b"data: " + json.dumps(event).encode() + b"\n\n", adapter=adapter)


def test_the_prompt_of_any_form_is_estimated():
    assert prompt_tokens(asked(messages=[{"role": "user", "content": "hello there"}])) > 5
    assert prompt_tokens(asked("responses", input="hello there", instructions="be brief")) > 3
    assert prompt_tokens(asked(messages="odd")) == 0
    unreadable = {"messages": b'[{"content": "hello there", "weight": 1e999}]'}
    assert prompt_tokens(RelayRequest("chat", "m", unreadable)) > 5


@pytest.mark.parametrize(
    ("model", "fields", "include"),
    [
        ("gpt-5.1", {"store": b"false"}, b'"include":["reasoning.encrypted_content"]'),
        (
            "gpt-5.1",
            {"store": b"false", "include": b'["a"]'},
            b'"include":["a", "reasoning.encrypted_content"]',
        ),
        ("gpt-5.1", {}, b""),
        ("gpt-5.1", {"store": b"false", "include": b'"a"'}, b'"include":"a"'),
        ("gpt-4o", {"store": b"false"}, b""),
    ],
)
def test_a_model_that_thinks_is_asked_for_its_thoughts_where_nothing_is_kept(
    model: str, fields: dict[str, bytes], include: bytes
) -> None:
    sent = build_relay(CONFIG, RelayRequest("responses", model, fields))
    assert include in sent.body
    assert include or b"include" not in sent.body


@pytest.mark.parametrize("blank", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n"])
def test_an_event_ends_with_whatever_line_is_blank(blank: bytes):
    body = b'data: {"a":1}' + blank + b"data: [DONE]" + blank
    for at in range(len(body)):
        cutting = Events()
        found = [*cutting.feed(body[:at]), *cutting.feed(body[at:])]
        assert [carried(raw) for raw in found] == [{"a": 1}, {DONE: True}]


def test_a_field_that_cannot_be_read_is_its_callers_mistake():
    odd = RelayRequest("chat", "m", {"messages": b"[]", "stream_options": b'{"x": 1e999}'}, stream=True)
    with pytest.raises(ValidationError, match="stream_options"):
        emitted(odd)


def test_long_names_that_callers_make_up_are_not_kept():
    name = "x" * 1_000_000
    before = relay._short_text.cache_info().currsize
    assert name.encode() in body_of(RelayRequest("chat", name, {name: b"1"}))
    assert relay._short_text.cache_info().currsize - before <= 1
