"""What is wrong with settings: all of it at once, each with the path of its setting."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, TypeAlias, TypeVar

from nexusai.error import ConfigurationError

__all__ = ["Findings", "SettingPath", "Wrong", "dotted", "no_such", "told"]

T = TypeVar("T")
SettingPath: TypeAlias = "tuple[str | int, ...]"
"""Keys, and places in lists from 0: `("routes", "smart", "deployments", 0)`."""


class Wrong(ConfigurationError):
    """Settings that will not do, each by its path and with what it has to be."""

    def __init__(self, faults: Iterable[tuple[SettingPath, str]]) -> None:
        self.faults: list[tuple[SettingPath, str]] = list(faults)
        super().__init__("; ".join(told(*fault) for fault in self.faults))


class Findings:
    """Gathers what is wrong, so that nobody has to correct one mistake to hear of the next."""

    def __init__(self) -> None:
        self.faults: list[tuple[SettingPath, str]] = []

    def add(self, path: SettingPath, problem: str) -> None:
        self.faults.append((path, problem))

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """What is raised inside is wrong with the setting at `path`, or with what is in it."""
        try:
            yield
        except Wrong as wrong:
            self.faults += [((*path, *inner), problem) for inner, problem in wrong.faults]
        except ConfigurationError as error:
            self.add(path, str(error))

    def each(self, check: Callable[[Any], T], values: Mapping[Any, Any]) -> dict[str, T]:
        """The values that pass a check, by their names."""
        passed = {}
        for name, value in values.items():
            with self.at(name):
                passed[str(name)] = check(value)
        return passed

    def settle(self) -> None:
        """Raises `Wrong` when anything is."""
        if self.faults:
            raise Wrong(self.faults)


def told(path: SettingPath, problem: str) -> str:
    return f"{dotted(path)}: {problem}" if path else problem


def dotted(path: SettingPath) -> str:
    return ".".join(str(part) for part in path if part != "")


def no_such(what: str, name: object, known: Collection[str]) -> str:
    """That there is no such thing, and which one may be meant."""
    nearest = get_close_matches(str(name), known, 1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(known) or 'none'}"
    return f"no such {what}; {hint}"
