"""Speech through the SDK: both clients, the real platform, real recordings, a real socket."""

from __future__ import annotations

import base64
import io
import sqlite3
import wave
from array import array
from collections.abc import Iterator
from contextlib import closing
from difflib import SequenceMatcher
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from nexusai import TaskFailedError
from nexusai.providers import Client
from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream, running_upstream
from tests.fixtures.sounds import CODECS, encoded, endless, seconds_of, tones, wav, wav_of
from tests.integration.conftest import Use

pytest.importorskip("av")
pytest.importorskip("espeakng_loader")
listening = pytest.mark.skipif(
    find_spec("pocketsphinx") is None, reason="PocketSphinx has no wheel for this Python or machine"
)

SENTENCE = "Thank you very much for your time."
VOICE = {"voice": "en+f2", "speed": 0.8}
CONTAINERS = ["wav", *CODECS]
TRANSCRIPTIONS = "/v1/audio/transcriptions"


@pytest.fixture(scope="module")
def sentence(embedded: Platform) -> bytes:
    """Spoken by the platform, as a WAV file."""
    with embedded.client() as client:
        return bytes(client.audio.synthesize(SENTENCE, **VOICE).read())


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """One of our own: the recordings that it is sent are large."""
    with running_upstream() as running:
        yield running


@pytest.fixture(scope="module")
def connected(upstream: Upstream) -> Iterator[Platform]:
    """A platform with OpenAI, which takes 25 MiB at once, and Zhipu, which takes 30 seconds."""
    environ = {f"{vendor}_API_KEY": upstream.api_key for vendor in ("OPENAI", "ZHIPUAI")}
    environ |= {f"{vendor}_BASE_URL": upstream.base_url for vendor in ("OPENAI", "ZHIPUAI")}
    with Platform(environ) as platform:
        yield platform


@pytest.fixture
def sent(upstream: Upstream) -> Iterator[Any]:
    """The recordings that the provider was sent in this test: `(name, bytes)`."""

    def files() -> list[tuple[str, bytes]]:
        sent = [call["body"]["file"] for call in upstream.calls(TRANSCRIPTIONS)]
        return [(file["filename"], base64.b64decode(file["base64"])) for file in sent]

    upstream.forget()
    yield files
    upstream.forget()


def likeness(said: str, heard: str) -> float:
    """The share of the words that are heard in their order, 0 to 1."""
    return SequenceMatcher(None, said.lower().strip(".").split(), heard.lower().split()).ratio()


def as_it_is(container: str, sound: bytes) -> bytes:
    return sound if container == "wav" else encoded(sound, container)


# The embedded default


@listening
def test_what_is_spoken_is_roughly_heard(sdk: Use) -> None:
    speech = sdk(lambda client: client.audio.synthesize(SENTENCE, **VOICE))
    heard = sdk(lambda client: client.audio.transcribe(file_id=speech.file_id, timestamps=True))
    assert likeness(SENTENCE, heard.text) > 0.5
    assert (speech.provider, speech.model, heard.provider, heard.model) == (
        *("local", "speech"),
        *("local", "transcribe"),
    )
    assert heard.duration == pytest.approx(speech.duration, abs=0.01)
    assert heard.language == "en"
    times = [time for segment in heard.segments for time in (segment.start, segment.end)]
    assert 0 <= times[0] < times[-1] <= heard.duration
    assert times == sorted(times)
    assert " ".join(segment.text for segment in heard.segments) == heard.text
    assert (speech.cost.amount, heard.cost.amount) == (0, 0)


@listening
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_format_is_heard(embedded: Platform, sentence: bytes, container: str) -> None:
    with embedded.client() as client:
        heard = client.audio.transcribe((f"talk.{container}", as_it_is(container, sentence)))
    assert likeness(SENTENCE, heard.text) > 0.25
    assert heard.duration == pytest.approx(seconds_of(sentence), abs=0.15)
    assert heard.segments is None


@listening
def test_what_is_said_after_a_minute_is_heard_at_its_time(embedded: Platform, sentence: bytes) -> None:
    with wave.open(io.BytesIO(sentence)) as file:
        rate, frames = file.getframerate(), file.readframes(file.getnframes())
    recording = wav_of(frames + bytes(2 * 70 * rate) + frames, rate)
    with embedded.client() as client:
        heard = client.audio.transcribe(("talk.wav", recording), timestamps=True)
    assert likeness(f"{SENTENCE[:-1]} {SENTENCE}", heard.text) > 0.4
    assert heard.duration == pytest.approx(70 + 2 * seconds_of(sentence), abs=0.01)
    assert heard.segments[0].start < 1
    assert heard.segments[-1].start == pytest.approx(70 + seconds_of(sentence), abs=0.5)


