"""Which providers are switched on, and which of them a request means."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from nexusai.providers.adapters.vendors import VENDORS, vendors_with
from nexusai.providers.models import Model, default_models
from nexusai.providers.transport import Transport
from nexusai.providers.types import Capability, Provider
from nexusai.server.http import Problem

__all__ = ["Catalogue", "Offer"]


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


class Offer(NamedTuple):
    """A model that can be called."""

    provider: str
    model: str
    capabilities: Set[Capability]
    context_window: int | None
    prices: dict[str, Any] | None


class Catalogue:
    """The configured providers in order of preference, and the transport that they share, if any."""

    def __init__(self, providers: Mapping[str, Provider], transport: Transport | None = None) -> None:
        self._providers = dict(providers)
        self._transport = transport

    def get(self, name: str) -> Provider | None:
        return self._providers.get(name)

    def resolve(self, capability: Capability, provider: str | None, model: str | None) -> tuple[str, str]:
        """The names of the provider and its model for a request that may name either, both or none.

        `provider/model` as the model counts as naming both. Raises a 400 `Problem`.
        """
        if model is not None and provider is None:
            prefix, slash, rest = model.partition("/")
            if slash and prefix in self._providers:
                provider, model = prefix, rest
            else:
                provider = self._owner(capability, model)
        chosen = self._named(provider) if provider else self._first(capability)
        if capability not in chosen.capabilities:
            raise Problem.field(["provider"], f"{chosen.name} has no {capability}; {self._able(capability)}")
        name = model or chosen.default_model(capability)
        if not name:
            raise Problem.field(
                ["model"], f"{chosen.name} has no default model for {capability}: name one", "missing"
            )
        if ".." in name.split("/"):
            raise Problem.field(["model"], f"{name[:100]!r} is no name of a model")
        return chosen.name, name.removeprefix(f"{chosen.name}/")

    def providers(self) -> list[Provider]:
        """Most preferred first."""
        return list(self._providers.values())

    def offers(self) -> list[Offer]:
        """Every model that is known by name: the defaults of each provider first, then the table's."""
        found: dict[tuple[str, str], set[Capability]] = {}
        for name, provider in self._providers.items():
            for capability in sorted(provider.capabilities):
                model = provider.default_model(capability)
                if model:
                    found.setdefault((name, model.removeprefix(f"{name}/")), set()).add(capability)
        for line in default_models():
            owner = self._providers.get(line.provider)
            if owner is not None and "*" not in line.name:
                able = _abilities(line) & owner.capabilities
                found.setdefault((line.provider, line.name), set(able - line.lacks))
        return [_offer(*each, capabilities) for each, capabilities in found.items()]

    def connections(self) -> tuple[int, int]:
        """To providers: those in use, and those that are idle."""
        return self._transport.connections() if isinstance(self._transport, Pool) else (0, 0)

    def _owner(self, capability: Capability, model: str) -> str | None:
        """The provider that is configured with this model, or whose model it is known to be."""
        able = {name: each for name, each in self._providers.items() if capability in each.capabilities}
        for name, provider in able.items():
            if provider.default_model(capability) == model:
                return name
        return next((name for name in able if default_models().find(name, model) is not None), None)

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


def _offer(provider: str, model: str, capabilities: Set[Capability]) -> Offer:
    known = default_models().find(provider, model)
    if known is None:
        return Offer(provider, model, capabilities, None, None)
    price = known.model.price
    shown = None
    if price is not None:
        told = {each.name: getattr(price, each.name) for each in fields(price) if each.name != "tiers"}
        shown = {name: value for name, value in told.items() if value not in (None, {}, False)}
    return Offer(provider, model, capabilities, known.model.context_window, shown)


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
