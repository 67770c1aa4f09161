"""`local/speech`: eSpeak NG in a child process; it is GPL, so it is run, never loaded."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nexusai.providers.adapters.local.prompt import mostly_chinese
from nexusai.providers.child import Child
from nexusai.providers.errors import AdapterError, CapabilityError, TimeoutError, ValidationError
from nexusai.providers.types import SpeechRequest

__all__ = ["MODEL", "MOST_CHARACTERS", "TIME_LIMIT", "Order", "Speaker", "order"]

MODEL: Final = "local/speech"

MOST_CHARACTERS: Final = 5_000
"""The longest text; in Chinese that is twelve minutes and 30 MB."""

TIME_LIMIT: Final = 60.0
"""Seconds that the child process may take."""

_NORMAL: Final = 175
"""eSpeak's own pace in words per minute. It goes no slower than 80, which is a speed of 0.46."""

_VOICE: Final = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,16}){0,4}(?:\+(?:[mf][1-8]|croak|whisper))?")
_LISTED: Final = re.compile(r"(?:^ *\d+ +|\()(\S+)", re.MULTILINE)
"""A language in the list of voices: the second column, and `(zh 5)` in the last."""

_HEADER: Final = 44
"""Bytes before the samples in the WAV files of both programs."""

_CHILD: Final = str(Path(__file__).with_name("_espeak.py"))


@dataclass(frozen=True, slots=True)
class Order:
    """A checked request: UTF-8 text, a well-formed name of a voice, words per minute."""

    text: bytes
    voice: str
    pace: int


def order(request: SpeechRequest) -> Order:
    """Raises `ValidationError` for what is wrong and `CapabilityError` for a format other than WAV."""
    if request.format.lower() != "wav":
        raise CapabilityError(
            f"{MODEL} speaks wav only, not {request.format[:20]!r}: ask for format='wav', or configure "
            "a provider with other formats (OPENAI_API_KEY or NEXUS_PROVIDER_BASE_URL)",
            provider="local",
            model=MODEL,
        )
    return Order(_text(request.text), _voice(request), _pace(request.speed))


def _text(text: str) -> bytes:
    if len(text) > MOST_CHARACTERS:
        raise _wrong(f"text must have at most {MOST_CHARACTERS} characters, not {len(text)}")
    if not any(map(str.isalnum, text)):
        raise _wrong("text has no word to speak")
    return text.replace("\0", " ").encode("utf-8", "replace")


def _voice(request: SpeechRequest) -> str:
    if request.voice is None:
        return "cmn" if mostly_chinese(request.text) else "en"
    voice = request.voice.lower()
    if not _VOICE.fullmatch(voice):
        raise _unknown(request.voice)
    return voice


def _pace(speed: float | None) -> int:
    if speed is None:
        return _NORMAL
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not 0.25 <= speed <= 4:
        raise _wrong("speed must be a number from 0.25 to 4")
    return round(_NORMAL * speed)


def _wrong(fact: str) -> ValidationError:
    return ValidationError(f"{MODEL}: {fact}", provider="local", model=MODEL)


def _unknown(voice: str) -> ValidationError:
    return _wrong(
        f"there is no voice {voice[:40]!r}; voices are named by language, such as en, en-us, cmn, de or en+f3"
    )


class Speaker:
    """One order's child process: `speak` in one thread, `stop` from any other, whenever."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._child = Child()

    def speak(self) -> bytes:
        """A WAV file: 16 bits, one channel. Raises `AdapterError`s only."""
        voice = self._order.voice
        binary = shutil.which("espeak-ng")
        if binary is None:
            return _with_sizes(self._run(_bundled(self._order), self._order.text))
        # asked for a voice that it lacks, the program may take another, or crash
        known = self._run([binary, "--voices"], b"").decode("utf-8", "replace")
        if voice.partition("+")[0] not in _LISTED.findall(known):
            raise _unknown(voice)
        return _with_sizes(self._run(_installed(binary, self._order), self._order.text))

    def stop(self) -> None:
        self._child.stop()

    def _run(self, command: Sequence[str], text: bytes) -> bytes:
        try:
            ended = self._child.run(command, text, TIME_LIMIT)
        except subprocess.TimeoutExpired:
            raise TimeoutError(
                f"espeak-ng took more than {TIME_LIMIT:g} s", provider="local", model=MODEL
            ) from None
        except OSError as error:
            raise AdapterError(
                f"espeak-ng could not be started: {error.strerror}", provider="local", model=MODEL
            ) from error
        if ended.status:
            raise _failure(ended.status, ended.errors, self._order.voice)
        return ended.output


def _installed(binary: str, order: Order) -> list[str]:
    return [binary, "--stdin", "--stdout", "-b", "1", "-v", order.voice, "-s", str(order.pace)]


def _bundled(order: Order) -> list[str]:
    """Our own small program with the library of `espeakng-loader`; raises `CapabilityError` without that."""
    try:
        import espeakng_loader

        library, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    except (ImportError, RuntimeError):
        raise CapabilityError(
            f"{MODEL} speaks with eSpeak NG: pip install 'nexusai[local]' or apt install espeak-ng",
            provider="local",
            model=MODEL,
        ) from None
    # without site-packages Python starts in a third of the time
    return [sys.executable, "-I", "-S", _CHILD, str(library), str(data), order.voice, str(order.pace)]


def _failure(status: int, errors: bytes, voice: str) -> AdapterError:
    last_line = errors.rstrip().rpartition(b"\n")[2]
    if b"voice" in last_line:
        return _unknown(voice)
    return AdapterError(f"espeak-ng ended with status {status}", provider="local", model=MODEL)


def _with_sizes(sound: bytes) -> bytes:
    """The WAV file with the two sizes that a program writing to a pipe cannot know when it begins."""
    samples = len(sound) - _HEADER
    if samples <= 0:
        raise _wrong("the voice found nothing to speak in the text")
    wav = bytearray(sound)
    struct.pack_into("<I", wav, 4, len(sound) - 8)
    struct.pack_into("<I", wav, _HEADER - 4, samples)
    return bytes(wav)
