"""The official `openai` client's Responses against the platform, over each protocol of a provider."""

# ruff: noqa: F811 - the fixtures of the other file

from __future__ import annotations

import io
import json
import time
from typing import Any

import httpx
import openai
import pytest
from PIL import Image
from pydantic import BaseModel

from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream
from tests.integration.test_gateway import CHATTING, ECHOES, client, others, platform, raw  # noqa: F401

THINKING = {"openai": "openai/gpt-5.1", "anthropic": "claude-haiku-4-5", "gemini": "gemini/gemini-3.8-flash"}
CALLING = ["openai/tools", "openai_compatible/tools", "claude-haiku-4-5", "gemini/gemini-2.5-flash"]
TOOLS: list[Any] = [
    {
        "type": "function",
        "name": "look_up",
        "description": "Looks something up.",
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
            "additionalProperties": False,
        },
        "strict": True,
    }
]


# Answers


@pytest.mark.parametrize("protocol", CHATTING)
def test_a_response_is_answered_whole(client: openai.OpenAI, protocol: str) -> None:
    answer = client.responses.create(
        model=CHATTING[protocol], input="the lamp is lit", user="somebody", max_output_tokens=500
    )

    assert answer.status == "completed"
    assert answer.output_text
    if protocol in ECHOES:
        assert "the lamp is lit" in answer.output_text
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    assert (answer.object, answer.error) == ("response", None)
    assert answer.user == (None if protocol == "openai" else "somebody")  # OpenAI's fake says no more of it
    assert answer.id.startswith("resp_")


@pytest.mark.parametrize("protocol", CHATTING)
def test_a_response_is_streamed(client: openai.OpenAI, protocol: str) -> None:
    events = list(
        client.responses.create(
            model=CHATTING[protocol], input="one two three four", stream=True, max_output_tokens=500
        )
    )

    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    if protocol in ECHOES:
        assert "one two three four" in text
    assert events[-1].response.usage is not None
    assert events[-1].response.usage.output_tokens > 0


@pytest.mark.parametrize("protocol", CHATTING)
def test_the_stream_helper_gathers_the_response(client: openai.OpenAI, protocol: str) -> None:
    with client.responses.stream(
        model=CHATTING[protocol], input="keep the light", max_output_tokens=500
    ) as stream:
        kinds = {event.type for event in stream}
        whole = stream.get_final_response()

    assert {"response.output_text.delta", "response.output_text.done", "response.completed"} <= kinds
    assert whole.output_text
    if protocol in ECHOES:
        assert "keep the light" in whole.output_text


async def test_the_asynchronous_client_works_as_well(platform: Platform) -> None:
    async with openai.AsyncOpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client:
        first = await client.responses.create(model="gpt-4o-mini", input="one two")
        async with client.responses.stream(
            model="claude-haiku-4-5", input="three four", previous_response_id=first.id, max_output_tokens=99
        ) as stream:
            last = await stream.get_final_response()
        assert "three four" in last.output_text
        kept = [item.id async for item in client.responses.input_items.list(last.id, order="asc")]
        assert len(kept) == 3
        await client.responses.delete(first.id)


def test_an_answer_that_is_cut_off_is_incomplete(client: openai.OpenAI) -> None:
    for model in ("openai_compatible/echo", "openai/gpt-4o-mini", "claude-haiku-4-5"):
        answer = client.responses.create(model=model, input="one two three four", max_output_tokens=2)
        assert answer.status == "incomplete"
        assert answer.incomplete_details is not None
        assert answer.incomplete_details.reason == "max_output_tokens"


class Said(BaseModel):
    text: str


@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"], ids=["openai", "anthropic"])
def test_parse_gives_an_object_of_the_schema(client: openai.OpenAI, model: str) -> None:
    content = '{"text": "hello"}' if model.startswith("gpt") else "hello"  # one fake repeats, one fills in
    answer = client.responses.parse(model=model, input=content, text_format=Said, max_output_tokens=500)
    assert answer.output_parsed == Said(text="hello")


