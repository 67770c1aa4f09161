from __future__ import annotations

import pytest

from nexusai.providers.errors import ValidationError
from nexusai.providers.media import audio_format, image_type, ratio_of, size_for


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0....", "image/jpeg"),
        (b"GIF89a....", "image/gif"),
        (b"RIFF\n\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x00\x00\x00\x20ftypavif", "image/avif"),
        (b"<svg/>", None),
        (b"", None),
    ],
)
def test_pictures_are_told_by_their_first_bytes(data: bytes, kind: str | None):
    assert image_type(data) == kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"RIFF\n\x00\x00\x00WAVEfmt ", "wav"),
        (b"ID3\x04....", "mp3"),
        (b"\xff\xfb\x90\x00", "mp3"),
        (b"\xff\xf1\x50\x80", "aac"),
        (b"fLaC....", "flac"),
        (b"OggS" + b"\x00" * 24 + b"OpusHead", "opus"),
        (b"\x00\x01\x02\x03", None),
    ],
)
def test_sounds_are_told_by_their_first_bytes(data: bytes, kind: str | None):
    assert audio_format(data) == kind


@pytest.mark.parametrize(
    ("aspect_ratio", "offered", "expected"),
    [
        ("16:9", (), (1344, 768)),
        ("1:1", (), (1024, 1024)),
        ("16:9", ((1024, 1024), (1536, 1024), (1024, 1536)), (1536, 1024)),
        ("9:16", ((1024, 1024), (1792, 1024), (1024, 1792)), (1024, 1792)),
        ("1:1", ((1536, 1024), (1024, 1024)), (1024, 1024)),
    ],
)
def test_an_aspect_ratio_becomes_the_nearest_size_on_offer(aspect_ratio, offered, expected):
    assert size_for(aspect_ratio, offered) == expected


def test_another_aspect_ratio_is_refused():
    with pytest.raises(ValidationError, match=r"aspect_ratio is one of 1:1, 16:9, .*, not '5:4'"):
        size_for("5:4")


@pytest.mark.parametrize(("size", "ratio"), [((1920, 1080), "16:9"), ((600, 800), "3:4"), ((5, 5), "1:1")])
def test_a_size_has_a_nearest_aspect_ratio(size, ratio):
    assert ratio_of(size) == ratio
