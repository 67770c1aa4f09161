"""The body of `POST /invoke`, from what a caller passed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexusai.error import InvalidRequestError

__all__ = ["invoke_body", "words"]

_ON_TOP = {
    "provider": "provider",
    "model": "model",
    "metadata": "metadata",
    "priority": "priority",
    "webhook": "webhook",
    "task_timeout": "timeout",
}


def invoke_body(task_type: str, input: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that the contract has at the top go there, all others into `config`; `None` goes nowhere.

    Raises `TypeError` for a `config` that is no mapping, and for `stream=True`: such a call answers whole.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if given.pop("stream", False):
        raise TypeError("stream=True is no option here: text.stream(…) reads a text as it is written")
    further = given.pop("config", {})
    if not isinstance(further, Mapping):
        raise TypeError(
            f'config is a mapping of further options, like {{"seed": 1}}, not {type(further).__name__}'
        )
    config = {**further, **{name: given[name] for name in given if name not in _ON_TOP}}
    body: dict[str, Any] = {"task_type": task_type, "input": dict(input)}
    body.update((field, given[name]) for name, field in _ON_TOP.items() if name in given)
    if config:
        body["config"] = config
    return body


def words(name: str, value: Any) -> str:
    """`value` as the text that a task is about. Raises before anything is sent when it is none."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {type(value).__name__}")
    if not value.strip():
        raise InvalidRequestError(f"{name} is empty: say what to make.")
    return value
