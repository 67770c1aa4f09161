"""Responses of a vendor that speaks this API itself: what passes as it is, and what is ours to say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from nexusai.testing import Platform
from tests.fixtures import anthropic_upstream
from tests.fixtures.openai_upstream import Upstream
from tests.fixtures.wire import CLOSE, WireServer, answer, chunked, serving
from tests.integration.test_gateway_responses import TOOLS

USAGE = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
SEARCHED: dict[str, Any] = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "novel": {"a": 1.5},
}
THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA="}
SAID = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "It rains.", "annotations": [], "novel": 1}],
}
WHOLE: dict[str, Any] = {
    "id": "resp_theirs",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-5.1-2025",
    "output": [SEARCHED, THOUGHT, SAID],
    "previous_response_id": None,
    "store": False,
    "brand_new": [1.5],
    "usage": USAGE,
}


def event(number: int, kind: str, **facts: Any) -> bytes:
    told = {"type": kind, "sequence_number": number, **facts}
    return f"event: {kind}\ndata: {json.dumps(told)}\n\n".encode()


BEGUN = {**WHOLE, "status": "in_progress", "output": [], "usage": None}
EVENTS = [
    event(0, "response.created", response=BEGUN),
    event(1, "response.output_item.added", output_index=0, item=SEARCHED),
    event(2, "response.web_search_call.searching", item_id="ws_1", novel=1.50),
    event(3, "response.output_item.done", output_index=0, item=SEARCHED),
    event(4, "response.completed", response=WHOLE),
]


@contextmanager
def platform_before(*answers: object) -> Iterator[tuple[openai.OpenAI, WireServer, Platform]]:
    with serving(*answers) as vendor:  # type: ignore[arg-type]
        environ = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"{vendor.origin}/v1"}
        with (
            Platform(environ) as platform,
            openai.OpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client,
        ):
            yield client, vendor, platform


def whole(body: dict[str, Any] = WHOLE) -> bytes:
    return answer(json.dumps(body).encode(), content_type="application/json")


def sent(vendor: WireServer) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(vendor.requests[-1].body)
    return body


def test_fields_that_we_do_not_know_survive_both_ways() -> None:
    with platform_before(whole()) as (client, vendor, _):
        made = client.responses.create(
            model="openai/gpt-4o",
            input=[{"role": "user", "content": "rain?", "novel": [1.5]}],  # type: ignore[typeddict-unknown-key]
            tools=[{"type": "web_search"}],
            extra_body={"odd": {"x": 1}},
        )
        body = sent(vendor)
        assert body["input"] == [{"role": "user", "content": "rain?", "novel": [1.5]}]
        assert (body["model"], body["tools"], body["odd"]) == ("gpt-4o", [{"type": "web_search"}], {"x": 1})
        shown = made.to_dict(warnings=False)
        assert {name: shown[name] for name in ("output", "brand_new", "usage", "model")} == {
            name: WHOLE[name] for name in ("output", "brand_new", "usage", "model")
        }
        assert made.id.startswith("resp_0")
        assert client.responses.retrieve(made.id).to_dict(warnings=False) == shown


def test_the_state_is_ours_alone() -> None:
    with platform_before(whole()) as (client, vendor, _):
        first = client.responses.create(model="openai/gpt-5.1", input="rain?")
        body = sent(vendor)
        assert (body["store"], body["include"]) == (False, ["reasoning.encrypted_content"])
        assert body["input"] == "rain?"
        client.responses.create(
            model="openai/gpt-5.1", input="and now?", previous_response_id=first.id, store=True
        )
        body = sent(vendor)
        assert (body["store"], "previous_response_id" in body) == (False, False)
        assert body["input"] == [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "rain?"}]},
            SEARCHED,
            THOUGHT,
            SAID,
            {"role": "user", "content": [{"type": "input_text", "text": "and now?"}]},
        ]


def test_a_stream_passes_event_by_event() -> None:
    with platform_before(chunked(*EVENTS)) as (client, _, platform):
        headers = {"Authorization": f"Bearer {platform.api_key}"}
        body = {"model": "openai/gpt-5.1", "input": "rain?", "stream": True}
        heard = httpx.post(f"{platform.url}/v1/responses", json=body, headers=headers).content
        assert heard.count(b"\n\n") == len(EVENTS)
        for told in EVENTS[1:4]:
            assert told in heard
        last = json.loads(heard.rstrip().rpartition(b"data: ")[2])
        assert last == json.loads(EVENTS[4].rpartition(b"data: ")[2]) | {
            "response": WHOLE | {"id": last["response"]["id"], "store": True}
        }
        assert client.responses.retrieve(last["response"]["id"]).to_dict(warnings=False) == last["response"]
        with platform.client() as admin:
            [row] = admin.usage.get().data
            assert (row.prompt_tokens, row.completion_tokens) == (5, 7)


def test_a_stream_that_breaks_is_a_response_that_failed() -> None:
    with platform_before([chunked(*EVENTS[:4], end=False), CLOSE]) as (client, _, platform):
        headers = {"Authorization": f"Bearer {platform.api_key}"}
        body = {"model": "openai/gpt-5.1", "input": "rain?", "stream": True}
        heard = httpx.post(f"{platform.url}/v1/responses", json=body, headers=headers).content
        told = [json.loads(line[6:]) for line in heard.splitlines() if line.startswith(b"data: ")]
        assert [event["type"] for event in told[4:]] == ["response.failed", "error"]
        assert [event["sequence_number"] for event in told] == [0, 1, 2, 3, 4, 5]
        failed = told[4]["response"]
        assert (failed["status"], failed["output"]) == ("failed", [SEARCHED])
        assert client.responses.retrieve(failed["id"]).status == "failed"


def test_a_stream_that_breaks_before_its_response_began_tells_so_too() -> None:
    with platform_before(chunked(event(0, "response.queued", novel=1))) as (client, _, platform):
        headers = {"Authorization": f"Bearer {platform.api_key}"}
        body = {"model": "openai/gpt-4o", "input": "rain?", "stream": True}
        heard = httpx.post(f"{platform.url}/v1/responses", json=body, headers=headers).content
        told = [json.loads(line[6:]) for line in heard.splitlines() if line.startswith(b"data: ")]
        assert [event["type"] for event in told] == ["response.queued", "response.failed", "error"]
        failed = client.responses.retrieve(told[1]["response"]["id"])
        assert (failed.status, failed.model) == ("failed", "gpt-4o")


@pytest.mark.parametrize("left_out", ["model", "status", "id", "usage"])
def test_an_answer_that_says_less_than_openais_is_answered_and_kept(left_out: str) -> None:
    less = {name: value for name, value in WHOLE.items() if name != left_out}
    with platform_before(whole(less)) as (client, _, _platform):
        made = client.responses.create(model="openai/gpt-4o", input="rain?")
        assert made.model == ("gpt-4o" if left_out == "model" else WHOLE["model"])
        assert client.responses.retrieve(made.id).to_dict(warnings=False) == made.to_dict(warnings=False)


def test_a_response_that_fails_at_the_vendor_is_an_error_of_ours() -> None:
    failed = {**WHOLE, "status": "failed", "output": [], "error": {"code": "server_error", "message": "Oh."}}
    stream = chunked(EVENTS[0], event(1, "response.failed", response=failed))
    with platform_before(stream) as (_, _vendor, platform):
        headers = {"Authorization": f"Bearer {platform.api_key}"}
        body = {"model": "openai/gpt-4o", "input": "rain?", "stream": True}
        heard = httpx.post(f"{platform.url}/v1/responses", json=body, headers=headers).content
        told = [json.loads(line[6:]) for line in heard.splitlines() if line.startswith(b"data: ")]
        assert [event["type"] for event in told] == ["response.created", "response.failed", "error"]
        assert told[0]["response"]["id"] == told[1]["response"]["id"]


def test_thoughts_of_another_provider_stay_behind_when_a_conversation_moves(upstream: Upstream) -> None:
    """And those of OpenAI are there again when it comes back."""
    environ = {
        "OPENAI_API_KEY": upstream.api_key,
        "OPENAI_BASE_URL": upstream.base_url,
        "NEXUS_PROVIDER_API_KEY": upstream.api_key,
        "NEXUS_PROVIDER_BASE_URL": upstream.base_url,
        "NEXUS_PROVIDER_MODEL": "echo",
    }
    with (
        Platform(environ) as platform,
        openai.OpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client,
    ):
        last = None
        for model in ("openai/gpt-5.1", "openai_compatible/reasoner", "openai/gpt-5.1"):
            made = client.responses.create(model=model, input=f"to {model}", previous_response_id=last)
            assert made.output_text == f"to {model}"
            assert made.output[0].type == "reasoning"
            last = made.id
        upstream.forget()
        client.responses.create(model="openai/gpt-5.1", input="the end", previous_response_id=last)
    [call] = upstream.calls("/v1/responses")
    thoughts = [item for item in call["body"]["input"] if item.get("type") == "reasoning"]
    assert [thought["encrypted_content"] for thought in thoughts] == ["gAAAAA=="] * 2


def test_azure_answers_by_chats(upstream: Upstream) -> None:
    environ = {
        "AZURE_OPENAI_API_KEY": upstream.api_key,
        "AZURE_OPENAI_ENDPOINT": upstream.base_url.removesuffix("/v1"),
        "AZURE_OPENAI_DEPLOYMENT": "gpt-4o",
    }
    upstream.forget()
    with (
        Platform(environ) as platform,
        openai.OpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client,
    ):
        first = client.responses.create(model="azure/gpt-4o", input="one", text={"verbosity": "low"})
        with client.responses.stream(
            model="azure/gpt-4o", input="two three", previous_response_id=first.id
        ) as stream:
            assert stream.get_final_response().output_text == "two three"
    calls = upstream.calls()
    assert calls[0]["body"]["verbosity"] == "low"
    assert [message["content"] for message in calls[1]["body"]["messages"]] == ["one", "one", "two three"]


ROUTES = """
providers:
  shut: {{provider: openai, base_url: "{openai}", api_key: sk-wrong, max_retries: 0}}
  open: {{provider: openai, base_url: "{openai}", api_key: "{key}", max_retries: 0}}
  closed: {{provider: openai_compatible, base_url: "{openai}", api_key: sk-wrong, max_retries: 0}}
  claude: {{provider: anthropic, base_url: "{claude}", api_key: "{claude_key}", max_retries: 0}}
