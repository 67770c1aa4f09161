from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nexusai.error import ConfigurationError
from nexusai.server.settings import Settings

FIRST_KEY = "nxs_dGhlIGtleSBvZiB0aGVzZSB0ZXN0cw"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, without an `.env`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_none_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path))

    settings = Settings()

    assert settings.data_dir == tmp_path / "data"
    assert settings.bootstrap_api_key is None


def test_each_is_an_environment_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NEXUS_SYNC_WAIT", "1.5")
    monkeypatch.setenv("NEXUS_DATA_DIR", "/data")

    assert (Settings().sync_wait, Settings().data_dir) == (1.5, Path("/data"))


def test_an_env_file_is_read_and_the_environment_goes_first(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (empty_folder / ".env").write_text("NEXUS_LEASE=7\nNEXUS_HEARTBEAT=8\nOPENAI_API_KEY=sk\n")
    monkeypatch.setenv("NEXUS_HEARTBEAT", "9")

    assert (Settings().lease, Settings().heartbeat) == (7, 9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sync_wait", "soon"),
        ("sync_wait", "0"),
        ("sync_wait", "nan"),
        ("task_timeout", "-1"),
        ("task_timeout", "inf"),
        ("max_running_tasks", "0"),
        ("max_attempts", "1.5"),
        ("lease", "0"),
        ("lease", "inf"),
        ("reconcile_interval", "0"),
        ("max_body_bytes", "10"),
        ("max_file_bytes", "1GB"),
        ("link_seconds", "0"),
        ("heartbeat", "0"),
        ("shutdown_grace", "-1"),
        ("shutdown_grace", "inf"),
        ("log_level", "loud"),
        ("public_url", "not a url"),
        ("public_url", "ftp://example.com"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: Any):
    monkeypatch.setenv(f"NEXUS_{name.upper()}", value)

    with pytest.raises(ValidationError) as wrong:
        Settings()

    assert [error["loc"] for error in wrong.value.errors()] == [(name,)]


@pytest.mark.parametrize("level", ["debug", "INFO", "Warning", "error"])
def test_the_log_level_may_be_spelt_either_way(monkeypatch: pytest.MonkeyPatch, level: str):
    monkeypatch.setenv("NEXUS_LOG_LEVEL", level)

    assert Settings().log_level == level.lower()


def test_the_first_key_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NEXUS_BOOTSTRAP_API_KEY", FIRST_KEY)

    assert FIRST_KEY[4:] not in repr(Settings())


@pytest.mark.parametrize(
    "key",
    ["nxs_" + "x" * 40, "nxs_your-api-key-goes-here", "nxs_0123456789abcdef", "nxs_example_key_of_the_docs"],
)
def test_a_first_key_that_others_guess_is_refused(monkeypatch: pytest.MonkeyPatch, key: str):
    monkeypatch.setenv("NEXUS_BOOTSTRAP_API_KEY", key)

    with pytest.raises(ConfigurationError, match="guess") as refused:
        Settings()

    assert key not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    ["sk_" + "x" * 40, "nxs_short", "nxs_" + "x" * 15, "nxs_with a space in it", "nxs_" + "ü" * 40,
     "nxs_new\nline" + "x" * 40, " nxs_" + "x" * 40],
)  # fmt: skip
def test_a_first_key_that_is_none_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, key: str):
    monkeypatch.setenv("NEXUS_BOOTSTRAP_API_KEY", key)

    with pytest.raises(ConfigurationError, match=r"NEXUS_BOOTSTRAP_API_KEY.*nxs_") as refused:
        Settings()

    assert key not in str(refused.value)


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NEXUS_BOOTSTRAP_API_KEY", "")
    monkeypatch.setenv("NEXUS_LEASE", "")

    assert (Settings().bootstrap_api_key, Settings().lease) == (None, 30)
