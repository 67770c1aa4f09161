from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_httpx import HTTPXMock

from nexusai.error import InvalidRequestError
from tests.fixtures.sdk import Both


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
        ({"messages": "a"}, TypeError, "not one str"),
        ({"messages": {"role": "user"}}, TypeError, "not one dict"),
        ({"messages": []}, InvalidRequestError, "messages is empty"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_sent(
    method: str, arguments: dict[str, Any], error: type[Exception], message: str, sdk: Both
):
    with pytest.raises(error, match=message):
        sdk(lambda client: getattr(client.text, method)(**arguments))


def test_the_idle_timeout_of_a_stream_is_its_timeout(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(content=b"data: [DONE]\n\n")
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
