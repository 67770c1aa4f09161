"""The two iterators, over a wire that pytest-httpx makes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from nexusai import AsyncNexusAIClient, NexusAIClient
from nexusai.error import (
    APIError,
    APITimeoutError,
    AuthenticationError,
    NotFoundError,
    StreamError,
    TaskFailedError,
    TaskTimeoutError,
)
from tests.fixtures.sdk import BASE, KEY, Both

FIRST = {"task_id": "task_1", "model": "local/text", "provider": "local"}
LAST = {"finish_reason": "stop", "usage": {"total_tokens": 3}}


def events(*data: Any, start: int = 1) -> bytes:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in data]
    return "".join(f"id: {number}\ndata: {text}\n\n" for number, text in enumerate(texts, start)).encode()


def text(content: str) -> dict[str, Any]:
    return {"delta": {"content": content}}


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Parts of a body, then its end or an error; knows how much was read and whether it was closed."""

    def __init__(self, *parts: bytes, error: Exception | None = None) -> None:
        self.parts = parts
        self.error = error
        self.read = 0
        self.closed = False

    def __iter__(self) -> Any:
        for part in self.parts:
            self.read += 1
            yield part
        if self.error is not None:
            raise self.error

    async def __aiter__(self) -> Any:
        for part in self:
            yield part

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def answer(httpx_mock: HTTPXMock, *parts: bytes, error: Exception | None = None, **match: Any) -> Body:
    body = Body(*parts, error=error)
    httpx_mock.add_response(stream=body, headers={"content-type": "text/event-stream"}, **match)
    return body


def texts(sdk: Both, **options: Any) -> list[str]:
    """The texts of all chunks of a stream."""
    found: list[str] = []

    def use(client: Any) -> Any:
        stream = client.text.stream("hi")
        if not sdk.asynchronous:
            found.extend(chunk.text for chunk in stream)
            return None
        return later(stream)

    async def later(stream: Any) -> None:
        async for chunk in stream:
            found.append(chunk.text)

    sdk(use, **options)
    return found


def test_a_stream_is_read_chunk_by_chunk(sdk: Both, httpx_mock: HTTPXMock):
    whole = events(FIRST, text("你"), text("好"), LAST, "[DONE]")
    answer(httpx_mock, *[whole[cut : cut + 5] for cut in range(0, len(whole), 5)])

    assert texts(sdk) == ["你", "好", ""]
    request = httpx_mock.get_requests()[0]
    assert json.loads(request.content) == {
        "task_type": "text_generation",
        "input": {"prompt": "hi"},
        "stream": True,
    }


def test_nothing_is_sent_before_the_first_chunk_is_wanted(sdk: Both):
    assert "no task yet" in sdk(lambda client: repr(client.text.stream("hi")))


def test_the_final_answer_is_whole(sdk: Both, httpx_mock: HTTPXMock):
    answer(httpx_mock, events(FIRST, text("Hel"), text("lo"), LAST, "[DONE]"))
    response = sdk(lambda client: client.text.stream("hi").final())

    assert (response.text, response.finish_reason, response.task_id) == ("Hello", "stop", "task_1")
    assert response.usage.total_tokens == 3


