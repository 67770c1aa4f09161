"""Responses of a vendor that speaks this API itself: what passes as it is, and what is ours to say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai

from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream
from tests.fixtures.wire import CLOSE, WireServer, answer, chunked, serving

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
