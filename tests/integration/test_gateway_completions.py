"""The official `openai` client's old Completions against the platform, over each protocol of a provider."""

# ruff: noqa: F811 - the fixtures of the other file

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream
from tests.fixtures.wire import answer, chunked
from tests.integration.test_gateway import CHATTING, ECHOES, client, others, platform, raw  # noqa: F401
from tests.integration.test_gateway_relay import platform_before

WHOLE = (
    b'{"id":"cmpl-1","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":" sea",'
    b'"logprobs":{"tokens":[" sea"]},"finish_reason":"stop"}],"x":1.0,'
    b'"usage":{"prompt_tokens":4,"completion_tokens":1}}'
)
PIECE = b'data: {"id":"cmpl-1","choices":[{"index":0,"text":" sea","finish_reason":"stop"}],"x":1.0}\n\n'
USED = b'data: {"id":"cmpl-1","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("protocol", CHATTING)
def test_a_text_is_gone_on_with(client: openai.OpenAI, protocol: str) -> None:
    made = client.completions.create(
        model=CHATTING[protocol], prompt="the lamp is lit", max_tokens=500, user="me"
    )

    assert made.object == "text_completion"
    [choice] = made.choices
    assert choice.finish_reason == "stop"
    if protocol in ECHOES:
        assert "the lamp is lit" in choice.text
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens > 0


@pytest.mark.parametrize("protocol", CHATTING)
def test_a_text_is_streamed_with_its_usage_at_the_end(client: openai.OpenAI, protocol: str) -> None:
    chunks = list(
        client.completions.create(
            model=CHATTING[protocol],
            prompt="one two three four",
            max_tokens=500,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    if protocol in ECHOES:
        assert "one two three four" in text
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        "stop"
    ]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_several_prompts_and_answers_stand_in_order(client: openai.OpenAI) -> None:
    made = client.completions.create(model="claude-haiku-4-5", prompt=["one", "two"], n=2, max_tokens=99)
    assert [(choice.index, choice.text) for choice in made.choices] == [
        (0, "one"),
        (1, "one"),
        (2, "two"),
        (3, "two"),
    ]
    assert made.usage is not None
    assert made.usage.completion_tokens == 4


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_prompt_is_echoed_before_the_answer(client: openai.OpenAI, stream: bool) -> None:
    made: Any = client.completions.create(
        model="claude-haiku-4-5", prompt="one two", echo=True, max_tokens=99, stream=stream
    )
    chunks = list(made) if stream else [made]
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "one twoone two"


async def test_the_asynchronous_client_works_as_well(platform: Platform) -> None:
    async with openai.AsyncOpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client:
        made = await client.completions.create(model="claude-haiku-4-5", prompt="one two", max_tokens=99)
        assert made.choices[0].text == "one two"


def test_an_answer_that_is_cut_off_says_so(client: openai.OpenAI) -> None:
    made = client.completions.create(model="claude-haiku-4-5", prompt="one two three", max_tokens=2)
    assert made.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("suffix", "end"),
        ("logprobs", 2),
        ("best_of", 3),
        ("prompt", [1, 2]),
        ("prompt", [[1], [2]]),
        ("n", 129),
    ],
)
def test_what_a_chat_cannot_do_is_refused(client: openai.OpenAI, field: str, value: Any) -> None:
    asked: dict[str, Any] = {"model": "claude-haiku-4-5", "prompt": "hi", field: value}
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(**asked)
    assert refused.value.param == field


def test_a_model_that_still_answers_them_is_asked_as_it_is() -> None:
    with platform_before(answer(WHOLE, content_type="application/json")) as (http, vendor, platform):
        body = b'{"model": "openai_compatible/m", "prompt": [[1, 2]], "suffix": "end", "odd": 1.50}'
        heard = http.post("/completions", content=body)
        assert (heard.status_code, heard.content) == (200, WHOLE)
        assert vendor.requests[0].line.startswith("POST /v1/completions ")
        assert vendor.requests[0].body == b'{"model":"m","prompt":[[1, 2]],"suffix":"end","odd":1.50}'
        with platform.client() as admin:
            [row] = admin.usage.get().data
            assert (row.prompt_tokens, row.completion_tokens) == (4, 1)


def test_its_stream_passes_as_it_is_too() -> None:
    with platform_before(chunked(PIECE, USED, DONE)) as (http, _, platform):
        body = b'{"model": "openai_compatible/m", "prompt": "the", "stream": true}'
        assert http.post("/completions", content=body).content == PIECE + DONE
        with platform.client() as admin:
            [row] = admin.usage.get().data
            assert (row.prompt_tokens, row.completion_tokens) == (4, 1)


def test_a_vendor_that_has_them_no_more_is_asked_by_chat(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.forget()
    client.completions.create(model="openai_compatible/echo", prompt="hi")
    assert [call["path"] for call in upstream.calls()] == ["/v1/completions", "/v1/chat/completions"]
    upstream.forget()
    client.completions.create(model="openai/gpt-4o-mini", prompt="hi")
    assert [call["path"] for call in upstream.calls()] == ["/v1/chat/completions"]


@pytest.mark.parametrize("directive", ["drop=3", "end=3", "error=3"])
def test_a_stream_that_breaks_ends_with_an_error_and_no_done(raw: httpx.Client, directive: str) -> None:
    body = {"model": "openai/gpt-4o", "prompt": f"{'word ' * 9}[[{directive}]]", "stream": True}
    with raw.stream("POST", "/completions", json=body) as heard:
        lines = [line for line in heard.iter_lines() if line]
    assert "data: [DONE]" not in lines
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["message"]