def test_the_request_is_told_again(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model="claude-haiku-4-5",
        input="hi",
        instructions="Be brief.",
        metadata={"ticket": "7"},
        parallel_tool_calls=False,
        temperature=0.5,
        truncation="auto",
        max_output_tokens=99,
        tools=TOOLS,
        tool_choice="none",
    )
    assert (answer.instructions, answer.metadata, answer.temperature) == ("Be brief.", {"ticket": "7"}, 0.5)
    assert (answer.truncation, answer.parallel_tool_calls, answer.tool_choice) == ("auto", False, "none")
    assert answer.max_output_tokens == 99
    assert [tool.type for tool in answer.tools] == ["function"]


def test_the_answer_says_who_gave_it_and_what_it_cost(client: openai.OpenAI) -> None:
    answer = client.responses.with_raw_response.create(
        model="gpt-4o-mini", input="hi", extra_headers={"X-Request-Id": "mine-2"}
    )
    assert answer.headers["x-nexus-provider"] == "openai"
    assert float(answer.headers["x-nexus-cost"].split()[0]) > 0
    assert answer.headers["x-request-id"] == "mine-2"


# Conversations


@pytest.mark.parametrize("protocol", ECHOES)
def test_a_conversation_goes_on_from_a_response(
    client: openai.OpenAI, upstream: Upstream, others: dict[str, Upstream], protocol: str
) -> None:
    model = CHATTING[protocol]
    first = client.responses.create(model=model, input="the lamp is lit", max_output_tokens=99)
    second = client.responses.create(
        model=model, input="who lit it", previous_response_id=first.id, max_output_tokens=99
    )
    assert second.previous_response_id == first.id
    assert second.usage is not None
    assert first.usage is not None
    if protocol != "coze":
        assert second.usage.input_tokens > first.usage.input_tokens


def test_a_conversation_moves_from_one_provider_to_another(
    client: openai.OpenAI, upstream: Upstream, others: dict[str, Upstream]
) -> None:
    last = None
    for word, model in enumerate(CHATTING.values()):
        answer = client.responses.create(
            model=model, input=f"word {word}", previous_response_id=last, max_output_tokens=99
        )
        last = answer.id
    others["anthropic"].forget()
    client.responses.create(
        model="claude-haiku-4-5", input="the end", previous_response_id=last, max_output_tokens=99
    )
    [call] = others["anthropic"].calls("/v1/messages")
    said = call["body"]["messages"]
    assert [message["role"] for message in said] == ["user", "assistant"] * len(CHATTING) + ["user"]
    words = [f"word {n}" for n in range(len(CHATTING))]
    assert [message["content"] for message in said[::2]] == [*words, "the end"]


