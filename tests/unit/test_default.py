"""The module-level functions and the client behind them."""

from __future__ import annotations

import inspect
import pydoc
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pytest
from freezegun import freeze_time
from pytest_httpx import HTTPXMock

import nexusai
from nexusai import NexusAIClient, _default
from nexusai.error import AuthenticationError
from tests.fixtures.sdk import BASE, KEY
from tests.fixtures.webhooks import BODY, SECRET, signed


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(nexusai, "api_key", None)
    monkeypatch.setattr(nexusai, "base_url", None)
    nexusai.configure()
    yield
    nexusai.configure()


def test_a_function_of_the_module_calls_the_default_client(httpx_mock: HTTPXMock):
    httpx_mock.add_response(url=f"{BASE}/tasks/task_1", json={"task_id": "task_1"})
    nexusai.configure(api_key=KEY, base_url=BASE)
    assert nexusai.tasks.get("task_1").id == "task_1"


def test_a_key_that_is_set_before_the_first_call_counts():
    nexusai.api_key, nexusai.base_url = "nxs_module", BASE
    assert _default.default_client()._driver.config.api_key == "nxs_module"


def test_a_key_that_is_set_later_counts_from_then_on():
    nexusai.api_key = "nxs_one"
    first = _default.default_client()
    nexusai.api_key = "nxs_two"
    assert _default.default_client()._driver.config.api_key == "nxs_two"
    assert _default.default_client() is _default.default_client()
    assert first._driver.config.api_key == "nxs_one"


def test_configure_wins_over_what_is_set():
    nexusai.api_key = "nxs_module"
    nexusai.configure(api_key="nxs_configured")
    assert _default.default_client()._driver.config.api_key == "nxs_configured"


def test_configure_makes_a_new_client_at_the_next_call():
    nexusai.configure(api_key=KEY, timeout=1)
    first = _default.default_client()
    nexusai.configure(api_key=KEY, timeout=2)
    assert _default.default_client() is not first
    assert _default.default_client()._driver.config.timeout == 2


def test_no_client_is_made_before_a_call():
    generate = nexusai.text.generate
    with pytest.raises(AuthenticationError):
        generate("hi")


def test_a_failed_start_is_tried_again_at_the_next_call():
    with pytest.raises(AuthenticationError):
        _default.default_client()
    nexusai.api_key = KEY
    assert _default.default_client()


def test_threads_that_race_get_one_client(monkeypatch: pytest.MonkeyPatch):
    nexusai.configure(api_key=KEY)
    barrier = threading.Barrier(16)
    found: list[NexusAIClient] = []

    def race() -> None:
        barrier.wait()
        found.append(_default.default_client())

    threads = [threading.Thread(target=race) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(map(id, found))) == 1


def test_a_method_that_is_not_there_is_missed_at_once():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = nexusai.text.nonsense  # type: ignore[attr-defined]


def test_a_method_has_its_name_and_documentation():
    assert nexusai.images.generate.__name__ == "generate"
    assert nexusai.images.generate.__doc__ == nexusai.client.Images.generate.__doc__  # type: ignore[attr-defined]
    assert repr(nexusai.images) == "<nexusai.images of the default client>"


def test_a_resource_lists_its_methods_alone():
    assert dir(nexusai.files) == ["delete", "download", "get", "iter", "list", "upload"]


def test_a_method_has_the_signature_of_the_resources_own():
    own = NexusAIClient(api_key=KEY).text.generate
    assert inspect.signature(nexusai.text.generate) == inspect.signature(own)


RESOURCES = [name for name, value in vars(NexusAIClient).items() if isinstance(value, cached_property)]


@pytest.mark.parametrize("name", RESOURCES)
def test_every_method_of_a_client_is_one_of_the_module(name: str):
    own, there = getattr(NexusAIClient(api_key=KEY), name), getattr(nexusai, name)
    methods = [method for method in dir(own) if not method.startswith("_")]
    assert methods
    for method in methods:
        assert inspect.signature(getattr(there, method)) == inspect.signature(getattr(own, method)), method
        assert getattr(there, method).__doc__ == getattr(own, method).__doc__


def test_models_are_the_answers_and_what_the_platform_offers(httpx_mock: HTTPXMock):
    httpx_mock.add_response(url=f"{BASE}/models", json={"data": [{"name": "m"}]}, is_reusable=True)
    nexusai.configure(api_key=KEY, base_url=BASE)
    assert [model.name for model in nexusai.models.list()] == ["m"]
    assert nexusai.models.get("m") == nexusai.models.Model(name="m")


@freeze_time("2025-06-15T15:06:40Z")
def test_a_webhook_is_verified_without_a_key():
    assert nexusai.webhooks.verify(BODY, signed(), SECRET).id == "msg_1"
    assert _default._client is None


@freeze_time("2025-06-15T15:06:40Z")
@pytest.mark.parametrize("place", ["configure", "environment", ".env"])
def test_the_secret_of_webhooks_is_found_without_a_key(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    if place == "configure":
        nexusai.configure(webhook_secret=SECRET)
    elif place == "environment":
        monkeypatch.setenv("NEXUS_WEBHOOK_SECRET", SECRET)
    else:
        (tmp_path / ".env").write_text(f"NEXUS_WEBHOOK_SECRET={SECRET}\n")
    assert nexusai.webhooks.verify(BODY, signed()).id == "msg_1"


def test_other_calls_of_webhooks_need_a_key():
    with pytest.raises(AuthenticationError):
        nexusai.webhooks.list()


def test_help_shows_the_arguments():
    assert "generate(prompt: 'str | None' = None" in pydoc.plain(pydoc.render_doc(nexusai.text.generate))
