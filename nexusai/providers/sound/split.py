"""A long recording in pieces, each a WAV file of one channel."""

from __future__ import annotations

import sys
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from nexusai.providers.child import Child
from nexusai.providers.sound.cuts import WINDOW, cuts, loudness
from nexusai.providers.sound.program import ask, tell
from nexusai.providers.sound.samples import RATE, samples

__all__ = ["HEADER", "Pieces", "split"]

HEADER: Final = 44
"""Bytes before the samples of a piece, of which each has two."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """The samples of a recording as a file, and the numbers of those before which it is cut."""

    path: Path
    starts: Sequence[int]
    length: int

    @property
    def seconds(self) -> float:
        return self.length / RATE

    def start(self, number: int) -> float:
        """Seconds from the beginning of the recording."""
        return self.starts[number] / RATE

    def read(self, number: int) -> bytes:
        """A piece as a WAV file."""
        start, end = (*self.starts, self.length)[number : number + 2]
        with self.path.open("rb") as file:
            file.seek(2 * start)
            data = file.read(2 * (end - start))
        written = BytesIO()
        with wave.open(written, "wb") as wav:
            wav.setparams((1, 2, RATE, 0, "NONE", ""))
            wav.writeframes(data)
        return written.getvalue()


def split(child: Child, source: Path, target: Path, seconds: float) -> Pieces:
    """The recording in pieces of at most so many seconds; `target` is where its samples are written.

    They take 110 MB an hour. Raises `AdapterError`s only.
    """
    told = ask(child, __name__, [str(source), str(target), str(max(1, int(seconds * RATE / WINDOW)))])
    return Pieces(target, [0, *(WINDOW * number for number in told["cuts"])], told["length"])


def _split(source: str, target: str, most: int) -> dict[str, Any]:
    heard: list[int] = []
    length, rest = 0, array("h")
    with open(target, "wb") as file:
        for block in samples(source):
            block.tofile(file)
            length += len(block)
            rest.extend(block)
            whole = len(rest) // WINDOW * WINDOW
            heard.extend(loudness(rest[:whole]))
            del rest[:whole]
    heard.extend(loudness(rest))
    return {"length": length, "cuts": cuts(heard, most)}


if __name__ == "__main__":
    tell(lambda: _split(sys.argv[1], sys.argv[2], int(sys.argv[3])))
