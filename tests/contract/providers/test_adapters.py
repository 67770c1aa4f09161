"""Every adapter over request/response pairs written from the vendors' public API references."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest

from nexusai.providers import AdapterError, ProviderConfig
from nexusai.providers.adapters.vendors import VENDORS
from nexusai.providers.transport import HttpRequest
from tests.fixtures.adapter_cases import CASES, FOLDERS, KEY, Case, Vendor, config_of


def cases(chosen: Callable[[Case], bool]) -> Any:
    found = [pytest.param(case, id=f"{case['adapter']}-{case['name']}") for case in CASES if chosen(case)]
    return pytest.mark.parametrize("case", found)


def facts(thing: Any) -> Any:
    """The fields of a dataclass that say something, down to plain values."""
    if isinstance(thing, bytes):
        return base64.b64encode(thing).decode()
    if isinstance(thing, list | tuple):
        return [facts(item) for item in thing]
    if not dataclasses.is_dataclass(thing):
        return thing
    found = {field: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.name != "raw"}
    return {
        field.name: facts(value)
        for field, value in found.items()
        if value != field.default and value not in ({}, None)
    }


def check(error: AdapterError, case: Case) -> None:
    expected, config = case["error"], config_of(case)
    assert type(error).__name__ == expected["class"]
    assert error.provider in (None, config.provider)
    assert expected.get("message", "") in str(error)
    assert (config.api_key or "") not in str(error)
    assert "the prompt" not in str(error)
    found = {name: getattr(error, name) for name in expected if name not in ("class", "message")}
    assert found == {name: value for name, value in expected.items() if name not in ("class", "message")}


def form_of(sent: HttpRequest) -> list[Case]:
    """The parts of a form, as an independent parser reads them."""
    head = f"content-type: {sent.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + (sent.body or b""))
    return [form_part(part) for part in message.iter_parts()]  # type: ignore[attr-defined]


def form_part(part: Any) -> Case:
    name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
    if part.get_filename() is None:
        return {"name": name, "value": content.decode()}
    return {
        "name": name,
        "filename": part.get_filename(),
        "media_type": part.get_content_type(),
        "base64": base64.b64encode(content).decode(),
    }


def check_sent(sent: HttpRequest, expected: Case, config: ProviderConfig) -> None:
    url = expected.get("url") or f"{config.base_url}{expected['path']}"
    assert (sent.method, sent.url) == (expected.get("method", "POST"), url)
    assert sent.timeout == 7.0
    assert KEY not in sent.url
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    wanted: Mapping[str, str] = expected.get("headers", headers)
    if "form" in expected:
        assert form_of(sent) == expected["form"]
        wanted = {**wanted, "content-type": sent.headers["content-type"]}
    elif "body" in expected:
        assert json.loads(sent.body or b"") == expected["body"]
    else:
        assert not sent.body
    assert sent.headers == wanted


@cases(lambda case: "sent" in case or "exchanges" in case)
def test_the_requests_are_sent_as_the_reference_says(case: Case):
    vendor = Vendor(case)
    with contextlib.suppress(AdapterError):
        vendor.run()
    for at, exchange in enumerate(case.get("exchanges", [case])):
        if "sent" in exchange:
            check_sent(vendor.sent[at], exchange["sent"], config_of(case))


@cases(lambda case: "error" in case and case["kind"] != "stream")
def test_what_goes_wrong(case: Case):
    with pytest.raises(AdapterError) as failure:
        Vendor(case).run()
    check(failure.value, case)


@cases(lambda case: "result" in case)
def test_an_answer(case: Case):
    vendor = Vendor(case)
    assert facts(vendor.run()) == case["result"]
    assert len(vendor.sent) == len(case.get("exchanges", [case]))


@pytest.mark.parametrize("piece", [1_000_000, 7, 1], ids=["whole", "by seven bytes", "by single bytes"])
@cases(lambda case: case["kind"] == "stream")
def test_a_streamed_answer(case: Case, piece: int):
    vendor = Vendor(case, piece)
    if "error" in case:
        with pytest.raises(AdapterError) as failure:
            vendor.run()
        check(failure.value, case)
    else:
        vendor.run()
    assert facts(vendor.emitted) == case["chunks"]


@cases(lambda case: "images" in case)
def test_pictures(case: Case):
    answer = Vendor(case).run()
    pictures = [
        {"base64" if key == "data" else key: value for key, value in facts(image).items()}
        for image in answer.images
    ]
    assert pictures == case["images"]
    assert (answer.usage and facts(answer.usage)) == case.get("usage")


@cases(lambda case: "sound" in case)
def test_sound(case: Case):
    speech = Vendor(case).run()
    assert {"format": speech.format, "base64": facts(speech.data)} == case["sound"]


def parts(case: Case) -> list[Case]:
    contents = [message.get("content") for message in case["request"].get("messages", ())]
    return [part for content in contents if isinstance(content, list) for part in content]


def roles(case: Case) -> set[str]:
    return {message["role"] for message in case["request"].get("messages", ())}


def results(case: Case) -> list[Case]:
    """The answer, or its chunks."""
    return [case["result"]] if isinstance(case.get("result"), dict) else case.get("chunks", [])


def picture(scheme: str) -> Callable[[Case], bool]:
    def found(case: Case) -> bool:
        return any(str((part.get("image_url") or {}).get("url")).startswith(scheme) for part in parts(case))

    return found


def says(name: str, kind: str) -> Callable[[Case], bool]:
    return lambda case: case["kind"] == kind and any(name in result for result in results(case))


def counted(name: str) -> Callable[[Case], bool]:
    return lambda case: any(name in (result.get("usage") or {}) for result in results(case))


def fails(name: str) -> Callable[[Case], bool]:
    return lambda case: case.get("error", {}).get("class") == name and "answer" in case


def breaks(message: str) -> Callable[[Case], bool]:
    return lambda case: (
        case["kind"] == "stream" and bool(re.search(message, case.get("error", {}).get("message", "")))
    )


def indexes(case: Case) -> set[int]:
    return {call.get("index") for chunk in case.get("chunks", ()) for call in chunk.get("tool_calls", ())}


SHOWN: dict[str, tuple[str, Callable[[Case], bool]]] = {
    "a plain answer": ("chat", says("content", "chat")),
    "a plain stream": ("stream", says("delta", "stream")),
    "a finish reason that is not stop": ("chat", lambda case: "length" in json.dumps(results(case))),
    "tools": ("tools", says("tool_calls", "chat")),
    "parallel tools in a stream": ("tools", lambda case: len(indexes(case)) > 1),
    "results of tools": ("tools", lambda case: "tool" in roles(case) and "sent" in case),
    "system and developer": ("chat", lambda case: {"system", "developer"} <= roles(case) and "sent" in case),
    "a picture by its URL": ("vision", picture("https:")),
    "a picture as a data URI": ("vision", picture("data:")),
    "a picture as bytes": ("vision", lambda case: any("data" in part for part in parts(case))),
    "a JSON schema": ("json_schema", lambda case: "json_schema" in json.dumps(case["request"])),
    "reasoning": ("reasoning", says("reasoning", "chat")),
    "reasoning in a stream": ("reasoning", says("reasoning", "stream")),
    "reasoning that is asked for": ("reasoning", lambda case: "reasoning_effort" in case["request"]),
    "tokens of a cache": ("chat", counted("cached_tokens")),
    "tokens of reasoning": ("reasoning", counted("reasoning_tokens")),
    "tokens that nobody counted": ("chat", lambda case: "estimate" in json.dumps(results(case))),
    "a key that is refused": ("chat", fails("AuthenticationError")),
    "a request that is refused": ("chat", fails("ValidationError")),
    "too many requests": ("chat", fails("RateLimitError")),
    "a vendor that is overloaded": ("chat", fails("RetryableError")),
    "too long a prompt": ("chat", fails("ContextWindowError")),
    "filtered content": ("chat", fails("ContentFilterError")),
    "a stream that is cut": ("stream", breaks("early|in the middle|cut")),
    "a chunk that is no JSON": ("stream", breaks("JSON")),
    "an error in a stream": ("stream", lambda case: "error" in case and "status" in case["error"]),
    "letters of many bytes": ("stream", lambda case: "\\u" in json.dumps(case.get("chunks"))),
    "events that nobody knows": ("stream", lambda case: "unknown_event" in case["name"]),
    "answers without a candidate": ("chat", lambda case: "empty" in case["name"]),
}

LACKS = {"coze": {"a finish reason that is not stop", "tokens of a cache", "tokens of reasoning"}}
"""What an API has no words for."""


def test_every_adapter_has_cases():
    assert {folder.name for folder in FOLDERS} >= {vendor.adapter for vendor in VENDORS.values()}


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("adapter", [folder.name for folder in FOLDERS])
def test_every_adapter_shows(adapter: str, shown: str):
    capability, chosen = SHOWN[shown]
    if capability in VENDORS[adapter].capabilities and shown not in LACKS.get(adapter, ()):
        assert any(chosen(case) for case in CASES if case["adapter"] == adapter)
