from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_httpx import HTTPXMock

from nexusai.error import InvalidRequestError
from tests.fixtures.sdk import BASE, Both


def serve(httpx_mock: HTTPXMock, *vectors: list[float]) -> None:
    """A task that computes these."""
    httpx_mock.add_response(
        method="POST", url=f"{BASE}/invoke", status_code=202, json={"task_id": "task_1", "status": "queued"}
    )
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    output = {"embeddings": list(vectors), "dimensions": 2, "usage": usage, "model": "m"}
    httpx_mock.add_response(
        method="GET",
        url=f"{BASE}/tasks/task_1",
        json={"task_id": "task_1", "task_type": "embeddings", "status": "completed", "output": output},
    )


def asked(httpx_mock: HTTPXMock) -> Any:
    return json.loads(httpx_mock.get_requests()[0].content)


def test_texts_have_a_vector_each_in_their_order(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, [0.1, 0.2], [0.3, 0.4])
    response = sdk(lambda client: client.embeddings.create(["a", "b"], model="m", dimensions=2))

    assert response.embeddings == [[0.1, 0.2], [0.3, 0.4]]
    assert (response.dimensions, response.usage.total_tokens, response.task_id) == (2, 2, "task_1")
    assert asked(httpx_mock) == {
        "task_type": "embeddings",
        "input": {"texts": ["a", "b"]},
        "model": "m",
        "config": {"dimensions": 2},
    }


def test_a_single_text_has_one_vector(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, [0.1, 0.2])
    assert sdk(lambda client: client.embeddings.create("a")).embedding == [0.1, 0.2]
    assert asked(httpx_mock)["input"] == {"texts": ["a"]}


def test_a_repr_shows_no_vector(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, [0.123, 0.2])
    assert "0.123" not in repr(sdk(lambda client: client.embeddings.create("a")))


def test_the_call_is_waited_for_as_any_task(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, [0.1, 0.2])
    told: list[str] = []
    sdk(lambda client: client.embeddings.create("a", on_progress=lambda task: told.append(task.status)))
    assert told == ["queued", "completed"]


@pytest.mark.parametrize("input", [[], "", ["a", " "]])
def test_no_text_is_refused_before_anything_is_sent(input: Any, sdk: Both):
    with pytest.raises(InvalidRequestError, match="input is empty"):
        sdk(lambda client: client.embeddings.create(input))


@pytest.mark.parametrize(("input", "kind"), [([1], "int"), (1, "int"), (b"a", "bytes"), ({"a": 1}, "dict")])
def test_what_is_no_text_is_refused(input: Any, kind: str, sdk: Both):
    with pytest.raises(TypeError, match=f"input is a str.*, not {kind}"):
        sdk(lambda client: client.embeddings.create(input))
