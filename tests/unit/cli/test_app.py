from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from nexusai.__version__ import __version__
from nexusai.cli.app import app
from nexusai.server.data_dir import DataDir
from nexusai.server.db.engine import migrate

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, which is the working directory, too; of the log only what fails is told."""
    monkeypatch.setenv("NEXUS_LOG_LEVEL", "error")
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def nexusai(home: Path) -> Iterator[Run]:
    """The command, in this process, whose umask it may change."""
    umask = os.umask(0o022)
    yield lambda *words: CliRunner().invoke(app, [str(word) for word in words])
    os.umask(umask)


def failure_of(result: Result) -> str:
    """The one line with which the command failed."""
    (line,) = result.stderr.splitlines()
    assert result.exit_code == 1, result
    assert line.startswith("nexusai: ")
    assert "Traceback" not in result.output
    return line


def rows_in(database: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(statement).fetchall()


# Words


def test_the_version_is_said(nexusai: Run):
    result = nexusai("--version")

    assert (result.exit_code, result.stdout) == (0, f"nexusai {__version__}\n")


def test_without_a_command_the_commands_are_shown(nexusai: Run):
    assert "serve" in nexusai().output


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "nexusai", "--version"], capture_output=True, text=True)

    assert done.stdout == f"nexusai {__version__}\n"


def test_without_the_platform_it_says_what_to_install():
    code = "import sys; sys.modules['typer'] = None; from nexusai.cli import main; main()"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 1
    assert "pip install 'nexusai[server]'" in done.stderr
    assert "Traceback" not in done.stderr


# A platform that cannot start


def test_a_port_in_use_is_named(nexusai: Run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        line = failure_of(nexusai("serve", "--port", port))

    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


@pytest.mark.parametrize("port", [65536, -1, 10**12])
def test_what_is_no_port_is_named(nexusai: Run, port: int):
    assert str(port) in failure_of(nexusai("serve", "--port", port))


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1", "no such host", "a..b", "x" * 300, "::zz"])
def test_an_address_that_is_not_ours_is_named(nexusai: Run, host: str):
    line = failure_of(nexusai("serve", "--host", host, "--port", 0))

    assert host in line
    assert "--host" in line


def test_a_data_folder_in_use_is_named(nexusai: Run, tmp_path: Path):
    owner = DataDir(tmp_path / "data")
    owner.acquire()
    try:
        line = failure_of(nexusai("serve", "--port", 0, "--data-dir", tmp_path / "data"))
    finally:
        owner.release()

    assert str(tmp_path / "data") in line
    assert "--data-dir" in line


def test_a_data_folder_that_is_a_file_is_named(nexusai: Run, tmp_path: Path):
    (tmp_path / "file").touch()

    assert str(tmp_path / "file") in failure_of(
        nexusai("serve", "--port", 0, "--data-dir", tmp_path / "file")
    )


def test_a_database_that_is_none_is_named(nexusai: Run, tmp_path: Path):
    (tmp_path / "nexus.db").write_bytes(b"no database" * 1000)

    assert "nexus.db" in failure_of(nexusai("serve", "--port", 0, "--data-dir", tmp_path))


def test_a_database_of_a_newer_release_is_named(nexusai: Run, tmp_path: Path):
    migrate(tmp_path / "nexus.db")
    rows_in(tmp_path / "nexus.db", "UPDATE alembic_version SET version_num = '9999'")

    assert "newer" in failure_of(nexusai("serve", "--port", 0, "--data-dir", tmp_path))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NEXUS_LEASE", "soon"),
        ("NEXUS_LOG_LEVEL", "loud"),
        ("NEXUS_MAX_ATTEMPTS", "0"),
        ("NEXUS_PROVIDER_BASE_URL", "not a url"),
        ("NEXUS_BOOTSTRAP_API_KEY", "sk-secret-0123456789abcdef"),
        ("NEXUS_BOOTSTRAP_API_KEY", "nxs_short"),
        ("NEXUS_BOOTSTRAP_API_KEY", "nxs_with spaces in the middle"),
    ],
)
def test_a_wrong_setting_is_named(nexusai: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(name, value)

    line = failure_of(nexusai("serve", "--port", 0))

    assert name in line
    assert value not in line or name == "NEXUS_LOG_LEVEL"


def test_a_wrong_setting_in_the_env_file_is_named(nexusai: Run, tmp_path: Path):
    (tmp_path / ".env").write_text("NEXUS_HEARTBEAT=never\n")

    assert "NEXUS_HEARTBEAT" in failure_of(nexusai("serve", "--port", 0))


def test_a_home_that_cannot_hold_the_key_is_named(nexusai: Run, home: Path, tmp_path: Path):
    home.touch()

    line = failure_of(nexusai("serve", "--port", 0, "--data-dir", tmp_path / "data"))

    assert str(home) in line
    assert "NEXUS_HOME" in line


def test_a_failed_start_leaves_the_folder_free(nexusai: Run, home: Path, tmp_path: Path):
    home.touch()
    nexusai("serve", "--port", 0, "--data-dir", tmp_path / "data")

    data = DataDir(tmp_path / "data")
    data.acquire()
    data.release()


# A platform that runs


class Serving:
    """`nexusai serve` in a process of its own."""

    def __init__(self, home: Path, **environ: str) -> None:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("NEXUS_") and not name.endswith("_API_KEY")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nexusai", "serve", "--port", "0"],
            env={**kept, "NEXUS_HOME": str(home), "NEXUS_LOG_LEVEL": "warning", **environ},
            cwd=home.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.url = self.line.partition("listening on ")[2].split()[0]

    def end(self, number: int) -> tuple[int, str, str]:
        """Exit code after a signal, and what else it said."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture
