from __future__ import annotations

import pickle
from typing import Any

import pytest

from nexusai import error
from nexusai.error import APIError, TaskFailedError, TaskTimeoutError
from nexusai.models import Task

KINDS: list[Any] = [
    kind
    for name in error.__all__
    if isinstance(kind := getattr(error, name), type) and issubclass(kind, Exception)
]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, APIError)])
def test_every_error_survives_pickling(kind: type[APIError]):
    task = {"task": Task(task_id="task_1")} if issubclass(kind, error.TaskError) else {}
    made = kind("broken", request_id="req_1", error_code="X", retry_after=2.0, errors=[{"msg": "m"}], **task)
    again = pickle.loads(pickle.dumps(made))

    assert type(again) is kind
    assert again.__dict__ == made.__dict__
    assert str(again) == str(made)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_ours(kind: type[Exception]):
    assert issubclass(kind, error.NexusAIError)


def test_the_string_has_status_code_and_request():
    made = APIError("Broken.", status_code=500, error_code="INTERNAL_ERROR", request_id="req_1")
    assert str(made) == "Broken. (500, INTERNAL_ERROR, request req_1)"


def test_the_string_without_facts_is_the_message():
    assert str(APIError("Broken.")) == "Broken."


def test_a_task_that_takes_too_long_is_a_timeout_and_a_tasks_error():
    made = TaskTimeoutError("late", task=Task(task_id="task_1"))
    assert isinstance(made, error.APITimeoutError)
    assert made.task.id == "task_1"


def test_a_failed_task_is_an_api_error():
    assert issubclass(TaskFailedError, APIError)


def test_the_two_aliases():
    assert error.ValidationError is error.InvalidRequestError
    assert error.NetworkError is error.APIConnectionError


def test_the_tree_in_the_docstring_names_every_error():
    assert [kind.__name__ for kind in KINDS if kind.__name__ not in (error.__doc__ or "")] == []


def test_every_code_has_the_class_of_its_status():
    assert all(issubclass(error.class_for_status(code.status), APIError) for code in error.CODES.values())
    assert error.class_for_status(error.CODES["PROVIDER_ERROR"].status) is error.ServerError
