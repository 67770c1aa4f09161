"""The two drivers: flows that are made here, over a wire that pytest-httpx makes."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from freezegun import freeze_time
from pytest_httpx import HTTPXMock, IteratorStream

from nexusai._internal._flow import Call, Emit, Grace, OutOfTime, Reply, Sleep, Upload, create, fetch
from nexusai.error import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    ConflictError,
    InvalidRequestError,
    RateLimitError,
    ServerError,
)
from tests.fixtures.sdk import BASE, KEY, Both

LOOK = Call("GET", "/tasks/task_1")


def ask(call: Call) -> Generator[Any, Any, Any]:
    """The flow of one call, which returns its reply."""
    reply: Reply = yield call
    return reply


def run(sdk: Both, call: Call, timeout: float | None = None, **options: Any) -> Any:
    return sdk(lambda client: client._driver.run(ask(call), timeout), **options)


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks off after its parts, and knows whether it was closed."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts
        self.closed = False

    def __iter__(self) -> Any:
        yield from self.parts
        raise httpx.ReadError("reset")

    async def __aiter__(self) -> Any:
        for part in self:
            yield part

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def told(*values: str) -> Generator[Any, Any, None]:
    for value in values:
        yield Emit(value)


# What a request is


def test_a_call_is_sent_under_the_base_url_with_the_key(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(json={"ok": True})
    reply = run(sdk, Call("POST", "/invoke", json={"a": "é"}, params={"q": 1}, headers={"Prefer": "x"}))

    sent = httpx_mock.get_requests()[0]
    assert str(sent.url) == f"{BASE}/invoke?q=1"
    assert json.loads(sent.content) == {"a": "é"}
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["prefer"] == "x"
    assert sent.headers["user-agent"].startswith("nexusai-python/")
    assert (reply.status, reply.content) == (200, b'{"ok":true}')


def test_default_headers_go_to_the_platform(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response()
    run(sdk, LOOK, default_headers={"X-Team": "blue"})
    assert httpx_mock.get_requests()[0].headers["x-team"] == "blue"


def test_a_default_header_replaces_ours_however_it_is_spelt(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response()
    run(sdk, LOOK, default_headers={"USER-AGENT": "mine"})
    assert httpx_mock.get_requests()[0].headers.get_list("user-agent") == ["mine"]


@pytest.mark.parametrize(
    "url", ["http://elsewhere.test/f", "https://platform.test/f", "http://platform.test:81/f"]
)
def test_key_and_default_headers_go_to_no_other_origin(url: str, sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(content=b"body")
    reply = run(sdk, Call("GET", url), default_headers={"X-Team": "blue"})

    sent = httpx_mock.get_requests()[0].headers
    assert reply.content == b"body"
    assert "authorization" not in sent
    assert "x-team" not in sent


def test_a_whole_link_to_the_platform_itself_carries_the_key(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response()
    run(sdk, Call("GET", "http://platform.test/files/f?sig=1"))
    assert httpx_mock.get_requests()[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("given", ["/files/f?sig=1", "http://platform.test/files/f?sig=1"])
def test_a_link_from_an_answer_may_be_relative(given: str, sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(url="http://platform.test/files/f?sig=1", content=b"body")
    assert sdk(lambda client: client._driver.fetch(given, None)) == b"body"


def test_redirects_are_not_followed(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=302, headers={"location": "http://elsewhere.test/"})
    with pytest.raises(APIError, match="redirects are not followed"):
        run(sdk, LOOK)


def test_a_clients_own_wish_to_follow_redirects_is_not_followed(httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=302, headers={"location": "http://elsewhere.test/"})
    with httpx.Client(follow_redirects=True) as http, pytest.raises(APIError):
        run(Both(asynchronous=False), LOOK, http_client=http)


def timeouts(httpx_mock: HTTPXMock) -> dict[str, Any]:
    found: dict[str, Any] = httpx_mock.get_requests()[-1].extensions["timeout"]
    return found


def test_a_request_may_take_the_clients_timeout(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response()
    run(sdk, LOOK, timeout=None)
    assert timeouts(httpx_mock) == {"connect": 60.0, "read": 60.0, "write": 60.0, "pool": None}


def test_a_held_answer_may_take_as_much_longer(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(match_headers={"Prefer": "wait=30"})
    run(sdk, Call("GET", "/tasks/t", hold=30))
    assert (timeouts(httpx_mock)["connect"], timeouts(httpx_mock)["read"]) == (60.0, 90.0)


def test_a_call_may_have_a_timeout_of_its_own(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response()
    run(sdk, Call("GET", "/tasks/t", timeout=float("inf")))
    assert timeouts(httpx_mock)["read"] is None


def test_no_request_may_take_longer_than_what_is_left(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response()
    with freeze_time("2025-01-01", real_asyncio=True):
        run(sdk, Call("GET", "/tasks/t", hold=30), timeout=7.0)
    assert timeouts(httpx_mock) == {"connect": 7.0, "read": 7.0, "write": 7.0, "pool": 7.0}


@pytest.mark.parametrize(("left", "wait"), [(31.0, "wait=30"), (10.0, "wait=9"), (1.4, None)])
def test_an_answer_is_held_no_longer_than_what_is_left(
    left: float, wait: str | None, sdk: Both, httpx_mock: HTTPXMock
):
    httpx_mock.add_response()
    with freeze_time("2025-01-01", real_asyncio=True):
        run(sdk, Call("GET", "/tasks/t", hold=30), timeout=left)
    assert httpx_mock.get_requests()[0].headers.get("prefer") == wait


# What a run is


def test_a_run_returns_what_its_flow_returns(sdk: Both):
    def flow() -> Generator[Any, Any, str]:
        return "done"
        yield

    assert sdk(lambda client: client._driver.run(flow())) == "done"


def test_a_flow_may_catch_the_error_of_a_call(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=404, json={"detail": "No such task."})

    def flow() -> Generator[Any, Any, str]:
        try:
            yield LOOK
        except APIError as error:
            return error.message
        return ""

    assert sdk(lambda client: client._driver.run(flow())) == "No such task."


def test_a_flow_is_thrown_what_interrupts_its_run(httpx_mock: HTTPXMock):
    httpx_mock.add_exception(KeyboardInterrupt())  # type: ignore[arg-type]
    seen: list[type] = []

    def flow() -> Generator[Any, Any, None]:
        try:
            yield LOOK
        except BaseException as error:
            seen.append(type(error))
            raise

    with pytest.raises(KeyboardInterrupt):
        Both(asynchronous=False)(lambda client: client._driver.run(flow()))
    assert seen == [KeyboardInterrupt]


def test_all_steps_of_a_run_share_its_time(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    httpx_mock.add_response(is_reusable=True)

    def flow() -> Generator[Any, Any, Any]:
        while True:
            try:
                yield LOOK
                yield Sleep(0.4)
            except OutOfTime as over:
                return over.waited

    with freeze_time("2025-01-01", real_asyncio=True):
        assert sdk(lambda client: client._driver.run(flow(), 1.0)) == 1.0
    assert naps == pytest.approx([0.4, 0.4, 0.2])


def test_time_that_is_over_is_a_timeout_error(sdk: Both, naps: list[float]):
    def flow() -> Generator[Any, Any, None]:
        yield Sleep(5)
        yield LOOK

    with freeze_time("2025-01-01", real_asyncio=True), pytest.raises(APITimeoutError, match="within 3 s"):
        sdk(lambda client: client._driver.run(flow(), 3))


def test_a_request_that_used_the_time_up_ends_the_run(sdk: Both, httpx_mock: HTTPXMock):
    with freeze_time("2025-01-01", real_asyncio=True) as clock:

        def late(request: httpx.Request) -> httpx.Response:
            clock.tick(5)
            raise httpx.ReadTimeout("late", request=request)

        httpx_mock.add_callback(late)
        with pytest.raises(APITimeoutError, match="within 5 s"):
            run(sdk, LOOK, timeout=5)


def test_what_a_flow_emits_is_heard(sdk: Both):
    heard: list[str] = []
    sdk(lambda client: client._driver.run(told("a", "b"), None, heard.append))
    assert heard == ["a", "b"]


def test_an_async_function_that_hears_is_awaited():
    heard: list[str] = []

    async def hear(value: str) -> None:
        await asyncio.sleep(0)
        heard.append(value)

    Both(asynchronous=True)(lambda client: client._driver.run(told("a", "b"), None, hear))
    assert heard == ["a", "b"]


def test_what_raises_as_it_hears_ends_the_run(sdk: Both):
    def hear(value: str) -> None:
        raise ZeroDivisionError(value)

    with pytest.raises(ZeroDivisionError, match="a"):
        sdk(lambda client: client._driver.run(told("a", "b"), None, hear))


def test_a_run_that_is_out_of_time_may_clean_up(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    httpx_mock.add_response(content=b"cleaned")

    def flow() -> Generator[Any, Any, Any]:
        try:
            yield Sleep(4)
            yield LOOK
        except OutOfTime:
            yield Grace(2)
            reply: Reply = yield LOOK
            return reply.content

    with freeze_time("2025-01-01", real_asyncio=True):
        assert sdk(lambda client: client._driver.run(flow(), 3)) == b"cleaned"
    assert timeouts(httpx_mock)["read"] == 2


async def test_cleaning_up_is_not_stopped_by_a_second_cancellation(httpx_mock: HTTPXMock):
    from nexusai import AsyncNexusAIClient

    asked, answered = asyncio.Event(), asyncio.Event()

    async def answer(_: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.sleep(0.05)
        answered.set()
        return httpx.Response(200)

    def flow() -> Generator[Any, Any, None]:
        try:
            yield Sleep(100)
        except asyncio.CancelledError:
            yield Grace(5)
            yield LOOK
            raise

    httpx_mock.add_callback(answer)
    async with AsyncNexusAIClient(api_key=KEY, base_url=BASE) as client:
        running = asyncio.create_task(client._driver.run(flow()))
        await asyncio.sleep(0)
        running.cancel()
        await asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not answered.is_set()
        await asyncio.wait_for(answered.wait(), 1)


# What is tried again


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_tried_again(
    status: int, sdk: Both, naps: list[float], httpx_mock: HTTPXMock
):
    httpx_mock.add_response(status_code=status)
    httpx_mock.add_response(json={})
    assert run(sdk, LOOK).status == 200
    assert len(naps) == 1


@pytest.mark.parametrize(
    "broken",
    [
        httpx.ConnectError("no"),
        httpx.ReadTimeout("late"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("gone"),
    ],
)
def test_a_connection_that_failed_is_tried_again(
    broken: Exception, sdk: Both, naps: list[float], httpx_mock: HTTPXMock
):
    httpx_mock.add_exception(broken)
    httpx_mock.add_response(json={})
    assert run(sdk, LOOK).status == 200


def test_a_body_that_broke_off_is_tried_again(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    httpx_mock.add_response(stream=Body(b"half"))
    httpx_mock.add_response(content=b"whole")
    assert run(sdk, LOOK).content == b"whole"


def test_the_last_error_stands(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    for detail in ("first", "second", "third"):
        httpx_mock.add_response(status_code=503, json={"detail": detail})
    with pytest.raises(ServerError, match="third"):
        run(sdk, LOOK)
    assert len(naps) == 2


def test_a_pause_is_at_most_half_a_second_then_one(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=503, is_reusable=True)
    with pytest.raises(ServerError):
        run(sdk, LOOK)
    assert naps[0] <= 0.5
    assert naps[1] <= 1.0


def test_every_attempt_has_the_same_idempotency_key_and_so_has_the_error(
    sdk: Both, naps: list[float], httpx_mock: HTTPXMock
):
    httpx_mock.add_response(status_code=503, is_reusable=True)
    call = create("/invoke", json={})
    with pytest.raises(ServerError) as raised:
        run(sdk, call)

    keys = {request.headers["idempotency-key"] for request in httpx_mock.get_requests()}
    assert keys == {call.idempotency_key}
    assert len(httpx_mock.get_requests()) == 3
    assert raised.value.idempotency_key == call.idempotency_key


def test_what_will_not_pass_is_sent_once(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=400, json={"detail": "Wrong."})
    with pytest.raises(InvalidRequestError):
        run(sdk, LOOK)


def test_max_retries_is_how_often(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=503)
    with pytest.raises(ServerError):
        run(sdk, LOOK, max_retries=0)


def test_a_call_may_refuse_to_be_sent_again(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=503)
    with pytest.raises(ServerError):
        run(sdk, Call("GET", "/tasks/t", retry=False))


def test_retry_after_is_the_pause(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=429, headers={"retry-after": "7"})
    httpx_mock.add_response()
    run(sdk, LOOK)
    assert naps == [7.0]


def test_retry_after_may_be_a_date(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=503, headers={"retry-after": "Wed, 01 Jan 2025 00:00:09 GMT"})
    httpx_mock.add_response()
    with freeze_time("2025-01-01", real_asyncio=True):
        run(sdk, LOOK)
    assert naps == [9.0]


def test_a_long_retry_after_is_raised_at_once(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=429, headers={"retry-after": "61"})
    with pytest.raises(RateLimitError, match="asks to wait 61 s") as raised:
        run(sdk, LOOK)
    assert raised.value.retry_after == 61
    assert naps == []


def test_a_conflict_is_tried_again_only_with_retry_after(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=409, headers={"retry-after": "1"})
    httpx_mock.add_response(status_code=409)
    with pytest.raises(ConflictError):
        run(sdk, LOOK)


def test_no_pause_is_begun_that_would_use_the_time_up(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=503, json={"detail": "Down."}, headers={"retry-after": "10"})
    with pytest.raises(ServerError, match="Down"):
        run(sdk, LOOK, timeout=5)
    assert naps == []


def test_an_error_that_is_none_of_ours_is_not_tried_again(
    sdk: Both, naps: list[float], httpx_mock: HTTPXMock
):
    httpx_mock.add_response(status_code=503)
    httpx_mock.add_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run(sdk, LOOK)


# What an error says


def test_nobody_there_says_how_to_start_a_platform(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_exception(httpx.ConnectError("Connection refused"))
    with pytest.raises(
        APIConnectionError, match=r"http://platform.test:80 \(Connection refused\).*nexusai serve"
    ):
        run(sdk, LOOK, max_retries=0)


def test_a_late_answer_names_the_request(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_exception(httpx.ReadTimeout("late"))
    with pytest.raises(APITimeoutError, match="GET /tasks/task_1 had no answer"):
        run(sdk, LOOK, max_retries=0)


def test_what_can_never_be_sent_is_not_tried_again(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_exception(httpx.LocalProtocolError(f"Illegal header value {KEY}"))
    with pytest.raises(APIConnectionError, match="LocalProtocolError") as raised:
        run(sdk, LOOK)
    assert KEY not in str(raised.value)


def test_the_signature_of_a_link_is_not_in_its_error(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_exception(httpx.ReadError("reset"))
    with pytest.raises(APIConnectionError, match=r"GET /f to http://a\.test:80 broke off") as raised:
        run(sdk, Call("GET", "http://a.test/f?signature=secret"), max_retries=0)
    assert "secret" not in str(raised.value)


def test_the_key_is_in_no_repr(sdk: Both):
    shown = sdk(lambda client: f"{client!r} {client._driver!r} {client._driver.config!r} {client.text!r}")
    assert KEY not in shown
    assert BASE in shown


def test_a_driver_is_shared_by_copies(sdk: Both):
    assert sdk(lambda client: copy.deepcopy(client._driver) is client._driver)


# Files


def test_a_body_goes_into_a_file_and_nothing_else_is_left(sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    httpx_mock.add_response(stream=IteratorStream([b"one ", b"two"]))
    path = tmp_path / "out" / "file.bin"
    path.parent.mkdir()

    assert sdk(lambda client: client._driver.run(fetch("/files/f/content", path))) == path
    assert path.read_bytes() == b"one two"
    assert os.listdir(path.parent) == ["file.bin"]


def test_a_body_that_breaks_off_leaves_no_file(sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    body = Body(b"half")
    httpx_mock.add_response(stream=body)
    path = tmp_path / "out" / "file.bin"
    path.parent.mkdir()

    with pytest.raises(APIConnectionError):
        sdk(lambda client: client._driver.run(fetch("/files/f/content", path)), max_retries=0)
    assert os.listdir(path.parent) == []
    assert body.closed


def test_a_body_that_breaks_off_leaves_the_file_that_was_there(
    sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path
):
    httpx_mock.add_response(stream=Body(b"half"))
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    with pytest.raises(APIConnectionError):
        sdk(lambda client: client._driver.run(fetch("/files/f/content", path)), max_retries=0)
    assert path.read_bytes() == b"old"


def test_a_body_that_broke_off_is_fetched_again_from_the_start(
    sdk: Both, naps: list[float], httpx_mock: HTTPXMock, tmp_path: Path
):
    httpx_mock.add_response(stream=Body(b"half"))
    httpx_mock.add_response(content=b"whole")
    path = tmp_path / "file.bin"
    sdk(lambda client: client._driver.run(fetch("/files/f/content", path)))
    assert path.read_bytes() == b"whole"


def test_an_error_does_not_go_into_the_file(sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    httpx_mock.add_response(status_code=404, json={"detail": "No such file."})
    path = tmp_path / "file.bin"
    with pytest.raises(APIError, match="No such file"):
        sdk(lambda client: client._driver.run(fetch("/files/f/content", path)))
    assert not path.exists()


def upload(content: Any) -> Call:
    return create("/files", upload=Upload("a.txt", content, "text/plain"))


def test_a_file_is_sent_from_its_path(sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    httpx_mock.add_response(status_code=201)
    (tmp_path / "a.txt").write_bytes(b"the content")
    run(sdk, upload(tmp_path / "a.txt"))

    sent = httpx_mock.get_requests()[0].content
    assert b'name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nthe content' in sent


@pytest.mark.parametrize("kind", [bytes, io.BytesIO])
def test_a_file_that_can_be_rewound_is_sent_again_whole(
    kind: Any, sdk: Both, naps: list[float], httpx_mock: HTTPXMock
):
    httpx_mock.add_response(status_code=503)
    httpx_mock.add_response(status_code=201)
    run(sdk, upload(kind(b"the content")))
    assert [b"the content" in request.content for request in httpx_mock.get_requests()] == [True, True]


def test_a_pipe_is_not_sent_again(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=503)
    read, write = os.pipe()
    with open(read, "rb") as pipe:
        with open(write, "wb") as end:
            end.write(b"the content")
        with pytest.raises(ServerError):
            run(sdk, upload(pipe))
    assert b"the content" in httpx_mock.get_requests()[0].content
