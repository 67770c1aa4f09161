"""The official `openai` client against the platform, over each protocol that a provider may speak."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import openai
import pytest
from PIL import Image
from pydantic import BaseModel

from nexusai.testing import Platform
from tests.fixtures import anthropic_upstream, coze_upstream, gemini_upstream
from tests.fixtures.openai_upstream import Upstream

CHATTING = {
    "openai": "gpt-4o-mini",
    "compatible": "openai_compatible/echo",
    "azure": "azure/gpt-4o-mini",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini/gemini-2.5-flash",
    "coze": f"coze/{coze_upstream.ECHO}",
    "local": "local/simulate",
}
"""A model behind each protocol; some by their names alone."""
ECHOES = [name for name in CHATTING if name != "local"]


@pytest.fixture(scope="module")
def others() -> Iterator[dict[str, Upstream]]:
    with ExitStack() as stack:
        yield {
            "anthropic": stack.enter_context(anthropic_upstream.running_upstream()),
            "gemini": stack.enter_context(gemini_upstream.running_gemini()),
            "coze": stack.enter_context(coze_upstream.running_upstream()),
        }


@pytest.fixture(scope="module")
def platform(upstream: Upstream, others: dict[str, Upstream]) -> Iterator[Platform]:
    environ = {
        "OPENAI_API_KEY": upstream.api_key,
        "OPENAI_BASE_URL": upstream.base_url,
        "AZURE_OPENAI_API_KEY": upstream.api_key,
        "AZURE_OPENAI_ENDPOINT": upstream.origin,
        "NEXUS_PROVIDER_API_KEY": upstream.api_key,
        "NEXUS_PROVIDER_BASE_URL": upstream.base_url,
        "NEXUS_PROVIDER_MODEL": "echo",
        "ANTHROPIC_API_KEY": others["anthropic"].api_key,
        "ANTHROPIC_BASE_URL": others["anthropic"].base_url,
        "GEMINI_API_KEY": others["gemini"].api_key,
        "GEMINI_BASE_URL": others["gemini"].base_url,
        "COZE_API_TOKEN": others["coze"].api_key,
        "COZE_BASE_URL": others["coze"].base_url,
        "COZE_BOT_ID": coze_upstream.ECHO,
    }
    with Platform(environ) as platform:
        yield platform


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client:
        yield client


@pytest.fixture(scope="module")
def raw(platform: Platform) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    with httpx.Client(base_url=f"{platform.url}/v1", headers=headers, timeout=20) as raw:
        yield raw


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


# Chats


@pytest.mark.parametrize("protocol", CHATTING)
def test_a_chat_is_answered_whole(client: openai.OpenAI, protocol: str) -> None:
    answer = client.chat.completions.create(
        model=CHATTING[protocol], messages=said("the lamp is lit"), user="somebody", max_tokens=500
    )

    [choice] = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content
    if protocol in ECHOES:
        assert "the lamp is lit" in choice.message.content
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer.object == "chat.completion"
    assert answer.id


@pytest.mark.parametrize("protocol", CHATTING)
def test_a_chat_is_streamed_with_its_usage_at_the_end(client: openai.OpenAI, protocol: str) -> None:
    chunks = list(
        client.chat.completions.create(
            model=CHATTING[protocol],
            messages=said("one two three four"),
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=500,
        )
    )

    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    if protocol in ECHOES:
        assert "one two three four" in text
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert [reason for reason in reasons if reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_usage_comes_only_when_it_is_asked_for(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=CHATTING["anthropic"], messages=said("hi"), stream=True, max_tokens=9
        )
    )
    assert all(chunk.choices for chunk in chunks)


@pytest.mark.parametrize("protocol", CHATTING)
def test_the_stream_helper_gathers_the_answer(client: openai.OpenAI, protocol: str) -> None:
    with client.chat.completions.stream(
        model=CHATTING[protocol], messages=said("keep the light"), max_tokens=500
    ) as stream:
        kinds = {event.type for event in stream}
        whole = stream.get_final_completion()

    assert {"chunk", "content.delta"} <= kinds
    assert whole.choices[0].message.content
    if protocol in ECHOES:
        assert "keep the light" in whole.choices[0].message.content


CALLING = ["openai/tools", "claude-haiku-4-5", "gemini/gemini-2.5-flash"]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Looks something up.",
            "parameters": {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
            },
        },
    }
]


@pytest.mark.parametrize("model", CALLING)
def test_tools_are_called_and_their_results_are_taken(client: openai.OpenAI, model: str) -> None:
    asked: list[Any] = said("lighthouse")
    first = client.chat.completions.create(model=model, messages=asked, tools=TOOLS, max_tokens=500)

    assert first.choices[0].finish_reason == "tool_calls"
    assert first.choices[0].message.tool_calls is not None
    [call] = first.choices[0].message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("look_up", {"text": "lighthouse"})

    asked += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "a tall tower"},
    ]
    second = client.chat.completions.create(model=model, messages=asked, tools=TOOLS, max_tokens=500)
    assert "a tall tower" in (second.choices[0].message.content or "")


@pytest.mark.parametrize("model", CALLING)
def test_streamed_calls_of_tools_come_together(client: openai.OpenAI, model: str) -> None:
    with client.chat.completions.stream(
        model=model, messages=said("lighthouse"), tools=TOOLS, max_tokens=500
    ) as stream:
        whole = stream.get_final_completion()

    assert whole.choices[0].finish_reason == "tool_calls"
    calls: Any = whole.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [{"text": "lighthouse"}]


class Said(BaseModel):
    text: str


@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"], ids=["openai", "anthropic"])
def test_parse_gives_an_object_of_the_schema(client: openai.OpenAI, model: str) -> None:
    content = '{"text": "hello"}' if model.startswith("gpt") else "hello"  # one fake repeats, one fills in
    answer = client.chat.completions.parse(
        model=model, messages=said(content), response_format=Said, max_tokens=500
    )
    assert answer.choices[0].message.parsed == Said(text="hello")


def test_pictures_go_along(client: openai.OpenAI, others: dict[str, Upstream]) -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    link = f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
    parts = [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": link}}]
    others["anthropic"].forget()
    client.chat.completions.create(
        model="claude-haiku-4-5", messages=[{"role": "user", "content": parts}], max_tokens=500
    )
    [call] = others["anthropic"].calls("/v1/messages")
    assert [part["type"] for part in call["body"]["messages"][0]["content"]] == ["text", "image"]


def test_fields_that_we_do_not_know_reach_a_provider_of_the_same_protocol(
    client: openai.OpenAI, upstream: Upstream
) -> None:
    upstream.forget()
    answer = client.chat.completions.create(
        model="gpt-4o-mini", messages=said("hi"), logprobs=True, n=2, verbosity="low", user="u1"
    )
    [call] = upstream.calls("/v1/chat/completions")
    assert (call["body"]["logprobs"], call["body"]["n"], call["body"]["verbosity"]) == (True, 2, "low")
    assert call["body"]["user"] == "u1"
    assert answer.system_fingerprint or answer.id.startswith("chatcmpl")


def test_several_answers_of_a_provider_that_gives_one(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="claude-haiku-4-5", messages=said("hi"), n=3, max_tokens=9)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    one = client.chat.completions.create(model="claude-haiku-4-5", messages=said("hi"), max_tokens=9)
    assert answer.usage is not None
    assert one.usage is not None
    assert answer.usage.total_tokens == 3 * one.usage.total_tokens


async def test_the_asynchronous_client_works_as_well(platform: Platform) -> None:
    async with openai.AsyncOpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client:
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(model=model, messages=said(f"number {n}"), max_tokens=500)
                for n in range(3)
                for model in (CHATTING[name] for name in ECHOES)
            )
        )
        assert len(answers) == 3 * len(ECHOES)
        stream = await client.chat.completions.create(
            model="gpt-4o-mini", messages=said("one two"), stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
        assert text == "one two"


def test_the_answer_says_who_gave_it_and_what_it_cost(client: openai.OpenAI) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=said("hi"), extra_headers={"X-Request-Id": "mine-1"}
    )
    assert answer.headers["x-nexus-provider"] == "openai"
    assert float(answer.headers["x-nexus-cost"].split()[0]) > 0
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.parse()._request_id == "mine-1"


# The rest


def test_embeddings(client: openai.OpenAI) -> None:
    found = client.embeddings.create(model="openai/text-embedding-3-small", input=["one", "two"])
    assert [len(each.embedding) for each in found.data] == [len(found.data[0].embedding)] * 2
    plain = client.embeddings.create(
        model="openai/text-embedding-3-small", input="one", encoding_format="float"
    )
    assert plain.data[0].embedding == pytest.approx(found.data[0].embedding, rel=1e-6)
    assert found.usage.total_tokens > 0


def test_pictures(client: openai.OpenAI) -> None:
    made = client.images.generate(model="openai/dall-e-3", prompt="a lighthouse", size="1024x1024")
    assert made.data is not None
    picture = base64.b64decode(made.data[0].b64_json or "")
    assert Image.open(io.BytesIO(picture)).size == (1024, 1024)
    linked = client.images.generate(model="local/image", prompt="a boat", size="64x48", response_format="url")
    assert linked.data is not None
    fetched = httpx.get(linked.data[0].url or "")
    assert Image.open(io.BytesIO(fetched.content)).size == (64, 48)


def test_speech_and_what_it_says(client: openai.OpenAI) -> None:
    spoken = client.audio.speech.create(
        model="openai/tts-1", voice="alloy", input="hello there", response_format="wav"
    )
    sound = spoken.read()
    assert sound[:4] == b"RIFF"
    assert spoken.response.headers["content-type"] == "audio/wav"
    with client.audio.speech.with_streaming_response.create(
        model="openai/tts-1", voice="alloy", input="hello there", response_format="wav"
    ) as streamed:
        assert b"".join(streamed.iter_bytes()) == sound
    heard = client.audio.transcriptions.create(model="openai/whisper-1", file=("a.wav", sound))
    assert heard.text
    detailed = client.audio.transcriptions.create(
        model="openai/whisper-1", file=("a.wav", sound), response_format="verbose_json"
    )
    assert detailed.text == heard.text
    assert detailed.duration >= 0
    subtitles: Any = client.audio.transcriptions.create(
        model="openai/whisper-1", file=("a.wav", sound), response_format="srt"
    )
    assert "-->" in subtitles


def test_moderation(client: openai.OpenAI) -> None:
    judged = client.moderations.create(input=["write to keeper@example.com", "hello"], model="local/rules")
    assert [result.flagged for result in judged.results] == [True, False]


def test_models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"openai_compatible/echo", "claude-haiku-4-5", "local/text"} <= {
        *names,
        *(name.partition("/")[2] for name in names),
    }
    assert len(names) == len(set(names))
    assert client.models.retrieve("local/text").owned_by == "local"
    with pytest.raises(openai.NotFoundError, match="no model"):
        client.models.retrieve("nothing")


# Errors


@pytest.mark.parametrize(
    ("directive", "kind", "model"),
    [
        ("status=400", openai.BadRequestError, "gpt-4o"),
        ("status=429 retry_after=1", openai.RateLimitError, "gpt-4o"),
        ("status=500", openai.InternalServerError, "gpt-5.1"),
        ("status=503", openai.InternalServerError, "gpt-6-luna"),
        ("html", openai.InternalServerError, "reasoner"),
        ("drop=0", openai.InternalServerError, "o3-mini"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_each_failure_of_a_provider_is_its_class_and_is_not_tried_again(
    client: openai.OpenAI, upstream: Upstream, directive: str, kind: type[Exception], model: str, stream: bool
) -> None:
    """Each at a model of its own: what fails too often is left alone."""
    upstream.forget()
    with pytest.raises(kind) as failed:
        client.chat.completions.create(
            model=f"openai_compatible/{model}", messages=said(f"hi [[{directive}]]"), stream=stream
        )
    error: Any = failed.value
    assert error.body["message"]
    assert error.request_id.startswith("req_")
    calls = len(upstream.calls())
    assert calls <= 3  # ours and our retries: the client's own would have made nine of them
    if kind is not openai.BadRequestError:
        assert error.response.headers["x-should-retry"] == "false"


def test_what_is_wrong_with_a_request_is_said(client: openai.OpenAI, platform: Platform) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="claude-haiku-4-5", messages=said("hi"), temperature=9)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as empty:
        client.chat.completions.create(model="claude-haiku-4-5", messages=[])
    assert empty.value.param == "messages"
    with (
        openai.OpenAI(api_key="nxs_unknown", base_url=f"{platform.url}/v1") as stranger,
        pytest.raises(openai.AuthenticationError) as unknown,
    ):
        stranger.models.list()
    assert unknown.value.code == "invalid_api_key"
    with platform.client() as admin:
        key = admin.keys.create("narrow", allowed_models=["local/*"], rate_limits={"requests_per_minute": 2})
    while time.time() % 60 > 50:
        time.sleep(0.2)
    with openai.OpenAI(api_key=key.api_key, base_url=f"{platform.url}/v1", max_retries=0) as narrow:
        with pytest.raises(openai.PermissionDeniedError, match="local/"):
            narrow.chat.completions.create(model="gpt-4o-mini", messages=said("hi"))
        assert {model.id.partition("/")[0] for model in narrow.models.list()} == {"local"}
        narrow.chat.completions.create(model="local/simulate", messages=said("hi"))
        with pytest.raises(openai.RateLimitError, match="2 requests a minute") as limited:
            narrow.chat.completions.create(model="local/simulate", messages=said("hi"))
        assert int(limited.value.response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_a_model_that_the_provider_has_not_is_not_found(client: openai.OpenAI, provider: str) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model=f"{provider}/no-such-model", messages=said("hi"), max_tokens=9)


def test_a_provider_that_failed_too_often_is_left_alone_and_says_for_how_long(
    client: openai.OpenAI, upstream: Upstream
) -> None:
    for _ in range(6):
        with pytest.raises(openai.InternalServerError) as failed:
            client.chat.completions.create(model="openai/reasoner", messages=said("hi [[status=500]]"))
    assert failed.value.status_code == 503
    assert int(failed.value.response.headers["retry-after"]) > 1
    upstream.forget()
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="openai/reasoner", messages=said("hi"))
    assert upstream.calls() == []


def test_paths_that_there_are_not_are_openais_errors_too(client: openai.OpenAI, raw: httpx.Client) -> None:
    with pytest.raises(openai.NotFoundError):
        client.get("/nothing", cast_to=object)
    refused = raw.get("/chat/completions")
    assert (refused.status_code, refused.json()["error"]["code"]) == (405, "method_not_allowed")
    assert refused.json()["error"]["type"] == "invalid_request_error"
    assert raw.post("/chat/completions", content=b"{", headers={"Content-Type": "application/json"}).json()[
        "error"
    ]["message"]


# Streams that break


@pytest.mark.parametrize("directive", ["drop=3", "end=3", "error=3"])
def test_a_stream_that_breaks_ends_with_an_error_and_no_done(raw: httpx.Client, directive: str) -> None:
    body = {
        "model": "openai_compatible/echo",
        "messages": said(f"{'word ' * 9}[[{directive}]]"),
        "stream": True,
    }
    with raw.stream("POST", "/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        lines = [line for line in answer.iter_lines() if line]
    assert "data: [DONE]" not in lines
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["message"]
    assert len(lines) > 1


def test_the_client_raises_for_a_stream_that_breaks(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError):
        list(
            client.chat.completions.create(
                model="openai_compatible/echo", messages=said("word " * 9 + "[[drop=3]]"), stream=True
            )
        )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_that_hangs_up_closes_the_providers_connection(
    platform: Platform, upstream: Upstream, stream: bool
) -> None:
    upstream.forget()
    body = {"model": "openai_compatible/echo", "messages": said("a b [[hang=1]]" if stream else "a [[hang]]")}
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    with httpx.Client(base_url=f"{platform.url}/v1", headers=headers, timeout=1) as leaving:
        try:
            with leaving.stream("POST", "/chat/completions", json={**body, "stream": stream}) as answer:
                for _ in answer.iter_lines():
                    break
        except httpx.ReadTimeout:
            pass
    deadline = time.monotonic() + 20
    while not any(call["hung_up"] for call in upstream.calls()):
        assert time.monotonic() < deadline, "the provider is still being listened to"
        time.sleep(0.05)


def test_a_client_that_leaves_before_the_first_token_of_a_stream_is_noticed(
    platform: Platform, upstream: Upstream
) -> None:
    """And gives its place among the running tasks back: the next call of the key has it."""
    with platform.client() as admin:
        key = admin.keys.create("one at a time", rate_limits={"concurrent_tasks": 1})
    headers = {"Authorization": f"Bearer {key.api_key}"}
    upstream.forget()
    with httpx.Client(base_url=f"{platform.url}/v1", headers=headers, timeout=20) as http:
        asked = {"model": "openai_compatible/echo", "messages": said("a [[hang]]"), "stream": True}
        with pytest.raises(httpx.ReadTimeout):
            http.post("/chat/completions", json=asked, timeout=0.7)
        deadline = time.monotonic() + 20
        while not any(call["hung_up"] for call in upstream.calls()):
            assert time.monotonic() < deadline, "the provider is still being listened to"
            time.sleep(0.05)
        for stream in (False, True, False):
            again = {"model": "openai_compatible/echo", "messages": said("b"), "stream": stream}
            assert http.post("/chat/completions", json=again).status_code == 200


def test_as_many_calls_as_tasks_are_under_way(platform: Platform) -> None:
    with platform.client() as admin:
        key = admin.keys.create("two", rate_limits={"concurrent_tasks": 2})
    with openai.OpenAI(api_key=key.api_key, base_url=f"{platform.url}/v1", max_retries=0) as two:
        with pytest.raises(openai.RateLimitError, match="as many calls under way"):
            two.chat.completions.create(model="claude-haiku-4-5", messages=said("x"), n=3, max_tokens=9)
        assert two.chat.completions.create(model="claude-haiku-4-5", messages=said("x"), n=2, max_tokens=9)
        with pytest.raises(openai.BadRequestError, match="at most 8"):
            two.chat.completions.create(model="claude-haiku-4-5", messages=said("x"), n=9, max_tokens=9)


def test_calls_are_in_the_usage(client: openai.OpenAI, platform: Platform) -> None:
    with platform.client() as admin:
        key = admin.keys.create("counted", scopes=["invoke", "admin"])
        with openai.OpenAI(api_key=key.api_key, base_url=f"{platform.url}/v1") as counted:
            answers = [
                counted.chat.completions.create(model="gpt-4o-mini", messages=said("one two")),
                counted.chat.completions.create(model="claude-haiku-4-5", messages=said("x"), max_tokens=9),
            ]
        [row] = admin.usage.get(key=key.id)
    used = [answer.usage for answer in answers]
    assert row.requests == 2
    assert row.total_tokens == sum(usage.total_tokens for usage in used if usage)
    assert row.cost is not None
    assert row.cost.amount > 0
