from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
import wave
from array import array

import pytest

from nexusai.providers.adapters.local import speech
from nexusai.providers.adapters.local.speech import MOST_CHARACTERS, Speaker, order
from nexusai.providers.errors import AdapterError, CapabilityError, TimeoutError, ValidationError
from nexusai.providers.types import SpeechRequest

SENTENCE = "The quick brown fox jumps over the lazy dog."
CHINESE = "今天天气很好，我们去公园散步。"

STREAMED = """
import struct
sizes = 0x7FFFF024, 0x7FFFF000
fields = 16, 1, 1, 22050, 44100, 2, 16
header = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", sizes[0], b"WAVEfmt ", *fields, b"data", sizes[1])
sys.stdout.buffer.write(header + struct.pack("<h", 10000) * 11025)
"""
"""Half a second of sound behind the header that espeak-ng writes to a pipe: its sizes are made up."""


def asked(text=SENTENCE, **options):
    return order(SpeechRequest(model="speech", text=text, **options))


def speak(text=SENTENCE, **options) -> bytes:
    return Speaker(asked(text, **options)).speak()


def loud_seconds(wav: bytes) -> float:
    """Seconds of a 16-bit mono WAV in which there is something to hear, by windows of 10 ms."""
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        rate, samples = file.getframerate(), array("h", file.readframes(file.getnframes()))
    step = rate // 100
    return sum(max(map(abs, samples[n : n + step])) > 300 for n in range(0, len(samples), step)) / 100


@pytest.fixture
def bundled(no_espeak):
    pytest.importorskip("espeakng_loader")


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize("text", [SENTENCE, CHINESE, "Guten Tag, \ud800 wie geht es?\0 Gut."])
def test_the_library_speaks(text: str):
    assert loud_seconds(speak(text)) > 0.3


@pytest.mark.usefixtures("bundled")
def test_the_sizes_in_the_header_are_those_of_the_file():
    wav = speak()
    assert int.from_bytes(wav[4:8], "little") == len(wav) - 8
    assert int.from_bytes(wav[40:44], "little") == len(wav) - 44


@pytest.mark.usefixtures("bundled")
def test_twice_the_speed_is_about_half_the_time():
    assert 0.4 < len(speak(speed=2.0)) / len(speak(speed=1.0)) < 0.65


@pytest.mark.usefixtures("bundled")
def test_another_voice_is_another_sound():
    assert len({speak(voice=voice) for voice in ("en", "en-us", "en-gb+f3", "DE", "zh")}) >= 4


@pytest.mark.usefixtures("bundled")
def test_chinese_is_spoken_in_mandarin_unless_a_voice_is_named():
    assert speak(CHINESE) == speak(CHINESE, voice="cmn") != speak(CHINESE, voice="en")


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize("voice", ["alloy", "xx", "zz-zz", "zh+f3"])
def test_the_library_refuses_a_voice_that_it_lacks(voice: str):
    with pytest.raises(ValidationError) as refused:
        speak(voice=voice)
    assert repr(voice) in refused.value.message


@pytest.mark.usefixtures("no_espeak")
def test_without_program_and_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(CapabilityError, match=r"pip install 'nexusai\[local\]' or apt install espeak-ng"):
        speak()


def test_the_program_of_the_system_is_asked_as_its_manual_says(fake_espeak, tmp_path):
    code = f"""
import json
seen = [sys.argv[1:], sys.stdin.buffer.read().decode()]
open({str(tmp_path / "seen")!r}, "w").write(json.dumps(seen))
"""
    fake_espeak(code + STREAMED)
    speak("你好 hello", voice="zh", speed=2)
    arguments, text = json.loads((tmp_path / "seen").read_text())
    assert arguments == ["--stdin", "--stdout", "-b", "1", "-v", "zh", "-s", "350"]
    assert text == "你好 hello"


def test_the_sizes_that_a_program_could_not_know_are_put_right(fake_espeak):
    fake_espeak(STREAMED)
    wav = speak()
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getnframes(), file.getframerate()) == (11025, 22050)
    assert loud_seconds(wav) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("voice", ["alloy", "de", "gmw", "pty"])
def test_a_voice_that_the_program_does_not_list_is_refused(fake_espeak, voice: str):
    fake_espeak(STREAMED)
    with pytest.raises(ValidationError, match=f"no voice '{voice}'"):
        speak(voice=voice)


def test_a_voice_that_the_program_refuses_is_named(fake_espeak):
    fake_espeak("sys.exit('Error: The specified espeak-ng voice does not exist.')")
    with pytest.raises(ValidationError, match=r"no voice 'zh\+f2'"):
        speak(voice="zh+f2")


