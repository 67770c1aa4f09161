"""Every route that the platform serves, by the SDK's own methods, from both clients."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from nexusai.testing import Platform
from scripts.contract import Contract
from tests.fixtures.hooks import Hook, running_hook
from tests.fixtures.sdk import Both
from tests.integration.conftest import Use
from tests.integration.test_sessions import listed, settled, step_by_step

SIMULATE: dict[str, Any] = {"provider": "local", "model": "simulate"}
REQUEST = {"task_type": "text_generation", "input": {"prompt": "hi"}, **SIMULATE}
OTHERS = {"tasks_embed", "api_v1_health", "providers_list"}
"""For curl and the like: the SDK makes vectors by a task, and asks for nobody's health."""

_ANSWERED = re.compile(r"(GET|POST|PATCH|PUT|DELETE) (/\S+?)(?:\?…)? -> 2\d\d ")


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform({"NEXUS_WEBHOOK_ALLOW_PRIVATE": "true"}) as platform:
        yield platform


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def use(request: pytest.FixtureRequest, platform: Platform) -> Use:
    both = Both(asynchronous=request.param)

    def run(work: Callable[..., Any], *others: Any) -> Any:
        return both(
            lambda client: work(client, *others) if request.param else step_by_step(work(client, *others)),
            api_key=platform.api_key,
            base_url=platform.base_url,
        )

    return run


@pytest.fixture
def hook() -> Iterator[Hook]:
    with running_hook() as hook:
        yield hook


async def tasks(client: Any) -> None:
    done = await settled(client.tasks.submit("text_generation", {"prompt": "hi"}, **SIMULATE))
    await settled(done.wait())
    assert [event.kind for event in await listed(done.events())][-1] == "end"
    assert (await settled(client.tasks.get(done.id))).status == "completed"
    assert done.id in [task.id for task in await settled(client.tasks.list(limit=5))]
    slow = await settled(client.text.generate_async("hi", **SIMULATE, config={"latency": 30}))
    await settled(client.tasks.cancel(slow.id))
    await settled(client.tasks.delete(done.id))


async def files(client: Any) -> None:
    stored = await settled(client.files.upload(("a.txt", b"text", "text/plain")))
    assert (await settled(client.files.get(stored.id))).size == 4
    assert stored.id in [file.id for file in await listed(client.files.iter(per_page=50))]
    assert await settled(client.files.download(stored.id)) == b"text"
    await settled(client.files.delete(stored.id))


async def sessions(client: Any) -> None:
    session = await settled(client.sessions.create(name="tour", **SIMULATE))
    await settled(session.invoke("hi"))
    await settled(session.regenerate())
    assert (await settled(session.history())).total == 2
    copy = await settled(session.fork(name="copy"))
    assert copy.id in [each.id for each in await listed(client.sessions.iter(per_page=50))]
    await settled(copy.rename("other"))
    assert (await settled(client.sessions.get(copy.id))).name == "other"
    await settled(copy.delete())
    await settled(client.sessions.delete(session.id))


async def knowledge_bases(client: Any) -> None:
    bases = client.knowledge_bases
    base = await settled(bases.create("lamps"))
    document = await settled(bases.upload_document(base.id, ("a.md", b"# Lamp\n\nIt burns oil.")))
    stored = await settled(client.files.upload(("b.txt", b"The tower is tall.", "text/plain")))
    await settled(bases.add_document(base.id, stored.id))
    assert (await settled(bases.get_document(base.id, document.id))).filename == "a.md"
    assert len(await settled(bases.list_documents(base.id))) == 2
    assert (await settled(bases.search("oil", [base.id]))).results[0].doc_id == document.id
    await settled(bases.update(base.id, name="lights"))
    assert (await settled(bases.get(base.id))).name == "lights"
    assert base.id in [each.id for each in await settled(bases.list())]
    await settled(bases.delete_document(base.id, document.id))
    await settled(bases.delete(base.id))