def test_chinese_is_spoken(sdk: Use, tmp_path: Path) -> None:
    speech = sdk(lambda client: client.audio.synthesize("今天天气很好，我们去公园散步。"))
    path = sdk(lambda client: client.files.download(speech.file_id, tmp_path / "walk.wav"))
    assert seconds_of(path.read_bytes()) == pytest.approx(speech.duration, abs=0.01)
    assert 2 < speech.duration < 8


def test_chinese_is_not_heard_and_the_error_says_who_would(sdk: Use, sentence: bytes) -> None:
    with pytest.raises(TaskFailedError, match=r"knows English only, not 'zh'.*OPENAI_API_KEY") as caught:
        sdk(lambda client: client.audio.transcribe(("talk.wav", sentence), language="zh"))
    assert caught.value.error_code == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"format": "mp3"}, "speaks wav only, not 'mp3'"),
        ({"voice": "nobody"}, "no voice 'nobody'"),
        ({"speed": 9}, "speed"),
    ],
)
def test_what_the_voice_cannot_do_is_named(sdk: Use, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(Exception, match=reason) as caught:
        sdk(lambda client: client.audio.synthesize("Hello.", **options))
    assert caught.value.error_code == "INVALID_REQUEST"  # type: ignore[attr-defined]


WRONG = {
    "0 bytes": (b"", "the file is empty: it has 0 bytes"),
    "text": (b"hello " * 100, "no recording that can be read: wav, mp3"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(500), "no recording"),
    "a header alone": (b"RIFF\xff\xff\xff\xffWAVE", "no recording"),
    "a playlist": (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n", "no recording"),
    "noise": (bytes(range(256)) * 40, "no recording"),
}


@pytest.mark.parametrize(("data", "reason"), WRONG.values(), ids=WRONG)
def test_a_file_that_is_no_recording_fails_with_the_reason(sdk: Use, data: bytes, reason: str) -> None:
    with pytest.raises(TaskFailedError, match=reason) as caught:
        sdk(lambda client: client.audio.transcribe(("talk.wav", data)))
    assert (caught.value.error_code, caught.value.retryable) == ("INVALID_REQUEST", False)


@listening
def test_a_recording_that_was_cut_off_is_heard_as_far_as_it_goes(embedded: Platform, sentence: bytes) -> None:
    with embedded.client() as client:
        heard = client.audio.transcribe(("talk.wav", sentence[: len(sentence) // 2]))
    assert heard.duration == pytest.approx(seconds_of(sentence) / 2, abs=0.01)


def test_a_file_of_another_project_is_not_there(embedded: Platform, sentence: bytes) -> None:
    with embedded.client() as client:
        theirs = client.files.upload(("talk.wav", sentence)).file_id
    with closing(sqlite3.connect(embedded.data_dir / "nexus.db")) as database, database:
        database.execute("UPDATE files SET project = 'another' WHERE id = ?", (theirs,))
    headers = {"Authorization": f"Bearer {embedded.api_key}"}
    with httpx.Client(base_url=embedded.base_url, headers=headers, trust_env=False) as http:
        told = [
            http.post("/invoke", json={"task_type": "speech_to_text", "input": {"file_id": file_id}})
            for file_id in (theirs, "file_0000")
        ]
    assert [answer.status_code for answer in told] == [400, 400]
    errors = [answer.json()["errors"][0] for answer in told]
    assert [error["loc"] for error in errors] == [["input", "file_id"]] * 2
    assert errors[0]["msg"].replace(theirs, "file_0000") == errors[1]["msg"]


# A provider


def test_a_provider_hears_with_times_and_has_its_price(connected_sdk: Use, sent: Any) -> None:
    sound = encoded(wav((3.0, 8000)), "webm")
    heard = connected_sdk(
        lambda client: client.audio.transcribe(("blob.wav", sound), timestamps=True, prompt="Good morning.")
    )
    assert (heard.text, heard.provider, heard.model) == ("Good morning.", "openai", "whisper-1")
    assert [(part.start, part.text) for part in heard.segments] == [(0, "Good morning.")]
    assert heard.duration == pytest.approx(3.0, abs=0.05)
    assert heard.cost.amount > 0
    assert sent() == [("blob.webm", sound)]


def test_a_provider_speaks_and_has_its_price(connected_sdk: Use) -> None:
    speech = connected_sdk(
        lambda client: client.audio.synthesize("Good morning.", model="tts-1", voice="nova")
    )
    assert (speech.provider, speech.format, speech.duration) == ("openai", "wav", 0.13)
    assert speech.cost.amount == pytest.approx(13 * 15 / 1_000_000)


@pytest.mark.parametrize(("data", "reason"), WRONG.values(), ids=WRONG)
def test_a_provider_is_not_asked_about_what_is_no_recording(
    connected: Platform, sent: Any, data: bytes, reason: str
) -> None:
    with connected.client() as client, pytest.raises(TaskFailedError, match=reason):
        client.audio.transcribe(("talk.wav", data))
    assert sent() == []


def test_a_header_that_is_wrong_about_the_length_does_not_matter(connected: Platform, sent: Any) -> None:
    sound = endless(wav((2.0, 8000)))
    with connected.client() as client:
        assert client.audio.transcribe(("talk.wav", sound)).duration == 2.0
    assert sent() == [("talk.wav", sound)]


def minutes(*parts: tuple[float, int]) -> bytes:
    """A WAV file of long parts, each so many seconds at an amplitude."""
    frames = array("h")
    for seconds, loud in parts:
        frames.extend(tones((1.0, loud)) * int(seconds))
    return wav_of(frames.tobytes())


def edges(sound: bytes) -> tuple[int, int]:
    """How loud the first and the last twentieth of a second are."""
    with wave.open(io.BytesIO(sound)) as file:
        frames = array("h", file.readframes(file.getnframes()))
    return max(map(abs, frames[:800])), max(map(abs, frames[-800:]))


def test_what_is_too_large_for_a_provider_is_cut_in_a_pause_and_its_times_are_right(
    connected: Platform, sent: Any
) -> None:
    sound = minutes((430, 8000), (1, 0), (409, 8000))
    assert len(sound) > 25 * 1024 * 1024
    with connected.client() as client:
        heard = client.audio.transcribe(("talk.wav", sound), timestamps=True, prompt="Good morning.")
    first, second = heard.segments
    assert (first.start, first.end, second.end) == (0, second.start, 840)
    assert 430 <= second.start <= 431
    assert (heard.text, heard.duration) == ("Good morning. Good morning.", 840)
    assert heard.cost.amount == pytest.approx(840 / 3600 * 0.36)
    (name, one), (_, other) = sent()
    assert name == "part-1.wav"
    assert (edges(one)[1], edges(other)[0]) == (0, 0)
    assert max(len(one), len(other)) <= 25 * 1024 * 1024


def test_what_is_too_long_for_a_provider_is_cut_though_it_is_small(connected: Platform, sent: Any) -> None:
    sound = encoded(minutes((20, 8000), (1, 0), (23, 8000), (1, 0), (20, 8000)), "webm")
    with connected.client() as client:
        heard = client.audio.transcribe(("talk.webm", sound), provider="zhipu", model="whisper-1")
    assert (heard.text, heard.duration) == ("Hello. Hello. Hello.", pytest.approx(65, abs=0.1))
    lengths = [seconds_of(piece) for _, piece in sent()]
    assert lengths == pytest.approx([20.5, 24, 20.5], abs=0.6)
    assert max(lengths) <= 30


def test_a_piece_that_fails_fails_the_task(connected: Platform) -> None:
    sound = minutes((40, 8000))
    options = {"provider": "zhipu", "model": "whisper-1", "prompt": "hm [[status=400]]"}
    with connected.client() as client, pytest.raises(TaskFailedError, match="Told to answer 400") as caught:
        client.audio.transcribe(("talk.wav", sound), **options)
    assert caught.value.error_code == "INVALID_REQUEST"


# The model layer alone


@listening
def test_alone_the_model_layer_speaks_and_hears_as_the_platform_does(
    embedded: Platform, sentence: bytes
) -> None:
    with Client("local") as alone, embedded.client() as client:
        spoken = alone.synthesize(SENTENCE, **VOICE)
        heard = alone.transcribe(sentence, timestamps=True)
        told = client.audio.transcribe(("talk.wav", sentence), timestamps=True)
    assert seconds_of(spoken.data) == pytest.approx(seconds_of(sentence), abs=0.01)
    assert heard.text == told.text
    assert heard.duration == pytest.approx(told.duration, abs=0.001)
    assert [(s.start, s.end, s.text) for s in heard.segments or ()] == [
        (s.start, s.end, s.text) for s in told.segments
    ]


def test_alone_the_model_layer_asks_a_provider_as_the_platform_does(upstream: Upstream, sent: Any) -> None:
    sound = wav((2.0, 8000))
    with Client("openai", api_key=upstream.api_key, base_url=upstream.base_url) as alone:
        heard = alone.transcribe(sound, timestamps=True, prompt="Good morning.")
    assert (heard.text, heard.duration, heard.language) == ("Good morning.", 2.0, "english")
    assert heard.cost is not None
    assert heard.cost.amount == pytest.approx(2 / 3600 * 0.36)
    assert sent() == [("audio.wav", sound)]
