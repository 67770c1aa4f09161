from __future__ import annotations

import os
import sys

import pytest

from nexusai.providers.child import Child
from nexusai.providers.errors import AdapterError, CapabilityError, ValidationError
from nexusai.providers.sound.length import length
from nexusai.providers.sound.samples import counted
from tests.fixtures.sounds import CODECS, encoded, endless, wav

SOUND = wav((2.0, 8000))


@pytest.fixture
def measured(tmp_path):
    def measured(data):
        (tmp_path / "recording").write_bytes(data)
        return length(Child(), tmp_path / "recording")

    return measured


def told(data, tmp_path):
    """The same without a process of its own."""
    (tmp_path / "recording").write_bytes(data)
    return counted(str(tmp_path / "recording"))


def test_a_recording_is_measured(measured):
    assert measured(SOUND) == 2.0


@pytest.mark.parametrize("container", CODECS)
def test_a_compressed_recording_is_measured(tmp_path, container):
    pytest.importorskip("av")
    assert told(encoded(SOUND, container), tmp_path) == pytest.approx(2.0, abs=0.11)


@pytest.mark.parametrize("data", [endless(SOUND), SOUND[:40] + bytes(4) + SOUND[44:]])
def test_what_the_header_says_is_not_believed(tmp_path, data):
    pytest.importorskip("av")
    assert told(data, tmp_path) == 2.0


def test_a_recording_that_was_cut_off_is_as_long_as_what_is_left(tmp_path):
    pytest.importorskip("av")
    assert told(SOUND[: len(SOUND) // 2], tmp_path) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("data", [b"", b"hello " * 100, b"ID3\x04" + b"\xff" * 200, bytes(10_000)])
def test_what_is_no_recording_is_the_caller_s_mistake(measured, data):
    pytest.importorskip("av")
    with pytest.raises(ValidationError, match="no recording that can be read"):
        measured(data)


def test_without_the_decoder_a_wav_is_measured_and_nothing_else(tmp_path, monkeypatch):
    pytest.importorskip("av")
    compressed = encoded(SOUND, "mp3")
    monkeypatch.setitem(sys.modules, "av", None)
    assert told(SOUND, tmp_path) == 2.0
    with pytest.raises(Exception, match="decoder"):
        told(compressed, tmp_path)


def test_without_the_decoder_the_error_says_what_to_install(measured, monkeypatch, tmp_path):
    pytest.importorskip("av")
    sound = encoded(SOUND, "mp3")
    (tmp_path / "av.py").write_text("raise ImportError('not here')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(CapabilityError, match=r"read with PyAV: pip install 'nexusai\[local\]'"):
        measured(sound)


@pytest.mark.skipif(os.name == "nt", reason="a signal ends it")
def test_a_reader_that_dies_is_an_error(measured, monkeypatch, tmp_path):
    (tmp_path / "av.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(AdapterError, match="its reader ended with status -11"):
        measured(SOUND)
