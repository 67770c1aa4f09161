"""A program of its own: `_espeak.py LIBRARY DATA VOICE WORDS_PER_MINUTE < text > speech.wav`.

It loads eSpeak NG (GPL) by ctypes, so it is only ever run as a child process and imports nothing of ours.
Constants and signatures are those of `speak_lib.h`. A failure is one line on stderr.
"""

from __future__ import annotations

import ctypes
import os
import sys
import wave

_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_RATE = 1
_POSITION_CHARACTER = 1
_UTF8, _END_PAUSE = 1, 0x1000

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class _Voice(ctypes.Structure):
    """`espeak_VOICE`; `languages` is a list of (priority byte, name, NUL), ended by a zero byte."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


def _load(library: str, data: str) -> tuple[ctypes.CDLL, int]:
    """The library and its sample rate in Hz."""
    espeak = ctypes.CDLL(library)
    # it keeps the path of its data in a short buffer, so the path is made short
    os.chdir(os.path.dirname(data))
    rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, b".", _DO_NOT_EXIT)
    if rate <= 0:
        sys.exit("eSpeak NG did not find its data")
    return espeak, rate


def _languages(espeak: ctypes.CDLL) -> set[bytes]:
    espeak.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    voices, found, number = espeak.espeak_ListVoices(None), set(), 0
    while voices[number]:
        place = voices[number].contents.languages
        while ctypes.string_at(place, 1) != b"\0":
            language = ctypes.string_at(place + 1)
            found.add(language)
            place += len(language) + 2
        number += 1
    return found


def _choose(espeak: ctypes.CDLL, voice: bytes) -> bool:
    # asked by properties alone, the library takes the nearest voice for any name
    if voice.partition(b"+")[0] not in _languages(espeak):
        return False
    if espeak.espeak_SetVoiceByName(voice) == 0:
        return True
    name = ctypes.create_string_buffer(voice)
    wanted = _Voice(languages=ctypes.addressof(name))
    return bool(espeak.espeak_SetVoiceByProperties(ctypes.byref(wanted)) == 0)


def _synthesize(espeak: ctypes.CDLL, text: bytes) -> bytes:
    sound = bytearray()

    def keep(samples: int | None, count: int, events: int) -> int:
        if samples:
            sound.extend(ctypes.string_at(samples, 2 * count))
        return 0

    callback = _Callback(keep)
    espeak.espeak_SetSynthCallback(callback)
    size = ctypes.c_size_t(len(text) + 1)
    espeak.espeak_Synth(text, size, 0, _POSITION_CHARACTER, 0, _UTF8 | _END_PAUSE, None, None)
    espeak.espeak_Synchronize()
    return bytes(sound)


def main(library: str, data: str, voice: str, words_per_minute: str) -> None:
    text = sys.stdin.buffer.read()
    espeak, rate = _load(library, data)
    if not _choose(espeak, voice.encode()):
        sys.exit("there is no such voice")
    espeak.espeak_SetParameter(_RATE, int(words_per_minute), 0)
    sound = _synthesize(espeak, text)
    with wave.open(sys.stdout.buffer, "wb") as file:
        file.setparams((1, 2, rate, len(sound) // 2, "NONE", "not compressed"))
        file.writeframes(sound)


if __name__ == "__main__":
    main(*sys.argv[1:])
