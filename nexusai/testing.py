"""The embedded platform as a context manager, for tests: yours and ours.

    from nexusai.testing import Platform

    with Platform() as platform, platform.client() as client:
        assert client.text.generate("hello", provider="local", model="simulate").text

It is the real platform in a process of its own, on a free port, in a folder that goes with it; it can be
killed and started again. Needs the extra `server`.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from nexusai.error import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import Self

    from nexusai import AsyncNexusAIClient, NexusAIClient

__all__ = ["Platform"]


class Platform:
    """A platform process. `environ` adds to its environment: `{"NEXUS_LEASE": "2"}`, a vendor's key.

    Vendor keys of the own environment are kept from it unless named there, so that a test never spends money.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, *, data_dir: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nexusai-", ignore_cleanup_errors=True)
        self.home: Path = Path(self._folder.name)
        self.data_dir: Path = data_dir or self.home / "data"
        self.api_key: str = f"nxs_{secrets.token_urlsafe(32)}"
        self.port: int = _free_port()
        self.url: str = f"http://127.0.0.1:{self.port}"
        self.base_url: str = f"{self.url}/api/v1"
        self._environ = dict(environ or {})
        self._process: subprocess.Popen[str] | None = None
        self.log: list[str] = []
        """What the platform has printed, line by line."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop it, and remove its folder."""
        self.stop()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """The process; raises `ConfigurationError` when none runs."""
        if self._process is None:
            raise ConfigurationError("The platform is not running; call start().")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = 30.0) -> None:
        """Start it, on the same port and data as before, and return once it answers.

        Nothing happens when it runs already. Raises `ConfigurationError` with what it said when it cannot.
        """
        if self.running:
            return
        command = [sys.executable, "-m", "nexusai", "serve", "--port", str(self.port)]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--data-dir", str(self.data_dir)],
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.home,
        )
        answers: Queue[bool] = Queue()
        threading.Thread(target=self._read, args=(self._process, answers), daemon=True).start()
        with suppress(Empty):
            if answers.get(timeout=timeout):
                return
        self.kill()
        raise ConfigurationError("The platform did not start:\n" + "\n".join(self.log[-20:]))

    def _read(self, process: subprocess.Popen[str], answers: Queue[bool]) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        with process.stdout:
            for line in process.stdout:
                self.log.append(line.rstrip())
                if line.startswith("Nexus AI is listening"):
                    answers.put(True)
        answers.put(False)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
        own = {"NEXUS_HOME": str(self.home), "NEXUS_BOOTSTRAP_API_KEY": self.api_key, "PYTHONUNBUFFERED": "1"}
        return kept | own | self._environ

    def stop(self, timeout: float = 30.0) -> None:
        """Ask it to end, and wait; kill it when it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
            self._process.wait()
            self._process = None

    def wait_for_exit(self, timeout: float = 30.0) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self._process is not None  # noqa: S101 - started before
        code = self._process.wait(timeout)
        self._process = None
        return code

    def client(self, **options: Any) -> NexusAIClient:
        """A client of it."""
        from nexusai import NexusAIClient

        return NexusAIClient(**{"api_key": self.api_key, "base_url": self.base_url, **options})

    def async_client(self, **options: Any) -> AsyncNexusAIClient:
        """An asynchronous client of it."""
        from nexusai import AsyncNexusAIClient

        return AsyncNexusAIClient(**{"api_key": self.api_key, "base_url": self.base_url, **options})


def _is_foreign(name: str) -> bool:
    return name.startswith("NEXUS_") or name.endswith(("_API_KEY", "_API_TOKEN")) or name == "OPENAI_BASE_URL"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
