"""Keys, limits and budgets of a platform in its own process: over restarts, and from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from nexusai import NexusAIClient
from nexusai.error import AuthenticationError, PermissionError, TaskFailedError
from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream

CHAT: Any = {"provider": "openai", "model": "gpt-4o-mini"}


@pytest.fixture(scope="module")
def platform(upstream: Upstream) -> Iterator[Platform]:
    """A platform whose vendor has prices."""
    environ = {"OPENAI_API_KEY": upstream.api_key, "OPENAI_BASE_URL": upstream.base_url}
    with Platform(environ) as platform:
        yield platform


def of(platform: Platform, key: str | None) -> NexusAIClient:
    return NexusAIClient(key, platform.base_url, max_retries=0)


def test_what_was_spent_counts_after_a_kill(platform: Platform):
    with platform.client() as client:
        key = client.keys.create("spender", budget={"per_day": 0.0007}, scopes=["invoke", "admin"])
        with of(platform, key.api_key) as spender:
            spender.text.generate("word " * 300, **CHAT, config={"max_tokens": 300})
            deadline = time.monotonic() + 10
            while spender.usage.get(key=key.id).data[0].cost.amount == 0:  # written down by and by
                assert time.monotonic() < deadline
            spent = spender.usage.get(key=key.id).data[0].cost.amount
        assert spent > 0.0002
        platform.kill()
        platform.start()
        with of(platform, key.api_key) as spender:
            with pytest.raises(TaskFailedError, match=r"0\.0007 US dollars a day") as refused:
                spender.text.generate("hi", **CHAT, config={"max_tokens": 900})
            assert refused.value.error_code == "RATE_LIMIT_EXCEEDED"
            assert spender.text.generate("hi", **CHAT, config={"max_tokens": 100}).text == "hi"


def test_limits_and_states_of_keys_survive_a_restart(platform: Platform):
    with platform.client() as client:
        kept = client.keys.create("kept", allowed_models=["local/*"], rate_limits={"concurrent_tasks": 3})
        closed = client.keys.create("closed")
        client.keys.disable(closed.id)
        platform.stop()
        platform.start()
        assert client.keys.get(kept.id).rate_limits == {"concurrent_tasks": 3}
        with of(platform, closed.api_key) as other, pytest.raises(AuthenticationError, match="disabled"):
            other.tasks.list()
        with of(platform, kept.api_key) as other, pytest.raises(PermissionError, match="local/"):
            other.text.generate("hi", **CHAT)


def test_tasks_of_a_limited_key_that_were_killed_run_within_its_limit_again(platform: Platform):
    with platform.client() as client:
        key = client.keys.create("few", rate_limits={"concurrent_tasks": 2})
        with of(platform, key.api_key) as few:
            handles = [
                few.text.generate_async(
                    f"task {number}",
                    provider="local",
                    model="simulate",
                    config={"latency": 0.3},
                    metadata={"whose": "few"},
                )
                for number in range(8)
            ]
            platform.kill()
            platform.start()
            most = 0
            while (states := [task.status for task in client.tasks.iter(metadata={"whose": "few"})]) != [
                "completed"
            ] * 8:
                most = max(most, states.count("running"))
            assert most <= 2
            assert {handle.wait().text != "" for handle in handles} == {True}


# The command line


@pytest.fixture
def command(platform: Platform) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nexusai", *words],
            env={
                **os.environ,
                "NEXUS_BASE_URL": platform.base_url,
                "NEXUS_API_KEY": key or platform.api_key,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_key_from_the_command_line(platform: Platform, command: Callable[..., Any]):
    made = command("keys", "create", "ci", "--model", "local/*", "--rpm", "50", "--per-day", "2.5")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("nxs_")  # alone on its line, for a script to take
    assert "requests per minute: 50, per day: 2.5" in made.stderr
    with of(platform, secret) as client:
        assert client.text.generate("hi", provider="local", model="simulate").text
    listed = command("keys", "list")
    [line] = [line for line in listed.stdout.splitlines() if "  ci  " in line]
    key_id = line.split()[0]
    assert secret not in listed.stdout
    assert "invoke,read" in line
    limited = command("keys", "limit", key_id, "--tpm", "1000")
    assert limited.stdout.strip().endswith("tokens per minute: 1000")
    rotated = json.loads(command("keys", "rotate", key_id, "--json").stdout)
    assert rotated["api_key"] != secret
    assert "logging full" in command("keys", "log", key_id, "full").stdout
    assert command("keys", "log", key_id, "everything").returncode == 1
    assert command("keys", "disable", key_id).returncode == 0
    with of(platform, rotated["api_key"]) as client, pytest.raises(AuthenticationError):
        client.tasks.list()
    assert command("keys", "enable", key_id).returncode == 0
    with of(platform, rotated["api_key"]) as client:
        assert client.tasks.list() is not None
    project = command("keys", "create-project", "team", "--per-month", "100").stdout.split()[0]
    assert project in command("keys", "projects").stdout
    inside = command("keys", "create", "member", "--project", project, "--json")
    assert json.loads(inside.stdout)["project_id"] == project


def test_the_command_line_says_what_is_wrong(command: Callable[..., Any]):
    refused = command("keys", "list", key=f"nxs_{'unknown' * 5}")
    assert refused.returncode == 1
    assert "not known" in refused.stderr
    assert "Traceback" not in refused.stderr
    missing = command("keys", "disable", "key_none")
    assert (missing.returncode, "key_none" in missing.stderr) == (1, True)


# Without a key


def test_anonymous_programs_on_this_machine_are_let_in_only_when_a_setting_says_so(platform: Platform):
    with httpx.Client(base_url=platform.base_url) as client:
        assert client.get("/tasks").status_code == 401
    with (
        Platform({"NEXUS_ALLOW_ANONYMOUS": "true"}) as open_one,
        httpx.Client(base_url=open_one.base_url) as client,
    ):
        assert client.get("/tasks").status_code == 200
        body = {"task_type": "text_generation", "model": "local/simulate", "input": {"prompt": "hi"}}
        assert client.post("/invoke", json=body).status_code == 200
        assert client.get("/tasks", headers={"Authorization": "Bearer nxs_wrong"}).status_code == 401
        assert client.get("/keys").status_code == 401
        for sent in ({"X-Forwarded-For": "10.0.0.1"}, {"Origin": "https://evil.example"}, {"Forwarded": "x"}):
            assert client.get("/tasks", headers=sent).status_code == 401
