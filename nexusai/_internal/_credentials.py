"""The keys that `nexusai serve` leaves for the SDK of the same user:
`{"default": base_url, "platforms": {base_url: {"api_key": "nxs_…"}}}`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["credentials_path", "load", "save"]

logger = logging.getLogger("nexusai")


def credentials_path(environ: Mapping[str, str] | None = None) -> Path:
    """`$NEXUS_HOME/credentials.json`, or `~/.nexusai/credentials.json`."""
    home = (os.environ if environ is None else environ).get("NEXUS_HOME")
    return (Path(home) if home else Path.home() / ".nexusai") / "credentials.json"


def load(path: Path) -> dict[str, Any]:
    """What the file holds; nothing when it is missing. One that cannot be read is said in the log."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("%s cannot be read (%s) and is not used", path, type(error).__name__)
        return {}
    return found if isinstance(found, dict) else {}


def save(path: Path, base_url: str, api_key: str) -> None:
    """Keep this platform's key and make it the default; the keys of other platforms stay."""
    found = load(path)
    platforms = found.get("platforms")
    kept = platforms if isinstance(platforms, dict) else {}
    found = {**found, "default": base_url, "platforms": {**kept, base_url: {"api_key": api_key}}}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _replace(path, json.dumps(found, indent=2).encode() + b"\n")


def _replace(path: Path, content: bytes) -> None:
    """Written whole beside it, then renamed: nobody ever reads half a file, or one with a wider mode."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
