"""What a setting has to be. Each raises a `ConfigurationError` that says so, and never what it was."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

from nexusai.error import ConfigurationError
from nexusai.providers.findings import Findings, no_such
from nexusai.providers.types import Capability
from nexusai.providers.yaml_file import VARIABLE

__all__ = [
    "amount",
    "capability",
    "count",
    "filled",
    "flag",
    "items",
    "mapping",
    "models",
    "proxy",
    "seconds",
    "settings",
    "text",
    "texts",
    "url",
]

T = TypeVar("T")


def settings(
    known: Mapping[str, Callable[[Any], Any]], environ: Mapping[str, str]
) -> Callable[[Any], dict[str, Any]]:
    """A mapping of settings, each by its own check, with the environment in place of `${NAME}`."""

    def checked(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ConfigurationError("must be a mapping of settings")
        findings = Findings()
        given = {}
        for name, inner in value.items():
            with findings.at(name):
                if name not in known:
                    raise ConfigurationError(no_such("setting", name, known))
                if inner is not None:
                    given[name] = known[name](filled(inner, environ))
        findings.settle()
        return given

    return checked


def filled(value: Any, environ: Mapping[str, str]) -> Any:
    """The value with the environment in place of every `${NAME}` in its texts."""
    if isinstance(value, Mapping):
        return mapping(lambda inner: filled(inner, environ), "settings")(value)
    if isinstance(value, list):
        return items(lambda inner: filled(inner, environ))(value)
    if not isinstance(value, str):
        return value
    if "${" in VARIABLE.sub("", value):
        raise ConfigurationError("names a variable in a way that nobody reads: write ${NAME}")
    for variable in VARIABLE.findall(value):
        if variable not in environ:
            raise ConfigurationError(f"names the variable {variable}, which is not set")
    return VARIABLE.sub(lambda found: environ[found[1]], value)


def text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError("must be a text that is not empty")
    return value.strip()


def url(value: Any) -> str:
    if not isinstance(value, str) or not re.match(r"https?://[^/\s]", value):
        raise ConfigurationError("must be a URL such as http://localhost:11434/v1")
    return value.rstrip("/")


def proxy(value: Any) -> str:
    if not isinstance(value, str) or not re.match(r"https?://[^/\s]", value):
        raise ConfigurationError("must be a URL such as http://localhost:3128")
    return value


def seconds(value: Any) -> float:
    number = _number(value)
    if number is None or not 0 < number < math.inf:
        raise ConfigurationError("must be a number of seconds above 0")
    return number


def amount(value: Any) -> float:
    number = _number(value)
    if number is None or not 0 <= number < math.inf:
        raise ConfigurationError("must be a number, 0 or more")
    return number


def count(least: int = 0) -> Callable[[Any], int]:
    """A whole number that is large enough."""

    def check(value: Any) -> int:
        number = _number(value)
        if number is None or number != number // 1 or number < least:
            raise ConfigurationError(f"must be a whole number from {least}")
        return int(number)

    return check


def mapping(check: Callable[[Any], T], of: str) -> Callable[[Any], dict[str, T]]:
    """A mapping whose values all pass a check."""

    def checked(value: Any) -> dict[str, T]:
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"must be a mapping of names to {of}")
        findings = Findings()
        passed = findings.each(check, value)
        findings.settle()
        return passed

    return checked


def items(check: Callable[[Any], T]) -> Callable[[Any], list[T]]:
    """A list whose items all pass a check."""

    def checked(value: Any) -> list[T]:
        if not isinstance(value, list):
            raise ConfigurationError("must be a list: [one, another]")
        findings = Findings()
        passed = []
        for at, item in enumerate(value):
            with findings.at(at):
                passed.append(check(item))
        findings.settle()
        return passed

    return checked


texts: Callable[[Any], dict[str, str]] = mapping(text, "texts")


def capability(value: Any) -> Capability:
    known: tuple[Capability, ...] = get_args(Capability)
    if value not in known:
        raise ConfigurationError(no_such("capability", value, known))
    return value  # type: ignore[no-any-return]


def models(value: Any) -> dict[str, str]:
    """The model of each capability."""
    findings = Findings()
    named: dict[str, str] = {}
    if not isinstance(value, Mapping):
        return texts(value)
    for name, model in value.items():
        with findings.at(name):
            named[capability(name)] = text(model)
    findings.settle()
    return named


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError("must be true or false")
    return value


def _number(value: Any) -> float | None:
    """A number; from the environment it comes as a text."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,15}(\.\d{1,15})?", value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None
