"""Stand-ins for the system's `espeak-ng`, and a PATH without the real one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PREAMBLE = f"""#!{sys.executable} -IS
import os, sys, time
if sys.argv[1:] == ["--voices"]:
    print("Pty Language       Age/Gender VoiceName          File                 Other Languages")
    print(" 5  cmn             --/M      Chinese_(Mandarin) sit/cmn              (zh-cmn 5)(zh 5)")
    print(" 2  en-gb           --/M      English_(GB)       gmw/en               (en 2)")
    sys.exit()
"""


@pytest.fixture
def no_espeak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH, and it is empty."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


@pytest.fixture
def fake_espeak(no_espeak: Path) -> Callable[[str], None]:
    """Puts an `espeak-ng` on PATH that lists en, en-gb, cmn and zh, and speaks by the code given."""

    def install(code: str) -> None:
        program = no_espeak / "espeak-ng"
        program.write_text(PREAMBLE + code)
        program.chmod(0o755)

    return install
