from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from nexusai.server.conversations.content import answer_in, redacted, said_in, shortened

SOUND = base64.b64encode(bytes(range(256)) * 4).decode()


def stream(*events: Any) -> str:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


def told(*events: Any) -> Any:
    return json.loads(answer_in(stream(*events)))


# Payloads


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        ({"url": f"data:image/png;base64,{SOUND}"}, {"url": "[image/png, 1024 bytes]"}),
        ({"url": "data:text/plain;charset=utf-8;base64,aGk="}, {"url": "[text/plain, 2 bytes]"}),
        ({"b64_json": SOUND}, {"b64_json": "[1024 bytes]"}),
        ({"source": {"type": "base64", "data": SOUND[:100]}}, None),
        ({"anything": SOUND}, {"anything": "[1024 bytes]"}),
        ({"embedding": [0.25] * 40}, {"embedding": "[40 numbers]"}),
        ({"embedding": [-1.5e-07, 2] * 800}, {"embedding": "[1600 numbers]"}),
    ],
)
def test_of_a_payload_there_is_its_size(part: dict[str, Any], shown: Any):
    found = json.loads(redacted(json.dumps(part).encode()))
    assert found == shown or (shown is None and SOUND[:100] not in json.dumps(found))


def test_numbers_that_somebody_wrote_stay_and_the_request_is_json_still():
    numbers = list(range(40))
    asked = {"content": f"Add {numbers}.", "arguments": json.dumps({"of": numbers})}
    assert json.loads(redacted(json.dumps(asked).encode())) == asked


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
def test_what_ends_a_line_elsewhere_ends_no_event(end: str):
    event = json.dumps({"choices": [{"index": 0, "delta": {"content": f"a{end}b"}}]}, ensure_ascii=False)
    assert json.loads(answer_in(f"data: {event}\n\n")) == {"content": f"a{end}b"}


@pytest.mark.parametrize(
    "part",
    [
        {"text": "word " * 500},
        {"text": "灯塔" * 500},
        {"tool": [1, 2, 3]},
        {"url": "https://example.test/" + "a/b-c" * 20},
        {"hash": "0123456789abcdef" * 4},
    ],
)
def test_what_was_said_stays_as_it_is(part: dict[str, Any]):
    raw = json.dumps(part, ensure_ascii=False)
    assert redacted(raw.encode()) == raw


def test_bytes_that_are_no_text_are_readable_all_the_same():
    assert "�" in redacted(b'{"text": "\xff\xfe"}')


def test_a_payload_that_was_cut_off_is_left_out_too():
    assert SOUND[:600] not in redacted(f'{{"b64_json": "{SOUND[:700]}'.encode())


def test_of_a_long_text_beginning_and_end_are_kept():
    text, longer = shortened("a" * 60 + "b" * 60, 100)
    assert longer
    assert text.startswith("a" * 50)
    assert text.endswith("b" * 50)
    assert "20 characters left out" in text


def test_a_text_that_fits_is_whole():
    assert shortened("a" * 100, 100) == ("a" * 100, False)


# Words


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"model": "m", "messages": [{"role": "user", "content": "hello"}]}, "hello"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}, "hello"),
        ({"input": "hello", "model": "text-embedding"}, "hello"),
        ({"input": ["hello", "you"]}, "hello\nyou"),
        ({"system": "be brief", "messages": []}, "be brief"),
        ({"choices": [{"message": {"role": "assistant", "content": "hello"}}]}, "hello"),
        ({"choices": [{"message": {"tool_calls": [{"function": {"arguments": "{}"}}]}}]}, "{}"),
        ({"output": [{"content": [{"type": "output_text", "text": "hello"}]}]}, "hello"),
        ({"error": {"message": "no", "type": "x"}}, "no"),
    ],
)
def test_only_what_was_said_is_looked_into(body: Any, said: str):
    assert said_in(json.dumps(body)) == said


def test_a_text_that_is_no_json_is_looked_into_whole():
    assert said_in("a plain answer") == "a plain answer"


def test_a_body_of_many_levels_is_no_trouble():
    deep: Any = "at the bottom"
    for _ in range(200):
        deep = {"content": [deep]}
    assert said_in(json.dumps(deep)) == "at the bottom"


# Streams


def test_a_streamed_chat_is_put_together():
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm "},
        {"reasoning_content": "yes"},
        {"content": "The "},
        {"content": "keeper"},
    ]
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    assert told(*events, last, {"choices": [], "usage": {}}) == {
        "reasoning_content": "hm yes",
        "content": "The keeper",
    }


def test_several_answers_and_calls_of_tools_are_kept_apart():
    def called(**function: str) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": function}]}}]}

    second = {"choices": [{"index": 1, "delta": {"content": "other"}}]}
    assert told(called(name="look"), called(arguments='{"at":'), called(arguments='"sea"}'), second) == {
        "tool_call 0": 'look{"at":"sea"}',
        "content 1": "other",
    }


def test_a_streamed_completion_is_put_together():
    events = [{"choices": [{"index": 0, "text": text, "finish_reason": None}]} for text in ("The ", "light")]
    assert told(*events) == {"text": "The light"}


def test_a_message_of_anthropics_is_put_together():
    def delta(index: int, **delta: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": delta}

    start = {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "look"}}
    assert told(
        {"type": "message_start", "message": {"role": "assistant"}},
        delta(0, type="thinking_delta", thinking="hm"),
        delta(0, type="text_delta", text="The "),
        delta(0, type="text_delta", text="keeper"),
        start,
        delta(1, type="input_json_delta", partial_json="{}"),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    ) == {"thinking": "hm", "text": "The keeper", "tool_use 1": "look{}"}


def test_a_response_is_as_its_last_event_has_it():
    whole = {"id": "resp_1", "output": [{"content": [{"type": "output_text", "text": "hello"}]}]}
    delta = {"type": "response.output_text.delta", "delta": "hel"}
    assert told(delta, {"type": "response.completed", "response": whole}) == whole


def test_of_a_response_that_was_cut_the_pieces_are_kept():
    created = {"type": "response.created", "response": {"id": "resp_1", "output": []}}
    deltas = [{"type": "response.output_text.delta", "delta": text} for text in ("hel", "lo")]
    assert told(created, *deltas) == {"output_text": "hello"}


def test_an_error_in_a_stream_is_told():
    event = {"choices": [{"index": 0, "delta": {"content": "The"}}]}
    assert told(event, {"error": {"message": "it broke"}}) == {"content": "The", "error": "it broke"}


@pytest.mark.parametrize(
    "odd", ["data: {", "data: 5\n\n", "data: null\n\n", "nothing at all", "data: [1]\n\n"]
)
def test_odd_events_are_passed_over(odd: str):
    assert answer_in(odd) == "{}"


@pytest.mark.parametrize(
    "event",
    [
        {"choices": 5},
        {"choices": [None, 5]},
        {"choices": [{"delta": 5}]},
        {"choices": [{"delta": {"tool_calls": [5, {"function": 5}]}}]},
        {"delta": 5},
        {"content_block": 5, "index": {}},
        {"error": 5},
        {"response": 5},
    ],
)
def test_events_of_an_unknown_shape_are_no_trouble(event: Any):
    assert told(event) == {}
