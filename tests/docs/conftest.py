"""What a reader has: a running platform, its key in the credentials file, an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nexusai.testing import Platform

Run = Callable[..., str]

SECONDS = 60


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    with Platform() as platform:
        yield platform


@pytest.fixture
def run(platform: Platform, tmp_path: Path) -> Run:
    """Runs a command in the empty folder; what it printed, once it ended well."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NEXUS_", "PYTEST_"))}
    (tmp_path / ".curlrc").write_text("fail\nshow-error\n")
    reader = {
        "NEXUS_HOME": str(platform.home),
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")]),
    }

    def run(*command: str | Path, **environ: str) -> str:
        ended = subprocess.run(
            command,
            cwd=tmp_path,
            env={**kept, **reader, **environ},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    return run
