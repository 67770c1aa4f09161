"""What a wait with `progress=True` shows on stderr: a bar where rich is installed, else a line of text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import TypeAlias

from nexusai.models import Task

__all__ = ["on_terminal", "progress_bar"]

Show: TypeAlias = Callable[[Task], None]


def on_terminal() -> bool:
    """Whether anybody would see it."""
    return sys.stderr is not None and sys.stderr.isatty()


def progress_bar() -> AbstractContextManager[Show]:
    """Shows each task that it is called with, on a line for each."""
    return _line() if find_spec("rich") is None else _bars()


@contextmanager
def _line() -> Iterator[Show]:
    width = 0

    def show(task: Task) -> None:
        nonlocal width
        line = f"{_name(task)} {_percent(task):3.0f} %"
        sys.stderr.write(f"\r{line:<{width}}")
        sys.stderr.flush()
        width = len(line)

    try:
        yield show
    finally:
        sys.stderr.write("\n" if width else "")


@contextmanager
def _bars() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        bars = {}

        def show(task: Task) -> None:
            if task.task_id not in bars:
                bars[task.task_id] = progress.add_task("", total=None)
            percent = _percent(task)
            known = 100 if percent or task.finished else None  # a bar that only moves, while nothing is known
            progress.update(bars[task.task_id], description=_name(task), completed=percent, total=known)

        yield show


def _name(task: Task) -> str:
    return f"{task.task_id} {task.status}"


def _percent(task: Task) -> float:
    return 100.0 if task.status == "completed" else task.progress or 0.0