def serving(home: Path) -> Iterator[Callable[..., Serving]]:
    begun: list[Serving] = []

    def begin(**environ: str) -> Serving:
        begun.append(Serving(home, **environ))
        return begun[-1]

    yield begin
    for platform in begun:
        if platform.process.poll() is None:
            platform.process.kill()
            platform.process.communicate()


def credentials(home: Path) -> dict[str, Any]:
    return json.loads((home / "credentials.json").read_text())


def status_with(url: str, key: str) -> int:
    return httpx.get(f"{url}/api/v1/tasks", headers={"Authorization": f"Bearer {key}"}).status_code


def test_the_first_start_makes_a_key_and_the_second_uses_it(serving: Callable[..., Serving], home: Path):
    first = serving()
    kept = credentials(home)
    key = kept["platforms"][f"{first.url}/api/v1"]["api_key"]

    assert kept["default"] == f"{first.url}/api/v1"
    assert key in first.line
    assert stat.S_IMODE((home / "credentials.json").stat().st_mode) == 0o600
    assert status_with(first.url, key) == 200
    assert first.end(signal.SIGTERM) == (0, "", "")

    second = serving()
    assert key not in second.line
    assert "key" not in second.line
    assert status_with(second.url, key) == 200
    assert credentials(home)["platforms"][f"{second.url}/api/v1"]["api_key"] == key
    assert second.end(signal.SIGINT) == (0, "", "")


def test_a_chosen_key_opens_and_is_not_said(serving: Callable[..., Serving], home: Path):
    chosen = "nxs_" + "chosen-key_" * 3
    platform = serving(NEXUS_BOOTSTRAP_API_KEY=chosen)

    assert chosen not in platform.line
    assert status_with(platform.url, chosen) == 200
    assert credentials(home)["platforms"][f"{platform.url}/api/v1"]["api_key"] == chosen


@pytest.mark.parametrize("content", ['{"platforms": []}', '{"platforms": {"a": 1, "b": {"api_key": 7}}}'])
def test_odd_credentials_are_no_obstacle(serving: Callable[..., Serving], home: Path, content: str):
    home.mkdir()
    (home / "credentials.json").write_text(content)

    platform = serving()

    assert "key nxs_" in platform.line


SLOW = {
    "task_type": "text_generation",
    "input": {"prompt": "hi"},
    "model": "local/simulate",
    "config": {"latency": 3600},
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_hands_tasks_back_and_answers_who_waits(
    serving: Callable[..., Serving], home: Path, number: int
):
    platform = serving(NEXUS_SHUTDOWN_GRACE="0.1")
    key = credentials(home)["platforms"][f"{platform.url}/api/v1"]["api_key"]
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=60"}
    with (
        httpx.Client(base_url=f"{platform.url}/api/v1", headers=headers, timeout=20) as client,
        ThreadPoolExecutor() as threads,
        client.stream("POST", "/invoke", json={**SLOW, "stream": True}) as answer,
    ):
        lines = answer.iter_lines()
        first = next(line for line in lines if line.startswith("data: "))
        task = f"/tasks/{json.loads(first[6:])['task_id']}"
        while client.get(task, headers={"Prefer": ""}).json()["status"] != "running":
            time.sleep(0.01)
        looking = threads.submit(client.get, task)
        invoking = threads.submit(client.post, "/invoke", json=SLOW)
        time.sleep(0.2)
        ended = platform.end(number)

        assert ended == (0, "", "")
        assert (looking.result().status_code, looking.result().json()["status"]) == (200, "queued")
        assert invoking.result().status_code == 202
        assert "data: [DONE]" not in list(lines)
    assert rows_in(home / "data" / "nexus.db", "SELECT status, lease_until FROM tasks") == [("queued", 0)] * 2
