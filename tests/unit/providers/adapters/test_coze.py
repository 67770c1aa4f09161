"""What the tables of tests/fixtures/providers/coze do not show."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai._internal._streaming import ServerSentEvent
from nexusai.providers import AdapterError, ChatRequest, ProviderConfig, TimeoutError, ValidationError
from nexusai.providers.adapters.coze import ADAPTER, chat
from nexusai.providers.adapters.coze_stream import ChatStream
from nexusai.providers.flow import Flow, Sleep
from nexusai.providers.transport import HttpRequest, HttpResponse

CONFIG = ProviderConfig("coze", "pat_key", "https://api.coze.com")
REQUEST = ChatRequest("73", [{"role": "user", "content": "hi"}])

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
WORDS = "completed in_progress failed requires_action canceled answer follow_up assistant"
NAMES = """id conversation_id bot_id status usage token_count output_count input_count last_error code msg
detail logid required_action submit_tool_outputs tool_calls function name arguments type role content
reasoning_content"""
names, words = st.sampled_from(NAMES.split()), st.sampled_from(WORDS.split())
values = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=6),
    max_leaves=12,
)
bodies = st.binary(max_size=20) | st.builds(
    lambda code, data: json.dumps({"code": code, "msg": "m", "data": data}).encode(),
    st.sampled_from([0, None]) | scalars,
    values,
)
kinds = st.sampled_from(
    [
        *("message.delta", "message.completed", "chat.created", "chat.completed", "chat.failed"),
        *("chat.requires_action", "chat.canceled"),
    ]
).map("conversation.".__add__) | st.sampled_from(["error", "done", "ping"])


def answer(data: Any, code: int = 0) -> HttpResponse:
    body = json.dumps({"code": code, "msg": "", "data": data}).encode()
    return HttpResponse(200, {"content-type": "application/json"}, body)


def under_way() -> HttpResponse:
    return answer({"id": "1", "conversation_id": "2", "status": "in_progress"})


def run(flow: Flow[Any], answers: Iterator[HttpResponse | AdapterError], done: list[Any]) -> None:
    """Until the flow, or the answers, are over; `done` has what it did."""
    with contextlib.suppress(StopIteration):
        step = next(flow)
        while True:
            done.append(step)
            answer = next(answers) if isinstance(step, HttpRequest) else None
            step = flow.throw(answer) if isinstance(answer, AdapterError) else flow.send(answer)


@given(answers=st.lists(bodies.map(lambda body: HttpResponse(200, {}, body)), min_size=3, max_size=3))
def test_whatever_the_answers_are_only_adapter_errors_come_of_them(answers: list[HttpResponse]):
    with contextlib.suppress(AdapterError):
        run(chat(CONFIG, REQUEST), iter(answers), [])


@given(events=st.lists(st.tuples(kinds, values), max_size=6))
def test_whatever_a_stream_is_only_adapter_errors_come_of_it(events: list[tuple[str, Any]]):
    parser = ChatStream(CONFIG, REQUEST)
    with contextlib.suppress(AdapterError):
        for kind, data in events:
            parser.feed(ServerSentEvent(kind, json.dumps(data)))
        parser.end()


@given(body=bodies, status=st.integers(300, 599))
def test_whatever_an_error_is_it_is_an_adapter_error(body: bytes, status: int):
    assert ADAPTER.parse_error is not None
    assert isinstance(ADAPTER.parse_error(CONFIG, "73", HttpResponse(status, {}, body)), AdapterError)


def endless() -> list[Any]:
    """What is done for a chat that is never over."""
    done: list[Any] = []
    with pytest.raises(TimeoutError, match="coze did not finish the chat in 600 s"):
        run(chat(CONFIG, REQUEST), repeat(under_way()), done)
    return done


def test_a_chat_is_asked_after_each_second_at_first_and_then_less_often():
    pauses = [step.seconds for step in endless() if isinstance(step, Sleep)]
    assert pauses[:30] == [1] * 30
    assert pauses == sorted(pauses)
    assert pauses[-1] == 5
    assert 600 <= sum(pauses) <= 605


def test_a_chat_that_takes_too_long_is_cancelled():
    last = endless()[-1]
    assert (last.url, json.loads(last.body)) == (
        "https://api.coze.com/v3/chat/cancel",
        {"conversation_id": "2", "chat_id": "1"},
    )


def test_a_chat_that_cannot_be_cancelled_is_given_up_all_the_same():
    polls = sum(isinstance(step, HttpRequest) for step in endless()) - 1
    answers = chain(repeat(under_way(), polls), [ValidationError("4104")])
    with pytest.raises(TimeoutError):
        run(chat(CONFIG, REQUEST), answers, [])


def test_a_poll_that_got_no_answer_ends_the_chat():
    flow = chat(CONFIG, REQUEST)
    next(flow)
    assert isinstance(flow.send(under_way()), Sleep)
    assert isinstance(flow.send(None), HttpRequest)
    with pytest.raises(AdapterError, match="gone"):
        flow.throw(AdapterError("gone"))


@pytest.mark.parametrize(
    ("model", "options", "bot"),
    [("73", {"bot_id": "9"}, "73"), ("my-bot", {"bot_id": "9"}, "9"), ("my-bot", {}, "my-bot")],
)
def test_a_model_is_a_bots_id_or_the_bot_of_the_configuration(model: str, options: dict[str, str], bot: str):
    config = ProviderConfig("coze", "pat_key", "https://api.coze.com", options=options)
    sent = next(chat(config, ChatRequest(model, REQUEST.messages)))
    assert isinstance(sent, HttpRequest)
    assert json.loads(sent.body or b"")["bot_id"] == bot
