from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from freezegun import freeze_time
from pytest_httpx import HTTPXMock

from nexusai.error import ConfigurationError, InvalidRequestError, TaskFailedError, TaskTimeoutError
from nexusai.models import AsyncImage, Image, Task, TextResponse
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
    assert type(held(sdk, "wait")[1]) is (AsyncImage if sdk.asynchronous else Image)


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


def test_a_handle_tells_of_progress(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, shown(progress=100, output={"text": "hi"}))
    heard: list[str] = []

    def use(client: Any) -> Any:
        return client.tasks.attach("task_1").wait(on_progress=lambda task: heard.append(task.status))

    sdk(use)
    assert heard == ["pending", "completed"]


def test_a_wrong_wish_is_refused(sdk: Both):
    with pytest.raises(InvalidRequestError, match="on_timeout='kill'"):
        sdk(lambda client: client.tasks.attach("task_1").wait(on_timeout="kill"))


def late(sdk: Both, httpx_mock: HTTPXMock) -> tuple[Any, TaskTimeoutError]:
    """A handle, and the error that its wait ended with."""
    httpx_mock.add_response(method="GET", json=shown(status="running", progress=40), is_reusable=True)

    async def later(client: Any) -> Any:
        handle = client.tasks.attach("task_1")
        with pytest.raises(TaskTimeoutError) as raised:
            await handle.wait(2)
        return handle, raised.value

    def use(client: Any) -> Any:
        handle = client.tasks.attach("task_1")
        with pytest.raises(TaskTimeoutError) as raised:
            handle.wait(2)
        return handle, raised.value

    with freeze_time("2025-01-01", real_asyncio=True):
        return sdk(later if sdk.asynchronous else use)  # type: ignore[no-any-return]


def test_a_wait_that_was_too_short_has_the_very_handle(sdk: Both, httpx_mock: HTTPXMock, naps: list[float]):
    handle, error = late(sdk, httpx_mock)
    assert error.handle is handle
    assert (handle.status, handle.progress) == ("running", 40)


def test_an_error_with_a_handle_goes_to_another_process(sdk: Both, httpx_mock: HTTPXMock, naps: list[float]):
    error = pickle.loads(pickle.dumps(late(sdk, httpx_mock)[1]))
    assert (error.handle.id, error.handle.status, error.task.id) == ("task_1", "running", "task_1")
    with pytest.raises(ConfigurationError, match=r"client\.tasks\.attach\(handle\)"):
        sdk(lambda client: error.handle.wait())
