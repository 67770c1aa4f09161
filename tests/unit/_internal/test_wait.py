from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from nexusai._internal._wait import Wait, apart
from nexusai.config import Config
from nexusai.error import InvalidRequestError
from nexusai.models import Task

CONFIG = Config(api_key="nxs_test_key", poll_interval=3.0, poll_timeout=70.0)


async def later(task: Task) -> None:
    """An async callback."""


def test_a_wait_is_as_the_client_is_told():
    wait = Wait.of(CONFIG)
    assert (wait.timeout, wait.poller.interval, wait.poller.watched) == (70.0, 3.0, False)
    assert (wait.poller.on_timeout, wait.poller.on_interrupt) == ("detach", "detach")


def test_a_wait_has_its_own_wishes():
    wait = Wait.of(CONFIG, 5, on_timeout="cancel", on_interrupt="cancel")
    assert (wait.timeout, wait.poller.on_timeout, wait.poller.on_interrupt) == (5.0, "cancel", "cancel")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"timeout": "5"}, TypeError, "timeout is a number of seconds"),
        ({"timeout": 0}, InvalidRequestError, "timeout=0 is not above 0"),
        ({"on_progress": "print"}, TypeError, "on_progress is a function, not str"),
        ({"progress": "yes"}, TypeError, "progress is True or False, not str"),
        ({"on_timeout": "kill"}, InvalidRequestError, "on_timeout='kill' is unknown: it is 'detach' or 'ca"),
        ({"on_interrupt": True}, InvalidRequestError, "on_interrupt=True is unknown"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        Wait.of(CONFIG, **options)


def test_an_async_callback_is_for_the_async_client():
    with pytest.raises(TypeError, match="on_progress is an async function: only the async client"):
        Wait.of(CONFIG, on_progress=later)
    assert Wait.of(CONFIG, on_progress=later, awaited=True).poller.watched


def test_a_callback_hears_of_the_task():
    heard: list[Any] = []
    with Wait.of(CONFIG, on_progress=heard.append).hearing() as hear:
        assert hear is not None
        hear(Task(task_id="task_1"))
    assert [task.id for task in heard] == ["task_1"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_and_a_callback_both_hear_of_the_task(monkeypatch: pytest.MonkeyPatch):
    screen, heard = Terminal(), []
    monkeypatch.setattr(sys, "stderr", screen)
    wait = Wait.of(CONFIG, on_progress=heard.append, progress=True)
    with wait.hearing() as hear:
        assert hear is not None
        hear(Task(task_id="task_1", status="running"))
    assert "task_1 running" in screen.getvalue()
    assert len(heard) == 1


def test_a_bar_alone_watches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    wait = Wait.of(CONFIG, progress=True)
    assert wait.poller.watched
    with wait.hearing() as hear:
        assert hear is not None
        assert hear(Task(task_id="task_1", status="running")) is None


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_a_bar_that_nobody_sees_is_none(stream: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", stream)
    wait = Wait.of(CONFIG, progress=True)
    assert not wait.poller.watched
    with wait.hearing() as hear:
        assert hear is None


def test_options_of_the_call_are_told_from_those_of_the_task():
    options = {"timeout": 5, "on_timeout": "cancel", "idempotency_key": "a", "progress": None, "seed": None}
    assert apart(options) == (
        {"timeout": 5, "on_timeout": "cancel", "idempotency_key": "a"},
        {"seed": None},
    )


@pytest.mark.parametrize("name", ["on_progress", "progress", "on_timeout", "on_interrupt"])
def test_a_call_that_does_not_wait_names_what_does(name: str):
    with pytest.raises(TypeError, match=rf"{name} is for calls that wait.*handle\.wait\(\)"):
        apart({name: "x"}, waits=False)
    assert apart({name: None}, waits=False) == ({}, {})


@pytest.mark.parametrize("key", ["", "a b", "a\n", "é", "x" * 256])
def test_a_key_that_cannot_be_sent_is_named(key: str):
    with pytest.raises(InvalidRequestError, match="idempotency_key has 1 to 255 characters"):
        apart({"idempotency_key": key})


def test_a_key_that_is_no_text_is_named():
    with pytest.raises(TypeError, match="idempotency_key is a str, not int"):
        apart({"idempotency_key": 7})
