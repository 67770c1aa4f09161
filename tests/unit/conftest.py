from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from tests.fixtures.sdk import Both


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in [name for name in os.environ if name.startswith("NEXUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(params=["sync", "async"])
def sdk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Both:
    monkeypatch.chdir(tmp_path)
    return Both(asynchronous=request.param == "async")


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause that is asked for, in seconds; none is made."""
    taken: list[float] = []
    pause = asyncio.sleep

    async def nap(seconds: float) -> None:
        taken.append(seconds)
        await pause(0)

    monkeypatch.setattr(time, "sleep", taken.append)
    monkeypatch.setattr(asyncio, "sleep", nap)
    return taken
