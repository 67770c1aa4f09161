from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

from pytest_httpx import HTTPXMock

from tests.fixtures.sdk import BASE, Both

SECRET = "nxs_shown_once"


def shown(**fields: Any) -> dict[str, Any]:
    return {"key_id": "key_1", "name": "ci", "hint": "nxs_show…", "scopes": ["invoke"], **fields}


def test_a_key_is_made_and_shown_once(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{BASE}/keys", status_code=201, json=shown(api_key=SECRET))
    key = sdk(
        lambda client: client.keys.create(
            "ci",
            scopes=["invoke"],
            allowed_models=["local/*"],
            budget={"amount": 5, "currency": "USD"},
            expires_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        )
    )

    assert (key.id, key.api_key) == ("key_1", SECRET)
    assert json.loads(httpx_mock.get_requests()[0].content) == {
        "name": "ci",
        "scopes": ["invoke"],
        "allowed_models": ["local/*"],
        "budget": {"amount": 5, "currency": "USD"},
        "expires_at": "2026-01-01T00:00:00Z",
    }


def test_a_key_is_in_no_repr(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(json=shown(api_key=SECRET, secret=SECRET))
    key = sdk(lambda client: client.keys.create("ci"))
    assert SECRET not in f"{key!r} {key} {[key]}"


def test_a_key_is_rotated(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{BASE}/keys/key_1/rotate", json=shown(api_key=SECRET))
    assert sdk(lambda client: client.keys.rotate("key_1")).api_key == SECRET
    assert httpx_mock.get_requests()[0].headers["idempotency-key"]


def test_a_key_is_disabled(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{BASE}/keys/key_1/disable", json=shown(is_active=False))
    assert sdk(lambda client: client.keys.disable("key_1")).is_active is False


def test_what_is_known_of_a_key(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="GET", url=f"{BASE}/keys/key_1", json=shown())
    key = sdk(lambda client: client.keys.get("key_1"))
    assert (key.hint, key.api_key) == ("nxs_show…", None)


def test_keys_are_listed_and_iterated_over(sdk: Both, httpx_mock: HTTPXMock):
    more = {"has_more": True, "next_cursor": "c2"}
    httpx_mock.add_response(url=f"{BASE}/keys?limit=1", json={"data": [shown()], **more}, is_reusable=True)
    httpx_mock.add_response(
        url=re.compile(r".*cursor=c2"), json={"data": [shown(key_id="key_2")], "has_more": False}
    )
    assert [key.id for key in sdk(lambda client: client.keys.list(limit=1))] == ["key_1"]
    assert [key.id for key in sdk(lambda client: client.keys.iter(limit=1))] == ["key_1", "key_2"]
