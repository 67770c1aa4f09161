"""Zhipu against an independent implementation of its API: types and client of its own package, `zai`."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest
from zai import ZhipuAiClient
from zai.api_resource.audio.audio import Audio
from zai.api_resource.audio.transcriptions import Transcriptions
from zai.api_resource.chat.completions import Completions
from zai.api_resource.embeddings.embeddings import Embeddings
from zai.api_resource.images.images import Images
from zai.types.chat.chat_completion import Completion
from zai.types.chat.chat_completion_chunk import Choice
from zai.types.embeddings import EmbeddingsResponded
from zai.types.image import ImagesResponded

from nexusai.providers import AdapterError, Client
from tests.fixtures.adapter_cases import CASES, Case, Vendor
from tests.fixtures.openai_answers import wav
from tests.fixtures.openai_upstream import Upstream, running_upstream

ZHIPU = [case for case in CASES if case["adapter"] == "zhipu"]
TYPES: dict[str, Any] = {"chat": Completion, "embeddings": EmbeddingsResponded, "images": ImagesResponded}
CALLS: dict[str, Any] = {
    "chat": Completions.create,
    "stream": Completions.create,
    "images": Images.generations,
    "speech": Audio.speech,
    "transcription": Transcriptions.create,
    "embeddings": Embeddings.create,
}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("weather", "time")
]
ASKED: Any = [{"role": "user", "content": "London"}]


def named(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in cases])


@named([case for case in ZHIPU if case["kind"] in TYPES and ("result" in case or "images" in case)])
def test_the_answers_of_the_cases_are_of_the_packages_types(case: Case):
    [answer, *_] = case.get("exchanges", [case])
    body = answer["answer"]["body"]
    if "usage" in body or case["kind"] == "images":
        TYPES[case["kind"]].model_validate(body)


@named([case for case in ZHIPU if case["kind"] == "stream" and "error" not in case])
def test_the_chunks_of_the_cases_are_of_the_packages_types(case: Case):
    for block in case["events"]:
        data = block.rpartition("data: ")[2]
        if data.startswith("{"):
            for choice in json.loads(data).get("choices", ()):
                Choice.model_validate(choice)


@named([case for case in ZHIPU if "sent" in case and "body" in case["sent"]])
def test_the_package_knows_every_field_that_is_sent(case: Case):
    known = inspect.signature(CALLS[case["kind"]]).parameters
    run = Vendor(case)
    with contextlib.suppress(AdapterError):
        run.run()
    assert json.loads(run.sent[0].body or b"").keys() <= known.keys()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def official(upstream: Upstream) -> ZhipuAiClient:
    return ZhipuAiClient(api_key=upstream.api_key, base_url=upstream.base_url, max_retries=0, timeout=5)


@pytest.fixture
def own(upstream: Upstream) -> Iterator[Client]:
    with Client("zhipu", api_key=upstream.api_key, base_url=upstream.base_url) as client:
        yield client


def test_both_get_the_same_answer(official: ZhipuAiClient, own: Client):
    theirs = official.chat.completions.create(model="tools", messages=ASKED, tools=TOOLS)
    ours = own.chat(model="tools", messages=ASKED, tools=TOOLS)
    calls = theirs.choices[0].message.tool_calls
    assert ours.tool_calls == [call.model_dump() for call in calls]
    assert ours.finish_reason == theirs.choices[0].finish_reason
    assert (ours.usage.prompt_tokens, ours.usage.completion_tokens) == (
        theirs.usage.prompt_tokens,
        theirs.usage.completion_tokens,
    )


def test_both_read_the_same_stream(official: ZhipuAiClient, own: Client):
    theirs = list(official.chat.completions.create(model="reasoner", messages=ASKED, stream=True))
    ours = list(own.chat(model="reasoner", messages=ASKED, stream=True))
    deltas = [choice.delta for chunk in theirs for choice in chunk.choices]
    assert "".join(chunk.delta for chunk in ours) == "".join(delta.content or "" for delta in deltas)
    thoughts = "".join(delta.reasoning_content or "" for delta in deltas)
    assert "".join(chunk.reasoning or "" for chunk in ours) == thoughts == "Let me think."
    assert ours[-1].reasoning_blocks == [{"reasoning_content": thoughts}]


def test_both_send_the_same(upstream: Upstream, official: ZhipuAiClient, own: Client):
    schema = {"type": "json_object"}
    official.chat.completions.create(
        model="echo",
        messages=ASKED,
        tools=TOOLS,
        tool_choice="auto",
        max_tokens=9,
        temperature=0.5,
        stop=["\n"],
        response_format=schema,
        thinking={"type": "enabled"},
        reasoning_effort="low",
    )
    own.chat(
        model="echo",
        messages=ASKED,
        tools=TOOLS,
        tool_choice="auto",
        max_tokens=9,
        temperature=0.5,
        stop=["\n"],
        response_format=schema,
        reasoning_effort="minimal",
    )
    theirs, ours = upstream.calls()[-2:]
    assert (ours["target"], ours["body"]) == (theirs["target"], theirs["body"])
    assert ours["headers"]["authorization"] == theirs["headers"]["authorization"]


def test_vectors_and_sound(official: ZhipuAiClient, own: Client):
    theirs = official.embeddings.create(model="text-embedding-3-small", input=["你好"], dimensions=4)
    ours = own.embed(["你好"], model="text-embedding-3-small", dimensions=4)
    assert list(ours.embeddings[0]) == theirs.data[0].embedding
    spoken = official.audio.speech(model="tts-1", input="你好", voice="tongtong", response_format="wav")
    assert own.synthesize("你好", model="tts-1").data == spoken.content


def test_what_is_heard(own: Client):
    assert own.transcribe(wav("hello"), model="whisper-1", timestamps=True).text == "Hello."