def test_a_program_that_fails_is_an_error_without_the_text(fake_espeak):
    fake_espeak("sys.exit('bad: ' + sys.stdin.read())")
    with pytest.raises(AdapterError, match="ended with status 1") as failed:
        speak("my secret words")
    assert "secret" not in str(failed.value)


def test_a_program_that_cannot_be_started_is_an_error(fake_espeak, no_espeak):
    fake_espeak("")
    (no_espeak / "espeak-ng").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(AdapterError, match="could not be started"):
        speak()


def test_a_program_that_says_nothing_is_an_error(fake_espeak):
    fake_espeak("")
    with pytest.raises(ValidationError, match="nothing to speak"):
        speak()


def test_the_child_sees_no_key_of_ours(fake_espeak, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("ESPEAK_DATA_PATH", "/data")
    fake_espeak(f"open({str(tmp_path / 'seen')!r}, 'w').write(repr(dict(os.environ)))\n" + STREAMED)
    speak()
    seen = (tmp_path / "seen").read_text()
    assert "ESPEAK_DATA_PATH" in seen
    assert "sk-secret" not in seen


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_program_that_takes_too_long_is_killed(no_espeak, tmp_path, monkeypatch):
    monkeypatch.setattr(speech, "TIME_LIMIT", 0.15)
    program = no_espeak / "espeak-ng"
    listing = "case $1 in --voices) echo ' 5  en  --/M'; exit;; esac"
    program.write_text(f"#!/bin/sh\n{listing}\necho $$ > {tmp_path}/pid\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    with pytest.raises(TimeoutError, match=r"more than 0\.15 s"):
        speak()
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_stopping_kills_the_child(fake_espeak, tmp_path):
    pid = tmp_path / "pid"
    fake_espeak(f"open({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    speaker = Speaker(asked())
    failures: list[AdapterError] = []

    def run() -> None:
        with pytest.raises(AdapterError) as failed:
            speaker.speak()
        failures.append(failed.value)

    thread = threading.Thread(target=run)
    thread.start()
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.005)
    speaker.stop()
    thread.join(10)
    assert failures
    assert not is_running(int(pid.read_text()))


def test_stopped_before_it_began_a_speaker_kills_its_child_at_once(fake_espeak):
    fake_espeak("time.sleep(60)")
    speaker = Speaker(asked())
    speaker.stop()
    with pytest.raises(AdapterError, match="ended with status -9"):
        speaker.speak()


@pytest.mark.parametrize("format", ["mp3", "opus", ""])
def test_another_format_is_refused_with_the_way_to_it(format: str):
    with pytest.raises(CapabilityError, match=r"wav only.*configure a provider.*OPENAI_API_KEY"):
        asked(format=format)


def test_the_name_of_the_format_may_be_in_capitals():
    assert asked(format="WAV") == asked()


@pytest.mark.parametrize(
    "voice",
    [
        "-w",
        "--path=/tmp",
        "../en",
        "/etc/passwd",
        "en/../x",
        "en us",
        "en\n",
        "en+../x",
        "en;ls",
        "",
        "e" * 100,
        "中",
    ],
)
def test_a_voice_that_looks_like_an_option_or_a_path_is_refused(voice: str):
    with pytest.raises(ValidationError, match="no voice"):
        asked(voice=voice)


def test_the_script_of_the_text_chooses_the_voice():
    assert [asked(text).voice for text in (SENTENCE, CHINESE)] == ["en", "cmn"]


@pytest.mark.parametrize(("speed", "pace"), [(None, 175), (1, 175), (0.25, 44), (4.0, 700)])
def test_the_speed_is_a_multiple_of_the_usual_pace(speed: float | None, pace: int):
    assert asked(speed=speed).pace == pace


@pytest.mark.parametrize("speed", [0.2, 4.1, -1, float("nan"), True, "fast"])
def test_a_speed_out_of_range_is_refused(speed: float):
    with pytest.raises(ValidationError, match=r"speed must be a number from 0\.25 to 4"):
        asked(speed=speed)


def test_a_text_that_is_too_long_is_refused():
    assert asked("a" * MOST_CHARACTERS).text
    with pytest.raises(ValidationError, match=f"at most {MOST_CHARACTERS} characters"):
        asked("a" * (MOST_CHARACTERS + 1))


@pytest.mark.parametrize("text", ["", "  \n", "... !", "🙂"])
def test_a_text_without_words_is_refused(text: str):
    with pytest.raises(ValidationError, match="no word to speak"):
        asked(text)
