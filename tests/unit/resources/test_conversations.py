from __future__ import annotations

from datetime import date
from typing import Any

from pytest_httpx import HTTPXMock

from tests.fixtures.sdk import BASE, Both

LOGGED: dict[str, Any] = {
    "conversation_id": "conv_1",
    "created_at": "2026-01-31T00:00:00Z",
    "status": "completed",
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    "cost": {"amount": 0.5, "currency": "USD"},
    "truncated": False,
}


def test_conversations_are_searched_by_words_and_facts(sdk: Both, httpx_mock: HTTPXMock):
    page = {"data": [LOGGED], "has_more": False, "next_cursor": None}
    url = f"{BASE}/conversations?model=gpt-4o&from=2026-01-01&q=%E7%81%AF%E5%A1%94"
    httpx_mock.add_response(url=url, json=page)

    found = sdk(lambda client: client.conversations.list("灯塔", model="gpt-4o", from_=date(2026, 1, 1)))

    (logged,) = found
    assert (logged.id, logged.usage.total_tokens, logged.cost.amount) == ("conv_1", 3, 0.5)


def test_a_conversation_has_what_was_said_but_does_not_show_it_by_itself(sdk: Both, httpx_mock: HTTPXMock):
    whole = {**LOGGED, "request": {"messages": ["a secret"]}, "answer": {"choices": ["another"]}}
    httpx_mock.add_response(url=f"{BASE}/conversations/conv_1", json=whole)

    logged = sdk(lambda client: client.conversations.get("conv_1"))

    assert logged.request == {"messages": ["a secret"]}
    assert "secret" not in repr(logged)


def test_how_many_were_deleted_is_told(sdk: Both, httpx_mock: HTTPXMock):
    url = f"{BASE}/conversations?before=2026-01-01&key_id=key_1"
    httpx_mock.add_response(method="DELETE", url=url, json={"deleted_count": 7})

    gone = sdk(lambda client: client.conversations.delete_many(before="2026-01-01", key_id="key_1"))

    assert gone == 7
