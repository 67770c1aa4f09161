from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from nexusai.cli.app import app
from nexusai.providers.adapters.vendors import VENDORS

Run = Callable[..., Result]


@pytest.fixture
def nexusai(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in an empty folder and with nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    for vendor in VENDORS.values():
        for name in (*vendor.keys, *vendor.moved_by):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("NEXUS_CONFIG", raising=False)
    return lambda *words: CliRunner().invoke(app, ["config", *map(str, words)])


def test_the_example_is_fine(nexusai: Run):
    Path("nexus.yaml").write_text(nexusai("example").stdout)

    checked = nexusai("check")
    assert (checked.exit_code, checked.stdout.splitlines()[0]) == (0, "nexus.yaml is fine.")


def test_the_example_is_fine_with_everything_that_it_only_shows(
    nexusai: Run, monkeypatch: pytest.MonkeyPatch
):
    for name in ("EU_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY"):
        monkeypatch.setenv(name, "sk-0123456789")
    Path("all.yaml").write_text(re.sub(r"^#(?=  )", "", nexusai("example").stdout, flags=re.M))

    checked = nexusai("check", "all.yaml")
    assert checked.exit_code == 0, checked.stderr
    lines = [" ".join(line.split()) for line in checked.stdout.splitlines()]
    assert "eu azure https://my-eu.openai.azure.com key from EU_KEY" in lines
    assert "openai openai https://api.openai.com/v1 key from OPENAI_API_KEY" in lines
    assert "groq off" in lines
    assert "best anthropic/claude-sonnet-5-5" in lines
    assert any(line.startswith("smart local/text x 1, eu/my-gpt x 3, ") for line in lines)
    assert "eu/my-gpt 400000 tokens 0.25 in, 2 out, USD for a million" in lines
    assert "openai 500 requests a minute 200000 tokens a minute" in lines
    assert "sk-0123456789" not in checked.output


def test_without_a_file_it_tells_of_the_environment(nexusai: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk")

    told = nexusai("check").stdout
    assert told.startswith("There is no nexus.yaml here")
    assert re.search(r"groq +groq +https://api.groq.com/openai/v1 +key from GROQ_API_KEY", told)


def test_all_that_is_wrong_is_told_with_its_line(nexusai: Run):
    Path("a.yaml").write_text("aliases:\n  a: opena/x\nsettings:\n  log_levl: info\n  lease: 0\n")

    checked = nexusai("check", "a.yaml")
    assert (checked.exit_code, checked.stdout) == (1, "")
    assert checked.stderr.splitlines() == [
        "a.yaml:2:3: aliases.a: no such provider; there are local",
        "a.yaml:4:3: settings.log_levl: no such setting; did you mean 'log_level'?",
        "a.yaml:5:3: settings.lease: Input should be greater than 0",
    ]


def test_the_name_and_password_of_an_address_are_not_shown(nexusai: Run):
    Path("a.yaml").write_text("providers:\n  ollama: {base_url: 'http://me:secret@gpu:1/v1?key=secret'}\n")

    told = nexusai("check", "a.yaml").stdout
    assert "http://gpu:1/v1" in told
    assert "secret" not in told


def test_a_wrong_variable_is_told_by_its_name(nexusai: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NEXUS_LEASE", "0")

    checked = nexusai("check")
    assert (checked.exit_code, checked.stderr) == (1, "NEXUS_LEASE: Input should be greater than 0\n")


def test_a_file_that_is_not_there_is_told(nexusai: Run):
    assert nexusai("check", "none.yaml").stderr == "none.yaml: cannot be read: No such file or directory\n"
