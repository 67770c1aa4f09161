"""What is known of models: how much they take, what they cannot do, what they cost.

The table is `data/models.json`: an object of `provider/model`, whose name may hold `*`, with these fields.

    also                 other names of the same model
    context_window       tokens that prompt and answer share
    max_output_tokens    the longest answer
    lacks                capabilities that the provider has and this model has not
    price                see `Price`
    note                 what else there is to know
    source, date         the page that says so, and the last day on which it was seen to
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from nexusai.error import ConfigurationError
from nexusai.providers.types import Capability

__all__ = ["Match", "Model", "Models", "Price", "default_models", "load_models"]

_DATA: Final = Path(__file__).parent / "data" / "models.json"
_SNAPSHOT: Final = re.compile(r"[-@](\d{4}-\d\d-\d\d|\d\d-\d{4}|\d\d-\d\d|\d{8}|\d{6}|\d{4}|\d{3}|latest)$")
"""What vendors put behind a name to say which edition of a model is meant."""

_REMEMBERED: Final = 1000
_LONGEST_NAME: Final = 200
"""Of the names that were looked up; they come from callers, who may send any."""
_NO_MONEY: Final = ("currency", "image", "varies", "tiers")


@dataclass(frozen=True, slots=True)
class Price:
    """In `currency` (ISO 4217), for a million tokens if nothing else is said. None is unknown, not free."""

    currency: str = "USD"
    input: float | None = None
    cached_input: float | None = None
    """What a cache held already; the price of `input` where None."""
    cache_write: float | None = None
    """What was put into a cache; the price of `input` where None."""
    output: float | None = None
    thinking_output: float | None = None
    """All output of an answer that came with reasoning; the price of `output` where None."""
    image: Mapping[str, float] = field(default_factory=dict)
    """A picture, by what is asked: `"high 1024x1024"`, `"high"`, `"1024x1024"`, `"default"`; else `"*"`."""
    hour: float | None = None
    """An hour of sound."""
    million_characters: float | None = None
    varies: bool = False
    """Whether it depends on what is not seen here, the time of day for one; this is the highest then."""
    tiers: Mapping[int, Price] = field(default_factory=dict)
    """What the whole call costs when its prompt has more than so many tokens."""

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Price:
        """From JSON; `tiers` are `{"200000": {"input": 4}}`: what differs. Raises `ConfigurationError`."""
        if unknown := facts.keys() - {each.name for each in fields(cls)}:
            raise ConfigurationError(f"{min(unknown)!r} is no part of a price")
        flat = {name: value for name, value in facts.items() if name not in _NO_MONEY}
        for name, money in {**flat, **facts.get("image", {})}.items():
            if isinstance(money, bool) or not isinstance(money, int | float) or not money >= 0:
                raise ConfigurationError(f"the price of {name!r} is {money!r}: make it a number, 0 or more")
        tiers = {
            int(above): cls.of({**facts, "tiers": {}, **tier})
            for above, tier in facts.get("tiers", {}).items()
        }
        return cls(**{**facts, "tiers": dict(sorted(tiers.items(), reverse=True))})

    def for_prompt(self, tokens: int) -> Price:
        """The price of a call whose prompt has that many tokens."""
        return next((price for above, price in self.tiers.items() if tokens > above), self)


@dataclass(frozen=True, slots=True)
class Model:
    """A line of the table."""

    provider: str
    name: str
    also: tuple[str, ...] = ()
    context_window: int | None = None
    max_output_tokens: int | None = None
    lacks: frozenset[Capability] = frozenset()
    price: Price | None = None
    note: str | None = None
    source: str | None = None
    date: str | None = None


_FIELDS: Final = {each.name for each in fields(Model)} - {"provider", "name"}


class Match(NamedTuple):
    """A model, and whether it was found under its very name, not as an edition or one of a family."""

    model: Model
    exact: bool


class Models:
    """A table of models, whose lines are read when they are first looked up."""

    def __init__(self, lines: Mapping[str, Mapping[str, Any]]) -> None:
        self._lines = dict(lines)
        self._exact: dict[tuple[str | None, str], str] = {}
        self._families: list[tuple[str, str, str]] = []
        for key, line in self._lines.items():
            for name in line.get("also", ()):
                self._add(key, name)
        for key in self._lines:  # a line of its own goes before another's `also`
            self._add(key, key.partition("/")[2])
        self._families.sort(key=lambda family: -len(family[1]))
        self._found: dict[tuple[str | None, str], Match | None] = {}

    def __iter__(self) -> Iterator[Model]:
        return (_model(key, line) for key, line in self._lines.items())

    def merged(self, lines: Mapping[str, Mapping[str, Any]]) -> Models:
        """This table with other lines over it, field by field; a price is replaced whole.

        Raises `ConfigurationError` for a line that cannot be read.
        """
        over = {key: _over(self._lines.get(key, {}), key, line) for key, line in lines.items()}
        return Models({**self._lines, **over})

    def under(self, names: Mapping[str, str]) -> Models:
        """This table, in which what is known of a provider's models holds under other names of it too."""
        more = {
            f"{name}/{key.partition('/')[2]}": line
            for name, provider in names.items()
            for key, line in self._lines.items()
            if key.partition("/")[0] == provider != name
        }
        return Models({**more, **self._lines}) if more else self

    def find(self, provider: str | None, model: str) -> Match | None:
        """What is known of a model; without a provider, of any that has it under that name."""
        key = provider, model.casefold()
        if key in (known := self._found):
            return known[key]
        found = self._search(*key)
        if len(model) <= _LONGEST_NAME:
            self._found = {} if len(known) > _REMEMBERED else known
            self._found[key] = found
        return found

    def _search(self, provider: str | None, name: str) -> Match | None:
        edition = _SNAPSHOT.search(name)
        plain = name[: edition.start()] if edition else name
        key = self._exact.get((provider, name))
        if key is not None:
            return Match(_model(key, self._lines[key]), True)
        key = self._exact.get((provider, plain)) or next(
            (
                key
                for owner, pattern, key in self._families
                if provider in (None, owner) and fnmatchcase(name, pattern)
            ),
            None,
        )
        return None if key is None else Match(_model(key, self._lines[key]), False)

    def _add(self, key: str, name: str) -> None:
        provider, name = key.partition("/")[0], name.casefold()
        if "*" in name:
            self._families.append((provider, name, key))
        else:
            self._exact[provider, name] = key
            self._exact.setdefault((None, name), key)


