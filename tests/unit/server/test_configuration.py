from __future__ import annotations

from pathlib import Path

import pytest

from nexusai.error import ConfigurationError
from nexusai.server.configuration import config_file, load, load_settings
from nexusai.server.settings import Settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("NEXUS_CONFIG", "NEXUS_SYNC_WAIT", "NEXUS_LEASE", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_no_file_is_needed(folder: Path):
    assert config_file(Settings()) is None
    assert load_settings().sync_wait == 60


def test_a_file_in_the_working_directory_is_found(folder: Path):
    (folder / "nexus.yaml").write_text("settings: {sync_wait: 5}\n")

    assert load_settings().sync_wait == 5


def test_a_file_is_named_by_its_variable(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "nexus.yaml").write_text("settings: {sync_wait: 5}\n")
    (folder / "other.yaml").write_text("settings: {sync_wait: 6}\n")
    monkeypatch.setenv("NEXUS_CONFIG", "other.yaml")

    assert load_settings().sync_wait == 6


def test_for_settings_arguments_go_before_the_environment_and_that_before_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder / "nexus.yaml").write_text("settings: {sync_wait: 5, lease: 5, task_timeout: 5}\n")
    (folder / ".env").write_text("NEXUS_LEASE=7\n")
    monkeypatch.setenv("NEXUS_SYNC_WAIT", "6")

    settings = load_settings(task_timeout=8)
    assert (settings.sync_wait, settings.lease, settings.task_timeout) == (6, 7, 8)


def test_a_variable_of_the_env_file_may_stand_in_the_file(folder: Path):
    (folder / ".env").write_text("TEAM_KEY=sk-team\n")
    (folder / "nexus.yaml").write_text("providers: {openai: {api_key: '${TEAM_KEY}'}}\n")

    assert load(Settings()).providers["openai"].api_key == "sk-team"


def test_a_named_file_that_is_not_there_is_an_error(folder: Path):
    with pytest.raises(ConfigurationError, match=r"^none\.yaml: cannot be read"):
        load_settings(config=Path("none.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("settings:\n  config: a.yaml\n", "2:3: settings.config: no such setting"),
        ("settings:\n  storage: gs://x\n", "2:3: settings.storage: String should match pattern"),
        ("settings:\n  bootstrap_api_key: sk-secret\n", "2:3: settings.bootstrap_api_key: NEXUS_BOOTSTRAP_"),
        ("settings:\n  usd_rates: {CNY: free}\n", "2:3: settings.usd_rates: Input should be a valid number"),
    ],
)
def test_a_wrong_setting_is_told_with_its_line(folder: Path, text: str, message: str):
    Path("nexus.yaml").write_text(text)

    with pytest.raises(ConfigurationError) as failure:
        load_settings()
    assert str(failure.value).startswith(f"nexus.yaml:{message}")
    assert "sk-secret" not in str(failure.value)
