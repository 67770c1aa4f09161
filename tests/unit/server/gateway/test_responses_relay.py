from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.providers.types import RelayRequest
from nexusai.server.gateway.responses_relay import Passage, relay_request

OURS = {"id": "resp_ours", "previous_response_id": "resp_0", "store": True}
THEIRS = {"id": "resp_theirs", "previous_response_id": None, "store": False, "model": "m", "output": []}


def event(kind: str, number: int, end: str = "\n", **facts: Any) -> bytes:
    told = json.dumps({"type": f"response.{kind}", "sequence_number": number, **facts}, ensure_ascii=False)
    return f"event: response.{kind}{end}data: {told}{end}{end}".encode()


def read(data: bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(data.rpartition(b"data: ")[2])
    return told


def request(**fields: Any) -> RelayRequest:
    return RelayRequest(
        "responses", "m", {name: json.dumps(value).encode() for name, value in fields.items()}
    )


def test_what_is_all_there_is_goes_as_it_came() -> None:
    asked = [{"role": "user", "content": "hi", "novel": 1}]
    passing = RelayRequest("responses", "m", {"input": b'[ {"role":"user"} ]', "odd": b"1.50"})
    sent = relay_request(passing, asked, [], asked)
    assert sent.fields == {"input": b'[ {"role":"user"} ]', "odd": b"1.50", "store": b"false"}


def test_what_is_about_the_state_is_kept_from_the_vendor() -> None:
    passing = request(
        input="hi", store=True, previous_response_id="resp_0", background=False, conversation=None
    )
    items = [{"role": "user", "content": "hi"}]
    before = [{"id": "msg_1", "type": "message", "role": "user", "content": "one"}]
    sent = relay_request(passing, "hi", before, items)
    assert sent.fields.keys() == {"input", "store"}
    assert json.loads(sent.fields["input"]) == [
        {"type": "message", "role": "user", "content": "one"},
        {"role": "user", "content": "hi"},
    ]


def test_events_pass_and_the_response_in_them_is_ours() -> None:
    passage = Passage(OURS, "m")
    delta = event("output_text.delta", 1, delta='"type":"response.completed"')
    [created] = passage.read(event("created", 0, response=THEIRS))
    assert read(created)["response"] == {**THEIRS, **OURS}
    assert [*passage.read(delta)] == [delta]
    assert [*passage.read(event("completed", 2, response={**THEIRS, "novel": 1.5}))] == []
    assert passage.is_over
    assert passage.response == {**THEIRS, "novel": 1.5, **OURS}
    assert read(passage.end()) == {
        "type": "response.completed",
        "sequence_number": 2,
        "response": passage.response,
    }


def test_a_response_that_is_not_kept_after_all_says_so() -> None:
    passage = Passage(OURS, "m")
    assert [*passage.read(event("completed", 0, response=THEIRS))] == []
    passage.response["store"] = False
    assert read(passage.end())["response"]["store"] is False


def test_one_that_breaks_has_the_items_that_were_done() -> None:
    passage = Passage(OURS, "m")
    item = {"id": "msg_1", "type": "message"}
    for data in (event("created", 0, response=THEIRS), event("output_item.done", 1, item=item)):
        for _ in passage.read(data):
            pass
    failed, error = passage.fail("server_error", "It broke.")
    assert (failed["sequence_number"], error["sequence_number"]) == (2, 3)
    assert failed["response"]["output"] == [item]
    assert (failed["response"]["id"], failed["response"]["status"]) == ("resp_ours", "failed")
    assert error["error"]["message"] == "It broke."


@pytest.mark.parametrize("blank", [b"\n\n", b"\r\n\r\n", b"\n\r\n", b"\r\n\n", b"\r\r"])
def test_an_event_ends_wherever_the_vendors_stream_is_cut(blank: bytes) -> None:
    passage = Passage(OURS, "m")
    delta = b'data: {"type":"response.output_text.delta","sequence_number":1,"delta":"x"}' + blank
    assert b"".join(passage.read(delta + delta)) == delta + delta


def test_what_comes_after_the_end_of_a_response_does_not_take_its_place() -> None:
    passage = Passage(OURS, "m")
    data = event("completed", 5, response=THEIRS) + event("metrics", 6)
    assert [*passage.read(data)] == [event("metrics", 6)]
    end = read(passage.end())
    assert (end["type"], end["sequence_number"]) == ("response.completed", 5)


def test_one_that_breaks_before_anything_came_has_our_id() -> None:
    failed, _ = Passage(OURS, "m").fail(None, "It broke.")
    assert (failed["sequence_number"], failed["response"]["id"]) == (0, "resp_ours")


@given(st.lists(st.text(max_size=20), max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_whatever_is_said_passes_unchanged(texts: list[str], end: str) -> None:
    passage = Passage(OURS, "m")
    events = [event("output_text.delta", at, end, delta=text) for at, text in enumerate(texts)]
    assert b"".join(passage.read(b"".join(events))) == b"".join(events)
    failed, _ = passage.fail(None, "x")
    assert failed["sequence_number"] == len(texts)
