"""How long a sound is by what its file says, for where nothing can decode it."""

from __future__ import annotations

import struct
import wave
from contextlib import suppress
from typing import BinaryIO, Final

__all__ = ["length_told"]

_BROKEN: Final = (wave.Error, EOFError, ValueError, ArithmeticError, LookupError, struct.error)


def length_told(file: BinaryIO) -> float | None:
    """Seconds; None where the format does not tell."""
    from tinytag import TinyTag, TinyTagException

    with suppress(*_BROKEN):
        return _of_wav(file)
    file.seek(0)
    with suppress(*_BROKEN, TinyTagException):
        return TinyTag.get(filename=None, file_obj=file).duration or None
    return None


def _of_wav(file: BinaryIO) -> float | None:
    """The samples are counted: where it was streamed, the header does not know how many there are."""
    with wave.open(file) as sound:
        size = 0
        while block := sound.readframes(sound.getframerate()):
            size += len(block)
        return size / sound.getsampwidth() / sound.getnchannels() / sound.getframerate() or None
