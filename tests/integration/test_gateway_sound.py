"""Speech under `/v1`: the sound reaches the client while the vendor makes it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from nexusai.testing import Platform
from tests.fixtures.wire import CLOSE, SILENCE, Part, WireRequest, WireServer, answer, serving

FIRST, SECOND = b"ID3first half", b"second half"
AUDIO = {"content_type": "audio/mpeg"}
VOICE: dict[str, Any] = {"voice": "alloy"}


class Vendor:
    """Speaks; what the text says it does in the middle of it."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: WireRequest) -> Iterator[Part]:
        asked = json.loads(request.body)
        self.asked.append(asked)
        if asked["input"] == "refuse":
            yield answer(b'{"error": {"message": "no such voice"}}', "400 Bad Request", **JSON)
            return
        if asked.get("stream_format") == "sse":
            yield from self._events(asked["input"])
            return
        yield answer(b"", content_length="", transfer_encoding="chunked", **AUDIO)
        yield chunk(FIRST)
        yield from self._middle(asked["input"])
        yield chunk(SECOND) + b"0\r\n\r\n"

    def _middle(self, text: str) -> Iterator[Part]:
        if text == "wait":
            assert self.go_on.wait(20)
        if text == "break":
            yield 0.05
            yield CLOSE
        if text == "silence":
            yield SILENCE

    def _events(self, text: str) -> Iterator[Part]:
        yield answer(b"", content_length="", transfer_encoding="chunked", content_type="text/event-stream")
        sound = {"type": "speech.audio.delta", "audio": base64.b64encode(FIRST).decode()}
        yield chunk(b"data: " + json.dumps(sound).encode() + b"\n\n")
        yield from self._middle(text)
        usage = {"input_tokens": 7, "output_tokens": 30, "total_tokens": 37}
        done = {"type": "speech.audio.done", "usage": usage}
        yield chunk(b"data: " + json.dumps(done).encode() + b"\n\n") + b"0\r\n\r\n"


JSON = {"content_type": "application/json"}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.fixture(scope="module")
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture(scope="module")
def server(vendor: Vendor) -> Iterator[WireServer]:
    with serving(vendor) as server:
        yield server


@pytest.fixture(scope="module")
def platform(server: WireServer) -> Iterator[Platform]:
    environ = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"{server.origin}/v1"}
    with Platform(environ) as platform:
        yield platform


@pytest.fixture
def client(platform: Platform, vendor: Vendor, server: WireServer) -> Iterator[openai.OpenAI]:
    vendor.go_on.clear()
    server.left.clear()
    with openai.OpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def admin(platform: Platform) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    with httpx.Client(base_url=platform.base_url, headers=headers, timeout=20) as client:
        yield client


def spoken(client: openai.OpenAI, text: str, **options: Any) -> Any:
    options = {"model": "tts-1", **VOICE, **options}
    return client.audio.speech.with_streaming_response.create(input=text, **options)


def test_the_first_sound_is_heard_before_the_vendor_has_made_the_last(
    client: openai.OpenAI, vendor: Vendor
) -> None:
    with spoken(client, "wait") as sound:
        pieces = sound.iter_bytes()
        first = next(pieces)
        vendor.go_on.set()
        rest = b"".join(pieces)

    assert first == FIRST
    assert rest == SECOND
    assert sound.headers["content-type"] == "audio/mpeg"


async def test_it_is_heard_by_the_asynchronous_client_as_well(platform: Platform, vendor: Vendor) -> None:
    vendor.go_on.clear()
    async with openai.AsyncOpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client:
        create = client.audio.speech.with_streaming_response.create
        async with create(model="tts-1", voice="alloy", input="wait") as sound:
            pieces = sound.iter_bytes()
            first = await anext(pieces)
            vendor.go_on.set()
            rest = b"".join([piece async for piece in pieces])
    assert (first, rest) == (FIRST, SECOND)


def test_what_it_costs_is_told_before_the_sound_and_counted_by_its_letters(
    client: openai.OpenAI, admin: httpx.Client
) -> None:
    with spoken(client, "hello") as sound:
        told = float(sound.headers["x-nexus-cost"].split()[0])
        sound.read()

    assert told == pytest.approx(15 * 5 / 1_000_000)
    rows = admin.get("/usage", params={"group_by": "model", "model": "tts-1"}).json()["data"]
    assert rows[0]["unpriced"] == 0
    assert rows[0]["cost"]["amount"] > 0


def test_a_sound_that_breaks_off_is_no_whole_one(client: openai.OpenAI) -> None:
    with spoken(client, "break") as sound:
        pieces = sound.iter_bytes()
        assert next(pieces) == FIRST
        with pytest.raises(Exception, match="incomplete chunked read"):
            next(pieces)


def test_a_client_that_hangs_up_closes_the_vendor(client: openai.OpenAI, server: WireServer) -> None:
    with spoken(client, "silence") as sound:
        assert next(sound.iter_bytes()) == FIRST

    assert server.left.wait(10)


def test_what_is_refused_has_a_status_of_its_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="no such voice"), spoken(client, "refuse"):
        pass


def events(sound: Any) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in sound.iter_lines() if line]


def test_events_of_the_vendor_pass_with_what_was_used(client: openai.OpenAI, vendor: Vendor) -> None:
    with spoken(client, "hello", model="gpt-4o-mini-tts", stream_format="sse") as sound:
        told = events(sound)

    assert [event["type"] for event in told] == ["speech.audio.delta", "speech.audio.done"]
    assert base64.b64decode(told[0]["audio"]) == FIRST
    assert told[1]["usage"]["total_tokens"] == 37
    assert vendor.asked[-1]["stream_format"] == "sse"


def test_events_are_made_of_sound_that_has_none(client: openai.OpenAI, vendor: Vendor) -> None:
    with spoken(client, "hello", stream_format="sse") as sound:
        told = events(sound)

    heard = b"".join(base64.b64decode(event["audio"]) for event in told[:-1])
    assert heard == FIRST + SECOND
    assert told[-1]["type"] == "speech.audio.done"
    assert "stream_format" not in vendor.asked[-1]


@pytest.mark.parametrize("model", ["gpt-4o-mini-tts", "tts-1"])
def test_events_that_break_off_end_with_an_error(client: openai.OpenAI, model: str) -> None:
    with spoken(client, "break", model=model, stream_format="sse") as sound:
        told = events(sound)

    assert told[0]["type"] == "speech.audio.delta"
    assert "error" in told[-1]


def test_a_provider_that_makes_it_whole_is_heard_too(client: openai.OpenAI) -> None:
    with spoken(client, "hello", model="local/speech", voice="en", response_format="wav") as sound:
        heard = sound.read()

    assert heard[:4] == b"RIFF"
    assert sound.headers["content-type"] == "audio/wav"


def test_translations_of_sound_say_what_to_do_instead(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="/v1/audio/transcriptions"):
        client.post("/audio/translations", cast_to=object)
