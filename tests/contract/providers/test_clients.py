"""Both clients over a real socket: the same calls, the same answers."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from nexusai.error import ConfigurationError
from nexusai.providers import (
    AdapterError,
    AsyncClient,
    Client,
    Deployment,
    Prices,
    ProviderConfig,
    RetryPolicy,
    Route,
    TimeoutError,
)
from tests.fixtures.openai_upstream import Upstream, running_upstream

CHAT = "/v1/chat/completions"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


class Both:
    """`nexus(lambda client: client.chat(…))`, on the sync client or the async one."""

    def __init__(self, upstream: Upstream, asynchronous: bool) -> None:
        self.upstream = upstream
        self.asynchronous = asynchronous

    def __call__(self, use: Any, **options: Any) -> Any:
        settings = {"api_key": self.upstream.api_key, "base_url": self.upstream.base_url, **options}
        name = settings.pop("provider", "openai_compatible")
        if self.asynchronous:
            return asyncio.run(self._awaited(use, name, settings))
        with Client(name, **settings) as client:
            found = use(client)
            return list(found) if inspect.isgenerator(found) else found

    async def _awaited(self, use: Any, name: str, settings: Any) -> Any:
        async with AsyncClient(name, **settings) as client:
            found = use(client)
            return [item async for item in found] if inspect.isasyncgen(found) else await found


@pytest.fixture(params=["sync", "async"])
def nexus(request: pytest.FixtureRequest, upstream: Upstream) -> Both:
    upstream.forget()
    return Both(upstream, request.param == "async")


def test_chat(nexus: Both):
    answer = nexus(lambda client: client.chat(messages="你好", model="echo", temperature=0.5, top_k=3))
    assert answer.content == "你好"
    assert nexus.upstream.calls()[-1]["body"]["top_k"] == 3


def test_chat_streamed(nexus: Both):
    chunks = nexus(lambda client: client.chat(messages="one two", model="echo", stream=True))
    assert "".join(chunk.delta for chunk in chunks) == "one two"
    assert chunks[-1].usage.source == "provider"


def test_what_may_pass_is_tried_again(nexus: Both):
    retry = RetryPolicy(base_delay=0)
    answer = nexus(
        lambda client: client.chat(messages=f"hi [[status=500 times=2]] {uuid4()}", model="echo"), retry=retry
    )
    assert "hi" in answer.content
    assert len(nexus.upstream.calls(CHAT)) == 3


def test_everything_takes_no_longer_than_the_timeout(nexus: Both):
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        nexus(lambda client: client.chat(messages="[[hang]]", model="echo", timeout=0.15))
    assert time.monotonic() - begun < 5


def test_an_answer_in_the_shape_of_a_model(nexus: Both):
    class Place(BaseModel):
        city: str

    place = nexus(
        lambda client: client.parse(messages='{"city": "Rome"}', response_model=Place, model="echo")
    )
    assert place == Place(city="Rome")
    assert nexus.upstream.calls()[-1]["body"]["response_format"]["type"] == "json_schema"


def test_code(nexus: Both):
    code = nexus(lambda client: client.ask_code("```python\nprint(1)\n```", model="echo"))
    assert (code.language, code.code) == ("python", "print(1)")
    assert nexus.upstream.calls()[-1]["body"]["tools"][0]["function"]["name"] == "write_code"


def test_what_does_not_fit_names_who_said_it(nexus: Both):
    class Place(BaseModel):
        city: str

    with pytest.raises(AdapterError, match="no Place") as failure:
        nexus(lambda client: client.parse(messages="[" * 5000, response_model=Place, model="echo"))
    assert (failure.value.provider, failure.value.model) == ("openai_compatible", "echo")
    with pytest.raises(AdapterError, match="no code") as failure:
        nexus(lambda client: client.ask_code("", model="echo"))
    assert (failure.value.provider, failure.value.model) == ("openai_compatible", "echo")


def test_tokens_are_counted_here_where_the_vendor_has_no_counter(nexus: Both):
    count = nexus(lambda client: client.count_tokens("你好，世界", model="echo"))
    assert count.tokens > 3
    assert not nexus.upstream.calls()


def test_prices_are_on_the_answer(nexus: Both):
    prices = Prices.load(
        {"openai_compatible/echo": {"price": {"input": 1e6, "output": 1e6, "currency": "USD"}}}
    )
    answer = nexus(lambda client: client.chat(messages="hi", model="echo"), prices=prices)
    assert answer.cost.amount == answer.usage.total_tokens


def test_deployments_stand_in_for_each_other(nexus: Both):
    dead = ProviderConfig("openai_compatible", base_url="http://127.0.0.1:9/v1", max_retries=0)
    alive = ProviderConfig("openai_compatible", nexus.upstream.api_key, nexus.upstream.base_url)
    route = Route("fast", [Deployment("dead", "echo", weight=1e6), Deployment("alive", "echo")])
    options = {"provider": None, "providers": {"dead": dead, "alive": alive}, "routes": [route]}
    answer = nexus(lambda client: client.chat(messages="hi", model="fast"), **options)
    assert (answer.content, answer.provider, answer.model) == ("hi", "alive", "echo")


def test_the_local_provider_answers(nexus: Both):
    options = {"provider": "local", "api_key": None, "base_url": None}
    answer = nexus(lambda client: client.chat(messages="hi"), **options)
    image = nexus(lambda client: client.generate_images("a cat", size=(64, 64)), **options)
    chunks = nexus(
        lambda client: client.chat(messages="hi", model="simulate", stream=True, tokens=5), **options
    )
    assert (answer.model, answer.extra["demo"]) == ("text", True)
    assert image.images[0].data.startswith(PNG)
    assert chunks[-1].usage.completion_tokens == 5


def test_a_file_configures_a_client(nexus: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_KEY", nexus.upstream.api_key)
    path = tmp_path / "providers.yaml"
    path.write_text(
        "providers:\n"
        "  mine: {provider: openai_compatible, api_key: '${MY_KEY}', "
        f"base_url: '{nexus.upstream.base_url}', models: {{chat: echo}}}}\n"
    )
    with Client.from_file(path) as client:
        assert client.providers == ["mine"]
        assert client.chat(messages="hi").content == "hi"


def test_closing_the_stream_closes_the_connection(upstream: Upstream):
    upstream.forget()
    with Client("openai_compatible", api_key=upstream.api_key, base_url=upstream.base_url) as client:
        chunks = client.chat(messages="one two three [[hang=1]]", model="echo", stream=True)
        assert next(chunks).delta == "one"
        chunks.close()
        for _ in range(100):
            if upstream.calls()[-1]["hung_up"]:
                break
            time.sleep(0.05)
    assert upstream.calls()[-1]["hung_up"]


def test_the_sync_client_is_shared_by_threads(upstream: Upstream):
    answers: list[str] = []
    with Client("openai_compatible", api_key=upstream.api_key, base_url=upstream.base_url) as client:

        def ask(number: int) -> None:
            answers.append(client.chat(messages=f"n{number}", model="echo").content)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == sorted(f"n{number}" for number in range(16))


def test_a_repr_shows_no_key(upstream: Upstream):
    client = Client("openai_compatible", api_key="sk-secret", base_url=upstream.base_url)
    assert repr(client) == "Client(openai_compatible)"
    assert "sk-secret" not in repr(vars(client))


def test_without_any_provider_the_error_says_how_to_have_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.environ", {})
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        Client()


def test_the_two_clients_have_the_same_methods():
    def methods(kind: type) -> dict[str, str]:
        names = [name for name in vars(kind) if not name.startswith("_")]
        found = {name: str(inspect.signature(getattr(kind, name)).parameters) for name in names}
        return {"close" if name == "aclose" else name: parameters for name, parameters in found.items()}

    assert methods(Client) == methods(AsyncClient)


def test_an_error_names_provider_and_model(nexus: Both):
    with pytest.raises(AdapterError) as failure:
        nexus(lambda client: client.chat(messages="[[status=400]]", model="echo"))
    assert (failure.value.provider, failure.value.model) == ("openai_compatible", "echo")
