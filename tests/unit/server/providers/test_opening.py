from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nexusai.providers.setup import Setup, load_setup
from nexusai.providers.types import ChatRequest, ImageRequest
from nexusai.server.keys.caller import Caller, current_caller
from nexusai.server.keys.models import Key, Project
from nexusai.server.providers.opening import Providers
from tests.fixtures.server import metering


@pytest.fixture
def providers(tmp_path: Path) -> Providers:
    return Providers(setup(tmp_path, "aliases: {a: local/text}"), *metering())


def setup(folder: Path, text: str) -> Setup:
    (folder / "nexus.yaml").write_text(text)
    return load_setup(folder / "nexus.yaml", {})


async def test_the_catalogue_stays_the_same_and_offers_something_else(providers: Providers, tmp_path: Path):
    catalogue = providers.catalogue
    providers.change(setup(tmp_path, "routes: {r: [local/text]}"))

    assert providers.catalogue is catalogue
    assert {offer.name for offer in catalogue.offers() if offer.type != "model"} == {"r"}
    await catalogue.aclose()


async def test_what_a_thread_works_at_is_finished(providers: Providers, tmp_path: Path):
    local = providers.catalogue.get("local")
    assert local is not None
    drawing = asyncio.ensure_future(local.generate_images(ImageRequest("image", "a lamp", n=2)))
    await asyncio.sleep(0.01)
    providers.change(setup(tmp_path, ""))

    assert len((await drawing).images) == 2
    assert (await local.chat(ChatRequest("text", [{"role": "user", "content": "hi"}]))).provider == "local"
    await providers.catalogue.aclose()


async def test_a_call_goes_through_by_the_name_that_it_resolved(tmp_path: Path):
    meter, *hooks = metering()
    routes = "routes: {r: [local/text]}"
    providers = Providers(setup(tmp_path, routes), meter, *hooks)
    provider, model = providers.catalogue.resolve("chat", None, "r")
    resolved = providers.catalogue.get(provider, model)
    assert resolved is not None
    providers.change(setup(tmp_path, ""))
    key = Key("key_1", "proj_1", "k", b"", "", 0, models_json='["local/*"]')
    current_caller.set(Caller(Project("proj_1", "p", "{}", 0), key))

    answer = await resolved.chat(ChatRequest(model, [{"role": "user", "content": "hi"}]))

    assert answer.provider == "local"
    await providers.catalogue.aclose()


async def test_a_transport_is_opened_once_with_the_first_vendor(providers: Providers, tmp_path: Path):
    assert providers.catalogue.transport is None
    providers.change(setup(tmp_path, "providers: {ollama: }"))
    transport = providers.catalogue.transport
    providers.change(setup(tmp_path, "providers: {ollama: , vllm: }"))

    assert transport is not None
    assert providers.catalogue.transport is transport
    await providers.catalogue.aclose()
