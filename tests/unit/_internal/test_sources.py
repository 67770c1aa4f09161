from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from nexusai._internal._credentials import credentials_path, save
from nexusai._internal._sources import read_config


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NEXUS_API_KEY", "nxs_e")
    assert read_config().api_key == "nxs_e"


def test_dotenv_is_read_and_the_environment_left_alone(folder: Path):
    (folder / ".env").write_text("NEXUS_API_KEY=nxs_d\nNEXUS_TIMEOUT=9\n")
    config = read_config(timeout=None)

    assert (config.api_key, config.timeout) == ("nxs_d", 9.0)
    assert "NEXUS_API_KEY" not in os.environ


def test_the_credentials_file_is_read():
    save(credentials_path(), "http://localhost:1/api/v1", "nxs_c")
    config = read_config()
    assert (config.api_key, config.base_url) == ("nxs_c", "http://localhost:1/api/v1")


def test_a_dotenv_that_is_no_text_is_said_and_not_used(folder: Path, caplog: pytest.LogCaptureFixture):
    (folder / ".env").write_bytes(b"NAME=\xff\xfe\n")
    with caplog.at_level(logging.WARNING, "nexusai"):
        assert read_config(api_key="nxs_a").api_key == "nxs_a"
    assert ".env" in caplog.text


def test_a_user_without_a_home_has_no_file(monkeypatch: pytest.MonkeyPatch):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("NEXUS_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setenv("NEXUS_API_KEY", "nxs_e")
    assert read_config().api_key == "nxs_e"
