from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai._internal._streaming import ServerSentEvent
from nexusai.providers import AdapterError, ChatRequest, ImageRequest, ProviderConfig
from nexusai.providers.adapters import openai_compatible
from nexusai.providers.adapters.openai_stream import ChatStream
from nexusai.providers.errors import AuthenticationError, ValidationError
from nexusai.providers.transport import HttpRequest, HttpResponse

HI = [{"role": "user", "content": "hi"}]


def test_what_json_has_no_form_for_is_named():
    request = ChatRequest("m", HI, extra={"logit_bias": {"a": {1}}})
    with pytest.raises(ValidationError, match="cannot be written as JSON: Object of type set"):
        openai_compatible.build_chat(ProviderConfig("openai", "k", "https://x"), request)


def test_a_key_with_letters_that_no_key_has_is_named_by_its_variable():
    with pytest.raises(AuthenticationError, match="the key in GROQ_API_KEY has characters"):
        openai_compatible.build_chat(ProviderConfig("groq", "ключ", "https://x"), ChatRequest("m", HI))


def test_no_key_no_header():
    sent = openai_compatible.build_chat(ProviderConfig("ollama", None, "http://x"), ChatRequest("m", HI))
    assert sent.headers == {"content-type": "application/json"}


def test_a_picture_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nexusai.providers.adapters.openai_media._MOST_BYTES", 9)
    assert openai_compatible.ADAPTER.images is not None
    flow = openai_compatible.ADAPTER.images(
        ProviderConfig("together", "k", "https://x"), ImageRequest("m", "a cat")
    )
    assert isinstance(next(flow), HttpRequest)
    link = json.dumps({"data": [{"url": "https://pictures.example/1.png"}]}).encode()
    assert flow.send(HttpResponse(200, {}, link)) == HttpRequest("GET", "https://pictures.example/1.png")
    with pytest.raises(AdapterError, match="more than 9 bytes"):
        flow.send(HttpResponse(200, {}, b"\x89PNG\r\n\x1a\n..."))


@given(status=st.integers(300, 599), body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_an_error_looks_like_it_is_an_adapter_error_without_the_key(status: int, body: bytes):
    config = ProviderConfig("groq", "sk-1234", "https://vendor.example")
    assert openai_compatible.ADAPTER.parse_error is not None
    error = openai_compatible.ADAPTER.parse_error(config, "m", HttpResponse(status, {}, body + b" sk-1234"))
    assert isinstance(error, AdapterError)
    assert "sk-1234" not in str(error)


def test_a_stream_that_says_nothing_more_is_over_after_done():
    parser = ChatStream(ProviderConfig("openai", "k", "https://x"), ChatRequest("m", HI))
    assert (parser.feed(ServerSentEvent(data="[DONE]")), parser.done) == ([], True)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3), st.text(max_size=20))
def test_a_form_holds_what_was_put_in(pictures: list[bytes], prompt: str):
    request = ImageRequest("gpt-image-2", prompt, images=pictures)
    sent = openai_compatible.build_images(ProviderConfig("openai", "k", "https://x"), request)
    boundary = sent.headers["content-type"].partition("boundary=")[2].encode()
    assert sent.body is not None
    parts = sent.body.split(b"--" + boundary)
    assert (parts[0], parts[-1]) == (b"", b"--\r\n")
    contents = [part.partition(b"\r\n\r\n")[2][:-2] for part in parts[1:-1]]
    assert contents[-len(pictures) :] == pictures
    assert prompt.encode("utf-8", "replace") in contents
