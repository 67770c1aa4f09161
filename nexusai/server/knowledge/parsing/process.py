"""The parent's side of parsing: no parser survives every hostile file, so each document has a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path

from nexusai.server.knowledge.parsing.models import DocumentError, Limits, Parsed
from nexusai.server.knowledge.parsing.sniffing import hint

__all__ = ["parse"]

_PIECE = 1024 * 1024
_KEPT = ("PATH", "SYSTEMROOT", "LANG", "LC_ALL", "TZ")


async def parse(path: Path, filename: str, content_type: str | None, limits: Limits | None = None) -> Parsed:
    """Read a document in a process of its own. Raises `DocumentError` for one that cannot be read.

    The type is found from the bytes; name and content type only tell one kind of text from another. The
    process ends with the call, however that ends, and with ours.
    """
    limits = limits or Limits()
    process = await _start(path, hint(filename, content_type), limits)
    try:
        output, status = await asyncio.wait_for(_finish(process, limits), limits.seconds)
    except asyncio.TimeoutError:
        raise _too_slow(limits) from None
    finally:
        await _end(process)
    return await asyncio.to_thread(_understand, output, status, limits)


async def _start(path: Path, hint: str, limits: Limits) -> Process:
    job = json.dumps({"path": str(path), "hint": hint, "limits": limits.arguments()})
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}  # our keys are not its
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "nexusai.server.knowledge.parsing", job]
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment, start_new_session=True
    )


async def _finish(process: Process, limits: Limits) -> tuple[bytes, int]:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    output, most = bytearray(), 12 * limits.characters + _PIECE
    while piece := await process.stdout.read(_PIECE):
        output += piece
        if len(output) > most:
            raise DocumentError("too_large", f"The document has more than {limits.characters:,} characters.")
    return bytes(output), await process.wait()


async def _end(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    await process.communicate()  # closes the pipes


def _understand(output: bytes, status: int, limits: Limits) -> Parsed:
    lines = output.splitlines()
    if lines and lines[-1].startswith(b'{"code":'):
        raise DocumentError(**json.loads(lines[-1]))
    with suppress(ValueError):
        return Parsed.from_lines(lines)
    raise _fate(status, limits)


def _fate(status: int, limits: Limits) -> DocumentError:
    """Why a process ended without a last word."""
    if sys.platform != "win32":
        if status in (-signal.SIGXCPU, -signal.SIGALRM):
            return _too_slow(limits)
        if status == -signal.SIGKILL:
            return DocumentError("memory", "The system stopped the reading: too little memory.")
    return DocumentError("broken", "The document is damaged: its parser broke down on it.")


def _too_slow(limits: Limits) -> DocumentError:
    return DocumentError("timeout", f"Reading the document took longer than {limits.seconds:g} s.")
