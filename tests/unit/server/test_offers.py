"""Which models and providers there are, over the API."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from nexusai.providers.setup import load_setup
from nexusai.server.providers.opening import Providers
from tests.fixtures.served import Served
from tests.fixtures.server import metering

VENDORS = {"OPENAI_API_KEY": "sk-x", "ANTHROPIC_API_KEY": "sk-y", "DEEPSEEK_API_KEY": "sk-z"}


@pytest.fixture
async def catalogue():
    catalogue = Providers(load_setup(None, VENDORS), *metering()).catalogue
    yield catalogue
    await catalogue.aclose()


@pytest.mark.parametrize(
    ("model", "owner"),
    [
        ("claude-haiku-4-5", "anthropic"),
        ("deepseek-flash", "deepseek"),
        ("gpt-4o", "openai"),
        ("gpt-4o-2024-08-06", "openai"),
        ("deepseek/my-own", "deepseek"),
    ],
)
async def test_a_model_goes_to_whose_it_is(catalogue, model: str, owner: str):
    assert catalogue.resolve("chat", None, model) == (owner, model.rpartition("/")[2])


async def test_a_model_that_nobody_knows_goes_to_the_first_provider(catalogue):
    assert catalogue.resolve("chat", None, "my-own-model")[0] == catalogue.resolve("chat", None, None)[0]


async def test_models_are_offered_with_what_they_can_do_and_cost(catalogue):
    offers = {(offer.provider, offer.model): offer for offer in catalogue.offers()}
    assert len(offers) == len(catalogue.offers())
    haiku = offers["anthropic", "claude-haiku-4-5"]
    assert {"chat", "tools"} <= haiku.capabilities
    assert haiku.context_window
    assert haiku.prices is not None
    assert haiku.prices["currency"] == "USD"
    assert haiku.prices["output"] > haiku.prices["input"] > 0
    assert offers["openai", "text-embedding-3-small"].capabilities == {"embeddings"}
    assert {offer.provider for offer in offers.values()} == {"openai", "anthropic", "deepseek", "local"}


def test_the_list_of_models_is_paged(client: httpx.Client):
    seen: list[dict[str, Any]] = []
    cursor, more = None, True
    while more:
        page = client.get("/models", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += page["data"]
        cursor = page["next_cursor"]
        more = page["has_more"]
        assert more == (cursor is not None)
    assert seen == client.get("/models").json()["data"]
    assert {"provider": "local", "name": "text"}.items() <= seen[0].items() or len(seen) > 1
    assert "chat" in next(model for model in seen if model["name"] == "text")["capabilities"]


def test_a_key_sees_the_models_that_it_may_use(client: httpx.Client, platform: Served):
    key = client.post("/keys", json={"name": "k", "allowed_models": ["local/text"]}).json()
    with platform.client(key["api_key"]) as narrow:
        assert [model["name"] for model in narrow.get("/models").json()["data"]] == ["text"]


def test_the_providers_say_how_they_are(client: httpx.Client, nobody: httpx.Client):
    [local] = client.get("/providers").json()["data"]
    assert (local["name"], local["configured"], local["healthy"]) == ("local", True, True)
    assert "chat" in local["capabilities"]
    assert nobody.get("/providers").status_code == 401
