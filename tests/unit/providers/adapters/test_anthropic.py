"""What the tables of tests/fixtures/providers/anthropic do not show."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai._internal._streaming import ServerSentEvent
from nexusai.providers import AdapterError, AuthenticationError, ChatRequest, ProviderConfig
from nexusai.providers.adapters.anthropic import ADAPTER, build_chat, chat_stream, parse_chat, parse_count
from nexusai.providers.adapters.anthropic_messages import prompt_of
from nexusai.providers.transport import HttpResponse

CONFIG = ProviderConfig("anthropic", "sk-ant-key", "https://api.anthropic.com")
REQUEST = ChatRequest("claude-haiku-4-5", [{"role": "user", "content": "hi"}])
BY_TOOL = ChatRequest("claude-opus-4-1", REQUEST.messages, response_format={"type": "json_object"})

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = """type index content content_block delta message usage text thinking error signature partial_json
input id name model stop_reason data input_tokens output_tokens output_tokens_details thinking_tokens
citations citation details code error_code"""
WORDS = """message_start content_block_start content_block_delta content_block_stop message_delta message_stop
text thinking tool_use text_delta thinking_delta input_json_delta signature_delta citations_delta end_turn
error answer_as_json"""
names, words = st.sampled_from(NAMES.split()), st.sampled_from(WORDS.split())
values = st.recursive(
    scalars | words | st.integers(0, 2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=6),
    max_leaves=12,
)
events = st.dictionaries(names, values, max_size=6) | st.builds(
    lambda kind, index, block, delta: {"type": kind, "index": index, "content_block": block, "delta": delta},
    words,
    st.integers(0, 1) | scalars,
    values,
    st.dictionaries(names, words | scalars, max_size=4) | values,
)
bodies = values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)


def answer(body: bytes, status: int = 200) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json"}, body)


@pytest.mark.parametrize("request_", [REQUEST, BY_TOOL], ids=["text", "by a tool"])
@given(body=bodies)
def test_whatever_a_whole_answer_is_only_adapter_errors_come_of_it(request_: ChatRequest, body: bytes):
    for parse in (parse_chat, parse_count):
        with contextlib.suppress(AdapterError):
            parse(CONFIG, request_, answer(body))


@pytest.mark.parametrize("request_", [REQUEST, BY_TOOL], ids=["text", "by a tool"])
@given(stream=st.lists(events | values, max_size=8))
def test_whatever_a_stream_is_only_adapter_errors_come_of_it(request_: ChatRequest, stream: list[Any]):
    parser = chat_stream(CONFIG, request_)
    with contextlib.suppress(AdapterError):
        for event in stream:
            parser.feed(ServerSentEvent(data=json.dumps(event)))
        parser.end()


@given(body=bodies, status=st.integers(300, 599))
def test_whatever_an_error_is_it_is_an_adapter_error(body: bytes, status: int):
    assert ADAPTER.parse_error is not None
    error = ADAPTER.parse_error(CONFIG, REQUEST.model, answer(body, status))
    assert (error.provider, error.status) == ("anthropic", status)


def test_blocks_nested_beyond_writing_are_an_error_of_the_vendors():
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    content = [{"type": "tool_use", "id": "a", "name": "b", "input": {"x": deep}}]
    with pytest.raises(AdapterError, match="without readable content"):
        parse_chat(CONFIG, REQUEST, answer(json.dumps({"content": content}).encode()))


@pytest.mark.parametrize("base_url", ["http://gateway:4000", "http://gateway:4000/v1"])
def test_a_base_url_may_end_in_v1(base_url: str):
    sent = build_chat(ProviderConfig("anthropic", "key", base_url), REQUEST)
    assert sent.url == "http://gateway:4000/v1/messages"


def test_a_gateway_may_want_no_key():
    sent = build_chat(ProviderConfig("anthropic", None, "http://gateway:4000"), REQUEST)
    assert sent.headers == {"content-type": "application/json", "anthropic-version": "2023-06-01"}


def test_a_key_that_is_none_is_refused_before_it_is_sent():
    with pytest.raises(AuthenticationError, match="ANTHROPIC_API_KEY"):
        build_chat(ProviderConfig("anthropic", "“sk”", "http://gateway:4000"), REQUEST)


def test_pictures_of_bytes_are_sent_in_base64():
    png = b"\x89PNG\r\n\x1a\n"
    _, [message] = prompt_of([{"role": "user", "content": [{"type": "image", "data": png}]}])
    assert message["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    ]


def test_what_is_empty_is_not_sent():
    empty = [{"role": "system", "content": ""}, {"role": "user", "content": [{"type": "text", "text": ""}]}]
    assert prompt_of(empty) == (None, [])


def test_the_next_request_begins_as_the_one_before():
    """Newer models take their thoughts back only behind the very conversation that led to them."""
    asked: list[Any] = [{"role": "user", "content": "London?"}]
    _, first = prompt_of(asked)
    content = [
        {"type": "thinking", "thinking": "", "signature": "s"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "London"}},
    ]
    said = parse_chat(CONFIG, REQUEST, answer(json.dumps({"content": content}).encode()))
    asked += [said.message, {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"}]
    assert prompt_of(asked)[1][:2] == [*first, {"role": "assistant", "content": content}]