def test_a_provider_is_never_asked_to_keep_anything(client: openai.OpenAI, upstream: Upstream) -> None:
    first = client.responses.create(model="openai/gpt-4o-mini", input="one", store=True)
    upstream.forget()
    client.responses.create(model="openai/gpt-4o-mini", input="two", previous_response_id=first.id)
    [call] = upstream.calls("/v1/responses")
    assert call["body"]["store"] is False
    assert "previous_response_id" not in call["body"]
    assert len(call["body"]["input"]) == 3


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", CALLING)
def test_tools_are_called_and_their_results_are_taken(
    client: openai.OpenAI, model: str, stream: bool
) -> None:
    def respond(**asked: Any) -> Any:
        if not stream:
            return client.responses.create(model=model, tools=TOOLS, max_output_tokens=500, **asked)
        with client.responses.stream(model=model, tools=TOOLS, max_output_tokens=500, **asked) as events:
            return events.get_final_response()

    first = respond(input="lighthouse")
    [call] = [item for item in first.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("look_up", {"text": "lighthouse"})

    result = {"type": "function_call_output", "call_id": call.call_id, "output": "a tall tower"}
    second = respond(input=[result], previous_response_id=first.id)
    assert "a tall tower" in second.output_text


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "sent again"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("protocol", THINKING)
def test_thoughts_come_back_to_their_provider_with_the_results_of_tools(
    client: openai.OpenAI,
    upstream: Upstream,
    others: dict[str, Upstream],
    protocol: str,
    stream: bool,
    kept: bool,
) -> None:
    """The fakes refuse what lacks a signature or stands in another place."""
    model = THINKING[protocol]

    def respond(**asked: Any) -> Any:
        asked |= {"tools": TOOLS, "max_output_tokens": 5000, "reasoning": {"effort": "low"}, "store": kept}
        if not stream:
            return client.responses.create(model=model, **asked)
        with client.responses.stream(model=model, **asked) as events:
            return events.get_final_response()

    first = respond(input="lighthouse")
    assert "reasoning" in [item.type for item in first.output]
    [call] = [item for item in first.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "a tall tower"}
    fake = {"openai": upstream, **others}[protocol]
    fake.forget()
    if kept:
        second = respond(input=[result], previous_response_id=first.id)
    else:
        again = [item.model_dump(exclude_none=True) for item in first.output]
        second = respond(input=[{"role": "user", "content": "lighthouse"}, *again, result])
    assert "a tall tower" in second.output_text
    sent = json.dumps(fake.calls()[-1]["body"])
    assert any(sign in sent for sign in ("gAAAAA==", '"signature"', "thoughtSignature"))


def test_items_are_referred_to_by_their_ids(client: openai.OpenAI) -> None:
    first = client.responses.create(model="openai_compatible/tools", input="lighthouse", tools=TOOLS)
    [call] = first.output
    assert call.type == "function_call"
    items: list[Any] = [
        {"role": "user", "content": "lighthouse"},
        {"type": "item_reference", "id": call.id},
        {"type": "function_call_output", "call_id": call.call_id, "output": "a tall tower"},
    ]
    second = client.responses.create(model="claude-haiku-4-5", input=items, tools=TOOLS, max_output_tokens=99)
    assert "a tall tower" in second.output_text
    with pytest.raises(openai.NotFoundError, match="msg_nowhere"):
        client.responses.create(model="gpt-4o-mini", input=[{"type": "item_reference", "id": "msg_nowhere"}])


def test_files_of_the_platform_are_spoken_of_by_their_ids(
    client: openai.OpenAI, platform: Platform, upstream: Upstream, others: dict[str, Upstream]
) -> None:
    """In later turns, too: what is kept is the id."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    with platform.client() as admin:
        stored = admin.files.upload(("dot.png", out.getvalue(), "image/png"))
    parts: list[Any] = [
        {"type": "input_text", "text": "what is it"},
        {"type": "input_image", "file_id": stored.id, "detail": "auto"},
    ]
    first = client.responses.create(model="openai/gpt-4o-mini", input=[{"role": "user", "content": parts}])
    [call] = upstream.calls("/v1/responses")[-1:]
    assert call["body"]["input"][0]["content"][1]["image_url"].startswith("data:image/png;base64,")
    others["anthropic"].forget()
    client.responses.create(
        model="claude-haiku-4-5", input="and now", previous_response_id=first.id, max_output_tokens=99
    )
    [call] = others["anthropic"].calls("/v1/messages")
    assert [part["type"] for part in call["body"]["messages"][0]["content"]] == ["text", "image"]
    [item] = client.responses.input_items.list(first.id)
    assert stored.id in item.to_json()
    parts[1]["file_id"] = "file_none"
    with pytest.raises(openai.BadRequestError, match="file_none"):
        client.responses.create(model="gpt-4o-mini", input=[{"role": "user", "content": parts}])


def test_calls_are_in_the_usage(client: openai.OpenAI, platform: Platform) -> None:
    models = ["openai/gpt-4o-mini", "openai_compatible/echo", "claude-haiku-4-5", "gemini/gemini-2.5-flash"]
    with platform.client() as admin:
        key = admin.keys.create("counted responses", scopes=["invoke", "admin"])
        with openai.OpenAI(api_key=key.api_key, base_url=f"{platform.url}/v1") as counted:
            made = [
                counted.responses.create(model=model, input="one two", max_output_tokens=99)
                for model in models
            ]
            for model in models:
                with counted.responses.stream(model=model, input="one", max_output_tokens=99) as stream:
                    made.append(stream.get_final_response())
        [row] = admin.usage.get(key=key.id)
    used = [answer.usage for answer in made if answer.usage]
    assert row.requests == len(made) == len(used)
    assert row.prompt_tokens == sum(usage.input_tokens for usage in used)
    assert row.completion_tokens == sum(usage.output_tokens for usage in used)


def test_as_many_responses_as_tasks_are_under_way(platform: Platform, upstream: Upstream) -> None:
    with platform.client() as admin:
        key = admin.keys.create("one response", rate_limits={"concurrent_tasks": 1})
    with openai.OpenAI(api_key=key.api_key, base_url=f"{platform.url}/v1", max_retries=0) as one:
        for model in ("openai/gpt-4o-mini", "openai_compatible/echo"):
            with one.responses.create(model=model, input="a b [[hang=1]]", stream=True) as stream:
                next(iter(stream))
                with pytest.raises(openai.RateLimitError, match="as many calls under way"):
                    one.responses.create(model=model, input="x")
            hung_up(upstream)
            upstream.forget()


# What is kept


def test_a_response_is_retrieved_and_deleted(client: openai.OpenAI) -> None:
    made = client.responses.create(model="local/simulate", input="hi", metadata={"a": "b"})
    assert client.responses.retrieve(made.id).to_dict() == made.to_dict()
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError, match=made.id):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError, match="Previous response") as lost:
        client.responses.create(model="local/simulate", input="on", previous_response_id=made.id)
    assert lost.value.param == "previous_response_id"


def test_a_streamed_response_is_kept_before_its_last_event(client: openai.OpenAI) -> None:
    with client.responses.stream(model="gpt-4o-mini", input="hi") as stream:
        made = stream.get_final_response()
    assert client.responses.retrieve(made.id).output_text == made.output_text == "hi"


def test_what_is_not_to_be_kept_is_not(client: openai.OpenAI) -> None:
    made = client.responses.create(model="local/simulate", input="hi", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="local/simulate", input="on", previous_response_id=made.id)


def test_nothing_is_kept_where_a_setting_says_so() -> None:
    with (
        Platform({"NEXUS_RESPONSE_DAYS": "0"}) as platform,
        openai.OpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client,
    ):
        made = client.responses.create(model="local/simulate", input="hi", store=True)
        assert made.to_dict()["store"] is False
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)


def test_tokens_are_counted_without_a_call(client: openai.OpenAI, upstream: Upstream) -> None:
    first = client.responses.create(model="gpt-4o-mini", input="the lamp is lit")
    upstream.forget()
    short = client.responses.input_tokens.count(model="gpt-4o-mini", input="who lit it")
    long = client.responses.input_tokens.count(
        model="gpt-4o-mini", input="who lit it", previous_response_id=first.id, instructions="Be brief."
    )
    assert 0 < short.input_tokens < long.input_tokens
    assert upstream.calls() == []


def test_the_items_of_the_input_are_listed_in_pages(client: openai.OpenAI) -> None:
    first = client.responses.create(model="gpt-4o-mini", input="one")
    second = client.responses.create(model="gpt-4o-mini", input="two", previous_response_id=first.id)

    page = client.responses.input_items.list(second.id, limit=2, order="asc")
    assert page.has_more
    items: list[Any] = list(page)
    assert [item.content[0].text for item in items] == ["one", "one", "two"]
    assert [item.role for item in items] == ["user", "assistant", "user"]
    newest: list[Any] = list(client.responses.input_items.list(second.id))
    assert [item.id for item in newest] == [item.id for item in reversed(items)]
    for wrong in ({"after": "msg_nowhere"}, {"limit": "000000001999"}, {"limit": "0" * 9 + "9" * 5000}):
        with pytest.raises(openai.BadRequestError):
            client.responses.input_items.list(second.id, **wrong)  # type: ignore[arg-type]


def test_another_project_does_not_see_a_response(client: openai.OpenAI, platform: Platform) -> None:
    made = client.responses.create(model="local/simulate", input="hi")
    with platform.client() as admin:
        project = admin.projects.create("others")
        key = admin.keys.create("theirs", project=project.id)
    with openai.OpenAI(api_key=key.api_key, base_url=f"{platform.url}/v1") as theirs:
        for look in (
            lambda: theirs.responses.retrieve(made.id),
            lambda: theirs.responses.delete(made.id),
            lambda: theirs.responses.cancel(made.id),
            lambda: theirs.responses.input_items.list(made.id),
            lambda: theirs.responses.create(model="local/simulate", input="on", previous_response_id=made.id),
            lambda: theirs.responses.create(
                model="local/simulate", input=[{"type": "item_reference", "id": made.output[0].id or ""}]
            ),
        ):
            with pytest.raises(openai.NotFoundError):
                look()
    assert client.responses.retrieve(made.id)


# Errors


def test_what_cannot_be_done_is_said(client: openai.OpenAI) -> None:
    made = client.responses.create(model="local/simulate", input="hi")
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        client.responses.cancel(made.id)
    with pytest.raises(openai.BadRequestError, match="not the events"):
        client.responses.retrieve(made.id, stream=True)
    for field, value in (("background", True), ("conversation", "conv_1"), ("prompt", {"id": "pmpt_1"})):
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(model="local/simulate", input="hi", extra_body={field: value})
        assert refused.value.param == field
    with pytest.raises(openai.BadRequestError, match="OpenAI runs") as hosted:
        client.responses.create(model="claude-haiku-4-5", input="hi", tools=[{"type": "web_search"}])
    assert hosted.value.param == "tools.0.type"
    with pytest.raises(openai.BadRequestError) as empty:
        client.responses.create(model="local/simulate")
    assert empty.value.param == "input"


@pytest.mark.parametrize(
    ("directive", "kind", "model"),
    [
        ("status=400", openai.BadRequestError, "openai/gpt-4o"),
        ("status=429 retry_after=1", openai.RateLimitError, "openai/gpt-4o"),
        ("status=500", openai.InternalServerError, "openai/gpt-4"),
        ("status=503", openai.InternalServerError, "openai_compatible/gpt-4"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_each_failure_of_a_provider_is_its_class_and_is_not_tried_again(
    client: openai.OpenAI, upstream: Upstream, directive: str, kind: type[Exception], model: str, stream: bool
) -> None:
    upstream.forget()
    with pytest.raises(kind):
        client.responses.create(model=model, input=f"hi [[{directive}]]", stream=stream)
    assert len(upstream.calls()) <= 3


@pytest.mark.parametrize("directive", ["drop=3", "end=3", "error=3"])
@pytest.mark.parametrize("model", ["openai_compatible/gpt-4o", "openai/gpt-4o"])
def test_a_stream_that_breaks_ends_as_failed_and_with_an_error(
    raw: httpx.Client, client: openai.OpenAI, model: str, directive: str
) -> None:
    body = {"model": model, "input": f"{'word ' * 9}[[{directive}]]", "stream": True}
    with raw.stream("POST", "/responses", json=body) as answer:
        assert answer.status_code == 200
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert [event["type"] for event in events[-2:]] == ["response.failed", "error"]
    assert events[-1]["error"]["message"]
    failed = events[-2]["response"]
    assert failed["status"] == "failed"
    if model.startswith("openai_compatible"):
        assert "word" in failed["output"][0]["content"][0]["text"]
    assert client.responses.retrieve(failed["id"]).status == "failed"
    with pytest.raises(openai.BadRequestError, match="failed"):
        client.responses.create(model=model, input="on", previous_response_id=failed["id"])
    with (
        pytest.raises(openai.APIError),
        client.responses.stream(model=model, input=body["input"]) as stream,
    ):
        stream.get_final_response()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_that_hangs_up_closes_the_providers_connection(
    platform: Platform, upstream: Upstream, stream: bool
) -> None:
    upstream.forget()
    body = {"model": "openai_compatible/echo", "input": "a b [[hang=1]]" if stream else "a [[hang]]"}
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    with httpx.Client(base_url=f"{platform.url}/v1", headers=headers, timeout=1) as leaving:
        try:
            with leaving.stream("POST", "/responses", json={**body, "stream": stream}) as answer:
                for _ in answer.iter_lines():
                    break
        except httpx.ReadTimeout:
            pass
    hung_up(upstream)


def hung_up(upstream: Upstream) -> None:
    deadline = time.monotonic() + 20
    while not any(call["hung_up"] for call in upstream.calls()):
        assert time.monotonic() < deadline, "the provider is still being listened to"
        time.sleep(0.05)
