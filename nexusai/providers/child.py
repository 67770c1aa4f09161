"""Child processes: for libraries that are GPL, for hostile bytes, for work that takes a processor long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["Child", "Ended", "program"]

_ENVIRONMENT: Final = (
    "PATH",
    "SYSTEMROOT",
    "TMPDIR",
    "TEMP",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "ESPEAK_DATA_PATH",
)
"""What a child sees of our environment, which has keys in it."""

_BOOT: Final = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__')"
)


class Ended(NamedTuple):
    status: int
    output: bytes
    errors: bytes


def program(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours in a Python that finds the packages which we find."""
    path = json.dumps([os.path.abspath(place) for place in sys.path])
    return [sys.executable, "-I", "-c", _BOOT, path, module, *arguments]


class Child:
    """Runs commands one after the other in one thread; `stop` ends it from any other, whenever."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, command: Sequence[str], data: bytes = b"", seconds: float | None = None) -> Ended:
        """Raises `OSError` when it cannot be started, and `subprocess.TimeoutExpired`."""
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        pipe = subprocess.PIPE
        with subprocess.Popen(  # noqa: S603 - the commands are ours
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        ) as process:
            # `stop` sets its mark before it looks for the process, so one of the two sees the other
            self._process = process
            if self._stopped:
                process.kill()
            try:
                output, errors = process.communicate(data, seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Ended(process.returncode, output, errors)

    def stop(self) -> None:
        self._stopped = True
        if self._process is not None:
            self._process.kill()
