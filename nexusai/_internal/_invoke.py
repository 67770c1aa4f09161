"""The body of `POST /invoke`, from what a caller passed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nexusai.error import InvalidRequestError

__all__ = ["invoke_body", "listed", "mapping", "texts", "words"]

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
    further = mapping("config", given.pop("config", {}))
    config = {**further, **{name: given[name] for name in given if name not in _ON_TOP}}
    body: dict[str, Any] = {
        "task_type": words("task_type", task_type),
        "input": dict(mapping("input", input)),
    }
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


def texts(name: str, value: Any) -> list[str]:
    """One text or several, as several. Raises before anything is sent when there is none."""
    several = [words(name, text) for text in listed(name, value, alone=str)]
    if not several:
        raise InvalidRequestError(f"{name} is empty: give at least one.")
    return several


def listed(name: str, value: Any, *, alone: type | tuple[type, ...] = ()) -> list[Any]:
    """Several things as a list; one that may stand `alone` is a list of it. Raises `TypeError`, by name."""
    if isinstance(value, alone):
        return [value]
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(value, Iterable):
        kind = "a str or a list of them" if alone is str else "a list"
        raise TypeError(f"{name} is {kind}, not {type(value).__name__}")
    return list(value)


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Names and their values. Raises before anything is sent when it is something else."""
    if not isinstance(value, Mapping):
        raise TypeError(f'{name} is a mapping, like {{"seed": 1}}, not {type(value).__name__}')
    return value
