from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.providers import ValidationError
from nexusai.providers.messages import Audio, Document, Image, Text, ToolCall, Turn, conversation, plain

PNG = b"\x89PNG\r\n\x1a\n1"
PNG_URI = "data:image/png;base64," + base64.b64encode(PNG).decode()
PDF_URI = "data:application/pdf;base64," + base64.b64encode(b"%PDF").decode()


def only(part):
    """What one part of a user's message is read as."""
    [turn] = conversation([{"role": "user", "content": [part]}])[1]
    [read] = turn.parts
    return read


def test_system_and_developer_messages_become_one_system_prompt():
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hi"},
        {"role": "developer", "content": [{"type": "text", "text": "Be short."}]},
    ]
    assert conversation(messages) == ("Be kind.\n\nBe short.", [Turn("user", (Text("hi"),))])


def test_without_a_system_message_there_is_no_system_prompt():
    assert conversation([{"role": "user", "content": "hi"}])[0] is None


@pytest.mark.parametrize(
    ("part", "read"),
    [
        ({"type": "text", "text": "hi"}, Text("hi")),
        ({"type": "image_url", "image_url": {"url": "https://a/b.png"}}, Image(url="https://a/b.png")),
        ({"type": "image_url", "image_url": "https://a/b.png"}, Image(url="https://a/b.png")),
        (
            {"type": "image_url", "image_url": {"url": PNG_URI, "detail": "low"}},
            Image("image/png", PNG, None, "low"),
        ),
        ({"type": "image", "data": PNG}, Image("image/png", PNG)),
        ({"type": "image", "data": b"x", "media_type": "image/webp"}, Image("image/webp", b"x")),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URI}},
            Document("application/pdf", b"%PDF", filename="a.pdf"),
        ),
        (
            {"type": "file", "data": b"a,b", "filename": "a.csv", "media_type": "text/csv"},
            Document("text/csv", b"a,b", filename="a.csv"),
        ),
        ({"type": "file", "file": {"file_url": "https://a/b.pdf"}}, Document(url="https://a/b.pdf")),
        ({"type": "input_audio", "input_audio": {"data": "QUI=", "format": "mp3"}}, Audio(b"AB", "mp3")),
    ],
)
def test_parts(part, read):
    assert only(part) == read


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video", "url": "https://a"},
        {"type": "image_url"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,###"}},
        {"type": "input_audio", "input_audio": {"data": "#"}},
        {"type": "file", "file": {}},
        7,
        None,
    ],
)
def test_a_part_that_cannot_be_read_is_named(part):
    with pytest.raises(ValidationError, match="part"):
        only(part)


def test_a_role_that_nobody_knows_is_named():
    with pytest.raises(ValidationError, match="'robot'"):
        conversation([{"role": "robot", "content": "hi"}])


def test_tool_calls_and_their_results_belong_together():
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    ]
    asked, result = conversation(messages)[1]
    assert asked == Turn("assistant", (), [ToolCall("c1", "add", '{"a": 1}')])
    assert asked.tool_calls[0].parsed() == {"a": 1}
    assert result == Turn("tool", (Text("2"),), tool_call_id="c1", name="add")


@pytest.mark.parametrize("arguments", ["", "{}", "not json", "[1]"])
def test_arguments_are_always_an_object(arguments):
    assert isinstance(ToolCall("c", "f", arguments).parsed(), dict)


def test_what_a_vendor_wants_back_is_kept():
    blocks = [{"type": "thinking", "signature": "s"}]
    call = {"id": "c", "function": {"name": "f", "arguments": {}}, "thought_signature": "t"}
    messages = [{"role": "assistant", "content": "hi", "reasoning_blocks": blocks, "tool_calls": [call]}]
    [turn] = conversation(messages)[1]
    assert turn.reasoning_blocks == blocks
    assert turn.tool_calls[0].extra == {"thought_signature": "t"}


def test_bytes_become_data_uris_in_the_plain_form():
    parts = [{"type": "text", "text": "hi"}, {"type": "image", "data": PNG, "detail": "high"}]
    [message] = plain([{"role": "user", "content": parts}])
    assert message["content"] == [
        {"type": "text", "text": "hi"},
        {"type": "image_url", "image_url": {"url": PNG_URI, "detail": "high"}},
    ]


def test_a_file_of_bytes_becomes_file_data():
    part = {"type": "file", "data": b"%PDF", "filename": "a.pdf"}
    [message] = plain([{"role": "user", "content": [part]}])
    assert message["content"] == [{"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URI}}]


def test_messages_without_bytes_are_left_as_they_are():
    messages = [{"role": "user", "content": "hi"}, {"role": "user", "content": [{"type": "odd"}]}]
    assert plain(messages) == messages


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "image_url", "url", "data", "file"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(
    st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "tool"]), "content": json_values})
    )
)
def test_whatever_the_content_is_it_is_read_or_refused(messages):
    with contextlib.suppress(ValidationError):
        conversation(messages)
