from __future__ import annotations

import io
import sys

import pytest

from nexusai._internal._progress import progress_bar
from nexusai.models import Task


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, *tasks: Task) -> str:
    """What stands on the screen after the bar has shown these."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress_bar() as show:
        for task in tasks:
            show(task)
    return screen.getvalue()


def task(status: str, progress: float | None = None, task_id: str = "task_1") -> Task:
    return Task(task_id=task_id, status=status, progress=progress)


@pytest.fixture
def without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)


def test_a_bar_shows_how_far_the_task_is(monkeypatch: pytest.MonkeyPatch):
    screen = shown(monkeypatch, task("running", 40))
    assert "task_1 running" in screen
    assert "40%" in screen


def test_a_bar_is_full_at_the_end(monkeypatch: pytest.MonkeyPatch):
    assert "100%" in shown(monkeypatch, task("running"), task("completed"))


def test_each_task_has_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch):
    screen = shown(monkeypatch, task("running"), task("queued", task_id="task_2"))
    assert "task_1 running" in screen
    assert "task_2 queued" in screen


@pytest.mark.usefixtures("without_rich")
def test_without_rich_one_line_is_written_over(monkeypatch: pytest.MonkeyPatch):
    screen = shown(monkeypatch, task("running", 7.4), task("queued"), task("completed"))
    assert screen == "\rtask_1 running   7 %\rtask_1 queued   0 % \rtask_1 completed 100 %\n"


@pytest.mark.usefixtures("without_rich")
def test_without_rich_and_without_news_nothing_is_written(monkeypatch: pytest.MonkeyPatch):
    assert shown(monkeypatch) == ""
