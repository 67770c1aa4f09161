from __future__ import annotations

import json
from typing import Any

import pytest
from freezegun import freeze_time
from pytest_httpx import HTTPXMock

from nexusai.error import ConfigurationError, ServerError, WebhookVerificationError
from tests.fixtures.sdk import BASE, Both
from tests.fixtures.webhooks import BODY, OTHER, SECRET, signed

WHEN = "2025-06-15T15:06:40Z"


def shown(**fields: Any) -> dict[str, Any]:
    return {"webhook_id": "whk_1", "url": "https://me.test/hook", "events": ["task.completed"], **fields}


def asked(httpx_mock: HTTPXMock) -> Any:
    return json.loads(httpx_mock.get_requests()[0].content)


def test_an_endpoint_is_made_and_its_secret_shown(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{BASE}/webhooks", status_code=201, json=shown(secret=SECRET))
    webhook = sdk(lambda client: client.webhooks.create("https://me.test/hook", events=["task.completed"]))

    assert (webhook.id, webhook.secret) == ("whk_1", SECRET)
    assert SECRET not in repr(webhook)
    assert asked(httpx_mock) == {"url": "https://me.test/hook", "events": ["task.completed"]}
    assert httpx_mock.get_requests()[0].headers["idempotency-key"]


def test_a_single_event_is_a_list_of_one(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(json=shown())
    sdk(lambda client: client.webhooks.create("https://me.test/hook", events="task.failed"))
    assert asked(httpx_mock)["events"] == ["task.failed"]


def test_what_is_known_of_an_endpoint(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="GET", url=f"{BASE}/webhooks/whk_1", json=shown())
    assert sdk(lambda client: client.webhooks.get("whk_1")).url == "https://me.test/hook"


def test_endpoints_are_listed_and_iterated_over(sdk: Both, httpx_mock: HTTPXMock):
    page = {"data": [shown()], "has_more": True, "next_cursor": "c2"}
    httpx_mock.add_response(url=f"{BASE}/webhooks?limit=1", json=page, is_reusable=True)
    httpx_mock.add_response(
        url=f"{BASE}/webhooks?limit=1&cursor=c2", json={"data": [shown(webhook_id="whk_2")]}
    )
    assert [hook.id for hook in sdk(lambda client: client.webhooks.list(limit=1))] == ["whk_1"]
    assert [hook.id for hook in sdk(lambda client: client.webhooks.iter(limit=1))] == ["whk_1", "whk_2"]


def test_an_endpoint_is_changed_in_what_is_given(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="PATCH", url=f"{BASE}/webhooks/whk_1", json=shown(is_active=False))
    assert sdk(lambda client: client.webhooks.update("whk_1", is_active=False)).is_active is False
    assert asked(httpx_mock) == {"is_active": False}


def test_an_endpoint_is_deleted(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="DELETE", url=f"{BASE}/webhooks/whk_1", status_code=204)
    assert sdk(lambda client: client.webhooks.delete("whk_1")) is None


@freeze_time(WHEN)
def test_a_call_of_the_platforms_is_verified_with_the_clients_secret(sdk: Both):
    event = sdk(lambda client: client.webhooks.verify(BODY, signed()), webhook_secret=SECRET)
    assert event.data == {"task_id": "task_1"}


@freeze_time(WHEN)
def test_a_secret_that_is_given_wins_over_the_clients(sdk: Both):
    event = sdk(lambda client: client.webhooks.verify(BODY, signed(), SECRET), webhook_secret=OTHER)
    assert event.id == "msg_1"


@freeze_time(WHEN)
def test_the_secret_may_be_in_the_environment(sdk: Both, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NEXUS_WEBHOOK_SECRET", SECRET)
    assert sdk(lambda client: client.webhooks.verify(BODY, signed())).type == "task.completed"


@freeze_time("2025-06-15T15:16:40Z")
def test_an_old_call_is_refused_unless_it_is_tolerated(sdk: Both):
    with pytest.raises(WebhookVerificationError, match="600 s old"):
        sdk(lambda client: client.webhooks.verify(BODY, signed(), SECRET))
    assert sdk(lambda client: client.webhooks.verify(BODY, signed(), SECRET, tolerance=600))


def test_without_a_secret_it_is_said_how_to_give_one(sdk: Both):
    with pytest.raises(ConfigurationError, match="NEXUS_WEBHOOK_SECRET"):
        sdk(lambda client: client.webhooks.verify(BODY, signed()))


def told(**fields: Any) -> dict[str, Any]:
    return {
        "delivery_id": "dlv_1",
        "webhook_id": "whk_1",
        "event": "task.completed",
        "subject": "task_1",
        "status": "failed",
        "attempts": 12,
        "response_status": 500,
        **fields,
    }


def test_the_projects_secret_is_asked_for(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="GET", url=f"{BASE}/webhooks/secret", json={"secret": SECRET})
    assert sdk(lambda client: client.webhooks.secret()) == SECRET


def test_a_secret_is_changed_once(sdk: Both, httpx_mock: HTTPXMock):
    url = f"{BASE}/webhooks/whk_1/rotate-secret"
    httpx_mock.add_response(method="POST", url=url, status_code=503)
    with pytest.raises(ServerError):
        sdk(lambda client: client.webhooks.rotate_secret("whk_1"))
    assert len(httpx_mock.get_requests()) == 1

    httpx_mock.add_response(method="POST", url=url, json=shown(secret=OTHER))
    assert sdk(lambda client: client.webhooks.rotate_secret("whk_1")).secret == OTHER


def test_the_log_of_an_endpoint_is_read(sdk: Both, httpx_mock: HTTPXMock):
    log = f"{BASE}/webhooks/whk_1/deliveries?limit=1"
    page = {"data": [told()], "has_more": True, "next_cursor": "c2"}
    httpx_mock.add_response(url=log, json=page, is_reusable=True)
    httpx_mock.add_response(url=f"{log}&cursor=c2", json={"data": [told(delivery_id="dlv_2")]})

    found = list(sdk(lambda client: client.webhooks.deliveries("whk_1", limit=1)))
    assert [(each.id, each.attempts, each.response_status) for each in found] == [("dlv_1", 12, 500)]
    every = sdk(lambda client: client.webhooks.iter_deliveries("whk_1", limit=1))
    assert [each.id for each in every] == ["dlv_1", "dlv_2"]


def test_an_event_is_sent_again(sdk: Both, httpx_mock: HTTPXMock):
    url = f"{BASE}/webhooks/whk_1/deliveries/dlv_1/redeliver"
    httpx_mock.add_response(method="POST", url=url, status_code=202, json=told(status="pending"))
    assert sdk(lambda client: client.webhooks.redeliver("whk_1", "dlv_1")).status == "pending"
