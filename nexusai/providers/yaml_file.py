"""A YAML file as values that know their lines.

The core of YAML 1.2: `on`, `off`, `yes` and dates are texts. What is more often a mistake or an attack than
wanted is refused: a key that is there twice, an anchor (a few lines of them grow to gigabytes), a tag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from nexusai.error import ConfigurationError
from nexusai.providers.findings import Findings, SettingPath, Wrong, told

__all__ = ["VARIABLE", "Document", "read_yaml"]

VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
"""How a text names a variable of the environment."""

_LARGEST: Final = 1024 * 1024
_SHORTEST_SECRET: Final = 4
_PREFIX: Final = "tag:yaml.org,2002:"
_SCALARS: Final[Mapping[str, tuple[str, str, Callable[[str], Any]]]] = {
    "null": (r"~|null|Null|NULL|", "~nN", lambda _: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF", lambda text: text.lower() == "true"),
    "int": (r"[-+]?[0-9]{1,18}", "-+0123456789", int),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?", "-+.0123456789", float),
    "str": (r".*", "", str),
}
"""What a plain scalar may stand for: its form, the letters that it may begin with, how it is read."""


class Place(NamedTuple):
    line: int
    column: int


@dataclass(frozen=True)
class Document:
    """What a file says, and where: `places` has that of every key, and of every item of a list."""

    path: Path
    text: str = field(repr=False)
    value: Any = field(repr=False)
    places: Mapping[SettingPath, Place] = field(repr=False)

    @contextmanager
    def explaining(self, environ: Mapping[str, str]) -> Iterator[None]:
        """Says where in the file all that is wrong stands."""
        try:
            yield
        except Wrong as wrong:
            raise ConfigurationError(self._explained(wrong, environ)) from None

    def _explained(self, wrong: Wrong, environ: Mapping[str, str]) -> str:
        """A line for each, in the order of the file.

        A value of the environment may be a key, and is shown by the name of its variable.
        """
        placed = sorted((self._place(path), told(path, problem)) for path, problem in wrong.faults)
        lines = (f"{self.path}:{place.line}:{place.column}: {text}" for place, text in placed)
        message = "\n".join(dict.fromkeys(lines))
        for name in set(VARIABLE.findall(self.text)):
            value = environ.get(name, "").strip()
            if len(value) >= _SHORTEST_SECRET:
                message = message.replace(value, f"${{{name}}}")
        return message

    def _place(self, path: SettingPath) -> Place:
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))


def read_yaml(path: Path) -> Document:
    """Raises `ConfigurationError`, which names the file, the line, and nothing of what stands there."""
    try:
        import yaml
    except ImportError:
        raise ConfigurationError("YAML files are read by PyYAML: pip install 'nexusai[yaml]'") from None
    text = _text(path)
    reading = _Reading()
    try:
        root = yaml.compose(text, _loader())
        value = None if root is None else reading.value(root, ())
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError(f"{path}:{_where(error.problem_mark)}: {_explained(error, text)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigurationError(f"{path}:{line}: a character that no YAML file may have") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: is nested too deeply") from None
    document = Document(path, text, value, reading.places)
    with document.explaining({}):
        reading.findings.settle()
    return document


class _Reading:
    """Turns nodes into values, and remembers where they stood."""

    def __init__(self) -> None:
        self.places: dict[SettingPath, Place] = {}
        self.findings = Findings()

    def value(self, node: Any, path: SettingPath) -> Any:
        if isinstance(node.value, str):
            return self._scalar(node, path)
        if node.tag == f"{_PREFIX}map":
            return self._mapping(node, path)
        if node.tag == f"{_PREFIX}seq":
            return [self._placed(item, item, (*path, at)) for at, item in enumerate(node.value)]
        return self._refused(path)

    def _mapping(self, node: Any, path: SettingPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key.value, str):
                self.findings.add(path, "has a key that is no text")
                continue
            inside = (*path, key.value)
            if key.value in found:
                first = self.places[inside].line
                again = (*inside, "")
                self.places[again] = _place(key.start_mark)
                self.findings.add(again, f"is there twice, first in line {first}: keep one of them")
                continue
            found[key.value] = self._placed(key, value, inside)
        return found

    def _placed(self, at: Any, node: Any, path: SettingPath) -> Any:
        self.places[path] = _place(at.start_mark)
        return self.value(node, path)

    def _scalar(self, node: Any, path: SettingPath) -> Any:
        kind = _SCALARS.get(node.tag.removeprefix(_PREFIX))
        if kind is None or not re.fullmatch(kind[0], node.value, re.S):
            return self._refused(path)
        return kind[2](node.value)

    def _refused(self, path: SettingPath) -> None:
        self.findings.add(path, "has a tag (!): leave it out")


@cache
def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
                raise yaml.composer.ComposerError(None, None, "anchor", event.start_mark)
            return super().compose_node(parent, index)

    for name, (form, first, _) in _SCALARS.items():
        if name != "str":
            letters = [*first, *([""] if name == "null" else [])]
            Loader.add_implicit_resolver(f"{_PREFIX}{name}", re.compile(rf"(?:{form})\Z"), letters)
    return Loader


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise ConfigurationError(f"{path}: is larger than {_LARGEST // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: is no UTF-8: save the file in that encoding") from None


def _explained(error: Any, text: str) -> str:
    """What the parser did not like, without the text around it, which may hold a key."""
    mark, problem = error.problem_mark, str(error.problem)
    if problem == "anchor" or "alias" in problem:
        return "anchors (&) and aliases (*) are not taken: write it out, or quote a text that begins so"
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        return "is no YAML: a tab; indent with spaces"
    if "single document" in str(error.context):
        return "a second document (---) begins: there may be one"
    return (
        f"is no YAML: {problem}"
        if re.fullmatch(r"[^']*('(<[\w ]+>|[^\w\s])'[^']*)*", problem)
        else "is no YAML"
    )


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _where(mark: Any) -> str:
    return "{}:{}".format(*_place(mark)) if mark is not None else "1"
