from __future__ import annotations

import json

from pytest_httpx import HTTPXMock

from tests.fixtures.sdk import BASE, Both


def test_texts_have_a_verdict_each(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(
        method="POST", url=f"{BASE}/invoke", status_code=202, json={"task_id": "task_1", "status": "queued"}
    )
    results = [
        {"flagged": False, "categories": {"secrets": False}, "category_scores": {"secrets": 0.0}},
        {"flagged": True, "categories": {"secrets": True}, "category_scores": {"secrets": 1.0}},
    ]
    httpx_mock.add_response(
        method="GET",
        url=f"{BASE}/tasks/task_1",
        json={
            "task_id": "task_1",
            "task_type": "moderation",
            "status": "completed",
            "output": {"results": results},
        },
    )
    response = sdk(lambda client: client.moderations.create(["hello", "my key is …"], model="local/rules"))

    assert [result.flagged for result in response.results] == [False, True]
    assert response.results[1].categories == {"secrets": True}
    assert response.flagged
    assert json.loads(httpx_mock.get_requests()[0].content) == {
        "task_type": "moderation",
        "input": {"texts": ["hello", "my key is …"]},
        "model": "local/rules",
    }
