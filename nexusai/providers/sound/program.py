"""What the programs have in common that read recordings in child processes, on both sides."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from nexusai.providers.child import Child, program
from nexusai.providers.errors import AdapterError, CapabilityError, ValidationError
from nexusai.providers.sound.samples import LONGEST, SoundError

__all__ = ["ask", "tell"]

_MEMORY: Final = 2 * 1024**3
"""Bytes that a program may take, where the system can hold it to that."""


def tell(work: Callable[[], Any]) -> None:
    """In the child: do the work, and print what comes of it as JSON."""
    with suppress(ImportError, ValueError, OSError):  # not every system has such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        told = work()
    except SoundError as error:
        told = {"problem": error.code}
    print(json.dumps(told))


def ask(child: Child, module: str, arguments: Sequence[str] = (), data: bytes = b"") -> dict[str, Any]:
    """In the parent: what a module of ours tells as a program. Raises `AdapterError`s only."""
    try:
        ended = child.run(program(module, *arguments), data)
    except OSError as error:
        raise AdapterError(f"the recording could not be read: {error.strerror}") from error
    if ended.status:
        raise AdapterError(f"the recording could not be read: its reader ended with status {ended.status}")
    told: dict[str, Any] = json.loads(ended.output)
    if "problem" in told:
        raise _error(told["problem"])
    return told


def _error(problem: str) -> AdapterError:
    if problem == "decoder":
        return CapabilityError(
            "recordings other than WAV with 16 bits are read with PyAV: pip install 'nexusai[local]'"
        )
    if problem == "long":
        return ValidationError(f"the recording is longer than {LONGEST // 3600} hours")
    return ValidationError("the file is no recording that can be read: wav, mp3, flac, ogg, m4a or webm")
