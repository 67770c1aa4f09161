from __future__ import annotations

import io
import sys
from itertools import pairwise

import pytest

from nexusai.providers.sound import samples as module
from nexusai.providers.sound.samples import RATE, SoundError, samples
from tests.fixtures.sounds import CODECS, encoded, tones, wav, wav_of


def heard(data: bytes) -> list[int]:
    return [sample for block in samples(io.BytesIO(data)) for sample in block]


def loudest(sound: list[int]) -> int:
    return max(map(abs, sound))


@pytest.fixture(params=["ffmpeg", "wave"])
def decoder(request, monkeypatch):
    """With PyAV, and as it is without."""
    if request.param == "ffmpeg":
        pytest.importorskip("av")
    else:
        monkeypatch.setitem(sys.modules, "av", None)


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_number_of_channels_become_one_channel_of_16_khz(rate, channels):
    sound = heard(wav((1.5, 8000), rate=rate, channels=channels))
    assert len(sound) == pytest.approx(1.5 * RATE, abs=16)
    assert loudest(sound[200:-200]) == pytest.approx(8000, rel=0.3)


@pytest.mark.usefixtures("decoder")
def test_a_tone_keeps_its_height():
    sound = heard(wav((1.0, 8000), rate=22_050))
    assert sum(a < 0 <= b for a, b in pairwise(sound)) == pytest.approx(440, abs=2)


@pytest.mark.usefixtures("decoder")
def test_what_is_16_khz_already_is_left_as_it_is():
    assert heard(wav((0.5, 8000))) == list(tones((0.5, 8000)))


def test_a_channel_that_is_silent_leaves_the_other_heard(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    left = tones((0.5, 8000))
    frames = b"".join(sample.to_bytes(2, "little", signed=True) + bytes(2) for sample in left)
    assert loudest(heard(wav_of(frames, channels=2))) == pytest.approx(4000, rel=0.05)


@pytest.mark.parametrize("container", CODECS)
def test_every_format_is_read(container):
    pytest.importorskip("av")
    sound = heard(encoded(wav((0.5, 0), (1.0, 8000), (0.5, 0)), container))
    assert len(sound) / RATE == pytest.approx(2.0, abs=0.1)
    assert loudest(sound[: RATE // 4]) < 100 < 5000 < loudest(sound[RATE * 3 // 4 : RATE])


@pytest.mark.parametrize("container", CODECS)
def test_without_the_decoder_a_format_other_than_wav_asks_for_it(container, monkeypatch):
    pytest.importorskip("av")
    data = encoded(wav((0.2, 8000)), container)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SoundError) as failed:
        heard(data)
    assert failed.value.code == "decoder"


def test_without_the_decoder_a_wav_of_8_bits_asks_for_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SoundError) as failed:
        heard(wav_of(bytes(100), width=1))
    assert failed.value.code == "decoder"


def test_a_recording_that_was_cut_off_is_read_as_far_as_it_goes():
    pytest.importorskip("av")
    whole = encoded(wav((4.0, 8000)), "mp3")
    assert 1.0 < len(heard(whole[: len(whole) // 2])) / RATE < 3.0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello " * 100,
        bytes(10_000),
        b"RIFF\xff\xff\xff\xffWAVE",
        b"ID3\x04" + b"\xff" * 200,
        b"\x1aE\xdf\xa3" + bytes(100),
        b"....ftypM4A " + b"\xff" * 100,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n",
    ],
)
def test_what_is_no_recording_cannot_be_read(data):
    pytest.importorskip("av")
    with pytest.raises(SoundError) as failed:
        heard(data)
    assert failed.value.code == "unreadable"


def test_a_list_of_other_files_is_not_followed(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "secret.wav").write_bytes(wav((0.5, 8000)))
    (tmp_path / "list").write_text("ffconcat version 1.0\nfile secret.wav\n")
    with pytest.raises(SoundError):
        list(samples(str(tmp_path / "list")))


@pytest.mark.usefixtures("decoder")
def test_a_recording_that_is_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 1)
    with pytest.raises(SoundError) as failed:
        heard(wav((1.5, 0)))
    assert failed.value.code == "long"
