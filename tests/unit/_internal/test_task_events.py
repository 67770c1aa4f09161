from __future__ import annotations

import json
from typing import Any

import pytest

from nexusai._internal._task_events import TaskEventState
from nexusai.error import APIConnectionError, StreamError
from nexusai.models import Task, TaskEvent


def opened() -> TaskEventState:
    state = TaskEventState(Task(task_id="task_1"), retries=2, idle=300.0)
    state.connect(0.0)
    return state


def read(state: TaskEventState, data: Any, name: str = "", id: int = 1) -> list[TaskEvent]:
    text = data if isinstance(data, str) else json.dumps(data)
    event = f"event: {name}\n" if name else ""
    return list(state.read(f"id: {id}\n{event}data: {text}\n\n".encode(), 0.0))


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        ({"task_id": "task_1", "model": "m", "provider": "p"}, "", "start"),
        ({"status": "running"}, "status", "status"),
        ({"progress": 12.5}, "progress", "progress"),
        ({"delta": {"content": "Hi"}}, "", "delta"),
        ({"output": {"images": []}}, "", "output"),
        ({"finish_reason": "stop", "usage": None, "cost": None}, "", "end"),
        ({"weather": "fine"}, "", "message"),
        ({"weather": "fine"}, "forecast", "forecast"),
    ],
)
def test_an_event_says_of_which_kind_it_is(data: dict[str, Any], name: str, kind: str):
    (event,) = read(opened(), data, name, 7)
    assert (event.kind, event.id) == (kind, "7")
    assert event[next(iter(data))] is not None


def test_the_first_request_is_for_all_events_and_may_be_sent_again():
    state = TaskEventState(Task(task_id="task_1"), retries=2, idle=300.0)
    call = state.connect(0.0)
    assert (call.method, call.path, call.timeout, call.retry) == ("GET", "/tasks/task_1/events", 300.0, True)
    assert call.headers == {"Accept": "text/event-stream"}


def test_a_stream_that_ends_before_it_began_is_opened_again_from_the_start():
    state = opened()
    assert state.broke(None) > 0
    assert "Last-Event-ID" not in state.connect(0.0).headers


def test_a_refusal_before_the_first_event_stands():
    error = APIConnectionError("refused", retryable=True)
    with pytest.raises(APIConnectionError):
        opened().broke(error)


def test_the_task_is_kept_up_to_date():
    state = opened()
    seen = []
    for data, name in (
        ({"task_id": "task_1", "model": "m", "provider": "p"}, ""),
        ({"status": "running"}, "status"),
        ({"progress": 40}, "progress"),
        ({"finish_reason": "stop"}, ""),
    ):
        read(state, data, name)
        seen.append((state.task.status, state.task.progress))
    assert seen == [("pending", None), ("running", None), ("running", 40), ("completed", 100)]
    assert (state.task.model, state.task.provider) == ("m", "p")


def test_the_end_is_the_end():
    state = opened()
    (event,) = read(state, {"finish_reason": "stop"})
    assert (event.status, state.finished) == ("completed", False)
    assert read(state, "[DONE]", id=2) == []
    assert state.finished


@pytest.mark.parametrize(("code", "status"), [("PROVIDER_ERROR", "failed"), ("CANCELLED", "cancelled")])
def test_a_task_that_ended_badly_says_so_and_raises_nothing(code: str, status: str):
    state = opened()
    (event,) = read(state, {"error": {"code": code, "message": "Gone."}}, "error")
    assert event.error is not None
    assert (event.kind, event.status, event.error.code) == ("error", status, code)
    assert (state.finished, state.task.status, state.task.error) == (True, status, event.error)


def test_a_stream_that_is_lost_is_an_error():
    state = opened()
    with pytest.raises(StreamError, match=r"Not kept. client.tasks.wait\('task_1'\)"):
        read(state, {"error": {"code": "STREAM_LOST", "message": "Not kept."}}, "error")
    assert state.finished


@pytest.mark.parametrize("data", ["nonsense", "[]", "7", '{"progress": "half"}'])
def test_an_event_that_cannot_be_read_ends_the_stream(data: str):
    state = opened()
    with pytest.raises(StreamError, match="cannot be read"):
        read(state, data)
    assert state.finished


def test_events_that_are_sent_again_are_told_once():
    state = opened()
    read(state, {"status": "running"}, "status", 5)
    state.broke(None)
    state.connect(0.0)
    assert read(state, {"status": "running"}, "status", 5) == []
    assert len(read(state, {"progress": 1}, "progress", 6)) == 1
