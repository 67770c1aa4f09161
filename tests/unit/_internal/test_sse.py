from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai._internal._streaming import ServerSentEvent, SSEDecoder


def decode(*chunks: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def data(*chunks: bytes) -> list[str]:
    return [event.data for event in decode(*chunks)]


def test_an_event_is_complete_at_its_blank_line():
    assert decode(b"data: one\n\ndata: two\n\n") == [ServerSentEvent(data="one"), ServerSentEvent(data="two")]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_lines_end_in_lf_cr_or_crlf(end: bytes):
    assert data(b"data: one" + end + end + b"data: two" + end + end) == ["one", "two"]


def test_cr_dispatches_without_waiting_for_a_possible_lf():
    assert data(b"data: one\r\r") == ["one"]


def test_crlf_cut_in_the_middle_is_one_line_end():
    assert data(b"data: one\r", b"\ndata: two\r", b"", b"\n\r", b"\n") == ["one\ntwo"]


def test_cr_then_an_lf_of_its_own_line_is_told_apart():
    assert data(b"data: one\r", b"\n", b"\n") == ["one"]


def test_a_character_cut_in_the_middle_survives():
    text = "data: 你好\n\n".encode()
    assert data(text[:8], text[8:10], text[10:]) == ["你好"]


def test_invalid_utf8_becomes_the_replacement_character():
    assert data(b"data: a\xff\xe4\n\n") == ["a\ufffd\ufffd"]


def test_other_unicode_line_breaks_do_not_end_a_line():
    text = "a\u2028b\x85c\x0bd\x0ce\x1cf"
    assert data(f"data: {text}\n\n".encode()) == [text]


def test_one_leading_byte_order_mark_is_dropped_even_when_cut():
    assert data(b"\xef", b"\xbb\xbfda", b"ta: one\n\n") == ["one"]


def test_a_second_byte_order_mark_is_part_of_the_field_name():
    assert data(b"\xef\xbb\xbf\xef\xbb\xbfdata: one\n\n") == []


def test_comments_yield_nothing():
    assert decode(b": keep-alive\n\n:\n\n") == []


def test_data_lines_are_joined_by_line_feeds():
    assert data(b"data: a\ndata:\ndata\ndata:b\n\n") == ["a\n\n\nb"]


def test_only_one_leading_space_is_dropped():
    assert data(b"data:  a\n\ndata: \n\n") == [" a", ""]


def test_a_block_without_data_is_no_event_and_forgets_its_type():
    assert decode(b"event: ping\n\ndata: x\n\n") == [ServerSentEvent("message", "x")]


def test_an_empty_event_type_is_message():
    assert decode(b"event: a\nevent:\ndata: x\n\n") == [ServerSentEvent("message", "x")]


def test_type_holds_for_one_event_and_id_for_all_that_follow():
    assert decode(b"event: delta\nid: 7\ndata: x\n\ndata: y\n\n") == [
        ServerSentEvent("delta", "x", "7"),
        ServerSentEvent("message", "y", "7"),
    ]


def test_an_id_with_nul_is_ignored_and_an_empty_one_is_not():
    assert [event.id for event in decode(b"id: 1\nid: a\0b\ndata: x\n\nid\ndata: y\n\n")] == ["1", ""]


def test_last_event_id_moves_at_the_blank_line_even_without_data():
    decoder = SSEDecoder()
    decoder.feed(b"id: 1\n\nid: 2\n")
    assert decoder.last_event_id == "1"


@pytest.mark.parametrize(
    ("value", "retry"), [(b"3000", 3000), (b"3s", None), (b"", None), (b"9" * 5000, None)]
)
def test_retry_takes_ascii_digits_alone(value: bytes, retry: int | None):
    decoder = SSEDecoder()
    assert decoder.feed(b"retry: " + value + b"\n\n") == []
    assert decoder.retry == retry


def test_unknown_fields_are_ignored():
    assert data(b"foo: 1\nData: 2\n data: 3\ndata: x\n\n") == ["x"]


def test_what_the_end_of_the_stream_cuts_off_is_no_event():
    assert data(b"data: one\n\ndata: two\n") == ["one"]


def test_an_event_at_the_limit_passes():
    assert SSEDecoder(max_event_bytes=10).feed(b"data: 1234\n\ndata: 5678\n\n") != []


@pytest.mark.parametrize(
    "chunks",
    [[b"data: 12345\n\n"], [b"data: 12", b"345"], [b"data: 1\n", b"data"], [b":2345678901\n"]],
    ids=["one line", "an unfinished line", "several lines", "a comment"],
)
def test_an_event_over_the_limit_is_refused(chunks: list[bytes]):
    decoder = SSEDecoder(max_event_bytes=10)
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        list(map(decoder.feed, chunks))


def test_a_line_in_many_pieces_is_counted_once():
    decoder = SSEDecoder(max_event_bytes=10)
    assert [event.data for piece in (b"data", b": 12", b"34\n", b"\n") for event in decoder.feed(piece)] == [
        "1234"
    ]


lines = st.one_of(
    st.sampled_from(
        ["", "data", "data:", "data: x", "event: e", "id: 1", "id: \0", "retry: 5", ": c", "\ufeff"]
    ),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12).map(
        "data:{}".format
    ),
)
streams = st.lists(st.tuples(lines, st.sampled_from(["\n", "\r", "\r\n", "\n\n"])), max_size=12).map(
    lambda parts: "".join(line + end for line, end in parts).encode()
)


@given(stream=st.one_of(streams, st.binary(max_size=40)), cuts=st.lists(st.integers(0, 200), max_size=12))
def test_the_events_are_the_same_however_the_bytes_are_cut(stream: bytes, cuts: list[int]):
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    assert decode(*pieces) == decode(stream) == decode(*(bytes([byte]) for byte in stream))


PARTS = (
    *(
        "id: 1\n",
        "id: 2\n",
        "id: \n",
        "id: 3",
        "id: \0\n",
        "data: x\n",
        "data: 你\n",
        "data:y\n",
        "data: a\0b\n",
    ),
    *("event: e\n", "retry: 5\n", "\n", "\n", ": c\n", "\ufeffdata: z\n", "data: r\r\n"),
)
plain = st.lists(st.sampled_from(PARTS), max_size=12).map(lambda parts: "".join(parts).encode() + b"\n\n")


@given(chunks=st.lists(plain | st.binary(max_size=9).map(lambda data: data + b"\n\n"), max_size=3))
def test_whole_events_at_once_are_what_they_are_byte_by_byte(chunks: list[bytes]):
    at_once, by_byte = SSEDecoder(), SSEDecoder()
    for chunk in [b":\n\n", *chunks]:
        expected = [event for byte in chunk for event in by_byte.feed(bytes([byte]))]
        assert at_once.feed(chunk) == expected
        assert (at_once.last_event_id, at_once.retry) == (by_byte.last_event_id, by_byte.retry)