routes:
  thinker: {{deployments: [shut/gpt-5.1], fallbacks: [open/gpt-5.1]}}
  mixed: {{deployments: [closed/tools], fallbacks: [claude/claude-haiku-4-5]}}
"""


@pytest.mark.parametrize(("route", "answers"), [("thinker", "open"), ("mixed", "claude")])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_route_keeps_the_thoughts_of_whoever_answers(
    upstream: Upstream, tmp_path: Path, route: str, answers: str, stream: bool
) -> None:
    file = tmp_path / "nexus.yaml"
    with anthropic_upstream.running_upstream() as claude:
        told = {"openai": upstream.base_url, "key": upstream.api_key}
        file.write_text(ROUTES.format(**told, claude=claude.base_url, claude_key=claude.api_key))
        with (
            Platform({"NEXUS_CONFIG": str(file)}) as platform,
            openai.OpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client,
        ):

            def respond(**asked: Any) -> Any:
                asked |= {"model": route, "tools": TOOLS, "reasoning": {"effort": "low"}}
                if not stream:
                    made = client.responses.with_raw_response.create(**asked, max_output_tokens=5000)
                    assert made.headers["x-nexus-provider"] == answers
                    return made.parse()
                with client.responses.stream(**asked, max_output_tokens=5000) as events:
                    return events.get_final_response()

            first = respond(input="lighthouse")
            [call] = [item for item in first.output if item.type == "function_call"]
            result = {"type": "function_call_output", "call_id": call.call_id, "output": "a tall tower"}
            second = respond(input=[result], previous_response_id=first.id)
            assert "a tall tower" in second.output_text
        fake = upstream if answers == "open" else claude
        sent = json.dumps(fake.calls()[-1]["body"])
        assert ("gAAAAA==" if answers == "open" else '"signature"') in sent
