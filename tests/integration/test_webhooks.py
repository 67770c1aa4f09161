"""Webhooks from end to end: what is called, how it is signed, what is tried again, what is refused."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Standard

from nexusai import InvalidRequestError, NexusAIClient, NotFoundError, Webhook
from nexusai.models import Delivery
from nexusai.testing import Platform
from tests.fixtures.hooks import Hook, running_hook

SIMULATE: dict[str, Any] = {"provider": "local", "model": "simulate"}


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform({"NEXUS_WEBHOOK_ALLOW_PRIVATE": "true"}) as platform:
        yield platform


@pytest.fixture
def client(platform: Platform) -> Iterator[NexusAIClient]:
    with platform.client() as client:
        yield client
        for webhook in client.webhooks.iter():
            client.webhooks.delete(webhook.id)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with running_hook() as hook:
        yield hook


def logged(client: NexusAIClient, webhook: Webhook, settled: Callable[[Delivery], bool]) -> list[Delivery]:
    """The endpoint's log, once its newest line is as it should be."""
    for _ in range(250):
        lines = list(client.webhooks.deliveries(webhook.id))
        if lines and settled(lines[0]):
            return lines
        time.sleep(0.02)
    raise AssertionError(f"The log is {lines}.")


def test_an_endpoint_hears_of_the_projects_tasks(client: NexusAIClient, hook: Hook) -> None:
    webhook = client.webhooks.create(hook.url)
    text = client.text.generate("hello", **SIMULATE)
    [call] = hook.wait(lambda calls: len(calls) == 1)
    assert webhook.secret
    event = client.webhooks.verify(call.body, call.headers, webhook.secret)
    assert event.type == "task.completed"
    assert event.data["task_id"] == text.task_id
    assert event.data["output"]["text"] == text.text


def test_the_signature_is_the_standards(client: NexusAIClient, hook: Hook) -> None:
    webhook = client.webhooks.create(hook.url)
    client.text.generate("hello", **SIMULATE)
    [call] = hook.wait(lambda calls: len(calls) == 1)
    assert Standard(webhook.secret).verify(call.body, call.headers)["type"] == "task.completed"


def test_the_secret_is_shown_once(client: NexusAIClient, hook: Hook) -> None:
    webhook = client.webhooks.create(hook.url)
    assert client.webhooks.get(webhook.id).secret is None
    assert webhook.secret not in repr(webhook)


def test_a_rotated_secret_signs_from_the_next_call_on(client: NexusAIClient, hook: Hook) -> None:
    webhook = client.webhooks.create(hook.url)
    rotated = client.webhooks.rotate_secret(webhook.id).secret
    client.text.generate("hello", **SIMULATE)
    [call] = hook.wait(lambda calls: len(calls) == 1)
    assert rotated not in (None, webhook.secret)
    assert client.webhooks.verify(call.body, call.headers, rotated)


def test_a_task_may_name_an_address_of_its_own(client: NexusAIClient, hook: Hook) -> None:
    text = client.text.generate("hello", **SIMULATE, webhook={"url": f"{hook.url}/mine"})
    [call] = hook.wait(lambda calls: len(calls) == 1)
    secret = client.webhooks.secret()
    assert call.path == "/hook/mine"
    assert client.webhooks.verify(call.body, call.headers, secret).data["task_id"] == text.task_id


def test_only_the_events_that_are_wanted_are_told(client: NexusAIClient, hook: Hook) -> None:
    client.webhooks.create(hook.url, events=["task.failed"])
    client.text.generate("hello", **SIMULATE)
    failing = client.text.generate_async("x", **SIMULATE, config={"failure_rate": 1.0})
    calls = hook.wait(lambda calls: len(calls) >= 1)
    time.sleep(0.2)
    assert [(call.event["type"], call.event["data"]["task_id"]) for call in calls] == [
        ("task.failed", failing.id)
    ]


def test_a_cancelled_task_is_told_of(client: NexusAIClient, hook: Hook) -> None:
    client.webhooks.create(hook.url)
    handle = client.text.generate_async("x", **SIMULATE, config={"latency": 30})
    handle.cancel()
    [call] = hook.wait(lambda calls: len(calls) == 1)
    assert call.event["type"] == "task.cancelled"


def test_a_batch_is_told_of_once_it_has_ended(client: NexusAIClient, hook: Hook) -> None:
    body = {"task_type": "text_generation", "input": {"prompt": "x"}, **SIMULATE}
    batch = client.batches.create([body, body], webhook={"url": hook.url})
    [call] = hook.wait(lambda calls: len(calls) == 1)
    assert (call.event["type"], call.event["data"]["batch_id"]) == ("batch.completed", batch.id)
    assert call.event["data"]["counts"]["completed"] == 2


def test_a_call_that_fails_is_made_again_as_the_same_message(client: NexusAIClient, hook: Hook) -> None:
    hook.answers = [500]
    webhook = client.webhooks.create(hook.url)
    client.text.generate("hello", **SIMULATE)
    calls = hook.wait(lambda calls: len(calls) == 2)
    assert calls[0].headers["webhook-id"] == calls[1].headers["webhook-id"]
    assert calls[0].body == calls[1].body
    [line] = logged(client, webhook, lambda line: line.status == "delivered")
    assert (line.attempts, line.event, line.response_status) == (2, "task.completed", 200)


