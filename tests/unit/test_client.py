from __future__ import annotations

import inspect
import pickle
from functools import cached_property
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from nexusai import AsyncNexusAIClient, NexusAIClient, client, models
from nexusai._internal import _stream
from nexusai.error import AuthenticationError, ConfigurationError
from nexusai.resources import _handle, _session
from tests.fixtures.sdk import BASE, KEY, Both

RESOURCES = [name for name, value in vars(NexusAIClient).items() if isinstance(value, cached_property)]
SAME = {"close": "aclose"}
INSTANT = {"attach", "bound", "events", "stream", "stream_regenerated", "to_dict", "verify", "with_options"}
"""What sends nothing, and so is awaited on neither client."""


def class_of(client_type: type, resource: str) -> type:
    found = inspect.get_annotations(vars(client_type)[resource].func)["return"]
    return getattr(client, found)


PAIRS = [
    (NexusAIClient, AsyncNexusAIClient),
    *((class_of(NexusAIClient, name), class_of(AsyncNexusAIClient, name)) for name in RESOURCES),
    (_handle.TaskHandle, _handle.AsyncTaskHandle),
    (_session.Session, _session.AsyncSession),
    (_stream.TextStream, _stream.AsyncTextStream),
    (_stream.TaskEventStream, _stream.AsyncTaskEventStream),
    (models.Image, models.AsyncImage),
    (models.TTSResponse, models.AsyncTTSResponse),
]


def public(kind: type) -> dict[str, Any]:
    ours = [base for base in reversed(kind.__mro__) if base.__module__.startswith("nexusai.")]
    found = {name: value for base in ours for name, value in vars(base).items()}
    return {name: value for name, value in found.items() if not name.startswith("_")}


def methods(kind: type) -> dict[str, Any]:
    found = {name: value for name, value in public(kind).items() if inspect.isfunction(value)}
    return {name: value for name, value in found.items() if value.__module__.startswith("nexusai.")}


def plain(annotation: str) -> str:
    """An annotation without what is different on purpose."""
    for word, other in (("AsyncGenerator", "Generator"), ("Async", ""), (", None, None]", ", None]")):
        annotation = annotation.replace(word, other)
    return annotation


def described(method: Any) -> Any:
    signature = inspect.signature(method)
    parameters = [
        (p.name, p.kind, p.default, plain(str(p.annotation))) for p in signature.parameters.values()
    ]
    return parameters, plain(str(signature.return_annotation))


each_pair = pytest.mark.parametrize(("sync", "asynchronous"), PAIRS, ids=lambda kind: kind.__name__)


def test_both_clients_have_these_resources():
    assert [name for name, value in vars(AsyncNexusAIClient).items() if name in RESOURCES] == RESOURCES
    assert set(RESOURCES) == {
        *("text", "images", "audio", "embeddings", "moderations", "sessions", "knowledge_bases", "files"),
        *("tasks", "batches", "webhooks", "usage", "conversations", "models", "keys", "projects"),
    }


def test_both_clients_are_made_of_the_same_arguments():
    sync, asynchronous = (
        [(p.name, p.kind, p.default) for p in inspect.signature(kind).parameters.values()]
        for kind in (NexusAIClient, AsyncNexusAIClient)
    )
    assert sync == asynchronous


@each_pair
def test_the_two_have_the_same_public_names(sync: type, asynchronous: type):
    names = {SAME.get(name, name) if sync is NexusAIClient else name for name in public(sync)}
    assert names == set(public(asynchronous))


@each_pair
def test_the_two_have_the_same_signatures_and_docs(sync: type, asynchronous: type):
    for name, method in methods(sync).items():
        if name not in SAME or sync is not NexusAIClient:
            other = getattr(asynchronous, name)
            assert described(method) == described(other), name
            assert method.__doc__ == other.__doc__, name


@each_pair
def test_what_blocks_on_the_one_is_awaited_on_the_other(sync: type, asynchronous: type):
    for name, method in methods(sync).items():
        other = getattr(asynchronous, SAME.get(name, name) if sync is NexusAIClient else name)
        assert not inspect.iscoroutinefunction(method), name
        if str(inspect.signature(method).return_annotation).startswith("Generator"):
            assert str(inspect.signature(other).return_annotation).startswith("AsyncGenerator"), name
            assert not inspect.iscoroutinefunction(other), name
        else:
            assert inspect.iscoroutinefunction(other) is (name not in INSTANT), name


