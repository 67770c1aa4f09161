"""Writes lines without keeping anybody waiting: gathered here, written by a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, TextIO

__all__ = ["LineWriter"]

EVERY: Final = 0.1
"""Seconds for which lines are gathered before they are written."""
PATIENCE: Final = 2.0
"""Seconds that the end waits for whoever reads the lines."""


class LineWriter:
    """Holds at most `most` lines while their reader is slow; further ones are dropped, and counted."""

    def __init__(self, stream: TextIO, most: int = 10_000) -> None:
        self.dropped: int = 0
        self._stream = stream
        self._most = most
        self._lines: deque[str] = deque()
        self._news = threading.Event()
        self._hurry = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="nexusai-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def write(self, line: str, *, now: bool = False) -> None:
        """Take a line, which has no line feed at its end; `now` does not wait for others."""
        if len(self._lines) >= self._most:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._news.is_set():
            self._news.set()
        if now:
            self._hurry.set()

    def stop(self) -> None:
        """Write what is left, if somebody reads it."""
        self._ending = True
        self._hurry.set()
        self._news.set()
        self._thread.join(PATIENCE)

    def _work(self) -> None:
        while not self._ending or self._lines:
            self._news.wait()
            self._hurry.wait(EVERY)
            self._news.clear()
            self._hurry.clear()
            self._flush()

    def _flush(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads any more, or the disk is full
            self.dropped += len(lines)
