from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from freezegun import freeze_time
from pytest_httpx import HTTPXMock

from nexusai.error import (
    ConflictError,
    InvalidRequestError,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
)
from nexusai.models import Task
from tests.fixtures.sdk import BASE, Both


def shown(task_id: str = "task_1", status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"task_id": task_id, "task_type": "text_generation", "status": status, **fields}


def serve(httpx_mock: HTTPXMock, *tasks: dict[str, Any], **options: Any) -> None:
    for task in tasks:
        httpx_mock.add_response(method="GET", url=f"{BASE}/tasks/{task['task_id']}", json=task, **options)


def test_a_task_of_any_type_is_submitted(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", status_code=202, json={"task_id": "task_1", "status": "queued"})
    handle = sdk(
        lambda client: client.tasks.submit(
            "embeddings", {"texts": ["a"]}, model="m", config={"dimensions": 8}
        )
    )

    assert handle.id == "task_1"
    assert json.loads(httpx_mock.get_requests()[0].content) == {
        "task_type": "embeddings",
        "input": {"texts": ["a"]},
        "model": "m",
        "config": {"dimensions": 8},
    }


def test_a_task_is_looked_at(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, shown(status="running", progress=40))
    task = sdk(lambda client: client.tasks.get("task_1"))
    assert (task.status, task.progress) == ("running", 40)


def test_tasks_are_listed(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(json={"data": [shown()], "has_more": True, "next_cursor": "c2"})
    after = datetime(2025, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    page = sdk(
        lambda client: client.tasks.list(
            status="completed", limit=1, cursor="c1", created_after=after, metadata={"job": "7"}
        )
    )
    assert ([task.id for task in page.data], page.next_cursor) == (["task_1"], "c2")
    assert dict(httpx_mock.get_requests()[0].url.params) == {
        "status": "completed",
        "created_after": "2025-01-01T00:00:00Z",
        "limit": "1",
        "cursor": "c1",
        "metadata[job]": "7",
    }


def test_a_list_without_wishes_has_no_query(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(url=f"{BASE}/tasks", json={"data": []})
    assert sdk(lambda client: client.tasks.list()).data == []


def test_all_tasks_come_page_after_page(sdk: Both, httpx_mock: HTTPXMock):
    for names, cursor in ((["task_1", "task_2"], "c2"), ([], "c3"), (["task_3"], None)):
        data = [shown(name) for name in names]
        httpx_mock.add_response(json={"data": data, "has_more": cursor is not None, "next_cursor": cursor})
    tasks = sdk(lambda client: client.tasks.iter(status="completed", metadata={"job": "7"}, limit=2))

    assert [task.id for task in tasks] == ["task_1", "task_2", "task_3"]
    asked = [dict(request.url.params) for request in httpx_mock.get_requests()]
    always = {"status": "completed", "metadata[job]": "7", "limit": "2"}
    assert asked == [always, {**always, "cursor": "c2"}, {**always, "cursor": "c3"}]


def test_a_page_is_asked_for_when_it_is_wanted(httpx_mock: HTTPXMock):
    httpx_mock.add_response(json={"data": [shown()], "has_more": True, "next_cursor": "c2"})

    def first(client: Any) -> Any:
        assert httpx_mock.get_requests() == []
        return next(client.tasks.iter()).id

    assert Both(asynchronous=False)(first) == "task_1"
    assert len(httpx_mock.get_requests()) == 1


def test_a_list_that_does_not_go_on_ends(sdk: Both, httpx_mock: HTTPXMock):
    stuck = {"data": [shown()], "has_more": True, "next_cursor": "c1"}
    httpx_mock.add_response(json=stuck, is_reusable=True)
    assert len(sdk(lambda client: client.tasks.iter())) == 2


@pytest.mark.parametrize("given", ["task_1", Task(task_id="task_1"), {"task_id": "task_1"}])
def test_a_task_is_waited_for_by_whatever_names_it(given: Any, sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, shown(output={"text": "hi"}))
    task = sdk(lambda client: client.tasks.wait(given))
    assert (type(task), task.output) == (Task, {"text": "hi"})


def test_what_is_no_task_is_refused(sdk: Both):
    with pytest.raises(InvalidRequestError, match="no handle's dict"):
        sdk(lambda client: client.tasks.wait({"status": "queued"}))
    with pytest.raises(TypeError, match="not int"):
        sdk(lambda client: client.tasks.wait(7))


def test_a_wait_may_be_short(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    serve(httpx_mock, shown(status="running"), is_reusable=True)
    with freeze_time("2025-01-01", real_asyncio=True), pytest.raises(TaskTimeoutError, match="after 2 s"):
        sdk(lambda client: client.tasks.wait("task_1", 2))


def test_a_wait_tells_of_progress(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, shown(progress=100))
    heard: list[str] = []
    sdk(lambda client: client.tasks.wait("task_1", on_progress=lambda task: heard.append(task.status)))
    assert heard == ["pending", "completed"]


def test_a_submission_may_have_a_key_of_its_own(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", status_code=202, json={"task_id": "task_1", "status": "queued"})
    sdk(lambda client: client.tasks.submit("embeddings", {"texts": ["a"]}, idempotency_key="order-7"))
    request = httpx_mock.get_requests()[0]
    assert request.headers["idempotency-key"] == "order-7"
    assert json.loads(request.content) == {"task_type": "embeddings", "input": {"texts": ["a"]}}


def test_a_submission_that_does_not_wait_has_no_progress(sdk: Both):
    with pytest.raises(TypeError, match="progress is for calls that wait"):
        sdk(lambda client: client.tasks.submit("embeddings", {"texts": ["a"]}, progress=True))


def test_a_broken_poll_does_not_end_a_wait(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    httpx_mock.add_exception(httpx.ReadError("reset"))
    httpx_mock.add_response(status_code=502, content=b"<html>")
    serve(httpx_mock, shown())
    assert sdk(lambda client: client.tasks.wait("task_1"), max_retries=0).status == "completed"


def test_a_task_is_cancelled(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{BASE}/tasks/task_1/cancel", json=shown(status="cancelled"))
    assert sdk(lambda client: client.tasks.cancel("task_1")).status == "cancelled"


def test_a_task_is_deleted(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="DELETE", url=f"{BASE}/tasks/task_1", status_code=204)
    assert sdk(lambda client: client.tasks.delete("task_1")) is None


def test_a_running_task_is_not_deleted(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=409, json={"detail": "task_1 is running."})
    with pytest.raises(ConflictError, match="task_1 is running"):
        sdk(lambda client: client.tasks.delete("task_1"))


def many(httpx_mock: HTTPXMock, count: int) -> list[str]:
    names = [f"task_{number}" for number in range(count)]
    serve(
        httpx_mock,
        *[shown(name, output={"text": name}) for name in names],
        is_reusable=True,
        is_optional=True,
    )
    return names


@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_all_results_are_in_the_order_of_the_tasks(count: int, sdk: Both, httpx_mock: HTTPXMock):
    names = many(httpx_mock, count)
    results = sdk(lambda client: client.tasks.wait_all(names))
    assert [result.text for result in results] == names


def test_handles_come_as_their_tasks_end(sdk: Both, httpx_mock: HTTPXMock):
    names = many(httpx_mock, 40)
    handles = sdk(lambda client: client.tasks.as_completed(names))
    assert sorted(handle.id for handle in handles) == sorted(names)
    assert {handle.status for handle in handles} == {"completed"}


def test_the_handles_that_come_are_the_ones_that_were_given(sdk: Both, httpx_mock: HTTPXMock):
    many(httpx_mock, 2)
    given: list[Any] = []

    def use(client: Any) -> Any:
        given.extend(client.tasks.attach(name) for name in ("task_0", "task_1"))
        return client.tasks.as_completed(given)

    assert {id(handle) for handle in sdk(use)} == {id(handle) for handle in given}


def test_one_task_that_is_named_twice_is_watched_once(sdk: Both, httpx_mock: HTTPXMock):
    many(httpx_mock, 1)
    assert len(sdk(lambda client: client.tasks.as_completed(["task_0", "task_0"]))) == 1
    assert len(httpx_mock.get_requests()) == 1


def test_a_failed_task_comes_like_any_other(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, shown(status="failed"))
    assert [handle.status for handle in sdk(lambda client: client.tasks.as_completed(["task_1"]))] == [
        "failed"
    ]


def test_a_task_without_a_result_raises_once_all_are_final(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, shown("task_1", "cancelled"), shown("task_2", output={"text": "hi"}))
    with pytest.raises(TaskCancelledError, match="task_1"):
        sdk(lambda client: client.tasks.wait_all(["task_1", "task_2"]))
    assert len(httpx_mock.get_requests()) == 2


def test_a_task_without_a_result_may_stand_among_the_results(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, shown("task_1", "failed"), shown("task_2", output={"text": "hi"}))
    failed, done = sdk(lambda client: client.tasks.wait_all(["task_1", "task_2"], return_exceptions=True))
    assert (type(failed), done.text) == (TaskFailedError, "hi")


def test_all_share_one_time(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    serve(httpx_mock, shown("task_1"), shown("task_2", "running"), is_reusable=True)
    with freeze_time("2025-01-01", real_asyncio=True), pytest.raises(TaskTimeoutError, match="task_2"):
        sdk(lambda client: client.tasks.wait_all(["task_1", "task_2"], timeout=3))


def test_of_many_tasks_the_one_that_is_late_has_its_handle(
    sdk: Both, naps: list[float], httpx_mock: HTTPXMock
):
    serve(httpx_mock, shown("task_1"), shown("task_2", "running", progress=7), is_reusable=True)
    given: list[Any] = []

    def use(client: Any) -> Any:
        given.extend(client.tasks.attach(name) for name in ("task_1", "task_2"))
        return client.tasks.wait_all(given, timeout=3)

    with freeze_time("2025-01-01", real_asyncio=True), pytest.raises(TaskTimeoutError) as raised:
        sdk(use)
    assert raised.value.handle is given[1]
    assert given[1].progress == 7


def test_no_more_than_sixteen_connections_are_used(httpx_mock: HTTPXMock):
    import threading

    threads: set[int] = set()

    def answer(request: httpx.Request) -> httpx.Response:
        threads.add(threading.get_ident())
        return httpx.Response(200, json=shown(request.url.path.rpartition("/")[2]))

    httpx_mock.add_callback(answer, is_reusable=True)
    Both(asynchronous=False)(lambda client: client.tasks.wait_all([f"task_{n}" for n in range(50)]))
    assert len(threads) <= 16


@pytest.mark.parametrize("method", ["get", "wait", "cancel", "delete"])
def test_what_is_no_id_is_never_sent(sdk: Both, httpx_mock: HTTPXMock, method: str):
    with pytest.raises(InvalidRequestError, match=r"'\.\./files' is no id"):
        sdk(lambda client: getattr(client.tasks, method)("../files"))
    assert httpx_mock.get_requests() == []
