"""How a caller wants to wait, checked before anything is sent."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nexusai._internal._budget import seconds_of
from nexusai._internal._poller import TaskPoller
from nexusai._internal._progress import on_terminal, progress_bar
from nexusai.config import Config
from nexusai.error import InvalidRequestError
from nexusai.models import Task

__all__ = ["Wait", "apart", "check_callback"]

_WATCHING = ("on_progress", "progress", "on_timeout", "on_interrupt")
_OF_THE_CALL = frozenset({"timeout", "idempotency_key", *_WATCHING})
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def apart(options: Mapping[str, Any], *, waits: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the call itself, and those of its task.

    Raises `TypeError` for an option of waiting where there is nothing to wait for.
    """
    call = {name: value for name, value in options.items() if name in _OF_THE_CALL and value is not None}
    watching = [name for name in _WATCHING if name in call]
    if watching and not waits:
        raise TypeError(f"{watching[0]} is for calls that wait for their task, as handle.wait() does")
    if "idempotency_key" in call:
        _check_key(call["idempotency_key"])
    return call, {name: value for name, value in options.items() if name not in _OF_THE_CALL}


def _check_key(key: Any) -> None:
    if not isinstance(key, str):
        raise TypeError(f"idempotency_key is a str, not {type(key).__name__}")
    if not _KEY.fullmatch(key):
        raise InvalidRequestError("idempotency_key has 1 to 255 characters of ASCII, and no spaces.")


@dataclass(frozen=True, slots=True)
class Wait:
    """One wait. `poller` knows what to do when it ends early; `timeout` is in seconds."""

    poller: TaskPoller
    timeout: float
    on_progress: Callable[[Task], Any] | None
    bar: bool

    @classmethod
    def of(
        cls,
        config: Config,
        timeout: float | None = None,
        *,
        awaited: bool = False,
        on_progress: Callable[[Task], Any] | None = None,
        progress: bool | None = None,
        on_timeout: str | None = None,
        on_interrupt: str | None = None,
        **others: Any,
    ) -> Wait:
        """Raises `TypeError` or `InvalidRequestError`, by name; `awaited` says that the client is async."""
        for name in others:
            raise TypeError(f"there is no option {name!r} here: it is timeout, {', '.join(_WATCHING)}")
        check_callback(on_progress, awaited=awaited)
        if not isinstance(progress, (bool, type(None))):
            raise TypeError(f"progress is True or False, not {type(progress).__name__}")
        bar = bool(progress) and on_terminal()
        poller = TaskPoller(
            config.poll_interval,
            watched=bar or on_progress is not None,
            on_timeout=_ending("on_timeout", on_timeout),
            on_interrupt=_ending("on_interrupt", on_interrupt),
        )
        return cls(poller, config.poll_timeout if timeout is None else seconds_of(timeout), on_progress, bar)

    @contextmanager
    def hearing(self) -> Iterator[Callable[[Task], Any] | None]:
        """What is to hear of the task; a bar is on the screen meanwhile."""
        if not self.bar:
            yield self.on_progress
            return
        with progress_bar() as show:

            def hear(task: Task) -> Any:
                show(task)
                return self.on_progress(task) if self.on_progress else None

            yield hear


def check_callback(callback: Any, *, awaited: bool = False) -> None:
    """Raises `TypeError` for an `on_progress` that cannot be called; an async one needs the async client."""
    if callback is None:
        return
    if not callable(callback):
        raise TypeError(f"on_progress is a function, not {type(callback).__name__}")
    if inspect.iscoroutinefunction(callback) and not awaited:
        raise TypeError("on_progress is an async function: only the async client can await it")


def _ending(name: str, value: Any) -> str:
    if value is None:
        return "detach"
    if value not in ("detach", "cancel"):
        raise InvalidRequestError(f"{name}={value!r} is unknown: it is 'detach' or 'cancel'.")
    return str(value)
