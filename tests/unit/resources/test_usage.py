from __future__ import annotations

from datetime import date, datetime, timezone

from pytest_httpx import HTTPXMock

from tests.fixtures.sdk import BASE, Both

REPORT = {
    "group_by": "day",
    "from": "2025-01-01T00:00:00Z",
    "to": "2025-02-01T00:00:00Z",
    "data": [
        {
            "day": "2025-01-31",
            "requests": 3,
            "prompt_tokens": 5,
            "completion_tokens": 7,
            "total_tokens": 12,
            "cost": {"amount": 0.5, "currency": "USD"},
        }
    ],
}


def test_what_was_used_is_told_row_by_row(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(url=f"{BASE}/usage?group_by=day&from=2025-01-01&to=2025-02-01", json=REPORT)
    report = sdk(lambda client: client.usage.get(group_by="day", from_=date(2025, 1, 1), to="2025-02-01"))

    (row,) = report
    assert (row.day, row.requests, row.total_tokens, row.cost.amount) == ("2025-01-31", 3, 12, 0.5)
    assert report.from_ == datetime(2025, 1, 1, tzinfo=timezone.utc)


def test_all_that_was_used_needs_no_argument(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(url=f"{BASE}/usage", json={"data": []})
    assert len(sdk(lambda client: client.usage.get())) == 0
