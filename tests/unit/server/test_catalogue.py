from __future__ import annotations

from collections.abc import Mapping

import pytest

from nexusai.providers.types import Capability
from nexusai.server.catalogue import Catalogue, Names
from nexusai.server.http import Problem


class Vendor:
    """As much of a provider as is needed to choose it; `models` are its defaults."""

    def __init__(
        self, name: str, models: Mapping[str, str], capabilities: frozenset[Capability] | None = None
    ) -> None:
        self.name = name
        self.models = models
        self.capabilities = frozenset(models) if capabilities is None else capabilities
        self.closed = False

    def default_model(self, capability: Capability) -> str | None:
        return self.models.get(capability)

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def vendors() -> dict[str, Vendor]:
    every = [
        Vendor("router", {}, frozenset({"chat"})),
        Vendor("cloud", {"chat": "cloud-chat", "images": "cloud-image"}),
        Vendor("local", {"chat": "text", "speech": "local/speech"}),
    ]
    return {vendor.name: vendor for vendor in every}


@pytest.fixture
def catalogue(vendors: dict[str, Vendor]) -> Catalogue:
    return Catalogue(vendors)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("capability", "provider", "model", "chosen"),
    [
        ("chat", None, None, ("cloud", "cloud-chat")),
        ("speech", None, None, ("local", "speech")),
        ("chat", "local", None, ("local", "text")),
        ("chat", "local", "simulate", ("local", "simulate")),
        ("chat", "local", "local/simulate", ("local", "simulate")),
        ("chat", None, "local/simulate", ("local", "simulate")),
        ("chat", None, "other", ("cloud", "other")),
        ("chat", None, "meta/llama", ("cloud", "meta/llama")),
        ("chat", "router", "meta/llama", ("router", "meta/llama")),
        ("chat", "router", "local/text", ("router", "local/text")),
        ("chat", None, "router/meta/llama", ("router", "meta/llama")),
        ("chat", "", "", ("cloud", "cloud-chat")),
        ("chat", None, "local/", ("local", "text")),
        ("chat", "local", "", ("local", "text")),
    ],
)
def test_provider_and_model_are_found(catalogue: Catalogue, capability, provider, model, chosen):
    assert catalogue.resolve(capability, provider, model) == chosen


@pytest.mark.parametrize(
    ("capability", "provider", "model", "loc", "message"),
    [
        ("chat", "nope", None, "provider", "'nope' is not configured here; configured: router, cloud, local"),
        ("images", "local", None, "provider", "local has no images; these have: cloud"),
        ("images", None, "local/text", "provider", "local has no images; these have: cloud"),
        ("vision", "cloud", None, "provider", "no configured provider has"),
        ("vision", None, None, "task_type", "no configured provider has vision"),
        ("chat", "router", None, "model", "router has no default model for chat"),
    ],
)
def test_what_cannot_be_is_told_with_what_can(
    catalogue: Catalogue, capability, provider, model, loc, message
):
    with pytest.raises(Problem) as refused:
        catalogue.resolve(capability, provider, model)

    assert refused.value.code == "INVALID_REQUEST"
    assert refused.value.errors[0]["loc"] == [loc]
    assert message in refused.value.detail


async def test_closing_it_closes_every_provider_and_the_transport(vendors: dict[str, Vendor]):
    transport = Vendor("transport", {})

    await Catalogue(vendors, transport).aclose()  # type: ignore[arg-type]

    assert all(vendor.closed for vendor in [*vendors.values(), transport])


@pytest.fixture
def named(vendors: dict[str, Vendor]) -> Catalogue:
    """One with an alias, and a route of a model that has no pictures and one that has."""
    names = Names({"fast": ("local", "simulate")}, {"smart": [("cloud", "a"), ("local", "text")]})
    routes = {"smart": Vendor("route", {"chat": "smart"})}
    return Catalogue(vendors, routes=routes, names=names)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("provider", "model", "chosen"),
    [
        (None, "fast", ("local", "simulate")),
        (None, "smart", ("route", "smart")),
        (None, "route/smart", ("route", "smart")),
        ("route", "smart", ("route", "smart")),
        ("cloud", "fast", ("cloud", "fast")),
        ("cloud", "smart", ("cloud", "smart")),
        (None, None, ("cloud", "cloud-chat")),
    ],
)
def test_an_alias_and_a_route_are_found_where_no_provider_is_named(
    named: Catalogue, provider: str | None, model: str | None, chosen: tuple[str, str]
):
    assert named.resolve("chat", provider, model) == chosen


@pytest.mark.parametrize(
    ("capability", "model", "told"),
    [
        ("images", "smart", "not all models of smart have images; these have: cloud"),
        ("chat", "smrt", "there is no route 'smrt'; there are: smart"),
        ("chat", None, "there is no route ''; there are: smart"),
    ],
)
def test_what_a_route_cannot_do_is_told(
    named: Catalogue, capability: Capability, model: str | None, told: str
):
    with pytest.raises(Problem) as refused:
        named.resolve(capability, "route", model)
    assert told in refused.value.detail


def test_a_name_says_whose_it_is_or_not(named: Catalogue):
    known = ("fast", "smart", "route/smart", "local/any")
    assert [named.says_provider(name) for name in (*known, "any", "route/any")] == [True] * 4 + [False] * 2


def test_another_catalogue_takes_the_place_of_this_one(named: Catalogue, vendors: dict[str, Vendor]):
    named.replace(Catalogue({"local": vendors["local"]}))  # type: ignore[dict-item]

    assert named.get("cloud") is None
    assert named.get("route", "smart") is None
    assert named.resolve("chat", None, "fast") == ("local", "fast")
