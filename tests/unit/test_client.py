from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest
from pytest_httpx import HTTPXMock

from nexusai import AsyncNexusAIClient, NexusAIClient
from nexusai.error import AuthenticationError, ConfigurationError
from nexusai.resources import _handle, audio, files, images, tasks, text
from tests.fixtures.sdk import BASE, KEY, Both

PAIRS = [
    (NexusAIClient, AsyncNexusAIClient),
    (text.Text, text.AsyncText),
    (images.Images, images.AsyncImages),
    (audio.Audio, audio.AsyncAudio),
    (files.Files, files.AsyncFiles),
    (tasks.Tasks, tasks.AsyncTasks),
    (_handle.TaskHandle, _handle.AsyncTaskHandle),
]
SAME = {"close": "aclose"}


def public(kind: type) -> dict[str, Any]:
    found = {name: value for base in reversed(kind.__mro__) for name, value in vars(base).items()}
    return {name: value for name, value in found.items() if not name.startswith("_")}


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


@pytest.mark.parametrize(("sync", "asynchronous"), PAIRS, ids=lambda kind: kind.__name__)
def test_the_two_have_the_same_public_names(sync: type, asynchronous: type):
    assert {SAME.get(name, name) if sync is NexusAIClient else name for name in public(sync)} == set(
        public(asynchronous)
    )


@pytest.mark.parametrize(("sync", "asynchronous"), PAIRS, ids=lambda kind: kind.__name__)
def test_the_two_have_the_same_signatures_and_docs(sync: type, asynchronous: type):
    for name, method in public(sync).items():
        if not inspect.isfunction(method) or name in SAME:
            continue
        other = getattr(asynchronous, name)
        assert described(method) == described(other), name
        assert method.__doc__ == other.__doc__, name


def test_every_public_method_is_documented():
    kinds = [kind for pair in PAIRS for kind in pair]
    bare = [
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name, method in public(kind).items()
        if inspect.isfunction(method) and not method.__doc__
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
    names = ("text", "images", "audio", "files", "tasks")
    assert sdk(lambda client: all(getattr(client, name) is getattr(client, name) for name in names))


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
def test_a_client_is_not_pickled(kind: type):
    client = kind(api_key=KEY, base_url=BASE)
    with pytest.raises(TypeError, match="make a client in the child process"):
        pickle.dumps(client)
