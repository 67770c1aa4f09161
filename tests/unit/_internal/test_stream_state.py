from __future__ import annotations

import json
from typing import Any

import pytest

from nexusai._internal._stream_state import StreamState
from nexusai.error import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    NotFoundError,
    RateLimitError,
    StreamError,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
)
from nexusai.models import StreamChunk, Usage

BODY = {"task_type": "text_generation", "input": {"prompt": "hi"}}
BROKEN = APIConnectionError("reset", retryable=True)
FIRST = {"task_id": "task_1", "model": "local/text", "provider": "local"}


def opened(retries: int = 2, idle: float = 60.0) -> StreamState:
    state = StreamState(BODY, retries=retries, idle=idle)
    state.connect(0.0)
    return state


def begun(**options: Any) -> StreamState:
    state = opened(**options)
    read(state, event(1, FIRST))
    return state


def event(id: int | None, data: Any, name: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    lines = [f"id: {id}"] * (id is not None) + [f"event: {name}"] * bool(name) + [f"data: {text}"]
    return ("\n".join(lines) + "\n\n").encode()


def delta(id: int | None, text: str) -> bytes:
    return event(id, {"delta": {"content": text}})


def read(state: StreamState, *data: bytes, now: float = 0.0) -> list[StreamChunk]:
    return list(state.read(b"".join(data), now))


def test_a_stream_is_opened_by_a_submission_under_one_key():
    state = StreamState(BODY, retries=2, idle=7.0)
    call = state.connect(0.0)

    assert (call.method, call.path, call.json) == ("POST", "/invoke", {**BODY, "stream": True})
    assert call.headers["Accept"] == "text/event-stream"
    assert call.timeout == 7.0
    assert call.idempotency_key
    assert state.connect(0.0) == call


def test_a_stream_may_be_opened_elsewhere_and_under_a_key_of_the_callers_own():
    call = StreamState(BODY, retries=2, idle=7.0, path="/sessions/sess_1/invoke", key="turn-7").connect(0.0)
    assert (call.path, call.idempotency_key) == ("/sessions/sess_1/invoke", "turn-7")


def test_the_first_event_names_the_task_and_is_no_chunk():
    state = opened()
    assert read(state, event(1, FIRST)) == []
    assert (state.task_id, state.model, state.provider) == ("task_1", "local/text", "local")


def test_deltas_are_chunks_and_make_the_text():
    state = begun()
    assert [chunk.text for chunk in read(state, delta(2, "Hel"), delta(3, "lo"))] == ["Hel", "lo"]
    assert state.text == "Hello"


def test_the_whole_answer_has_usage_and_cost():
    state = begun()
    last = {"finish_reason": "stop", "usage": {"total_tokens": 3}, "cost": {"amount": 0.1}}
    chunks = read(state, delta(2, "Hi"), event(3, last), event(4, "[DONE]"))

    assert state.finished
    assert chunks[-1].finish_reason == "stop"
    response = state.response()
    assert (response.text, response.finish_reason, response.task_id) == ("Hi", "stop", "task_1")
    assert response.usage == Usage(total_tokens=3)
    assert response.cost is not None
    assert (response.model, response.provider) == ("local/text", "local")
    assert (response.tool_calls, response.reasoning) == (None, None)


def test_the_whole_answer_has_what_the_last_chunk_says_besides():
    state = begun()
    read(state, delta(2, "Hi"), event(3, {"finish_reason": "stop", "demo": True}), event(4, "[DONE]"))
    assert state.response().demo is True  # type: ignore[attr-defined]


def test_the_whole_answer_has_its_citations():
    state = begun()
    for number, page in ((2, 7), (3, 9)):
        read(state, event(number, {"delta": {"content": "x", "citations": [{"page": page}]}}))
    read(state, event(4, "[DONE]"))
    assert state.response().citations == [{"page": 7}, {"page": 9}]


def test_an_answer_without_a_last_chunk_has_no_usage():
    state = begun()
    read(state, delta(2, "Hi"), event(3, "[DONE]"))
    assert state.response().usage is None


def test_a_server_without_a_first_event_is_read_too():
    state = opened()
    read(state, delta(None, "Hi"), event(None, "[DONE]"))
    assert (state.response().text, state.task_id) == ("Hi", None)


def test_an_unfinished_answer_is_not_given_as_whole():
    state = begun()
    read(state, delta(2, "Hel"))
    with pytest.raises(StreamError, match="not whole"):
        state.response()


def test_reasoning_is_gathered():
    state = begun()
    read(
        state,
        event(2, {"delta": {"reasoning_content": "Hm"}}),
        event(3, {"delta": {"reasoning_content": "m."}}),
    )
    read(state, event(4, "[DONE]"))
    assert state.response().reasoning == "Hmm."


def test_pieces_of_a_tool_call_are_joined_by_their_index():
    state = begun()
    pieces: list[dict[str, Any]] = [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 1, "id": "call_2", "function": {"name": "g", "arguments": "{}"}},
        {"index": 0, "function": {"name": "f2", "arguments": ": 1}"}},
        {"index": 0, "function": None},
        {"id": "call_3", "function": {"name": "h"}},
    ]
    for number, piece in enumerate(pieces, 2):
        read(state, event(number, {"delta": {"tool_calls": [piece]}}))
    read(state, event(9, "[DONE]"))

    assert state.response().tool_calls == [
        {"id": "call_1", "type": "function", "function": {"name": "f2", "arguments": '{"a": 1}'}},
        {"id": "call_2", "function": {"name": "g", "arguments": "{}"}},
        {"id": "call_3", "function": {"name": "h"}},
    ]


