"""`make demo` runs this: the newcomer's first minute must hold."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path

from PIL import Image


def test_the_demo_loses_nothing_and_leaves_a_picture_and_a_sound(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nexusai", "demo"]
    shown = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "50 of 50 completed, none twice" in shown.stdout
    assert "were cut off and run again" in shown.stdout
    assert "serve" in shown.stdout.rpartition("Then:")[2]
    with Image.open(tmp_path / "nexusai-demo" / "sunset.png") as picture:
        assert picture.size == (768, 512)
    with wave.open(str(tmp_path / "nexusai-demo" / "hello.wav")) as sound:
        assert sound.getnframes() > sound.getframerate()