def test_a_stream_that_breaks_goes_on_where_it_was(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    answer(httpx_mock, events(FIRST, text("Hel")), error=httpx.ReadError("reset"), method="POST")
    answer(
        httpx_mock,
        events(text("lo"), LAST, "[DONE]", start=3),
        url=f"{BASE}/tasks/task_1/events",
        match_headers={"Last-Event-ID": "2"},
    )
    assert texts(sdk) == ["Hel", "lo", ""]
    assert len(naps) == 1


def test_a_platform_that_is_away_for_a_moment_is_tried_again(
    sdk: Both, naps: list[float], httpx_mock: HTTPXMock
):
    answer(httpx_mock, events(FIRST, text("Hel")))
    httpx_mock.add_exception(httpx.ConnectError("refused"))
    answer(httpx_mock, events(text("lo"), "[DONE]", start=3))
    assert texts(sdk) == ["Hel", "lo"]
    assert len(naps) == 2


def test_a_stream_that_cannot_go_on_is_an_error_and_never_a_short_answer(
    sdk: Both, naps: list[float], httpx_mock: HTTPXMock
):
    answer(httpx_mock, events(FIRST, text("Hel")))
    httpx_mock.add_response(status_code=404, json={"detail": "No such route."})
    with pytest.raises(StreamError, match="ended before its last event"):
        texts(sdk)


def test_reconnecting_ends_after_max_retries(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    answer(httpx_mock, events(FIRST, text("Hel")))
    httpx_mock.add_exception(httpx.ConnectError("refused"), is_reusable=True)
    with pytest.raises(StreamError):
        texts(sdk, max_retries=3)
    assert len(httpx_mock.get_requests()) == 1 + 3


def test_a_refusal_to_open_is_raised_as_it_is(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=401, json={"detail": "Unknown key."})
    with pytest.raises(AuthenticationError, match="Unknown key"):
        texts(sdk)


def test_opening_is_tried_again_under_the_same_key(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=503)
    answer(httpx_mock, events(FIRST, text("Hi"), "[DONE]"))
    assert texts(sdk) == ["Hi"]
    assert len({request.headers["idempotency-key"] for request in httpx_mock.get_requests()}) == 1


def test_a_failure_of_the_task_is_raised(sdk: Both, httpx_mock: HTTPXMock):
    failure = json.dumps({"error": {"code": "PROVIDER_ERROR", "message": "The model is gone."}})
    answer(httpx_mock, events(FIRST, text("Hel")), f"event: error\ndata: {failure}\n\n".encode())
    with pytest.raises(TaskFailedError, match="The model is gone"):
        texts(sdk)


def test_a_silent_connection_is_an_idle_stream(sdk: Both, httpx_mock: HTTPXMock):
    answer(httpx_mock, events(FIRST), error=httpx.ReadTimeout("late"))
    with pytest.raises(APITimeoutError, match="no event for 60 s"):
        texts(sdk)


def test_the_connection_is_closed_after_the_last_event(sdk: Both, httpx_mock: HTTPXMock):
    body = answer(httpx_mock, events(FIRST, "[DONE]"), b": never read\n\n")
    texts(sdk)
    assert body.closed
    assert body.read == 1


def test_leaving_the_loop_closes_the_connection_at_once(httpx_mock: HTTPXMock):
    body = answer(httpx_mock, events(FIRST, text("Hel")), events(text("lo"), start=3))
    with NexusAIClient(KEY, BASE) as client:
        for _ in client.text.stream("hi"):
            break
        assert body.closed
        assert body.read == 1


async def test_leaving_the_loop_of_the_async_client_closes_the_connection(httpx_mock: HTTPXMock):
    body = answer(httpx_mock, events(FIRST, text("Hel")), events(text("lo"), start=3))
    async with AsyncNexusAIClient(KEY, BASE) as client:
        async for _ in client.text.stream("hi"):
            break
        await asyncio.sleep(0.01)
        assert body.closed
        assert body.read == 1


def test_leaving_the_block_closes_the_connection(httpx_mock: HTTPXMock):
    body = answer(httpx_mock, events(FIRST, text("Hel")), events(text("lo"), start=3))
    with NexusAIClient(KEY, BASE) as client:
        with client.text.stream("hi") as stream:
            assert next(stream).text == "Hel"
            assert not body.closed
        assert body.closed
        assert (stream.text, stream.task_id, stream.model, stream.provider) == (
            "Hel",
            "task_1",
            "local/text",
            "local",
        )
        assert "3 characters so far" in repr(stream)
        with pytest.raises(StreamError, match="not whole"):
            stream.final()


async def test_leaving_the_block_of_the_async_client_closes_the_connection(httpx_mock: HTTPXMock):
    body = answer(httpx_mock, events(FIRST, text("Hel")), events(text("lo"), start=3))
    async with AsyncNexusAIClient(KEY, BASE) as client:
        async with client.text.stream("hi") as stream:
            assert (await anext(stream)).text == "Hel"
        assert body.closed
        with pytest.raises(StreamError, match="not whole"):
            await stream.final()


def test_a_stream_that_falls_silent_has_a_handle_of_its_client(sdk: Both, httpx_mock: HTTPXMock):
    answer(httpx_mock, events(FIRST, text("Hel")), error=httpx.ReadTimeout("late"), method="POST")
    whole = {"task_id": "task_1", "status": "completed", "output": {"text": "Hello"}}
    httpx_mock.add_response(url=f"{BASE}/tasks/task_1", json=whole)

    async def later(client: Any) -> Any:
        with pytest.raises(TaskTimeoutError) as raised:
            await client.text.stream("hi").final()
        return await raised.value.handle.wait()

    def use(client: Any) -> Any:
        with pytest.raises(TaskTimeoutError) as raised:
            client.text.stream("hi").final()
        return raised.value.handle.wait()

    assert sdk(later if sdk.asynchronous else use).text == "Hello"


# The events of a task


def followed(sdk: Both, timeout: float | None = None, **options: Any) -> tuple[Any, list[Any]]:
    """A handle, and the events of its task."""
    found: list[Any] = []

    def use(client: Any) -> Any:
        handle = client.tasks.attach("task_1")
        stream = handle.events(timeout)
        if sdk.asynchronous:
            return later(handle, stream)
        with stream:
            found.extend(stream)
        return handle

    async def later(handle: Any, stream: Any) -> Any:
        async with stream:
            async for event in stream:
                found.append(event)
        return handle

    return sdk(use, **options), found


def named(number: int, name: str, data: Any) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()


RUN = (events(FIRST), named(2, "status", {"status": "running"}), named(3, "progress", {"progress": 40}))


def test_events_tell_what_happens_to_a_task(sdk: Both, httpx_mock: HTTPXMock):
    body = answer(httpx_mock, *RUN, events(text("Hi"), LAST, "[DONE]", start=4), b": never read\n\n")
    handle, found = followed(sdk)

    assert [event.kind for event in found] == ["start", "status", "progress", "delta", "end"]
    assert found[3].delta.content == "Hi"
    assert (handle.status, handle.progress, handle.task.model) == ("completed", 100, "local/text")
    assert body.closed
    request = httpx_mock.get_requests()[0]
    assert (request.method, str(request.url)) == ("GET", f"{BASE}/tasks/task_1/events")
    assert "last-event-id" not in request.headers


def test_a_task_that_fails_is_its_last_event(sdk: Both, httpx_mock: HTTPXMock):
    answer(httpx_mock, *RUN, named(4, "error", {"error": {"code": "PROVIDER_ERROR", "message": "Gone."}}))
    handle, found = followed(sdk)
    assert (found[-1].kind, found[-1].status, found[-1].error.message) == ("error", "failed", "Gone.")
    assert (handle.status, handle.task.error.code) == ("failed", "PROVIDER_ERROR")


def test_events_that_break_off_go_on_where_they_were(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    answer(httpx_mock, *RUN, error=httpx.ReadError("reset"))
    answer(httpx_mock, events(LAST, "[DONE]", start=4), match_headers={"Last-Event-ID": "3"})
    assert [event.kind for event in followed(sdk)[1]] == ["start", "status", "progress", "end"]
    assert len(naps) == 1


def test_events_that_are_lost_are_an_error(sdk: Both, httpx_mock: HTTPXMock):
    answer(httpx_mock, *RUN, named(4, "error", {"error": {"code": "STREAM_LOST", "message": "Not kept."}}))
    with pytest.raises(StreamError, match="Not kept"):
        followed(sdk)


def test_events_of_an_unknown_task_are_refused_as_they_are(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=404, json={"detail": "There is no such task."})
    with pytest.raises(NotFoundError, match="no such task"):
        followed(sdk)


def test_events_may_be_awaited_for_as_long_as_a_task(sdk: Both, httpx_mock: HTTPXMock):
    answer(httpx_mock, events(LAST, "[DONE]"), is_reusable=True)
    followed(sdk, poll_timeout=700)
    followed(sdk, 5)
    assert [one.extensions["timeout"]["read"] for one in httpx_mock.get_requests()] == [700, 5]


def test_events_that_cease_carry_the_very_handle(sdk: Both, httpx_mock: HTTPXMock):
    answer(httpx_mock, *RUN, error=httpx.ReadTimeout("late"))

    async def later(client: Any) -> Any:
        handle = client.tasks.attach("task_1")
        with pytest.raises(TaskTimeoutError, match="no event for 9 s") as raised:
            async for _ in handle.events(9):
                pass
        return handle, raised.value

    def use(client: Any) -> Any:
        handle = client.tasks.attach("task_1")
        with pytest.raises(TaskTimeoutError, match="no event for 9 s") as raised:
            for _ in handle.events(9):
                pass
        return handle, raised.value

    handle, error = sdk(later if sdk.asynchronous else use)
    assert error.handle is handle
    assert (error.task.status, error.task.progress) == ("running", 40)


def test_leaving_the_loop_over_events_closes_the_connection(httpx_mock: HTTPXMock):
    body = answer(httpx_mock, *RUN)
    with NexusAIClient(KEY, BASE) as client:
        for _ in client.tasks.attach("task_1").events():
            break
        assert (body.closed, body.read) == (True, 1)


def test_a_page_in_place_of_a_stream_is_said(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(html="<p>Please log in.</p>")
    with pytest.raises(APIError, match=r"not the event stream .*text/html.*base URL"):
        sdk(lambda client: client.text.stream("hi").final())
