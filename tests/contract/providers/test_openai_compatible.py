"""The adapter over request/response pairs written from the public API references of OpenAI and the vendors.

A case has a `kind` (chat, stream, images, speech), the `config` and the `request`; then `sent` (path and
body), the `answer` or, for a stream, the blocks of `events`; and what comes out: `result`, `chunks`,
`images`, `sound`, or the `error` after them.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from nexusai._internal._streaming import SSEDecoder
from nexusai.providers import AdapterError, ChatRequest, ImageRequest, ProviderConfig, SpeechRequest
from nexusai.providers.adapters import openai_compatible
from nexusai.providers.media import ImageLink
from nexusai.providers.transport import HttpRequest, HttpResponse

CASES = sorted((Path(__file__).parents[2] / "fixtures/providers/openai_compatible").glob("*.json"))
REQUESTS = {"chat": ChatRequest, "stream": ChatRequest, "images": ImageRequest, "speech": SpeechRequest}
KEY = "sk-secret-key"
Case = dict[str, Any]


def cases(kind: str, key: str = "kind") -> list[Any]:
    """The cases of that kind which have that key."""
    read = {path.stem: json.loads(path.read_text("utf-8")) for path in CASES}
    return [
        pytest.param(case, id=name) for name, case in read.items() if case["kind"] == kind and key in case
    ]


def config_of(case: Case) -> ProviderConfig:
    facts = {"provider": "openai", "api_key": KEY, **case.get("config", {})}
    return ProviderConfig(**facts, base_url="https://vendor.example/v1", timeout=7.0)


def request_of(case: Case) -> Any:
    facts = dict(case["request"])
    if "size" in facts:
        facts["size"] = tuple(facts["size"])
    return REQUESTS[case["kind"]](**facts)


def answer_of(case: Case) -> HttpResponse:
    answer = case["answer"]
    body = answer.get("body", "")
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return HttpResponse(
        answer["status"], answer["headers"], base64.b64decode(answer.get("base64", "")) or raw
    )


def facts(thing: Any) -> Case:
    """The fields of a dataclass that say something."""
    found: Case = {}
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if field.name != "raw" and value not in (field.default, {}, None):
            found[field.name] = facts(value) if dataclasses.is_dataclass(value) else value
    return found


def check(error: AdapterError, expected: Case, case: Case) -> None:
    assert type(error).__name__ == expected["class"]
    assert error.provider == config_of(case).provider
    assert expected.get("message", "") in str(error)
    assert (config_of(case).api_key or "") not in str(error)
    assert "the prompt" not in str(error)
    found = {name: getattr(error, name) for name in expected if name not in ("class", "message")}
    assert found == {name: value for name, value in expected.items() if name not in ("class", "message")}


@pytest.mark.parametrize("case", [case for kind in REQUESTS for case in cases(kind, "sent")])
def test_the_request_is_sent_as_the_reference_says(case: Case):
    config, request = config_of(case), request_of(case)
    sent: HttpRequest = {
        "chat": lambda: openai_compatible.build_chat(config, request),
        "stream": lambda: openai_compatible.build_chat(config, request, stream=True),
        "images": lambda: openai_compatible.build_images(config, request),
        "speech": lambda: openai_compatible.build_speech(config, request),
    }[case["kind"]]()
    assert (sent.method, sent.url) == ("POST", "https://vendor.example/v1" + case["sent"]["path"])
    assert sent.headers == {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    assert json.loads(sent.body or b"") == case["sent"]["body"]
    assert sent.timeout == 7.0


@pytest.mark.parametrize("case", cases("chat"))
def test_a_whole_answer(case: Case):
    def parse() -> Any:
        return openai_compatible.parse_chat(config_of(case), request_of(case), answer_of(case))

    if "error" in case:
        with pytest.raises(AdapterError) as failure:
            parse()
        check(failure.value, case["error"], case)
    else:
        assert facts(parse()) == case["result"]


@pytest.mark.parametrize("size", [1_000_000, 7, 1], ids=["whole", "by seven bytes", "by single bytes"])
@pytest.mark.parametrize("case", cases("stream"))
def test_a_streamed_answer(case: Case, size: int):
    body = "".join(block + "\n\n" for block in case["events"]).encode()
    parser = openai_compatible.chat_stream(config_of(case), request_of(case))
    decoder, chunks = SSEDecoder(), []

    def parse() -> None:
        for start in range(0, len(body), size):
            for event in decoder.feed(body[start : start + size]):
                chunks.extend(parser.feed(event))
        chunks.extend(parser.end())

    if "error" in case:
        with pytest.raises(AdapterError) as failure:
            parse()
        check(failure.value, case["error"], case)
    else:
        parse()
        assert parser.done == ("data: [DONE]" in case["events"])
    assert [facts(chunk) for chunk in chunks] == case["chunks"]


@pytest.mark.parametrize("case", cases("images"))
def test_pictures(case: Case):
    def parse() -> Any:
        return openai_compatible.parse_images(config_of(case), request_of(case), answer_of(case))

    if "error" in case:
        with pytest.raises(AdapterError) as failure:
            parse()
        check(failure.value, case["error"], case)
        return
    pictures, usage = parse()
    assert [picture_facts(picture) for picture in pictures] == case["images"]
    assert (usage and facts(usage)) == case["usage"]


def picture_facts(picture: Any) -> Case:
    found = facts(picture)
    if isinstance(picture, ImageLink):
        return found
    return {"base64": base64.b64encode(found.pop("data")).decode(), **found}


@pytest.mark.parametrize("case", cases("speech"))
def test_sound(case: Case):
    def parse() -> Any:
        return openai_compatible.parse_speech(config_of(case), request_of(case), answer_of(case))

    if "error" in case:
        with pytest.raises(AdapterError) as failure:
            parse()
        check(failure.value, case["error"], case)
        return
    speech = parse()
    assert speech.format == case["sound"]["format"]
    assert base64.b64encode(speech.data).decode() == case["sound"]["base64"]
