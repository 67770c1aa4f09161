from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nexusai.providers.errors import CapabilityError, RateLimitError
from nexusai.providers.types import (
    Cost,
    Segment,
    SoundLimit,
    TranscriptionRequest,
    TranscriptionResponse,
    Usage,
)
from nexusai.server.http import Problem
from nexusai.server.tasks.kinds import KINDS
from tests.fixtures.jobs import Attempt, Vendor
from tests.fixtures.server import OTHER_PROJECT
from tests.fixtures.sounds import CODECS, encoded, endless, seconds_of, wav

FILE = b'{"file_id":"file_1"}'
SPEECH = wav((1.8, 9000), (0.4, 0), (1.8, 9000), (0.4, 0), (1.8, 9000))
"""Three sentences with pauses at 1.8 and 4.0 seconds; 6.2 in all."""


def attempt(data: bytes = SPEECH, filename: str = "talk.wav", answer: Any = None, **vendor: Any) -> Attempt:
    heard = answer or TranscriptionResponse("hello", "used-model")
    tried = Attempt("speech_to_text", Vendor(heard, **vendor))
    tried.media.put(filename, data)
    return tried


@pytest.fixture
def without_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is for child processes where PyAV is not installed."""
    pytest.importorskip("av")
    (tmp_path / "av.py").write_text("raise ImportError('not here')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


def number_of(request: TranscriptionRequest) -> str:
    return request.filename.removeprefix("part-").removesuffix(".wav")


async def test_the_file_alone_is_enough():
    tried = attempt()

    await tried.run(FILE)

    assert tried.request == TranscriptionRequest("given-model", SPEECH, "talk.wav")


async def test_the_config_goes_to_the_provider():
    tried = attempt()

    await tried.run(
        FILE,
        {
            "language": "zh",
            "timestamps": True,
            "prompt": "Nexus",
            "temperature": 0,
            "cancel_on_disconnect": True,
        },
    )

    assert tried.request == TranscriptionRequest(
        "given-model", SPEECH, "talk.wav", "zh", "Nexus", True, {"temperature": 0}
    )


@pytest.mark.parametrize(
    ("input", "config", "loc"),
    [
        (b"{}", {}, ["input", "file_id"]),
        (b'{"file_id":""}', {}, ["input", "file_id"]),
        (b'{"file_id":1}', {}, ["input", "file_id"]),
        (b'{"file_id":"file_1","url":"x"}', {}, ["input", "url"]),
        (FILE, {"language": "e"}, ["config", "language"]),
        (FILE, {"timestamps": "yes"}, ["config", "timestamps"]),
        (FILE, {"prompt": 1}, ["config", "prompt"]),
    ],
)
def test_what_is_wrong_is_named(input: bytes, config: dict[str, Any], loc: list[str]):
    with pytest.raises(Problem) as refused:
        KINDS["speech_to_text"].parse(input, config)

    assert refused.value.errors[0]["loc"] == loc


@pytest.mark.parametrize("file_id", ["file_9", "file_2"])
async def test_a_file_that_is_not_the_project_s_is_not_there(file_id: str):
    tried = attempt()
    tried.media.put("theirs.wav", SPEECH, OTHER_PROJECT)

    with pytest.raises(Problem, match=f"there is no file '{file_id}'"):
        await tried.run(f'{{"file_id":"{file_id}"}}'.encode())


async def test_what_was_heard_is_the_output_and_the_length_is_measured():
    answer = TranscriptionResponse(
        "hello",
        "used-model",
        language="en",
        duration=7.0,
        segments=[Segment(0.5, 1.5, "hello")],
        usage=Usage(7, 2),
        cost=Cost(0.001),
        extra={"demo": True},
    )

    output = await attempt(answer=answer).run(FILE)

    assert output == {
        "text": "hello",
        "language": "en",
        "duration": 6.2,
        "segments": [{"start": 0.5, "end": 1.5, "text": "hello"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9, "source": "provider"},
        "provider": "vendor",
        "model": "used-model",
        "cost": {"amount": 0.001, "currency": "USD", "estimated": False},
        "demo": True,
    }


async def test_what_the_provider_does_not_say_is_left_out():
    output = await attempt().run(FILE)

    assert output == {
        "text": "hello",
        "language": None,
        "duration": 6.2,
        "provider": "vendor",
        "model": "used-model",
        "cost": None,
    }


@pytest.mark.parametrize("container", CODECS)
async def test_the_length_of_a_compressed_recording_is_measured(container: str):
    pytest.importorskip("av")

    output = await attempt(encoded(SPEECH, container), f"talk.{container}").run(FILE)

    assert output["duration"] == pytest.approx(6.2, abs=0.11)


@pytest.mark.parametrize("data", [endless(SPEECH), SPEECH[:40] + bytes(4) + SPEECH[44:]])
async def test_a_header_that_is_wrong_about_the_length_is_not_believed(data: bytes):
    pytest.importorskip("av")

    assert (await attempt(data).run(FILE))["duration"] == 6.2


@pytest.mark.parametrize("container", ["mp3", "flac", "m4a"])
async def test_without_a_decoder_the_length_is_what_the_header_says(container: str, without_decoder: None):
    output = await attempt(encoded(SPEECH, container), f"talk.{container}").run(FILE)

    assert output["duration"] == pytest.approx(6.2, abs=0.11)


async def test_without_a_decoder_a_length_that_no_header_says_is_not_told(without_decoder: None):
    assert (await attempt(encoded(SPEECH, "webm")).run(FILE))["duration"] is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello", "no recording that can be read: wav, mp3"),
        (b"RIFF", "no recording"),
        (b"ID3\x04" + b"\xff" * 90, "no recording"),
        (b"fLaC", "no recording"),
        (b"OggS" + bytes(60), "no recording"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "no recording"),
    ],
)
async def test_what_is_no_recording_is_refused_before_a_provider_is_asked(data: bytes, reason: str):
    pytest.importorskip("av")
    tried = attempt(data)

    with pytest.raises(Problem, match=reason) as refused:
        await tried.run(FILE)

    assert (refused.value.code, refused.value.errors[0]["loc"]) == ("INVALID_REQUEST", ["input", "file_id"])
    assert tried.vendor.asked == []


@pytest.mark.parametrize(
    ("filename", "sent"),
    [
        ("Talk of Monday.WAV", "Talk of Monday.WAV"),
        ("会议.mp3", "会议.wav"),
        ("recording", "recording.wav"),
        ("blob.bin", "blob.wav"),
        ("Dr. No", "Dr.wav"),
    ],
)
async def test_a_name_is_given_the_ending_that_is_right(filename: str, sent: str):
    tried = attempt(filename=filename)

    await tried.run(FILE)

    assert tried.request.filename == sent


@pytest.mark.parametrize(
    ("container", "filename", "sent"),
    [
        ("webm", "recording.wav", "recording.webm"),
        ("ogg", "talk.opus", "talk.ogg"),
        ("ogg", "talk.oga", "talk.oga"),
        ("mp4", "talk.mp4", "talk.mp4"),
        ("m4a", "talk", "talk.m4a"),
        ("mp3", "talk.mpga", "talk.mpga"),
        ("flac", "talk.mp3", "talk.flac"),
    ],
)
async def test_the_ending_goes_by_the_bytes(container: str, filename: str, sent: str):
    pytest.importorskip("av")
    tried = attempt(encoded(SPEECH, container), filename)

    await tried.run(FILE)

    assert tried.request.filename == sent


def echo(request: TranscriptionRequest) -> TranscriptionResponse:
    """Hears in each piece its number, from its beginning to its end."""
    said, seconds = f"piece {number_of(request)}", seconds_of(request.audio)
    return TranscriptionResponse(
        said,
        "used-model",
        "en",
        seconds,
        [Segment(0.0, seconds, said)],
        Usage(10, 2),
        Cost(0.01),
        {"demo": True},
    )


LIMITS = [SoundLimit(25 * 1024 * 1024, 2.5), SoundLimit(80_044)]
"""What makes three pieces of it: seconds, or bytes at 32,000 a second."""


@pytest.mark.parametrize("limit", LIMITS)
async def test_what_is_too_long_is_heard_in_pieces_with_the_right_times(limit: SoundLimit):
    tried = attempt(answer=echo, limit=limit)

    output = await tried.run(FILE, {"timestamps": True})

    assert output["text"] == "piece 1 piece 2 piece 3"
    assert output["duration"] == 6.2
    times = [(part["start"], part["end"]) for part in output["segments"]]
    cuts = [time for pair in times for time in pair]
    assert cuts == pytest.approx([0, 2.0, 2.0, 4.2, 4.2, 6.2], abs=0.11)
    assert output["usage"]["total_tokens"] == 36
    assert output["cost"]["amount"] == pytest.approx(0.03)
    assert (output["language"], output["model"], output["demo"]) == ("en", "used-model", True)


@pytest.mark.parametrize("limit", LIMITS)
async def test_no_piece_is_more_than_the_provider_takes(limit: SoundLimit):
    tried = attempt(answer=echo, limit=limit)

    await tried.run(FILE)

    pieces = [request.audio for request in tried.vendor.asked]
    assert max(map(len, pieces)) <= limit.bytes
    assert max(map(seconds_of, pieces)) <= (limit.seconds or 2.5)
    assert sum(map(seconds_of, pieces)) == pytest.approx(6.2)


async def test_every_piece_is_asked_for_as_the_whole_was():
    tried = attempt(answer=echo, limit=LIMITS[0])

    await tried.run(FILE, {"language": "en", "timestamps": True, "temperature": 0})

    whole = TranscriptionRequest("given-model", b"", "", "en", timestamps=True, extra={"temperature": 0})
    assert {repr(replace(request, filename="")) for request in tried.vendor.asked} == {repr(whole)}


async def test_the_progress_grows_with_every_piece():
    tried = attempt(answer=echo, limit=LIMITS[0])

    await tried.run(FILE)

    assert tried.progress == [25, 50, 75]


async def test_what_is_just_as_long_as_allowed_is_sent_whole():
    tried = attempt(limit=SoundLimit(len(SPEECH), 6.2))

    await tried.run(FILE)

    assert tried.request.audio == SPEECH


async def test_a_compressed_recording_that_is_too_long_is_cut_too():
    pytest.importorskip("av")
    tried = attempt(encoded(SPEECH, "mp3"), "talk.mp3", echo, limit=LIMITS[0])

    output = await tried.run(FILE)

    assert output["text"] == "piece 1 piece 2 piece 3"
    assert {request.filename for request in tried.vendor.asked} == {f"part-{n}.wav" for n in (1, 2, 3)}


async def test_where_nothing_can_cut_it_the_error_says_what_to_install(without_decoder: None):
    sound = encoded(SPEECH, "mp3")

    with pytest.raises(
        CapabilityError, match=r"vendor takes no recording of this size.*pip install 'nexusai\[local\]'"
    ):
        await attempt(sound, limit=SoundLimit(100)).run(FILE)


async def test_a_piece_that_fails_fails_the_whole():
    def fail_at_the_second(request: TranscriptionRequest) -> TranscriptionResponse:
        if number_of(request) == "2":
            raise RateLimitError("not now")
        return echo(request)

    tried = attempt(answer=fail_at_the_second, limit=LIMITS[0])

    with pytest.raises(RateLimitError):
        await tried.run(FILE)
    assert len(tried.vendor.asked) == 2
