from __future__ import annotations

import json
from typing import Any

import pytest
from freezegun import freeze_time
from pydantic import BaseModel
from pytest_httpx import HTTPXMock

from nexusai.error import InvalidRequestError, ParseError, TaskTimeoutError
from tests.fixtures.sdk import BASE, EVENTS, Both


def serve(httpx_mock: HTTPXMock, text: str = "Hi!") -> None:
    httpx_mock.add_response(method="POST", status_code=202, json={"task_id": "task_1", "status": "queued"})
    httpx_mock.add_response(
        method="GET", json={"task_id": "task_1", "status": "completed", "output": {"text": text}}
    )


def body(httpx_mock: HTTPXMock) -> Any:
    return json.loads(httpx_mock.get_requests()[0].content)


def test_a_text_is_generated_and_waited_for(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock)
    response = sdk(
        lambda client: client.text.generate("Say hi", system="Be kind.", temperature=0.0, max_tokens=9)
    )

    assert str(response) == "Hi!"
    assert body(httpx_mock) == {
        "task_type": "text_generation",
        "input": {"prompt": "Say hi", "system": "Be kind."},
        "config": {"temperature": 0.0, "max_tokens": 9},
    }


def test_a_conversation_in_place_of_a_prompt(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock)
    messages = ({"role": "user", "content": "Say hi"},)
    sdk(lambda client: client.text.generate(messages=messages))
    assert body(httpx_mock)["input"] == {"messages": [{"role": "user", "content": "Say hi"}]}


def test_one_poll_follows_one_submission(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock)
    sdk(lambda client: client.text.generate("Say hi"))

    submitted, polled = httpx_mock.get_requests()
    assert submitted.headers["prefer"] == "respond-async"
    assert polled.headers["prefer"] == "wait=30"
    assert not polled.url.query


def test_a_text_in_the_background_is_a_handle(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock)

    async def later(client: Any) -> Any:
        return await (await client.text.generate_async("Say hi")).wait()

    use = later if sdk.asynchronous else lambda client: client.text.generate_async("Say hi").wait()
    assert sdk(use).text == "Hi!"


