from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock, IteratorStream

from nexusai.error import (
    APIConnectionError,
    APITimeoutError,
    InvalidRequestError,
    NotFoundError,
    StreamError,
)
from tests.fixtures.sdk import BASE, Both

ONE = f"{BASE}/batches/batch_1"
REQUEST = {"task_type": "text_generation", "input": {"prompt": "hi"}}


def shown(total: int = 2, completed: int = 0, failed: int = 0, **fields: Any) -> dict[str, Any]:
    counts = {"total": total, "completed": completed, "failed": failed, "cancelled": 0}
    return {"batch_id": "batch_1", "counts": counts, **fields}


def asked(httpx_mock: HTTPXMock) -> Any:
    return json.loads(httpx_mock.get_requests()[-1].content)


def test_requests_are_handed_in_as_one(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{BASE}/batches", status_code=202, json=shown())
    batch = sdk(lambda client: client.batches.create((REQUEST, REQUEST), webhook={"url": "https://me.test/"}))

    assert (batch.id, batch.counts.total, batch.finished) == ("batch_1", 2, False)
    assert asked(httpx_mock) == {"requests": [REQUEST, REQUEST], "webhook": {"url": "https://me.test/"}}
    assert httpx_mock.get_requests()[0].headers["idempotency-key"]


def test_a_file_of_requests_is_uploaded_first(sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    (tmp_path / "requests.jsonl").write_text(json.dumps(REQUEST))
    httpx_mock.add_response(method="POST", url=f"{BASE}/files", status_code=201, json={"file_id": "file_1"})
    httpx_mock.add_response(method="POST", url=f"{BASE}/batches", json=shown(total=0))
    sdk(lambda client: client.batches.create(input_file=tmp_path / "requests.jsonl"))
    assert b'filename="requests.jsonl"' in httpx_mock.get_requests()[0].content
    assert asked(httpx_mock) == {"input_file_id": "file_1"}


def test_a_file_that_is_stored_is_named(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(json=shown(total=0))
    sdk(lambda client: client.batches.create(input_file_id="file_1"))
    assert asked(httpx_mock) == {"input_file_id": "file_1"}


@pytest.mark.parametrize(
    ("sources", "found"),
    [({}, "none"), ({"requests": [REQUEST], "input_file_id": "f"}, "requests and input_file_id")],
)
def test_there_is_one_source_of_requests(sources: Any, found: str, sdk: Both):
    with pytest.raises(InvalidRequestError, match=f"there is {found}"):
        sdk(lambda client: client.batches.create(**sources))


def test_an_empty_batch_is_refused(sdk: Both):
    with pytest.raises(InvalidRequestError, match="requests is empty"):
        sdk(lambda client: client.batches.create([]))


@pytest.mark.parametrize("requests", [REQUEST, "requests.jsonl"])
def test_one_request_is_no_list(requests: Any, sdk: Both):
    with pytest.raises(TypeError, match="requests is a list"):
        sdk(lambda client: client.batches.create(requests))


@pytest.mark.parametrize(
    ("fields", "finished"),
    [
        (shown(total=2, completed=1), False),
        (shown(total=2, completed=1, failed=1), True),
        (shown(total=0), False),
        (shown(total=0, status="failed"), True),
        (shown(total=2, completed=1, status="cancelled"), True),
    ],
)
def test_a_batch_is_finished_once_all_of_its_tasks_are(
    fields: Any, finished: bool, sdk: Both, httpx_mock: HTTPXMock
):
    httpx_mock.add_response(method="GET", url=ONE, json=fields)
    assert sdk(lambda client: client.batches.get("batch_1")).finished is finished


def test_a_batch_is_waited_for_with_growing_pauses(sdk: Both, httpx_mock: HTTPXMock, naps: list[float]):
    for completed in (0, 0, 1, 2):
        httpx_mock.add_response(method="GET", url=ONE, json=shown(completed=completed))
    told: list[int] = []
    batch = sdk(
        lambda client: client.batches.wait(
            "batch_1", on_progress=lambda batch: told.append(batch.counts.finished)
        ),
        poll_interval=0.3,
    )

    assert batch.counts.completed == 2
    assert told == [0, 1, 2]
    assert len(naps) == 3
    assert all(0.75 * pause <= nap <= pause for nap, pause in zip(naps, (0.2, 0.3, 0.3), strict=True))


def test_an_async_function_may_hear_of_a_batch(httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="GET", url=ONE, json=shown(completed=2))
    told: list[int] = []

    async def hear(batch: Any) -> None:
        told.append(batch.counts.finished)

    Both(asynchronous=True)(lambda client: client.batches.wait("batch_1", on_progress=hear))
    assert told == [2]


def test_a_look_that_fails_does_not_end_the_wait(sdk: Both, httpx_mock: HTTPXMock, naps: list[float]):
    httpx_mock.add_response(status_code=503, headers={"retry-after": "7"})
    httpx_mock.add_exception(httpx.ConnectError("refused"))
    httpx_mock.add_response(json=shown(completed=2))
    assert sdk(lambda client: client.batches.wait("batch_1")).finished
    assert naps[0] == 7


def test_a_batch_that_is_not_there_ends_the_wait(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=404, json={"detail": "No batch."})
    with pytest.raises(NotFoundError):
        sdk(lambda client: client.batches.wait("batch_1"))


def test_a_wait_that_is_too_long_says_how_to_go_on(sdk: Both, httpx_mock: HTTPXMock, naps: list[float]):
    httpx_mock.add_response(json=shown(), is_reusable=True)
    with pytest.raises(APITimeoutError, match=r"after 3 s.*client\.batches\.wait\('batch_1'\)"):
        sdk(lambda client: client.batches.wait("batch_1", 3))
    assert sum(naps) == pytest.approx(3, abs=0.01)


def rows(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def serve_results(httpx_mock: HTTPXMock, *pieces: bytes) -> None:
    httpx_mock.add_response(method="GET", url=f"{ONE}/results", stream=IteratorStream(list(pieces)))


def test_results_are_read_row_by_row(sdk: Both, httpx_mock: HTTPXMock):
    data = rows(
        {"index": 0, "task_id": "task_1", "status": "completed", "output": {"text": "hello"}},
        {"index": 1, "status": "failed", "error": {"code": "PROVIDER_ERROR", "message": "Down."}},
    )
    serve_results(httpx_mock, data[:30], data[30:95], data[95:-1])
    first, second = sdk(lambda client: client.batches.results("batch_1"))
    assert (first.index, first.task_id, first.output) == (0, "task_1", {"text": "hello"})
    assert (second.task_id, second.error.code) == (None, "PROVIDER_ERROR")


def test_a_row_is_there_before_the_next_has_arrived(sdk: Both, httpx_mock: HTTPXMock):
    asked_for: list[int] = []

    class Slow(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for number in range(3):
                asked_for.append(number)
                yield rows({"index": number})

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for row in self:
                yield row

    httpx_mock.add_response(url=f"{ONE}/results", stream=Slow())

    def first(client: Any) -> Any:
        results = client.batches.results("batch_1")
        if inspect.isasyncgen(results):
            return first_async(results)
        row = next(results)
        results.close()
        return row

    async def first_async(results: Any) -> Any:
        row = await anext(results)
        await results.aclose()
        return row

    assert sdk(first).index == 0
    assert asked_for == [0]


def test_a_row_that_is_no_result_is_said_without_being_shown(sdk: Both, httpx_mock: HTTPXMock):
    serve_results(httpx_mock, rows({"index": 0}), b"secret prompt\n")
    with pytest.raises(StreamError, match="no result") as raised:
        sdk(lambda client: client.batches.results("batch_1"))
    assert "secret" not in str(raised.value)


def test_results_that_break_off_are_an_error(sdk: Both, httpx_mock: HTTPXMock):
    class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield rows({"index": 0})
            raise httpx.RemoteProtocolError("peer closed connection")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for row in self:
                yield row

    httpx_mock.add_response(url=f"{ONE}/results", stream=Broken())
    with pytest.raises(APIConnectionError, match="broke off"):
        sdk(lambda client: client.batches.results("batch_1"))


def test_a_batch_is_cancelled(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{ONE}/cancel", json=shown(status="cancelled"))
    assert sdk(lambda client: client.batches.cancel("batch_1")).status == "cancelled"


def test_batches_are_listed_and_iterated_over(sdk: Both, httpx_mock: HTTPXMock):
    page = {"data": [{"batch_id": "batch_2"}], "has_more": True, "next_cursor": "c2"}
    httpx_mock.add_response(url=f"{BASE}/batches?limit=1", json=page, is_reusable=True)
    older = {"data": [{"batch_id": "batch_1", "metadata": {"run": "1"}}], "has_more": False}
    httpx_mock.add_response(url=f"{BASE}/batches?limit=1&cursor=c2", json=older)

    assert [batch.id for batch in sdk(lambda client: client.batches.list(limit=1))] == ["batch_2"]
    every = sdk(lambda client: client.batches.iter(limit=1))
    assert [(batch.id, batch.metadata) for batch in every] == [("batch_2", None), ("batch_1", {"run": "1"})]
