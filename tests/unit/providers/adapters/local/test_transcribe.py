from __future__ import annotations

import io
import sys
import threading
import time
import wave
from difflib import SequenceMatcher

import pytest

from nexusai.providers.adapters.local.speech import Speaker, order
from nexusai.providers.adapters.local.transcribe import Listener
from nexusai.providers.errors import AdapterError, CapabilityError, ValidationError
from nexusai.providers.types import SpeechRequest, TranscriptionRequest
from tests.fixtures.sounds import encoded, wav, wav_of

SENTENCES = [
    "Thank you very much for your time.",
    "The president said that the united states will not go to war.",
]


def spoken(text):
    pytest.importorskip("espeakng_loader")
    return Speaker(order(SpeechRequest(model="speech", text=text, voice="en+f2", speed=0.8))).speak()


@pytest.fixture(scope="module")
def sentence():
    return spoken(SENTENCES[0])


@pytest.fixture(scope="module")
def heard():
    """What is heard of both sentences: a test of its own for each would take long."""
    pytest.importorskip("pocketsphinx")
    return listen(spoken(" ".join(SENTENCES)))


@pytest.fixture
def sphinx():
    return pytest.importorskip("pocketsphinx")


def listen(audio, **options):
    return Listener(TranscriptionRequest("transcribe", audio, **options)).listen()


def likeness(said, heard):
    """The share of the words that are heard in their order, 0 to 1."""
    one, other = said.lower().replace(".", "").split(), heard.split()
    return SequenceMatcher(None, one, other).ratio()


def test_what_is_spoken_is_roughly_heard(heard):
    assert likeness(" ".join(SENTENCES), heard.text) > 0.4
    assert heard.duration == pytest.approx(7.3, abs=2)


def test_the_segments_lie_one_after_the_other_in_the_recording(heard):
    times = [time for segment in heard.segments for time in (segment.start, segment.end)]
    assert len(heard.segments) > 1
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= heard.duration
    assert " ".join(segment.text for segment in heard.segments) == heard.text


def test_a_pause_moves_what_follows_it(sphinx, sentence):
    with wave.open(io.BytesIO(sentence)) as file:
        rate, frames = file.getframerate(), file.readframes(file.getnframes())
    after_a_pause = listen(wav_of(bytes(6 * rate) + frames, rate))
    assert after_a_pause.segments[0].start == pytest.approx(3.0, abs=0.3)


def test_a_compressed_recording_is_heard(sphinx, sentence):
    pytest.importorskip("av")
    assert likeness(SENTENCES[0], listen(encoded(sentence, "webm")).text) > 0.2


@pytest.mark.parametrize("seconds", [0.01, 0.5])
def test_nothing_is_heard_in_silence(sphinx, seconds):
    heard = listen(wav((seconds, 0)))
    assert (heard.text, heard.segments) == ("", [])
    assert heard.duration == pytest.approx(seconds)


def test_what_is_no_recording_is_refused(sphinx):
    pytest.importorskip("av")
    with pytest.raises(ValidationError, match="no recording that can be read") as refused:
        listen(b"hello")
    assert (refused.value.provider, refused.value.model) == ("local", "local/transcribe")


def test_an_empty_recording_is_refused():
    with pytest.raises(ValidationError, match="the recording is empty"):
        listen(b"")


@pytest.mark.parametrize("language", ["zh", "de-DE", "english"])
def test_another_language_is_refused_with_the_way_to_it(language):
    with pytest.raises(CapabilityError, match=r"knows English only.*OPENAI_API_KEY"):
        listen(wav((0.1, 0)), language=language)


@pytest.mark.parametrize("language", [None, "en", "EN", "en-US", "en_gb"])
def test_english_is_taken_whatever_its_region(sphinx, language):
    Listener(TranscriptionRequest("transcribe", wav((0.1, 0)), language=language))


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    monkeypatch.setattr("nexusai.providers.adapters.local.transcribe.find_spec", lambda name: None)
    with pytest.raises(CapabilityError, match=r"pip install 'nexusai\[local\]' or pocketsphinx"):
        listen(wav((0.1, 0)))


def test_stopping_ends_it_at_once(sphinx, sentence):
    listener = Listener(TranscriptionRequest("transcribe", sentence))
    failures = []

    def run():
        with pytest.raises(AdapterError) as failed:
            listener.listen()
        failures.append(failed.value)

    thread = threading.Thread(target=run)
    begun = time.monotonic()
    thread.start()
    time.sleep(0.1)
    listener.stop()
    thread.join(20)
    assert failures
    assert time.monotonic() - begun < 2
