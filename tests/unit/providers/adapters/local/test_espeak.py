"""The child program, run as what it is: a program."""

from __future__ import annotations

import io
import subprocess
import sys
import wave

import pytest

espeakng_loader = pytest.importorskip("espeakng_loader")


def run(text: str, *, data: str | None = None, voice: str = "en", pace: str = "175"):
    library, data = espeakng_loader.get_library_path(), data or espeakng_loader.get_data_path()
    module = "nexusai.providers.adapters.local._espeak"
    command = [sys.executable, "-m", module, library, data, voice, pace]
    return subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, check=False)


def test_a_text_on_stdin_becomes_a_wav_on_stdout():
    ended = run("Hello, world.")
    assert ended.returncode == 0
    with wave.open(io.BytesIO(ended.stdout)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 22050)
        assert file.getnframes() == (len(ended.stdout) - 44) // 2 > 11025


def test_a_language_that_names_no_voice_finds_the_voice_of_the_language():
    assert run("你好", voice="zh").stdout == run("你好", voice="cmn").stdout


def test_an_unknown_voice_is_one_line_on_stderr():
    ended = run("Hello.", voice="alloy")
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"", b"there is no such voice\n")


def test_missing_data_is_told(tmp_path):
    ended = run("Hello.", data=str(tmp_path / "espeak-ng-data"))
    assert ended.returncode == 1
    assert b"did not find its data" in ended.stderr


def test_it_imports_nothing_of_ours():
    code = (
        "import runpy, sys; sys.argv[1:] = ['x'] * 4\n"
        "import nexusai.providers.adapters.local.speech as speech\n"
        "mine = {name for name in sys.modules if name.startswith('nexusai')}\n"
        "runpy.run_path(speech._CHILD, run_name='child')\n"
        "assert mine == {name for name in sys.modules if name.startswith('nexusai')}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
