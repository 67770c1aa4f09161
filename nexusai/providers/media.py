"""What encoded pictures and sounds are, told by their first bytes rather than by what a vendor calls them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["ImageLink", "audio_format", "image_type"]

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


def image_type(data: bytes) -> str | None:
    """The media type of an encoded picture."""
    return next((kind for magic, kind in _IMAGES if magic.match(data)), None)


def audio_format(data: bytes) -> str | None:
    """The container of an encoded sound, as `SpeechResponse.format` names it; raw PCM has no sign."""
    return next((kind for magic, kind in _SOUNDS if magic.match(data)), None)
