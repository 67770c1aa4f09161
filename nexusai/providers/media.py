"""Pictures and sounds: what encoded ones are, told by their first bytes, and how large they should be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Final

__all__ = ["ImageLink", "audio_format", "image_type", "size_for"]

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
)


@dataclass(frozen=True, slots=True)
class ImageLink:
    """A picture that is still to be fetched."""

    url: str
    revised_prompt: str | None = None


def size_for(aspect_ratio: str, offered: Sequence[Size] = ()) -> Size:
    """Width and height for an aspect ratio of the contract; the nearest where only some sizes are offered."""
    width, height = _SIZES[aspect_ratio]
    return min(
        offered, key=lambda size: abs(log(size[0] / size[1] * height / width)), default=(width, height)
    )


def image_type(data: bytes) -> str | None:
    """The media type of an encoded picture."""
    return next((kind for magic, kind in _IMAGES if magic.match(data)), None)


def audio_format(data: bytes) -> str | None:
    """The container of an encoded sound, as `SpeechResponse.format` names it; raw PCM has no sign."""
    return next((kind for magic, kind in _SOUNDS if magic.match(data)), None)