def test_events_of_other_names_are_not_chunks():
    state = begun()
    assert (
        read(state, event(2, {"progress": 40}, "progress"), event(3, {"status": "running"}, "status")) == []
    )


def test_chunks_before_an_error_are_read_first():
    error = {"error": {"code": "PROVIDER_ERROR", "message": "Gone."}}
    chunks = begun().read(delta(2, "Hel") + event(3, error, "error"), 0.0)
    assert next(chunks).text == "Hel"
    with pytest.raises(TaskFailedError):
        next(chunks)


def fail(state: StreamState, error: Any) -> APIError:
    with pytest.raises(APIError) as raised:
        read(state, event(5, error, "error"))
    assert state.finished
    return raised.value


def test_an_error_is_the_tasks():
    error = fail(begun(), {"error": {"code": "PROVIDER_ERROR", "message": "Gone.", "retryable": True}})
    assert isinstance(error, TaskFailedError)
    assert (error.message, error.error_code, error.retryable) == ("Gone.", "PROVIDER_ERROR", True)
    assert (error.task.id, error.task.status) == ("task_1", "failed")


def test_a_cancelled_task_ends_its_stream():
    assert isinstance(fail(begun(), {"error": {"code": "CANCELLED"}}), TaskCancelledError)


def test_an_error_before_the_task_is_known_has_the_class_of_its_code():
    assert (
        type(fail(opened(), {"error": {"code": "RATE_LIMIT_EXCEEDED", "message": "Slow."}})) is RateLimitError
    )


def test_an_error_of_the_stream_alone_is_a_stream_error():
    error = fail(begun(), {"error": {"code": "STREAM_LOST", "message": "Not kept."}})
    assert type(error) is StreamError
    assert error.error_code == "STREAM_LOST"


def test_an_error_of_the_stream_alone_says_where_the_answer_will_be():
    error = fail(begun(), {"error": {"code": "STREAM_LOST", "message": "Not kept."}})
    assert error.message.startswith("Not kept. client.tasks.wait('task_1')")


def test_an_error_of_a_stream_without_a_task_names_none():
    assert fail(opened(), {"error": {"code": "STREAM_LOST", "message": "Not kept."}}).message == "Not kept."


@pytest.mark.parametrize("data", ["nonsense", "[]", "{}", "7"])
def test_an_error_that_cannot_be_read_is_an_error(data: str):
    assert "does not describe" in str(fail(begun(), data))


@pytest.mark.parametrize("data", ["nonsense", '{"delta": 7}'])
def test_an_event_that_is_no_chunk_ends_the_stream(data: str):
    state = begun()
    with pytest.raises(StreamError, match="no chunk of text"):
        read(state, event(2, data))
    assert state.finished


def test_an_event_without_end_ends_the_stream(monkeypatch: pytest.MonkeyPatch):
    state = begun()
    with pytest.raises(StreamError, match="larger than"):
        read(state, b"data: " + b"x" * (33 * 1024 * 1024))
    assert state.finished


# Breaking off


def test_a_broken_stream_goes_on_after_its_last_event():
    state = begun()
    read(state, delta(2, "Hel"))
    assert 0 < state.broke(BROKEN) <= 0.5
    call = state.connect(0.0)

    assert (call.method, call.path, call.json) == ("GET", "/tasks/task_1/events", None)
    assert call.headers == {"Accept": "text/event-stream", "Last-Event-ID": "2"}
    assert not call.retry


def test_a_stream_that_ends_too_early_goes_on_as_well():
    assert begun().broke(None) > 0


