"""The data folder: one owner at a time, and the secret that lies in it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from filelock import FileLock, Timeout

from nexusai.error import ConfigurationError

__all__ = ["DataDir"]


class DataDir:
    """A folder that this process owns from `acquire` to `release`.

    The lock is the operating system's and falls with the process, however it ends.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path.expanduser().absolute()
        self.database: Path = self.path / "nexus.db"
        self.files: Path = self.path / "files"
        self.artefacts: Path = self.path / "artefacts"
        self._pid = self.path / "pid"

    def acquire(self) -> None:
        """Raises `ConfigurationError` when another process owns the folder or it cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = FileLock(self.path / "lock")
            self._lock.acquire(timeout=0)
            self._pid.write_text(str(os.getpid()))
        except Timeout:
            raise ConfigurationError(
                f"Another platform (process {self._owner()}) is running on the data folder {self.path}. "
                "Stop it, or give this one a folder of its own with --data-dir or NEXUS_DATA_DIR."
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {self.path} cannot be used: {error.strerror}. Name another with --data-dir."
            ) from None

    def release(self) -> None:
        self._pid.unlink(missing_ok=True)
        self._lock.release()

    def _owner(self) -> str:
        return self._pid.read_text() if self._pid.exists() else "unknown"

    def secret(self) -> bytes:
        """32 bytes that sign links and hide keys, made once and readable by this user alone."""
        path = self.path / "secret"
        if not path.exists():
            part = path.with_suffix(".part")
            part.unlink(missing_ok=True)
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        return path.read_bytes()