async def batches(client: Any) -> None:
    batch = await settled(client.batches.create([REQUEST]))
    await settled(client.batches.wait(batch.id))
    assert [row.status for row in await listed(client.batches.results(batch.id))] == ["completed"]
    assert batch.id in [each.id for each in await listed(client.batches.iter(limit=50))]
    slow = await settled(client.batches.create([{**REQUEST, "config": {"latency": 30}}]))
    await settled(client.batches.cancel(slow.id))


async def keys(client: Any) -> None:
    key = await settled(client.keys.create("ci", rate_limits={"concurrent_tasks": 9}))
    assert (await settled(client.keys.get(key.id))).rate_limits == {"concurrent_tasks": 9}
    assert key.id in [each.id for each in await listed(client.keys.iter(limit=50))]
    assert (await settled(client.keys.update(key.id, name="other"))).name == "other"
    assert (await settled(client.keys.rotate(key.id, grace_seconds=5))).api_key != key.api_key
    assert not (await settled(client.keys.disable(key.id))).is_active


def said(platform: Platform, key: str, chat: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    httpx.post(f"{platform.url}/v1/chat/completions", json=chat, headers=headers).raise_for_status()


async def conversations(client: Any, platform: Platform) -> None:
    key = await settled(client.keys.create("logged", logging="full"))
    chat = {"model": "local/simulate", "messages": [{"role": "user", "content": "good evening"}]}
    for _ in range(2):
        said(platform, key.api_key, chat)
    first, second = await listed(client.conversations.iter("evening", limit=1, key_id=key.id))
    assert (await settled(client.conversations.get(first.id))).request == chat
    assert (await settled(client.conversations.list(from_="2026-01-01", key_id=key.id))).data[
        0
    ].id == first.id
    await settled(client.conversations.delete(second.id))
    assert await settled(client.conversations.delete_many(key_id=key.id)) == 1


async def projects(client: Any) -> None:
    project = await settled(client.projects.create("team", budget={"per_day": 3}))
    assert (await settled(client.projects.update(project.id, name="crew"))).budget == {"per_day": 3}
    assert (await settled(client.projects.get(project.id))).name == "crew"
    assert project.id in [each.id for each in await listed(client.projects.iter(limit=50))]
    report = await settled(client.usage.get(group_by="provider", from_="2026-01-01"))
    assert {"local"} >= {row.provider for row in report}
    assert "local/text" in [model.id for model in await settled(client.models.list())]


async def webhooks(client: Any, hook: Hook) -> None:
    webhook = await settled(client.webhooks.create(hook.url))
    text = await settled(client.text.generate("hi", **SIMULATE))
    told: list[Any] = []
    while not told:
        log = await settled(client.webhooks.deliveries(webhook.id))
        told = [line for line in log if (line.subject, line.status) == (text.task_id, "delivered")]
    await settled(client.webhooks.redeliver(webhook.id, told[0].id))
    assert (await settled(client.webhooks.rotate_secret(webhook.id))).secret != webhook.secret
    assert (await settled(client.webhooks.secret())).startswith("whsec_")
    assert (await settled(client.webhooks.get(webhook.id))).is_active
    await settled(client.webhooks.update(webhook.id, is_active=False))
    assert webhook.id in [each.id for each in await settled(client.webhooks.list())]
    await settled(client.webhooks.delete(webhook.id))


def test_every_route_is_called_by_a_method(
    platform: Platform, use: Use, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "nexusai")
    for work in (tasks, files, sessions, knowledge_bases, batches):
        use(work)
    use(keys)
    use(projects)
    use(conversations, platform)
    use(webhooks, hook)

    contract = Contract(httpx.get(f"{platform.url}/openapi.json").json())
    called = set()
    for method, path in _ANSWERED.findall(caplog.text):
        operation = contract.operation(httpx.Request(method, f"{platform.url}{path}"))
        assert operation, f"{method} {path} is not in the contract"
        called.add(operation.described["operationId"])
    served = {
        each["operationId"]
        for path, methods in contract.document["paths"].items()
        for each in methods.values()
        if path.startswith("/api/v1/")
    }
    assert served - called == OTHERS
