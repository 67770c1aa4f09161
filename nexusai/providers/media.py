"""Pictures and sounds: what encoded ones are, told by their first bytes, and how large they should be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import log
from typing import Final

from nexusai.providers.errors import ValidationError

__all__ = ["audio_format", "image_type", "ratio_of", "size_for"]

Size = tuple[int, int]

_SIZES: Final[Mapping[str, Size]] = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "9:16": (768, 1344),
    "4:3": (1152, 896),
    "3:4": (896, 1152),
    "21:9": (1536, 640),
}
"""About a megapixel of each aspect ratio, sides divisible by 64 as diffusion models want them."""

_IMAGES: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.S), "image/webp"),
    (re.compile(rb"....ftypavi[fs]", re.S), "image/avif"),
)
_SOUNDS: Final = (
    (re.compile(rb"RIFF....WAVE", re.S), "wav"),
    (re.compile(rb"ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]"), "mp3"),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), "aac"),
    (re.compile(rb"fLaC"), "flac"),
    (re.compile(rb"OggS.{24}OpusHead", re.S), "opus"),
    (re.compile(rb"OggS"), "ogg"),
    (re.compile(rb"....ftyp(?:M4[AB]|mp4|iso|dash|3gp|MSNV)", re.S), "m4a"),
    (re.compile(rb"\x1aE\xdf\xa3"), "webm"),
)


def size_for(aspect_ratio: str, offered: Sequence[Size] = ()) -> Size:
    """Width and height for an aspect ratio of the contract; the nearest where only some sizes are offered.

    Raises `ValidationError` for another aspect ratio.
    """
    if aspect_ratio not in _SIZES:
        raise ValidationError(f"aspect_ratio is one of {', '.join(_SIZES)}, not {aspect_ratio[:20]!r}")
    width, height = _SIZES[aspect_ratio]
    return min(
        offered, key=lambda size: abs(log(size[0] / size[1] * height / width)), default=(width, height)
    )


def ratio_of(size: Size) -> str:
    """The aspect ratio of the contract that a size is nearest to."""
    return min(_SIZES, key=lambda ratio: abs(log(_quotient(ratio) * size[1] / size[0])))


def _quotient(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return int(width) / int(height)


def image_type(data: bytes) -> str | None:
    """The media type of an encoded picture."""
    return next((kind for magic, kind in _IMAGES if magic.match(data)), None)


def audio_format(data: bytes) -> str | None:
    """The container of an encoded sound, as `SpeechResponse.format` names it; raw PCM has no sign."""
    return next((kind for magic, kind in _SOUNDS if magic.match(data)), None)
