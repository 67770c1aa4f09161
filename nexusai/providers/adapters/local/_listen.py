"""A program of its own: a recording on stdin, what is heard as JSON on stdout. PocketSphinx keeps the GIL."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

import pocketsphinx

from nexusai.providers.sound.cuts import WINDOW, cuts, loudness
from nexusai.providers.sound.program import tell
from nexusai.providers.sound.samples import RATE, samples

_STRICT: Final = pocketsphinx.Vad.MEDIUM_STRICT
_LONGEST: Final = 20 * RATE // WINDOW
"""Windows of the longest utterance: what is searched, and its memory, grow with it."""


def listen(recording: bytes) -> dict[str, Any]:
    """`{duration, segments: [[start, end, text]]}`, times in seconds."""
    decoder = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")
    ear = _Ear()
    segments = []
    for start, sound in ear.utterances(BytesIO(recording)):
        decoder.start_utt()
        decoder.process_raw(sound.tobytes(), full_utt=True)
        decoder.end_utt()
        words = decoder.hyp()
        if words is not None and words.hypstr:
            segments.append([start / RATE, (start + len(sound)) / RATE, words.hypstr])
    return {"duration": ear.heard / RATE, "segments": segments}


class _Ear:
    """Tells speech from silence."""

    def __init__(self) -> None:
        self.heard = 0
        # so it hears the pauses between sentences, and a sentence is a segment
        self._endpointer = pocketsphinx.Endpointer(0.2, vad_mode=_STRICT, sample_rate=RATE)
        self._speech = array("h")

    def utterances(self, recording: BytesIO) -> Iterator[tuple[int, array[int]]]:
        """Each with the number of its first sample."""
        size = self._endpointer.frame_bytes // 2
        rest = array("h")
        for block in samples(recording):
            self.heard += len(block)
            rest.extend(block)
            while len(rest) > size:
                frame, rest = rest[:size], rest[size:]
                yield from self._take(self._endpointer.process(frame.tobytes()))
        yield from self._take(self._endpointer.end_stream(rest.tobytes()))

    def _take(self, speech: bytes | None) -> Iterator[tuple[int, array[int]]]:
        self._speech.frombytes(speech or b"")
        if self._speech and not self._endpointer.in_speech:
            said, self._speech = self._speech, array("h")
            yield from _shortened(round(self._endpointer.speech_start * RATE), said)


def _shortened(start: int, said: array[int]) -> Iterator[tuple[int, array[int]]]:
    places = [WINDOW * at for at in cuts(list(loudness(said)), _LONGEST)]
    for first, last in zip([0, *places], [*places, len(said)], strict=True):
        yield start + first, said[first:last]


if __name__ == "__main__":
    tell(lambda: listen(sys.stdin.buffer.read()))