def test_an_endpoint_that_never_answers_holds_up_no_other(client: NexusAIClient, hook: Hook) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        client.webhooks.create(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        client.webhooks.create(hook.url)
        client.tasks.wait_all([client.text.generate_async("x", **SIMULATE) for _ in range(100)])
        told = hook.wait(lambda calls: len(calls) >= 100, 10)
    assert len({call.event["data"]["task_id"] for call in told}) == 100


def test_a_new_address_gets_what_the_old_one_refused(client: NexusAIClient, hook: Hook) -> None:
    hook.answers = [500]
    webhook = client.webhooks.create(hook.url)
    client.text.generate("hello", **SIMULATE)
    hook.wait(lambda calls: len(calls) == 1)
    client.webhooks.update(webhook.id, url=f"{hook.url}/new")
    assert hook.wait(lambda calls: len(calls) == 2)[1].path == "/hook/new"


def test_redirects_are_not_followed(client: NexusAIClient, hook: Hook) -> None:
    hook.answers = [302]
    webhook = client.webhooks.create(hook.url)
    client.text.generate("hello", **SIMULATE)
    hook.wait(lambda calls: len(calls) == 1)
    [line] = logged(client, webhook, lambda line: line.attempts > 0)
    assert (line.status, line.response_status) == ("pending", 302)
    assert [call.path for call in hook.calls] == ["/hook"]


def test_an_endpoint_that_is_gone_is_switched_off_and_the_others_hear_of_it(
    client: NexusAIClient, hook: Hook
) -> None:
    hook.answers = [410]
    with running_hook() as other:
        webhook = client.webhooks.create(hook.url)
        client.text.generate("hello", **SIMULATE)
        hook.wait(lambda calls: len(calls) == 1)
        client.webhooks.create(other.url, events=["webhook.disabled"])
        hook.answers = [410]
        client.webhooks.update(webhook.id, is_active=True)
        client.text.generate("hello", **SIMULATE)
        [call] = other.wait(lambda calls: len(calls) == 1)
    assert call.event["data"]["webhook_id"] == webhook.id
    assert client.webhooks.get(webhook.id).is_active is False


def test_a_delivery_is_sent_again_on_demand(client: NexusAIClient, hook: Hook) -> None:
    webhook = client.webhooks.create(hook.url)
    client.text.generate("hello", **SIMULATE)
    hook.wait(lambda calls: len(calls) == 1)
    [line] = logged(client, webhook, lambda line: line.status == "delivered")
    again = client.webhooks.redeliver(webhook.id, line.id)
    first, second = hook.wait(lambda calls: len(calls) == 2)
    assert (again.id, again.status) == (line.id, "pending")
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_what_was_not_delivered_is_after_a_crash(hook: Hook) -> None:
    with Platform({"NEXUS_WEBHOOK_ALLOW_PRIVATE": "true", "NEXUS_LEASE": "2"}) as platform:
        with platform.client() as client:
            client.webhooks.create(hook.url)
            handles = [
                client.text.generate_async("x", **SIMULATE, config={"latency": 0.5}) for _ in range(20)
            ]
            platform.kill()
            platform.start()
            client.tasks.wait_all(handles)
            hook.wait(lambda calls: len({call.event["data"]["task_id"] for call in calls}) == 20, 30)
    assert {call.event["data"]["task_id"] for call in hook.calls} == {handle.id for handle in handles}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "[::ffff:127.0.0.1]"])
def test_addresses_of_this_network_are_refused(embedded: Platform, hook: Hook, host: str) -> None:
    url = hook.url.replace("127.0.0.1", host)
    with embedded.client() as client:
        webhook = client.webhooks.create(url)
        client.text.generate("hello", **SIMULATE)
        [line] = logged(client, webhook, lambda line: line.attempts > 0)
        client.webhooks.delete(webhook.id)
    assert re.search("address of the internet|not a canonical IPv4 address", str(line.error))
    assert not hook.calls


def test_settings_change_and_lists_page(client: NexusAIClient, hook: Hook) -> None:
    made = [client.webhooks.create(f"{hook.url}/{number}") for number in range(3)]
    client.webhooks.update(made[0].id, url=f"{hook.url}/new", events=["task.failed"], is_active=False)
    seen = client.webhooks.get(made[0].id)
    assert (seen.url, seen.events, seen.is_active) == (f"{hook.url}/new", ["task.failed"], False)
    assert [webhook.id for webhook in client.webhooks.iter(limit=2)] == [w.id for w in reversed(made)]


@pytest.mark.parametrize(
    ("url", "events"), [("ftp://a", None), ("nonsense", None), ("https://a.example", ["task.exploded"])]
)
def test_wrong_settings_are_named(client: NexusAIClient, url: str, events: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"url|event"):
        client.webhooks.create(url, events=events)


@pytest.mark.parametrize(
    "use",
    [
        lambda webhooks: webhooks.get("whk_none"),
        lambda webhooks: webhooks.update("whk_none", is_active=True),
        lambda webhooks: webhooks.delete("whk_none"),
        lambda webhooks: webhooks.rotate_secret("whk_none"),
        lambda webhooks: webhooks.deliveries("whk_none"),
        lambda webhooks: webhooks.redeliver("whk_none", "msg_none"),
    ],
)
def test_what_is_not_there_is_not_found(client: NexusAIClient, use: Callable[[Any], Any]) -> None:
    with pytest.raises(NotFoundError):
        use(client.webhooks)


def test_a_log_pages(client: NexusAIClient, hook: Hook) -> None:
    webhook = client.webhooks.create(hook.url)
    tasks = {client.text.generate("hello", **SIMULATE).task_id for _ in range(3)}
    hook.wait(lambda calls: len(calls) == 3)
    assert {line.subject for line in client.webhooks.iter_deliveries(webhook.id, limit=2)} == tasks
    assert len(client.webhooks.deliveries(webhook.id, limit=2)) == 2