@cache
def default_models() -> Models:
    """The built-in table, read when it is first wanted."""
    return Models(json.loads(_DATA.read_text("utf-8")))


def load_models(path: str | Path) -> Models:
    """The built-in table with a JSON file of the same form over it. Raises `ConfigurationError`."""
    try:
        lines = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the table of models {path} cannot be read: {error}") from None
    if not isinstance(lines, dict):
        raise ConfigurationError(
            f'the table of models {path} is no object: write {{"provider/model": {{…}}}}'
        )
    try:
        return default_models().merged(lines)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _over(old: Mapping[str, Any], key: str, line: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(line, Mapping):
        raise ConfigurationError(f'line {key!r}: write "provider/model": {{…}}')
    new = {**old, **line}
    _model(key, new)
    return new


def _model(key: str, line: Mapping[str, Any]) -> Model:
    provider, slash, name = key.partition("/")
    if not slash:
        raise ConfigurationError(f'line {key!r}: write "provider/model": {{…}}')
    if unknown := line.keys() - _FIELDS:
        raise ConfigurationError(f"line {key!r}: there is no field {min(unknown)!r}")
    try:
        price = Price.of(line["price"]) if "price" in line else None
        plain = Model(provider, name, **{each: line[each] for each in line if each != "price"})
        return replace(plain, price=price, also=tuple(plain.also), lacks=frozenset(plain.lacks))
    except (ConfigurationError, AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"line {key!r}: {error}") from None
