from __future__ import annotations

import sys

import pytest

from nexusai.providers.child import Child
from nexusai.providers.errors import AdapterError, CapabilityError, ValidationError
from nexusai.providers.sound.samples import RATE
from nexusai.providers.sound.split import split
from tests.fixtures.sounds import encoded, seconds_of, wav

SPEECH = ((1.8, 9000), (0.4, 0), (1.8, 9000), (0.4, 0), (1.8, 9000))
"""Three sentences with pauses at 1.8 and 4.0 seconds; 6.2 in all."""


@pytest.fixture
def cut(tmp_path):
    def cut(data, seconds):
        (tmp_path / "recording").write_bytes(data)
        return split(Child(), tmp_path / "recording", tmp_path / "samples", seconds)

    return cut


def test_a_recording_is_cut_in_its_pauses(cut):
    pieces = cut(wav(*SPEECH), 2.5)
    assert [pieces.start(n) for n in range(3)] == [
        0,
        pytest.approx(2.0, abs=0.1),
        pytest.approx(4.2, abs=0.1),
    ]
    assert pieces.seconds == pytest.approx(6.2)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5, 6.2, 60])
def test_the_pieces_are_the_whole_and_none_is_longer_than_asked(cut, seconds):
    pieces = cut(wav(*SPEECH), seconds)
    lengths = [seconds_of(pieces.read(n)) for n in range(len(pieces.starts))]
    assert sum(lengths) == pytest.approx(6.2)
    assert max(lengths) <= seconds + 1e-9
    assert all(pieces.start(n) == pytest.approx(sum(lengths[:n])) for n in range(len(lengths)))


def test_a_piece_has_what_was_there(cut):
    pieces = cut(wav((1.0, 9000), (1.0, 0)), 1.0)
    first, second = (pieces.read(n)[44:] for n in range(2))
    assert max(first) > 0
    assert not any(second[RATE // 10 :])


def test_a_compressed_recording_is_cut_too(cut):
    pytest.importorskip("av")
    pieces = cut(encoded(wav(*SPEECH), "mp3"), 2.5)
    assert len(pieces.starts) == 3
    assert pieces.seconds == pytest.approx(6.2, abs=0.1)


def test_what_cannot_be_read_is_the_caller_s_mistake(cut):
    pytest.importorskip("av")
    with pytest.raises(ValidationError, match="no recording that can be read: wav, mp3"):
        cut(b"hello", 1.0)


def test_without_the_decoder_the_error_says_what_to_install(cut, monkeypatch, tmp_path):
    pytest.importorskip("av")
    sound = encoded(wav((0.5, 9000)), "mp3")
    hidden = tmp_path / "hidden"
    (hidden / "av").mkdir(parents=True)
    (hidden / "av" / "__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.setattr(sys, "path", [str(hidden), *sys.path])
    with pytest.raises(CapabilityError, match=r"read with PyAV: pip install 'nexusai\[local\]'"):
        cut(sound, 1.0)


def test_a_reader_that_dies_is_an_error(cut, monkeypatch, tmp_path):
    hidden = tmp_path / "hidden"
    (hidden / "av").mkdir(parents=True)
    (hidden / "av" / "__init__.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(sys, "path", [str(hidden), *sys.path])
    with pytest.raises(AdapterError, match="its reader ended with status -11"):
        cut(wav((0.5, 9000)), 1.0)
