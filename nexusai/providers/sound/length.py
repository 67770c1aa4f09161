"""How long a recording is: counted, for headers are wrong where a recorder was cut off or wrote a stream."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from nexusai.providers.child import Child
from nexusai.providers.sound.program import ask, tell
from nexusai.providers.sound.samples import counted

__all__ = ["length"]


def length(child: Child, source: Path) -> float:
    """Seconds of sound. Raises `AdapterError`s only: `ValidationError` for what is no recording."""
    seconds: float = ask(child, __name__, [str(source)])["seconds"]
    return seconds


def _told(source: str) -> dict[str, Any]:
    return {"seconds": counted(source)}


if __name__ == "__main__":
    tell(lambda: _told(sys.argv[1]))
