"""The samples of a recording, whatever it is encoded as. For child processes: none of ours loads FFmpeg."""

from __future__ import annotations

import struct
import wave
from array import array
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from typing import Any, BinaryIO, Final, Literal

__all__ = ["LONGEST", "RATE", "SoundError", "counted", "samples"]

RATE: Final = 16_000
"""Samples a second."""

LONGEST: Final = 8 * 3600
"""Seconds; a small file may hold a week of silence."""

_FORMATS: Final = "aac,aiff,amr,asf,caf,flac,matroska,mov,mp3,mpeg,ogg,w64,wav,webm"
"""What FFmpeg may take a file for: none of its playlists, which name other files and addresses."""

_BROKEN: Final = (wave.Error, EOFError, ValueError, ArithmeticError, struct.error)


class SoundError(Exception):
    """`unreadable`: no recording; `decoder`: what it takes to read it is not installed; `long`: too long."""

    def __init__(self, code: Literal["unreadable", "decoder", "long"]) -> None:
        super().__init__(code)
        self.code = code


def samples(source: str | BinaryIO) -> Iterator[array[int]]:
    """One channel of 16-bit samples in blocks, `RATE` a second. Raises `SoundError`."""
    try:
        import av  # noqa: F401
    except ImportError:
        blocks = _of_wav(source)
    else:
        blocks = _decoded(source)
    count = 0
    for block in blocks:
        count += len(block)
        if count > LONGEST * RATE:
            raise SoundError("long")
        yield block
    if not count:
        raise SoundError("unreadable")


def counted(source: str | BinaryIO) -> float:
    """Seconds of sound; without decoding more of it than its beginning, where FFmpeg is there."""
    try:
        import av
    except ImportError:
        return sum(map(len, samples(source))) / RATE
    start, end, heard = inf, 0.0, False
    with suppress(av.error.FFmpegError, IndexError, ValueError):
        for packet in _packets(source):
            heard = heard or bool(_frames(packet))
            if packet.pts is not None and packet.time_base is not None:
                start = min(start, float(packet.pts * packet.time_base))
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    if not heard:
        raise SoundError("unreadable")
    return max(0.0, end - max(start, 0.0))


def _decoded(source: str | BinaryIO) -> Iterator[array[int]]:
    """By FFmpeg. What is broken is left out, and what is cut off ends early, as players have it."""
    import av

    resampler = av.AudioResampler("s16", "mono", RATE)
    with suppress(av.error.FFmpegError, IndexError, ValueError):
        for packet in _packets(source):
            for frame in _frames(packet):
                yield from map(_block, resampler.resample(frame))
        yield from map(_block, resampler.resample(None))


def _packets(source: str | BinaryIO) -> Iterator[Any]:
    import av

    with av.open(source, options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"}) as file:
        yield from file.demux(file.streams.audio[0])


def _frames(packet: Any) -> list[Any]:
    import av

    with suppress(av.error.InvalidDataError):
        return list(packet.decode())
    return []


def _block(frame: Any) -> array[int]:
    return array("h", bytes(frame.planes[0])[: 2 * frame.samples])


def _of_wav(source: str | BinaryIO) -> Iterator[array[int]]:
    """Without FFmpeg: WAV files of 16 bits."""
    try:
        with wave.open(source) as file:
            if file.getsampwidth() != 2:
                raise SoundError("decoder")
            rate, channels = file.getframerate(), file.getnchannels()
            while data := file.readframes(rate):
                yield _resampled(_mixed(data, channels), rate)
    except _BROKEN:
        raise SoundError("decoder") from None


def _mixed(data: bytes, channels: int) -> array[int]:
    block = array("h", data[: len(data) // 2 * 2])
    if channels == 1:
        return block
    return array("h", (sum(frame) // channels for frame in zip(*[iter(block)] * channels, strict=False)))


def _resampled(block: array[int], rate: int) -> array[int]:
    """A second of sound, or the rest of one, by straight lines between the samples."""
    if rate == RATE:
        return block
    last = len(block) - 1

    def between(at: float) -> int:
        before = int(at)
        return round(block[before] + (block[min(before + 1, last)] - block[before]) * (at - before))

    return array("h", (between(number * rate / RATE) for number in range(len(block) * RATE // rate)))