def test_half_an_event_is_forgotten_when_the_stream_breaks():
    state = begun()
    read(state, delta(2, "Hel"), b"id: 3\ndata: {")
    state.broke(BROKEN)
    state.connect(0.0)
    read(state, delta(3, "lo"))
    assert state.text == "Hello"


def test_chunks_that_are_sent_again_are_not_read_again():
    state = begun()
    read(state, delta(2, "Hel"), delta(3, "lo"))
    state.broke(BROKEN)
    state.connect(0.0)
    read(state, event(1, FIRST), delta(2, "Hel"), delta(3, "lo"), delta(4, "!"))
    assert state.text == "Hello!"


def test_events_without_ids_are_all_read():
    state = opened()
    read(state, event(7, FIRST), delta(None, "Hel"), delta(None, "lo"))
    assert state.text == "Hello"


@pytest.mark.parametrize("id", [b"", b"id: abc\n", b"id: 1\n", b"id: 0\n", b"id: " + b"9" * 5000 + b"\n"])
def test_an_event_after_which_nothing_can_be_asked_for_is_not_repeated(id: bytes):
    state = begun()
    read(state, id + b'data: {"delta": {"content": "Hel"}}\n\n')
    with pytest.raises(StreamError, match="could not be taken up again"):
        state.broke(BROKEN)


def test_an_event_with_an_id_makes_up_for_one_without():
    state = begun()
    read(state, delta(None, "Hel"), delta(2, "lo"))
    state.broke(BROKEN)
    assert state.connect(0.0).headers["Last-Event-ID"] == "2"


def test_what_is_no_name_names_no_task():
    state = opened()
    read(state, event(1, {"task_id": 5, "model": ["x"], "provider": None}), event(2, "[DONE]"))
    answer = state.response()
    assert (answer.task_id, answer.model, answer.provider) == (None, None, None)


def test_a_stream_of_no_known_task_cannot_go_on():
    state = opened()
    read(state, delta(None, "Hel"))
    with pytest.raises(StreamError, match="ended before its last event"):
        state.broke(None)


def test_an_error_before_the_first_event_is_raised_as_it_is():
    error = AuthenticationError("no", status_code=401)
    with pytest.raises(AuthenticationError):
        opened().broke(error)


def test_a_platform_that_refuses_to_go_on_is_a_stream_error():
    error = NotFoundError("no such route", status_code=404)
    with pytest.raises(StreamError, match=r"client.tasks.wait\('task_1'\)") as raised:
        begun().broke(error)
    assert raised.value.__cause__ is error


def test_fruitless_attempts_are_counted():
    state = begun(retries=2)
    first, second = state.broke(BROKEN), state.broke(BROKEN)
    assert 0.25 <= first <= 0.5 <= second <= 1.0
    with pytest.raises(StreamError):
        state.broke(BROKEN)
    assert state.finished


def test_an_event_makes_an_attempt_fruitful():
    state = begun(retries=1)
    for number in range(2, 6):
        state.broke(BROKEN)
        state.connect(0.0)
        read(state, delta(number, "x"))
    assert state.text == "xxxx"


def test_what_ended_the_stream_is_raised_and_not_retried():
    state = begun()
    error = fail(state, {"error": {"code": "PROVIDER_ERROR", "message": "Gone."}})
    with pytest.raises(TaskFailedError):
        state.broke(error)


# Silence


def test_comments_do_not_feed_the_idle_timeout():
    state = begun(idle=10)
    read(state, b": still here\n\n", now=9.0)
    with pytest.raises(TaskTimeoutError, match=r"no event for 10 s.*task_1") as raised:
        read(state, b": still here\n\n", now=10.1)
    assert raised.value.task.id == "task_1"
    assert state.finished


def test_events_feed_the_idle_timeout():
    state = begun(idle=10)
    for number in range(2, 6):
        read(state, delta(number, "x"), now=9.0 * number)
    assert state.text == "xxxx"


def test_a_new_connection_has_all_its_time():
    state = begun(idle=10)
    state.broke(BROKEN)
    state.connect(100.0)
    assert read(state, b": still here\n\n", now=105.0) == []


def test_silence_before_the_task_is_known_is_a_timeout():
    with pytest.raises(APITimeoutError, match="no event for 10 s") as raised:
        read(opened(idle=10), b": still here\n\n", now=11.0)
    assert not isinstance(raised.value, TaskTimeoutError)


def test_a_silent_connection_is_idle_and_not_taken_up_again():
    with pytest.raises(TaskTimeoutError):
        begun().broke(APITimeoutError("late", retryable=True))
