"""What a file and the environment say of models: who has them, under which names, at what price."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from nexusai.error import ConfigurationError
from nexusai.providers import checks
from nexusai.providers.config import ProviderConfig, config_for, configured, entry, key_source, section
from nexusai.providers.findings import Findings, no_such
from nexusai.providers.models import Models, default_models
from nexusai.providers.reliability.limiter import RateLimit
from nexusai.providers.reliability.router import ROUTE, Deployment, Reason, Route
from nexusai.providers.yaml_file import Document, read_yaml

__all__ = ["Setup", "load_setup"]

_SECTIONS: Final = ("providers", "aliases", "routes", "models", "prices", "limits", "settings")
_NAME: Final = re.compile(r"[\w.:@+-]{1,100}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_WRONG: Final = Deployment("", "")
"""In the place of an alias that is wrong itself: of that it was told, and no setup comes of it."""
Check = Callable[[Any], Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Setup:
    """Ready to be opened, most preferred first; `local` is always there, and last."""

    providers: Mapping[str, ProviderConfig]
    key_sources: Mapping[str, str] = field(default_factory=dict)
    """Where each provider's key comes from."""
    off: Sequence[str] = ()
    """Providers that the file switches off."""
    aliases: Mapping[str, Deployment] = field(default_factory=dict)
    routes: Sequence[Route] = ()
    """Those of the file, and one named `provider/model` for each model that one of them falls back to."""
    models: Models = field(default_factory=default_models)
    described: Sequence[str] = ()
    """The models of which the file says something, as `provider/model`."""
    limits: Mapping[str, RateLimit] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the platform has to make of it."""

    @property
    def named_routes(self) -> dict[str, Route]:
        return {route.alias: route for route in self.routes if "/" not in route.alias}

    def reach(self, route: Route) -> list[Deployment]:
        """Every deployment that a call to a route may get to."""
        routes = {each.alias: each for each in self.routes}
        groups = [route.deployments, *(routes[name].deployments for name in route.fallbacks)]
        return list({(each.provider, each.model): each for group in groups for each in group}.values())


def load_setup(
    path: Path | None, environ: Mapping[str, str], check_settings: Check = lambda settings: settings
) -> Setup:
    """What a file says over what the environment says; without a file the environment alone.

    Raises `ConfigurationError`: a line for all that is wrong, with its place and what it has to be.
    """
    document = read_yaml(path) if path is not None else Document(Path(), "", None, {})
    reading = _Reading(document.value, environ)
    with document.explaining(environ):
        return reading.setup(check_settings)


class _Reading:
    """Reads section after section, and gathers what is wrong."""

    def __init__(self, value: Any, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.findings = Findings()
        self.sections = {name: section(self.findings, value, name) for name in _SECTIONS}
        for name in value if isinstance(value, Mapping) else ():
            if name not in _SECTIONS:
                self.findings.add((name,), no_such("section", name, _SECTIONS))
        listed = self.sections["providers"]
        self.off = [name for name, value in listed.items() if value is False or value == "off"]
        others = {**configured(environ, listed), "local": config_for("local", environ)}
        self.others = {name: config for name, config in others.items() if name not in listed}
        self.names = [*(name for name in listed if name not in self.off), *self.others]
        """Of all providers, those included whose settings are wrong: what names one of them is not."""
        self.aliases: dict[str, Deployment] = {}

    def setup(self, check_settings: Check) -> Setup:
        providers = self._providers()
        self.aliases = self._entries("aliases", self._named, self._target)
        routes = self._routes()
        limits = self._entries("limits", self._model_or_provider, self._limit)
        lines = self._lines()
        models = self._models(providers, lines)
        settings: Any = {}
        with self.findings.at("settings"):
            settings = check_settings(checks.filled(self.sections["settings"], self.environ))
        self.findings.settle()
        listed = self.sections["providers"]
        sources = {name: key_source(name, listed.get(name), self.environ) for name in providers}
        return Setup(providers, sources, self.off, self.aliases, routes, models, [*lines], limits, settings)

    def _entries(
        self, part: str, name_check: Callable[[str], object], check: Callable[[Any], T]
    ) -> dict[str, T]:
        """The entries of a section whose names and values will do."""
        found = {}
        for name, value in self.sections[part].items():
            with self.findings.at(part, name):
                name_check(name)
                found[name] = check(value)
        return found

    def _providers(self) -> dict[str, ProviderConfig]:
        found = {}
        for name, value in self.sections["providers"].items():
            with self.findings.at("providers", name):
                if name == ROUTE or not _NAME.fullmatch(name):
                    raise ConfigurationError("cannot be the name of a provider: take another")
                if name == "local" and name in self.off:
                    raise ConfigurationError("cannot be switched off: the platform itself works with it")
                if name not in self.off:
                    found[name] = entry(name, value, self.environ)
        whole = {**found, **self.others}
        local = {name: whole.pop(name) for name in ("local",) if name in whole}
        return {**whole, **local}

    def _named(self, name: str) -> None:
        """Whether this may be the name of an alias or a route."""
        if not _NAME.fullmatch(name):
            raise ConfigurationError("must be a name of letters, digits and . _ : @ + -")
        if name in self.names or name == ROUTE:
            raise ConfigurationError("is the name of a provider: take another")

    def _unused(self, name: str) -> None:
        self._named(name)
        if name in self.sections["aliases"]:
            raise ConfigurationError("is the name of an alias too: give one another name")

    def _target(self, value: Any) -> Deployment:
        """The model that is named as `provider/model`."""
        name = checks.text(checks.filled(value, self.environ))
        provider, slash, model = name.partition("/")
        if not slash or not model:
            hint = ": a route cannot be meant here" if name in self.sections["routes"] else ""
            raise ConfigurationError(f"must be provider/model{hint}")
        self._known(provider)
        return Deployment(provider, model)

    def _known(self, provider: str) -> None:
        if provider not in self.names:
            off = " (it is switched off)" if provider in self.off else ""
            raise ConfigurationError(f"{no_such('provider', provider, self.names)}{off}")

    def _model_or_provider(self, name: str) -> None:
        provider, slash, model = name.partition("/")
        self._known(provider)
        if slash and not model:
            raise ConfigurationError("must be provider/model, or a provider")

    def _routes(self) -> list[Route]:
        """Those of the file, then one for each model that one of them falls back to."""
        named = self._entries("routes", self._unused, lambda value: value)
        models: dict[str, Route] = {}
        routes = []
        for name, value in named.items():
            with self.findings.at("routes", name):
                routes.append(self._route(name, value, models))
        return [*routes, *models.values()]

    def _route(self, name: str, value: Any, models: dict[str, Route]) -> Route:
        """A list of deployments, or a mapping of them and more; `models` are what is fallen back to."""

        def fallback(value: Any) -> str:
            other = checks.text(value)
            if other == name:
                raise ConfigurationError("is the route itself: name another")
            if other in self.sections["routes"]:
                return other
            names = [*self.sections["routes"], *self.sections["aliases"]]
            if "/" not in other and other not in names:
                raise ConfigurationError(no_such("route", other, names))
            target = self._deployment(other)
            full = f"{target.provider}/{target.model}"
            models[full] = Route(full, [target])
            return full

        deployments = checks.items(self._deployment)
        known = {
            "deployments": deployments,
            "fallbacks": checks.items(fallback),
            "on": checks.items(_reason),
        }
        given = (
            checks.settings(known, self.environ)(value)
            if isinstance(value, Mapping)
            else {"deployments": deployments(value)}
        )
        if not given.get("deployments"):
            raise ConfigurationError("has no deployments: add one, such as {model: openai/gpt-5.4-mini}")
        return Route(name, **given)

    def _deployment(self, value: Any) -> Deployment:
        """`provider/model`, an alias, or a mapping of that as `model` and of a `weight`."""
        if not isinstance(value, Mapping):
            name = checks.text(value)
            if name in self.sections["aliases"]:
                return self.aliases.get(name, _WRONG)
            return self._target(name)
        known = {"model": self._deployment, "weight": _weight}
        given = checks.settings(known, self.environ)(value)
        if "model" not in given:
            raise ConfigurationError("has no model: name it, as provider/model")
        return Deployment(given["model"].provider, given["model"].model, given.get("weight", 1.0))

    def _limit(self, value: Any) -> RateLimit:
        known = {
            "requests_per_minute": checks.count(1),
            "tokens_per_minute": checks.count(1),
            "max_wait": checks.amount,
        }
        return RateLimit(**checks.settings(known, self.environ)(value))

    def _models(self, providers: Mapping[str, ProviderConfig], lines: Mapping[str, Any]) -> Models:
        """The built-in table under the names of all providers, and what the file says over it."""
        table = default_models().under({name: config.provider for name, config in providers.items()})
        return table.merged(lines) if lines else table

    def _lines(self) -> dict[str, dict[str, Any]]:
        """What the file says of models, as the table of models has it."""
        known = {
            "context_window": checks.count(1),
            "max_output_tokens": checks.count(1),
            "also": checks.items(checks.text),
            "lacks": checks.items(checks.capability),
            "note": checks.text,
        }
        lines = self._entries("models", self._target, checks.settings(known, self.environ))
        prices = self._entries("prices", self._target, lambda value: _price(value, self.environ))
        for name, price in prices.items():
            lines[name] = {**lines.get(name, {}), "price": price}
        return lines


def _reason(value: Any) -> Reason:
    known: tuple[Reason, ...] = get_args(Reason)
    if value not in known:
        raise ConfigurationError(no_such("reason", value, known))
    return value  # type: ignore[no-any-return]


def _weight(value: Any) -> float:
    weight = checks.amount(value)
    if not weight:
        raise ConfigurationError("must be a number above 0")
    return weight


def _price(value: Any, environ: Mapping[str, str], tier: bool = False) -> dict[str, Any]:
    """A price as the table of models has it; one of a tier has no tiers."""
    money = (
        "input",
        "cached_input",
        "cache_write",
        "output",
        "thinking_output",
        "hour",
        "million_characters",
    )
    known: dict[str, Check] = dict.fromkeys(money, checks.amount)
    known["image"] = checks.mapping(checks.amount, "prices")
    if not tier:
        known |= {"currency": _currency, "varies": checks.flag}
        known["tiers"] = checks.mapping(lambda value: _price(value, environ, tier=True), "prices")
    given = checks.settings(known, environ)(value)
    findings = Findings()
    for above in given.get("tiers", {}):
        with findings.at("tiers", above):
            checks.count()(above)
    findings.settle()
    return given


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise ConfigurationError("must be the three letters of a currency, such as USD")
    return value
