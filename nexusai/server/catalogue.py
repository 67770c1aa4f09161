"""Which providers are switched on, and which of them a request means."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, NamedTuple, Protocol, runtime_checkable

from nexusai.providers.adapters.vendors import VENDORS, vendors_with
from nexusai.providers.models import Model, Models, default_models
from nexusai.providers.reliability.router import ROUTE, Deployment
from nexusai.providers.transport import Transport
from nexusai.providers.types import Capability, Provider
from nexusai.server.http import Problem

__all__ = ["Catalogue", "Names", "Offer", "Target"]


CHATTING: Final[frozenset[Capability]] = frozenset(
    {"chat", "stream", "tools", "vision", "json_schema", "reasoning"}
)
_SIGNS: Final[Mapping[Capability, Sequence[str]]] = {
    "embeddings": ("embedding", "embed-", "bge-"),
    "moderation": ("moderation",),
    "transcription": ("transcribe", "whisper"),
    "speech": ("tts", "speech"),
    "images": ("image", "dall-e", "imagen", "cogview", "seedream"),
}
"""What the names of models have in them that do one thing alone."""


@runtime_checkable
class Pool(Protocol):
    """A transport that knows its connections."""

    def connections(self) -> tuple[int, int]: ...


LONGEST: Final = 1024
"""Characters of the name of a model: names are remembered, and anybody can make them up."""
REMEMBERED: Final = 1024
Target = tuple[str, str]
"""A provider and its model."""


class Offer(NamedTuple):
    """A model that can be called; or a name for one, or for several that stand in for each other."""

    provider: str
    model: str
    capabilities: Set[Capability]
    context_window: int | None
    prices: dict[str, Any] | None
    name: str = ""
    type: Literal["model", "alias", "route"] = "model"
    models: Sequence[str] = ()
    """What a call to an alias or a route may get to."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names that stand for models of providers: an alias for one, a route for several."""

    aliases: Mapping[str, Target] = field(default_factory=dict)
    routes: Mapping[str, Sequence[Target]] = field(default_factory=dict)
    """What a call to each route may get to."""

    @classmethod
    def of(cls, aliases: Mapping[str, Deployment], routes: Mapping[str, Sequence[Deployment]]) -> Names:
        return cls(
            {name: (each.provider, each.model) for name, each in aliases.items()},
            {name: [(each.provider, each.model) for each in reach] for name, reach in routes.items()},
        )

    @property
    def targets(self) -> Set[Target]:
        """Every model that one of the names leads to."""
        return {*self.aliases.values(), *(target for reach in self.routes.values() for target in reach)}

    def reach(self, provider: str, model: str) -> Sequence[Target]:
        """What a call to a model may get to: itself, unless it is a route."""
        return self.routes.get(model, ()) if provider == ROUTE else ((provider, model),)

    def of_target(self, provider: str, model: str) -> list[str]:
        """The names of ours for a model, or for a route."""
        if provider == ROUTE:
            return [model, f"{ROUTE}/{model}"]
        return [name for name, target in self.aliases.items() if target == (provider, model)]


