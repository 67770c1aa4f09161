"""`speech_to_text`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

from msgspec import Meta, Struct

from nexusai.providers.child import Child
from nexusai.providers.errors import CapabilityError, ValidationError
from nexusai.providers.media import audio_format
from nexusai.providers.sound.length import length
from nexusai.providers.sound.samples import RATE
from nexusai.providers.sound.split import HEADER, Pieces, split
from nexusai.providers.types import SoundLimit, TranscriptionRequest, TranscriptionResponse
from nexusai.server.http import Problem
from nexusai.server.tasks.kinds.joining import joined
from nexusai.server.tasks.kinds.kind import FileOnDisk, Job, Kind, NonEmpty, Output, origin, usage
from nexusai.server.tasks.kinds.lengths import length_told

__all__ = ["SPEECH_TO_TEXT", "TranscriptionConfig", "TranscriptionInput"]

_SUFFIXES: Final[Mapping[str, Sequence[str]]] = {
    "wav": (".wav",),
    "mp3": (".mp3", ".mpeg", ".mpga"),
    "m4a": (".m4a", ".mp4"),
    "flac": (".flac",),
    "ogg": (".ogg", ".oga"),
    "opus": (".ogg", ".oga"),
    "webm": (".webm",),
    "aac": (".aac",),
}
"""What a file may be called by what it is; vendors go by the ending of its name."""
_SPLITTERS: Final = ThreadPoolExecutor(2, "nexus-split")
"""Each waits for a child process that keeps a processor busy."""


class TranscriptionInput(Struct, forbid_unknown_fields=True, kw_only=True):
    file_id: NonEmpty


class TranscriptionConfig(Struct, kw_only=True):
    language: Annotated[str, Meta(min_length=2, max_length=35, description="ISO 639-1")] | None = None
    timestamps: bool = False
    prompt: Annotated[str, Meta(description="Words and spellings to expect.")] | None = None
    cancel_on_disconnect: bool = False


async def transcribe(job: Job) -> Output:
    config: TranscriptionConfig = job.config
    request = TranscriptionRequest(
        model=job.model,
        audio=b"",
        language=config.language,
        prompt=config.prompt,
        timestamps=config.timestamps,
        extra=job.extra,
    )
    async with job.media.on_disk(job.project, job.input.file_id) as file:
        size, seconds = await _measured(file.path)
        limit = job.provider.sound_limit(job.model)
        if size <= limit.bytes and (seconds or 0.0) <= (limit.seconds or inf):
            audio = await asyncio.to_thread(file.path.read_bytes)
            whole = replace(request, audio=audio, filename=_named(file, audio))
            heard = await job.provider.transcribe(whole)
        else:
            heard = await _in_pieces(job, request, file.path, limit)
    return _output(heard, seconds) | origin(job, heard)


def _output(heard: TranscriptionResponse, seconds: float | None) -> Output:
    duration = heard.duration if seconds is None else seconds  # vendors round it, or count what they bill
    output: Output = {
        "text": heard.text,
        "language": heard.language,
        "duration": None if duration is None else round(duration, 3),
    }
    if heard.segments is not None:
        output["segments"] = [{"start": s.start, "end": s.end, "text": s.text} for s in heard.segments]
    if heard.usage is not None:
        output["usage"] = usage(heard.usage)
    return output


async def _measured(path: Path) -> tuple[int, float | None]:
    """Bytes and seconds; None without a decoder for what does not tell. Raises a 400 `Problem`."""
    loc = ["input", "file_id"]
    size = (await asyncio.to_thread(path.stat)).st_size
    if not size:
        raise Problem.field(loc, "the file is empty: it has 0 bytes")
    child = Child()
    try:
        return size, await asyncio.to_thread(length, child, path)
    except ValidationError as error:
        raise Problem.field(loc, error.message) from None
    except CapabilityError:
        return size, await asyncio.to_thread(_told, path)
    finally:
        child.stop()


def _told(path: Path) -> float | None:
    with path.open("rb") as file:
        return length_told(file)


def _named(file: FileOnDisk, audio: bytes) -> str:
    """The file's name, with an ending that is right."""
    name = Path(file.filename)
    known = _SUFFIXES.get(audio_format(audio[:64]) or "")
    if known is None:
        return file.filename if name.suffix else "audio.wav"
    return file.filename if name.suffix.lower() in known else f"{name.stem or 'audio'}{known[0]}"


async def _in_pieces(
    job: Job, request: TranscriptionRequest, path: Path, limit: SoundLimit
) -> TranscriptionResponse:
    """Cut where it is silent, each piece as long as the provider takes; one is in memory at a time."""
    seconds = min(limit.seconds or inf, (limit.bytes - HEADER) / (2 * RATE))
    with TemporaryDirectory(prefix="nexusai-", ignore_cleanup_errors=True) as folder:
        pieces = await _cut(job, path, Path(folder, "samples"), seconds)
        answers = []
        for number in range(len(pieces.starts)):
            audio = await asyncio.to_thread(pieces.read, number)
            piece = replace(request, audio=audio, filename=f"part-{number + 1}.wav")
            answers.append((pieces.start(number), await job.provider.transcribe(piece)))
            job.progress(100 * (number + 1) / (len(pieces.starts) + 1))
    return replace(joined(answers), duration=pieces.seconds)


async def _cut(job: Job, path: Path, target: Path, seconds: float) -> Pieces:
    child = Child()
    try:
        return await asyncio.get_running_loop().run_in_executor(
            _SPLITTERS, split, child, path, target, seconds
        )
    except CapabilityError as error:
        reason = f"{job.provider.name} takes no recording of this size at once, and to cut it is not possible"
        raise CapabilityError(f"{reason}: {error.message}") from None
    finally:
        child.stop()


SPEECH_TO_TEXT = Kind("speech_to_text", "transcription", TranscriptionInput, TranscriptionConfig, transcribe)
