from __future__ import annotations

from typing import Any

import pytest

from nexusai.providers.types import Cost, SpeechRequest, SpeechResponse
from nexusai.server.http import Problem
from nexusai.server.tasks.kinds import KINDS
from tests.fixtures.jobs import Attempt, Vendor
from tests.fixtures.server import PROJECT
from tests.fixtures.sounds import endless, wav

TEXT = b'{"text":"Hello"}'


def half_a_second() -> bytes:
    return wav((0.5, 0), rate=8000)


def attempt(data: bytes | None = None, format: str = "wav", **answer: Any) -> Attempt:
    sound = half_a_second() if data is None else data
    return Attempt("text_to_speech", Vendor(SpeechResponse(sound, format, "used-model", **answer)))


async def test_the_text_alone_is_enough():
    tried = attempt()

    await tried.run(TEXT)

    assert tried.request == SpeechRequest("given-model", "Hello")


async def test_the_config_goes_to_the_provider():
    tried = attempt()

    await tried.run(
        TEXT, {"voice": "ann", "format": "mp3", "speed": 1.5, "pitch": 2, "cancel_on_disconnect": False}
    )

    assert tried.request == SpeechRequest("given-model", "Hello", "ann", "mp3", 1.5, extra={"pitch": 2})


@pytest.mark.parametrize(
    ("input", "config", "loc"),
    [
        (b"{}", {}, ["input", "text"]),
        (b'{"text":""}', {}, ["input", "text"]),
        (b'{"text":"%s"}' % (b"x" * 100_001), {}, ["input", "text"]),
        (b'{"text":"a","voice":"b"}', {}, ["input", "voice"]),
        (TEXT, {"speed": 0}, ["config", "speed"]),
        (TEXT, {"speed": 4.1}, ["config", "speed"]),
        (TEXT, {"format": None}, ["config", "format"]),
        (TEXT, {"voice": 1}, ["config", "voice"]),
    ],
)
def test_what_is_wrong_is_named(input: bytes, config: dict[str, Any], loc: list[str]):
    with pytest.raises(Problem) as refused:
        KINDS["text_to_speech"].parse(input, config)

    assert refused.value.errors[0]["loc"] == loc


async def test_the_sound_is_kept_with_its_length():
    tried = attempt(cost=Cost(0.0), extra={"demo": True})

    output = await tried.run(TEXT)

    assert output == {
        "file_id": "file_1",
        "format": "wav",
        "duration": 0.5,
        "provider": "vendor",
        "model": "used-model",
        "cost": {"amount": 0.0, "currency": "USD", "estimated": False},
        "demo": True,
    }
    assert tried.media.kept["file_1"] == (PROJECT, "speech.wav", "audio/wav", half_a_second())


@pytest.mark.parametrize(
    ("format", "media_type"),
    [
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("pcm", "audio/L16"),
        ("m4a", "audio/mp4"),
        ("flac", "audio/flac"),
    ],
)
async def test_the_file_says_what_it_is(format: str, media_type: str):
    tried = attempt(format=format)

    await tried.run(TEXT)

    _, filename, kept, _ = tried.media.kept["file_1"]
    assert (filename, kept) == (f"speech.{format}", media_type)


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 100, b"RIFF", b"ID3\x04", b"OggS" + b"\xff" * 50, b"fLaC", b"RIFF" + bytes(90)]
)
async def test_a_sound_that_does_not_tell_its_length_has_none(data: bytes):
    assert (await attempt(data).run(TEXT))["duration"] is None


async def test_the_length_of_a_sound_that_was_streamed_is_counted():
    assert (await attempt(endless(half_a_second())).run(TEXT))["duration"] == 0.5


async def test_a_wav_without_a_sample_has_no_length():
    assert (await attempt(wav()).run(TEXT))["duration"] is None


async def test_the_link_is_made_when_the_output_is_shown():
    tried = attempt()

    assert tried.shown(await tried.run(TEXT), "https://x/{}".format)["audio_url"] == "https://x/file_1"