class Catalogue:
    """The configured providers in order of preference, and the transport that they share, if any."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        transport: Transport | None = None,
        *,
        routes: Mapping[str, Provider] | None = None,
        names: Names | None = None,
        models: Models | None = None,
    ) -> None:
        self._providers = dict(providers)
        self._transport = transport
        self._routes = dict(routes or {})
        self._models = models or default_models()
        self.names: Names = names or Names()
        self._resolved: dict[tuple[Capability, str | None, str | None], Target] = {}
        """What was asked for lately."""

    def replace(self, other: Catalogue) -> None:
        """Offer from now on what another one does, in one step; calls that are under way notice nothing.

        The transport stays this one's, unless it has none.
        """
        self._providers, self._routes = other._providers, other._routes
        self._models, self.names = other._models, other.names
        self._resolved = {}
        self._transport = self._transport or other._transport

    @property
    def transport(self) -> Transport | None:
        return self._transport

    def get(self, name: str, model: str | None = None) -> Provider | None:
        """A provider; for a route (`route` and its name) what calls its deployments."""
        return self._routes.get(model or "") if name == ROUTE else self._providers.get(name)

    def says_provider(self, model: str) -> bool:
        """Whether the name of a model leaves no question of whose it is."""
        return model in self.names.aliases or model in self._routes or self._split(model) is not None

    def known(self, provider: str, model: str) -> Model | None:
        """What is known of a model; of a route, its smallest model, if all of them are known."""
        found = [self._models.find(*target) for target in self.names.reach(provider, model)]
        models = [each.model for each in found if each is not None and each.model.context_window]
        if len(found) > 1 and len(models) < len(found):
            return None
        least = min(models, key=lambda model: model.context_window or 0, default=None)
        return least or next((each.model for each in found if each is not None), None)

    def _window(self, target: Target) -> int | None:
        found = self.known(*target)
        return found.context_window if found is not None else None

    def resolve(self, capability: Capability, provider: str | None, model: str | None) -> Target:
        """The names of the provider and its model for a request that may name either, both or none.

        `provider/model` as the model counts as naming both, and so does an alias or a route, whose provider
        is `route`. Raises a 400 `Problem`.
        """
        asked = capability, provider, model
        found = self._resolved.get(asked)
        if found is None:
            found = self._resolve(capability, provider, model)
            if len(self._resolved) >= REMEMBERED:
                self._resolved.clear()
            self._resolved[asked] = found
        return found

    def _resolve(self, capability: Capability, provider: str | None, model: str | None) -> Target:
        if model is not None and provider is None:
            provider, model = self._meant(capability, model)
        if provider == ROUTE and self._routes:
            return self._route(capability, model)
        chosen = self._named(provider) if provider else self._first(capability)
        if capability not in chosen.capabilities:
            raise Problem.field(["provider"], f"{chosen.name} has no {capability}; {self._able(capability)}")
        name = model or chosen.default_model(capability)
        if not name:
            raise Problem.field(
                ["model"], f"{chosen.name} has no default model for {capability}: name one", "missing"
            )
        if ".." in name.split("/") or len(name) > LONGEST:
            raise Problem.field(["model"], f"{name[:100]!r} is no name of a model")
        return chosen.name, name.removeprefix(f"{chosen.name}/")

    def _meant(self, capability: Capability, model: str) -> tuple[str | None, str]:
        if model in self.names.aliases:
            return self.names.aliases[model]
        if model in self._routes:
            return ROUTE, model
        return self._split(model) or (self._owner(capability, model), model)

    def _split(self, model: str) -> Target | None:
        """The two parts of `provider/model`."""
        prefix, slash, rest = model.partition("/")
        known = prefix in self._providers or (prefix == ROUTE and rest in self._routes)
        return (prefix, rest) if slash and known else None

    def _route(self, capability: Capability, name: str | None) -> Target:
        route = self._routes.get(name or "")
        if route is None or name is None:
            known = ", ".join(self._routes)
            raise Problem.field(["model"], f"there is no route {(name or '')[:100]!r}; there are: {known}")
        if capability not in route.capabilities:
            raise Problem.field(
                ["model"], f"not all models of {name} have {capability}; {self._able(capability)}"
            )
        return ROUTE, name

    def providers(self) -> list[Provider]:
        """Most preferred first."""
        return list(self._providers.values())

    def offers(self) -> list[Offer]:
        """Routes and aliases, then the models that are known by name: the defaults first, then the table."""
        routes = [
            self._named_offer(name, "route", (ROUTE, name), reach)
            for name, reach in self.names.routes.items()
        ]
        aliases = [
            self._named_offer(name, "alias", target, [target]) for name, target in self.names.aliases.items()
        ]
        found: dict[Target, set[Capability]] = {}
        for name, provider in self._providers.items():
            for capability in sorted(provider.capabilities):
                model = provider.default_model(capability)
                if model:
                    found.setdefault((name, model.removeprefix(f"{name}/")), set()).add(capability)
        for line in self._models:
            if line.provider in self._providers and "*" not in line.name:
                target = line.provider, line.name
                found.setdefault(target, set(self._abilities(target)))
        models = [
            Offer(*target, able, self._window(target), self._price(target), target[1])
            for target, able in found.items()
        ]
        return [*routes, *aliases, *models]

    def _named_offer(
        self, name: str, type: Literal["alias", "route"], target: Target, reach: Sequence[Target]
    ) -> Offer:
        able = frozenset.intersection(*map(self._abilities, reach))
        price = self._price(target) if type == "alias" else None
        models = [f"{provider}/{model}" for provider, model in reach]
        return Offer(*target, able, self._window(target), price, name, type, models)

    def _abilities(self, target: Target) -> frozenset[Capability]:
        """What a model can do, as far as its name and its price say it."""
        found = self._models.find(*target)
        line = found.model if found is not None else Model(*target)
        return (_abilities(line) & self._providers[target[0]].capabilities) - line.lacks

    def _price(self, target: Target) -> dict[str, Any] | None:
        found = self._models.find(*target)
        price = found.model.price if found is not None else None
        if price is None:
            return None
        told = {each.name: getattr(price, each.name) for each in fields(price) if each.name != "tiers"}
        return {name: value for name, value in told.items() if value not in (None, {}, False)}

    def connections(self) -> tuple[int, int]:
        """To providers: those in use, and those that are idle."""
        return self._transport.connections() if isinstance(self._transport, Pool) else (0, 0)

    def _owner(self, capability: Capability, model: str) -> str | None:
        """The provider that is configured with this model, or whose model it is known to be."""
        able = {name: each for name, each in self._providers.items() if capability in each.capabilities}
        for name, provider in able.items():
            if provider.default_model(capability) == model:
                return name
        return next((name for name in able if self._models.find(name, model) is not None), None)

    def _named(self, name: str) -> Provider:
        if name not in self._providers:
            known = ", ".join(self._providers)
            raise Problem.field(["provider"], f"{name[:100]!r} is not configured here; configured: {known}")
        return self._providers[name]

    def _first(self, capability: Capability) -> Provider:
        for provider in self._providers.values():
            if capability in provider.capabilities and provider.default_model(capability):
                return provider
        raise Problem.field(["task_type"], f"no configured provider has {capability}{_who_would(capability)}")

    def _able(self, capability: Capability) -> str:
        able = [name for name, provider in self._providers.items() if capability in provider.capabilities]
        if able:
            return f"these have: {', '.join(able)}"
        return f"no configured provider has{_who_would(capability)}"

    async def aclose(self) -> None:
        await asyncio.gather(*(provider.aclose() for provider in self._providers.values()))
        if self._transport is not None:
            await self._transport.aclose()


def _abilities(line: Model) -> frozenset[Capability]:
    """What a line of the table is about, by the units of its price and by its name."""
    price = line.price
    for capability, signs in _SIGNS.items():
        if any(sign in line.name for sign in signs):
            return frozenset({capability})
    if price is not None and price.image:
        return frozenset({"images", "image_edit"})
    if price is not None and price.hour is not None:
        return frozenset({"transcription"})
    if price is not None and price.million_characters is not None:
        return frozenset({"speech"})
    return CHATTING


def _who_would(capability: Capability) -> str:
    """The variables of which one would switch on a provider that can."""
    vendors = [VENDORS[name] for name in vendors_with(capability)]
    names = [vendor.key if vendor.key_required else vendor.moved_by[0] for vendor in vendors]
    return f"; set one of {', '.join(names)}" if names else ""
