from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from nexusai._internal._flow import Call, Reply, Upload, at, create, fetch, given
from nexusai.error import APIError, InvalidRequestError
from nexusai.models import Task


def test_a_creating_call_has_an_idempotency_key_of_its_own():
    first, second = create("/invoke", json={}), create("/invoke", json={})

    assert first.method == "POST"
    assert len(first.idempotency_key or "") == 36
    assert first.idempotency_key != second.idempotency_key


def test_a_creating_call_keeps_its_other_headers():
    assert create("/invoke", headers={"Prefer": "respond-async"}).headers["Prefer"] == "respond-async"


def test_a_call_shows_no_body_in_its_repr():
    assert "secret prompt" not in repr(Call("POST", "/invoke", json={"prompt": "secret prompt"}))


def test_a_path_is_made_of_its_parts():
    assert at("tasks", "task_a-1", "cancel") == "/tasks/task_a-1/cancel"


@pytest.mark.parametrize("id", ["a/b", "..", "a?b", "a b", "task_1\n", "é", "%2e"])
def test_what_is_no_id_is_refused_by_name(id: str):
    with pytest.raises(InvalidRequestError) as raised:
        at("tasks", id)
    assert repr(id) in str(raised.value)


def test_an_empty_id_is_refused_since_it_would_name_the_list():
    with pytest.raises(InvalidRequestError, match="/tasks is empty"):
        at("tasks", "")


def test_an_id_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match="not int"):
        at("tasks", 7)  # type: ignore[arg-type]


def test_a_reply_is_parsed_into_a_model():
    assert Reply(200, content=b'{"task_id": "task_1"}').parse(Task).id == "task_1"


@pytest.mark.parametrize("content", [b"<html>secret</html>", b"", b'{"status": "secret"}'])
def test_an_answer_that_is_no_such_model_is_a_clear_error_without_the_body(content: bytes):
    reply = Reply(200, {"content-type": "text/html", "x-request-id": "req_9"}, content)

    with pytest.raises(APIError, match=r"not the Task .*text/html.*base URL") as raised:
        reply.parse(Task)

    assert raised.value.request_id == "req_9"
    assert "secret" not in f"{raised.value}{raised.value.__cause__}"


def test_what_is_fetched_into_memory_is_its_bytes():
    flow = fetch("/files/file_1/content")
    assert next(flow).path == "/files/file_1/content"
    with pytest.raises(StopIteration) as done:
        flow.send(Reply(200, content=b"body"))
    assert done.value.value == b"body"


def test_what_is_fetched_into_a_file_is_its_path():
    flow = fetch("/files/file_1/content", Path("there"))
    assert next(flow).into == Path("there")
    with pytest.raises(StopIteration) as done:
        flow.send(Reply(200))
    assert done.value.value == Path("there")


def test_bytes_paths_and_seekable_files_can_be_sent_again():
    assert all(Upload("a", content).rewindable for content in (b"", Path("a"), io.BytesIO()))


def test_a_pipe_can_be_sent_once():
    read, write = os.pipe()
    with open(read, "rb") as pipe, open(write, "wb"):
        assert not Upload("a", pipe).rewindable


def test_an_array_is_parsed_into_a_list_of_models():
    rows = Reply(200, content=b'[{"task_id": "task_1"}, {"task_id": "task_2"}]').parse_list(Task)
    assert [task.id for task in rows] == ["task_1", "task_2"]


def test_an_array_of_something_else_is_a_clear_error():
    with pytest.raises(APIError, match="not the list of Task"):
        Reply(200, content=b'{"task_id": "task_1"}').parse_list(Task)


def test_what_is_given_is_what_is_not_none():
    assert given(a=0, b=None, from_="2025-01-01") == {"a": 0, "from": "2025-01-01"}


class Unsaid:
    """An open file as Python 3.10 has it for some: it can be rewound, and does not say so."""

    def seek(self, offset: int) -> int:
        return offset


def test_a_file_that_does_not_say_so_is_rewound_where_it_can_be():
    assert Upload("a", Unsaid()).rewindable  # type: ignore[arg-type]