def test_every_public_method_is_documented():
    kinds = [kind for pair in PAIRS for kind in pair]
    bare = [
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name, method in methods(kind).items()
        if not method.__doc__ and name != "bound"
    ]
    assert bare == []


def test_a_client_needs_a_key(sdk: Both):
    with pytest.raises(AuthenticationError, match="NEXUS_API_KEY"):
        sdk(lambda client: None, api_key=None)


def test_a_client_reads_the_environment(sdk: Both, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NEXUS_API_KEY", "nxs_e")
    monkeypatch.setenv("NEXUS_POLL_TIMEOUT", "5")
    config = sdk(lambda client: client._driver.config, api_key=None)
    assert (config.api_key, config.poll_timeout) == ("nxs_e", 5.0)


def test_a_wrong_setting_is_said_at_construction(sdk: Both):
    with pytest.raises(ConfigurationError, match="max_retries="):
        sdk(lambda client: None, max_retries=-1)


def test_resources_are_made_once(sdk: Both):
    assert sdk(lambda client: all(getattr(client, name) is getattr(client, name) for name in RESOURCES))


def test_other_options_on_the_same_connections(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(json={"task_id": "t"})

    def use(client: Any) -> Any:
        other = client.with_options(api_key="nxs_2", timeout=3, default_headers={"X-B": "2"})
        assert other._driver.pool is client._driver.pool
        assert client._driver.config.timeout == 60
        return other.tasks.get("t")

    sdk(use, default_headers={"X-A": "1"})
    sent = httpx_mock.get_requests()[0]
    assert (sent.headers["x-a"], sent.headers["x-b"]) == ("1", "2")
    assert sent.headers["authorization"] == "Bearer nxs_2"
    assert sent.extensions["timeout"]["read"] == 3


def test_an_unknown_option_is_named(sdk: Both):
    with pytest.raises(TypeError, match="'retries'"):
        sdk(lambda client: client.with_options(retries=1))


def test_a_borrower_does_not_close_the_connections():
    with NexusAIClient(KEY, BASE) as client:
        with client._driver.pool.lease() as http, client.with_options(timeout=1):
            pass
        assert not http.is_closed
    assert http.is_closed


async def test_an_async_borrower_does_not_close_the_connections():
    async with AsyncNexusAIClient(KEY, BASE) as client:
        with client._driver.pool.lease() as http:
            async with client.with_options(timeout=1):
                pass
        assert not http.is_closed
    assert http.is_closed


@pytest.mark.parametrize("kind", [NexusAIClient, AsyncNexusAIClient])
def test_a_client_shows_its_platform_and_no_key(kind: type):
    client = kind(api_key=KEY, base_url=BASE, webhook_secret="whsec_1")
    assert repr(client) == f"{kind.__name__}(base_url={BASE!r})"


@pytest.mark.parametrize("kind", [NexusAIClient, AsyncNexusAIClient])
def test_a_client_is_not_pickled(kind: type):
    client = kind(api_key=KEY, base_url=BASE)
    with pytest.raises(TypeError, match="make a client in the child process"):
        pickle.dumps(client)


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (["X-Team"], "default_headers is a mapping .*not list"),
        ({"X Team": "a"}, "'X Team', which is no name of a header"),
        ({7: "a"}, "7, which is no name of a header"),
        ({"X-Team": "a\r\nX-Evil: 1"}, r"default_headers\['X-Team'\] is no text in ASCII on one line"),
        ({"X-Team": 7}, r"default_headers\['X-Team'\] is no text in ASCII on one line"),
    ],
)
def test_headers_that_cannot_be_sent_are_named_at_construction(sdk: Both, headers: Any, told: str):
    with pytest.raises(ConfigurationError, match=told):
        sdk(lambda client: client.tasks.get("task_1"), default_headers=headers)


def test_the_http_client_of_the_other_kind_is_refused(sdk: Both):
    other = httpx.Client if sdk.asynchronous else httpx.AsyncClient
    with pytest.raises(ConfigurationError, match=f"not {other.__name__}"):
        sdk(lambda client: client.tasks.get("task_1"), http_client=other(trust_env=False))