@pytest.mark.parametrize("method", ["generate", "generate_async", "stream"])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, InvalidRequestError, "there is neither"),
        ({"prompt": "a", "messages": [{}]}, InvalidRequestError, "there is both"),
        ({"prompt": " "}, InvalidRequestError, "prompt is empty"),
        ({"prompt": ["a"]}, TypeError, "prompt is a str, not list"),
        ({"messages": "a"}, TypeError, "messages is a list, not str"),
        ({"messages": {"role": "user"}}, TypeError, "messages is a list, not dict"),
        ({"messages": ["a"]}, TypeError, r"messages\[0\] is a mapping, .* not str"),
        ({"messages": []}, InvalidRequestError, "messages is empty"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_sent(
    method: str, arguments: dict[str, Any], error: type[Exception], message: str, sdk: Both
):
    with pytest.raises(error, match=message):
        sdk(lambda client: getattr(client.text, method)(**arguments))


def test_the_idle_timeout_of_a_stream_is_its_timeout(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(content=b"data: [DONE]\n\n", headers=EVENTS)
    sdk(lambda client: client.text.stream("hi", timeout=5).final())
    assert httpx_mock.get_requests()[0].extensions["timeout"]["read"] == 5


@pytest.mark.parametrize("method", ["generate", "generate_async"])
def test_a_call_that_answers_whole_names_the_one_that_streams(sdk: Both, method: str):
    with pytest.raises(TypeError, match=r"text\.stream"):
        sdk(lambda client: getattr(client.text, method)("hi", stream=True))


@pytest.mark.parametrize("method", ["generate", "generate_async", "stream"])
def test_a_wrong_timeout_is_refused_before_anything_is_sent(sdk: Both, httpx_mock: HTTPXMock, method: str):
    with pytest.raises(InvalidRequestError, match="timeout=0 is not above 0"):
        sdk(lambda client: getattr(client.text, method)("hi", timeout=0))
    assert httpx_mock.get_requests() == []


def test_pictures_make_a_prompt_a_message(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock)
    sdk(lambda client: client.text.generate("What is it?", system="Be brief.", images=["file_1"]))
    parts = [{"type": "text", "text": "What is it?"}, {"type": "file_id", "file_id": "file_1"}]
    assert body(httpx_mock) == {
        "task_type": "text_generation",
        "input": {"messages": [{"role": "user", "content": parts}], "system": "Be brief."},
    }


def test_pictures_are_streamed_about_too(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(content=b"data: [DONE]\n\n", headers=EVENTS)
    sdk(lambda client: client.text.stream("What is it?", images=["file_1"]).final())
    assert len(body(httpx_mock)["input"]["messages"][0]["content"]) == 2


@pytest.mark.parametrize("method", ["generate", "generate_async"])
def test_a_call_may_have_an_idempotency_key_of_its_own(method: str, sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(json={"task_id": "task_1", "status": "completed", "output": {"text": "Hi"}})
    sdk(lambda client: getattr(client.text, method)("hi", idempotency_key="order-7"))
    assert httpx_mock.get_requests()[0].headers["idempotency-key"] == "order-7"
    assert "config" not in body(httpx_mock)


def test_a_stream_may_have_an_idempotency_key_of_its_own(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(content=b"data: [DONE]\n\n", headers=EVENTS)
    sdk(lambda client: client.text.stream("hi", idempotency_key="order-7").final())
    assert httpx_mock.get_requests()[0].headers["idempotency-key"] == "order-7"
    assert "config" not in body(httpx_mock)


@pytest.mark.parametrize("method", ["generate_async", "stream"])
def test_a_call_that_does_not_wait_has_no_progress(method: str, sdk: Both):
    with pytest.raises(TypeError, match="on_progress is for calls that wait"):
        sdk(lambda client: getattr(client.text, method)("hi", on_progress=print))


@pytest.mark.parametrize(
    ("option", "message"),
    [({"on_progress": 7}, "on_progress is a function"), ({"progress": 7}, "progress is True or False")],
)
def test_a_wrong_wish_is_refused_before_anything_is_sent(
    option: dict[str, Any], message: str, sdk: Both, httpx_mock: HTTPXMock
):
    with pytest.raises(TypeError, match=message):
        sdk(lambda client: client.text.generate("hi", **option))
    assert httpx_mock.get_requests() == []


def test_progress_is_heard(sdk: Both, httpx_mock: HTTPXMock, naps: list[float]):
    httpx_mock.add_response(method="POST", status_code=202, json={"task_id": "task_1", "status": "queued"})
    for status, progress in (("running", 0), ("running", 60), ("completed", 100)):
        shown = {"task_id": "task_1", "status": status, "progress": progress, "output": {"text": "Hi"}}
        httpx_mock.add_response(method="GET", json=shown)
    heard: list[tuple[str, float]] = []
    sdk(
        lambda client: client.text.generate(
            "hi", on_progress=lambda task: heard.append((task.status, task.progress))
        )
    )
    assert heard == [("queued", None), ("running", 0), ("running", 60), ("completed", 100)]
    assert httpx_mock.get_requests()[1].headers["prefer"] == "wait=1"


def late(sdk: Both, httpx_mock: HTTPXMock, **options: Any) -> TaskTimeoutError:
    httpx_mock.add_response(method="POST", status_code=202, json={"task_id": "task_1", "status": "queued"})
    running = {"task_id": "task_1", "status": "running"}
    httpx_mock.add_response(method="GET", json=running, is_reusable=True)
    with freeze_time("2025-01-01", real_asyncio=True), pytest.raises(TaskTimeoutError) as raised:
        sdk(lambda client: client.text.generate("hi", timeout=3, **options))
    return raised.value


def test_a_task_that_is_late_has_a_handle(sdk: Both, httpx_mock: HTTPXMock, naps: list[float]):
    error = late(sdk, httpx_mock)
    assert type(error.handle).__name__ == ("AsyncTaskHandle" if sdk.asynchronous else "TaskHandle")
    assert (error.handle.id, error.handle.status) == ("task_1", "running")


def test_a_task_that_is_late_may_be_cancelled(sdk: Both, httpx_mock: HTTPXMock, naps: list[float]):
    httpx_mock.add_response(
        url=f"{BASE}/tasks/task_1/cancel", json={"task_id": "task_1", "status": "cancelled"}
    )
    error = late(sdk, httpx_mock, on_timeout="cancel")
    assert error.handle.status == "cancelled"
    assert "was asked to stop and is cancelled" in str(error)


# Data


class Recipe(BaseModel):
    title: str
    minutes: int


def test_data_is_asked_for_by_its_model_and_read(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, '```json\n{"title": "Rice", "minutes": 20}\n```')
    recipe = sdk(lambda client: client.text.parse("Rice?", response_model=Recipe, temperature=0))

    assert recipe == Recipe(title="Rice", minutes=20)
    config = body(httpx_mock)["config"]
    assert config["temperature"] == 0
    assert config["response_format"]["type"] == "json_schema"
    assert config["response_format"]["json_schema"]["name"] == "Recipe"
    assert config["response_format"]["json_schema"]["strict"] is True


def test_data_of_a_conversation_with_pictures(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, '{"title": "Rice", "minutes": 20}')
    messages = [{"role": "user", "content": "Rice?"}]
    sdk(lambda client: client.text.parse(messages=messages, images=["file_1"], response_model=Recipe))
    assert len(body(httpx_mock)["input"]["messages"][0]["content"]) == 2


def test_an_answer_that_is_no_such_data_is_an_error_with_its_text(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, '{"title": "Rice"}')
    with pytest.raises(
        ParseError, match=r"The answer of task_1 is no Recipe: minutes: Field required"
    ) as raised:
        sdk(lambda client: client.text.parse("Rice?", response_model=Recipe))
    assert raised.value.text == '{"title": "Rice"}'


def test_a_format_of_the_callers_own_is_for_generate(sdk: Both):
    with pytest.raises(TypeError, match="response_format is made of response_model"):
        sdk(lambda client: client.text.parse("x", response_model=Recipe, response_format={"type": "text"}))


def test_what_is_no_model_is_refused_before_anything_is_sent(sdk: Both, httpx_mock: HTTPXMock):
    with pytest.raises(TypeError, match="response_model is a class"):
        sdk(lambda client: client.text.parse("x", response_model=dict))
    assert httpx_mock.get_requests() == []
