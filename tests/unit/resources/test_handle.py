from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from pytest_httpx import HTTPXMock

from nexusai.error import ConfigurationError, TaskFailedError
from nexusai.models import Image, Task, TextResponse
from tests.fixtures.sdk import BASE, Both


def shown(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"task_id": "task_1", "task_type": "text_generation", "status": status, **fields}


def serve(httpx_mock: HTTPXMock, task: dict[str, Any]) -> None:
    httpx_mock.add_response(method="GET", url=f"{BASE}/tasks/task_1", json=task)


def held(sdk: Both, method: str, *arguments: Any) -> Any:
    """A handle after one of its methods, and what that returned."""

    async def later(client: Any) -> Any:
        handle = client.tasks.attach("task_1")
        return handle, await getattr(handle, method)(*arguments)

    def use(client: Any) -> Any:
        handle = client.tasks.attach("task_1")
        return handle, getattr(handle, method)(*arguments)

    return sdk(later if sdk.asynchronous else use)


def test_a_handle_waits_for_the_result_of_its_type(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, shown(output={"text": "hi"}))
    handle, result = held(sdk, "wait")
    assert (type(result), result.text, handle.status) == (TextResponse, "hi", "completed")


def test_a_handles_image_is_one_of_its_client(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, {**shown(output={"image_url": "http://a.test/i"}), "task_type": "image_generation"})
    assert isinstance(held(sdk, "wait")[1], Image)


def test_a_type_without_a_result_here_is_the_task(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, {**shown(output={"x": 1}), "task_type": "telepathy"})
    assert held(sdk, "wait")[1].output == {"x": 1}


def test_a_handle_looks_again(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, shown(status="running", progress=40))
    handle, same = held(sdk, "refresh")
    assert handle is same
    assert (handle.status, handle.progress) == ("running", 40)
    assert handle.task.task_type == "text_generation"


def test_a_handle_cancels(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{BASE}/tasks/task_1/cancel", json=shown(status="cancelled"))
    assert held(sdk, "cancel")[0].status == "cancelled"


def test_a_handle_knows_how_its_task_ended(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, shown(status="failed", error={"message": "Broken."}))

    async def later(client: Any) -> Any:
        handle = client.tasks.attach("task_1")
        with pytest.raises(TaskFailedError, match="Broken"):
            await handle.wait()
        return handle

    def use(client: Any) -> Any:
        handle = client.tasks.attach("task_1")
        with pytest.raises(TaskFailedError, match="Broken"):
            handle.wait()
        return handle

    assert sdk(later if sdk.asynchronous else use).status == "failed"


def test_a_handle_is_made_again_from_its_dict(sdk: Both):
    task = Task(task_id="task_1", task_type="text_generation", status="running", progress=7)
    there_and_back = json.loads(json.dumps(sdk(lambda client: client.tasks.attach(task).to_dict())))
    handle = sdk(lambda client: client.tasks.attach(there_and_back))
    assert (handle.id, handle.status, handle.task.task_type) == ("task_1", "pending", "text_generation")


def test_a_pickled_handle_is_attached_again(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, shown(output={"text": "hi"}))
    handle = pickle.loads(pickle.dumps(sdk(lambda client: client.tasks.attach("task_1"))))

    def use(client: Any) -> Any:
        return client.tasks.attach(handle).wait()

    assert sdk(use).text == "hi"


def test_a_pickled_handle_alone_says_what_to_do(sdk: Both):
    handle = pickle.loads(pickle.dumps(sdk(lambda client: client.tasks.attach("task_1"))))
    with pytest.raises(ConfigurationError, match=r"client.tasks.attach\(handle\)"):
        sdk(lambda client: handle.refresh())


def test_a_handle_is_short_in_a_repr(sdk: Both):
    shown = sdk(lambda client: repr(client.tasks.attach("task_1")))
    assert shown.endswith("TaskHandle('task_1', status='pending', progress=0)")


def test_a_handle_that_was_saved_after_its_end_still_has_its_result(sdk: Both, httpx_mock: HTTPXMock):
    ended = {"task_id": "task_1", "task_type": "text_generation", "status": "completed"}
    httpx_mock.add_response(json={**ended, "output": {"text": "hello"}})
    saved = sdk(lambda client: client.tasks.attach(Task(**ended)).to_dict())
    assert sdk(lambda client: client.tasks.attach(saved).wait()).text == "hello"
