"""Lines out of bytes, however these are cut. Pure."""

from __future__ import annotations

__all__ = ["Lines"]


class Lines:
    """The lines of one body, without their ends and without empty ones."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes."""
        first, *others = data.split(b"\n")
        self._begun.append(first)
        if not others:
            return []
        whole = [b"".join(self._begun), *others[:-1]]
        self._begun = [others[-1]]
        return [line for line in whole if line.strip()]

    def rest(self) -> list[bytes]:
        """The last line, where the body ends without a line's end."""
        return self.feed(b"\n")
