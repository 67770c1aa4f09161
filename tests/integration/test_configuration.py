"""`nexus.yaml` at work: names for models wherever one is named, and a file read again in traffic."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from nexusai import error
from nexusai.testing import Platform
from tests.fixtures import anthropic_upstream
from tests.fixtures.openai_upstream import Upstream

FILE = """
providers:
  first: {{provider: openai_compatible, base_url: "{url}", api_key: "${{KEY}}", max_retries: 0}}
  second: {{provider: openai_compatible, base_url: "{url}", api_key: "${{KEY}}", max_retries: 0}}
  closed: {{provider: openai_compatible, base_url: "{url}", api_key: sk-wrong, max_retries: 0}}
  slow: {{provider: openai_compatible, base_url: "{url}", api_key: "${{KEY}}", max_retries: 0}}
  claude: {{provider: anthropic, base_url: "{claude}", api_key: "${{CLAUDE}}", max_retries: 0}}
aliases:
  fast: second/echo
routes:
  safe:
    deployments: [first/echo]
    fallbacks: [fast]
  spread:
    deployments: [slow/echo]
    fallbacks: [fast]
  mixed:
    deployments: [closed/echo]
    fallbacks: [claude/claude-haiku-4-5]
  vectors:
    deployments: [closed/text-embedding-3-small]
    fallbacks: [second/text-embedding-3-small]
prices:
  first/echo: {{input: 1, output: 1}}
  second/echo: {{input: 1000, output: 1000}}
limits:
  slow/echo: {{requests_per_minute: 1, max_wait: 0}}
"""
IN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A program that goes on as another, in the terminal that it has for its input."""
REFUSED_ONCE = "[[status=429 times=1]] the lamp number {} is lit"


@pytest.fixture(scope="module")
def file(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("configuration") / "nexus.yaml"
    with anthropic_upstream.running_upstream() as claude:
        path.write_text(FILE.format(url=upstream.base_url, claude=claude.base_url))
        os.environ["CLAUDE"] = claude.api_key
        yield path
    del os.environ["CLAUDE"]


@pytest.fixture(scope="module")
def platform(file: Path, upstream: Upstream) -> Iterator[Platform]:
    with Platform({"NEXUS_CONFIG": str(file), "KEY": upstream.api_key}) as platform:
        yield platform


@pytest.fixture(scope="module")
def raw(platform: Platform) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=20) as raw:
        yield raw


@pytest.fixture
def prompt() -> str:
    """One that the first provider who sees it refuses; a 429 opens no breaker."""
    return REFUSED_ONCE.format(time.monotonic_ns())


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def chat(raw: httpx.Client, model: str, prompt: str, **more: Any) -> httpx.Response:
    return raw.post("/v1/chat/completions", json={"model": model, "messages": said(prompt), **more})


def counts(raw: httpx.Client) -> dict[str, int]:
    """Calls to each provider, those that failed included."""
    usage = raw.get("/api/v1/usage", params={"group_by": "provider"}).json()
    return {row["provider"]: row["requests"] for row in usage["data"]}


# Aliases and routes


def test_an_alias_is_its_model(raw: httpx.Client):
    answer = chat(raw, "fast", "the lamp is lit")

    assert answer.status_code == 200
    assert answer.headers["x-nexus-provider"] == "second"


def test_what_one_deployment_fails_at_another_answers(platform: Platform, raw: httpx.Client, prompt: str):
    before = counts(raw)
    answer = chat(raw, "safe", prompt.replace("429", "500"))

    assert answer.json()["choices"][0]["message"]["content"].endswith("is lit")
    assert answer.headers["x-nexus-provider"] == "second"
    after = counts(raw)
    assert [after[name] - before.get(name, 0) for name in ("first", "second")] == [1, 1]
    with closing(sqlite3.connect(platform.data_dir / "nexus.db")) as database:
        query = "SELECT provider, status, tried FROM calls ORDER BY number DESC LIMIT 2"
        assert database.execute(query).fetchall() == [
            ("second", "completed", "first/echo"),
            ("first", "failed", None),
        ]


def test_a_stream_changes_over_before_its_first_chunk(raw: httpx.Client, prompt: str):
    answer = chat(raw, "safe", prompt, stream=True)

    assert answer.headers["x-nexus-provider"] == "second"
    assert answer.text.endswith("data: [DONE]\n\n")


def test_what_a_limit_has_no_room_for_goes_to_the_next(raw: httpx.Client):
    answers = [chat(raw, "spread", "the lamp is lit").headers["x-nexus-provider"] for _ in range(2)]

    assert answers == ["slow", "second"]


def test_a_route_over_several_protocols_is_translated(raw: httpx.Client):
    answer = chat(raw, "mixed", "the lamp is lit")

    assert answer.headers["x-nexus-provider"] == "claude"
    assert "the lamp is lit" in answer.json()["choices"][0]["message"]["content"]


def test_anthropics_client_takes_a_route(platform: Platform):
    with anthropic.Anthropic(api_key=platform.api_key, base_url=platform.url) as client:
        answer = client.messages.with_raw_response.create(
            model="mixed", max_tokens=100, messages=said("the lamp is lit")
        )

    assert answer.headers["x-nexus-provider"] == "claude"


def test_responses_take_a_route(platform: Platform, prompt: str):
    with openai.OpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client:
        answer = client.responses.create(model="safe", input=prompt)

    assert answer.output_text.endswith("is lit")


def test_embeddings_take_a_route(raw: httpx.Client):
    answer = raw.post("/v1/embeddings", json={"model": "vectors", "input": ["lamp"]})

    assert answer.headers["x-nexus-provider"] == "second"
    assert answer.json()["data"][0]["embedding"]


def test_a_task_names_who_answered(platform: Platform, prompt: str):
    with platform.client() as client:
        answer = client.text.generate(prompt, model="safe")

    assert (answer.provider, answer.model) == ("second", "echo")


def test_a_streamed_task_names_who_answered(platform: Platform, prompt: str):
    with platform.client() as client:
        stream = client.text.stream(prompt, model="route/safe")
        assert "".join(chunk.delta.content or "" for chunk in stream).endswith("is lit")
        task = client.tasks.get(stream.task_id)

    assert (task.provider, task.model) == ("second", "echo")


def test_a_session_takes_a_route_and_changes_to_an_alias(platform: Platform, prompt: str):
    with platform.client() as client:
        session = client.sessions.create(agent_config={"model": "safe"})
        assert session.invoke(prompt).text.endswith("is lit")
        client.sessions.update(session.session_id, agent_config={"model": "fast"})
        assert session.invoke("and now").text


def test_a_knowledge_base_takes_no_route_over_several_models(platform: Platform):
    with (
        platform.client() as client,
        pytest.raises(error.InvalidRequestError, match="vectors cannot be compared"),
    ):
        client.knowledge_bases.create("kb", embedding_model="mixed")


def test_names_of_ours_are_listed_as_such(raw: httpx.Client):
    listed = {row["name"]: row for row in raw.get("/api/v1/models", params={"limit": 5}).json()["data"]}

    assert (listed["fast"]["type"], listed["fast"]["provider"], listed["fast"]["models"]) == (
        "alias",
        "second",
        ["second/echo"],
    )
    assert (listed["safe"]["type"], listed["safe"]["provider"], listed["safe"]["models"]) == (
        "route",
        "route",
        ["first/echo", "second/echo"],
    )
    names = [model["id"] for model in raw.get("/v1/models").json()["data"]]
    assert names[:4] == ["safe", "spread", "mixed", "vectors"]
    assert raw.get("/v1/models/safe").json()["owned_by"] == "route"


def test_an_unknown_route_is_told_the_known_ones(raw: httpx.Client):
    answer = raw.post(
        "/api/v1/invoke",
        json={"task_type": "text_generation", "input": {"prompt": "a"}, "provider": "route", "model": "x"},
    )

    assert answer.status_code == 400
    assert "there are: safe, spread, mixed, vectors" in answer.json()["detail"]


# Keys


def restricted(platform: Platform, raw: httpx.Client, **limits: Any) -> httpx.Client:
    with platform.client() as admin:
        key = admin.keys.create("restricted", **limits).api_key
    return httpx.Client(base_url=platform.url, headers={"Authorization": f"Bearer {key}"}, timeout=20)


def test_a_key_for_some_models_gets_to_no_others_through_a_route(platform: Platform, raw: httpx.Client):
    with restricted(platform, raw, allowed_models=["first/*"]) as client:
        refused = chat(client, "safe", "the lamp is lit")
        assert refused.status_code == 403
        assert "may not use route/safe" in refused.json()["error"]["message"]
        assert chat(client, "fast", "the lamp is lit").status_code == 403
        assert chat(client, "first/echo", "the lamp is lit").status_code == 200
        assert [row["id"] for row in client.get("/v1/models").json()["data"]] == ["first/echo"]


def test_a_task_of_such_a_key_is_refused(platform: Platform):
    with platform.client() as admin:
        key = admin.keys.create("restricted", allowed_models=["first/*"]).api_key
    with platform.client(api_key=key) as client, pytest.raises(error.PermissionError):
        client.text.generate("the lamp", model="safe")


@pytest.mark.parametrize("allowed", [["safe"], ["route/safe"], ["first/*", "second/*"], ["*"], ["echo"]])
def test_a_key_may_use_a_route_by_its_name_or_by_all_that_it_gets_to(
    platform: Platform, raw: httpx.Client, allowed: list[str], prompt: str
):
    with restricted(platform, raw, allowed_models=allowed) as client:
        assert chat(client, "safe", prompt).status_code == 200


def test_a_key_may_use_a_model_by_its_alias(platform: Platform, raw: httpx.Client):
    with restricted(platform, raw, allowed_models=["fast"]) as client:
        assert chat(client, "fast", "the lamp is lit").status_code == 200
        assert [row["id"] for row in client.get("/v1/models").json()["data"]] == ["fast", "second/echo"]


def test_of_a_route_a_budget_is_taken_for_the_most_expensive_deployment(
    platform: Platform, raw: httpx.Client
):
    with restricted(platform, raw, budget={"per_day": 0.05}) as client:
        assert chat(client, "first/echo", "the lamp", max_tokens=100).status_code == 200
        refused = chat(client, "safe", "the lamp", max_tokens=100)
        assert refused.status_code == 429
        assert chat(client, "safe", "the lamp", max_tokens=10).status_code == 200


def test_what_a_fallback_used_is_counted_in_the_budget(platform: Platform, raw: httpx.Client, prompt: str):
    with restricted(platform, raw, budget={"per_day": 0.1}) as client:
        used = float(chat(client, "safe", prompt, max_tokens=20).headers["x-nexus-cost"].split()[0])
        assert used > 0.005
        told = chat(client, "safe", prompt, max_tokens=100).json()["error"]["message"]
        assert f"{used:g} are used or reserved" in told


# A file that is read again


def hang_up(platform: Platform, said: str) -> None:
    """Send SIGHUP, and wait until the platform has said something of it."""
    before = sum(said in line for line in platform.log)
    os.kill(platform.pid, signal.SIGHUP)
    deadline = time.monotonic() + 10
    while sum(said in line for line in platform.log) == before:
        assert time.monotonic() < deadline, platform.log
        time.sleep(0.02)


@pytest.fixture
def own(file: Path, upstream: Upstream, tmp_path: Path) -> Iterator[tuple[Platform, Path, httpx.Client]]:
    """A platform whose file may be changed."""
    path = tmp_path / "nexus.yaml"
    path.write_text(file.read_text())
    with Platform({"NEXUS_CONFIG": str(path), "KEY": upstream.api_key}) as platform:
        headers = {"Authorization": f"Bearer {platform.api_key}"}
        with httpx.Client(base_url=platform.url, headers=headers, timeout=20) as client:
            yield platform, path, client


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")


def test_a_file_is_read_again(own: tuple[Platform, Path, httpx.Client]):
    platform, path, client = own
    assert chat(client, "new", "the lamp").status_code != 200
    path.write_text(path.read_text().replace("  fast: second/echo", "  new: first/echo\n  fast: first/echo"))
    hang_up(platform, "was read again")

    assert chat(client, "new", "the lamp").headers["x-nexus-provider"] == "first"
    assert chat(client, "fast", "the lamp").headers["x-nexus-provider"] == "first"


def test_a_broken_file_changes_nothing_and_the_log_says_why(own: tuple[Platform, Path, httpx.Client]):
    platform, path, client = own
    path.write_text(path.read_text() + "  frist: {requests_per_minute: 5}\n")
    hang_up(platform, "stays as it was")

    assert chat(client, "safe", "the lamp").status_code == 200
    assert any("no such provider; did you mean 'first'?" in line for line in platform.log)
    assert not any("sk-test" in line for line in platform.log)


def test_no_call_is_broken_while_the_file_is_read_again_and_again(
    own: tuple[Platform, Path, httpx.Client],
):
    platform, path, client = own
    whole, less = path.read_text(), re.sub(r"second/(?!echo:)", "first/", path.read_text())
    over = threading.Event()

    def streamed(number: int) -> str:
        """A stream of a second provider, who is gone from the file while it runs."""
        lines = []
        with client.stream(
            "POST",
            "/v1/chat/completions",
            json={"model": "fast", "messages": said("[[delay=0.05]] " + "lamp " * 20), "stream": True},
        ) as answer:
            for line in answer.iter_lines():
                lines.append(line)
                started.release()
        return lines[-2]

    def asked() -> set[int]:
        statuses = set()
        while not over.is_set():
            statuses.add(chat(client, "safe", "the lamp").status_code)
        return statuses

    started = threading.Semaphore(0)
    with ThreadPoolExecutor() as pool:
        streams = [pool.submit(streamed, number) for number in range(4)]
        steady = pool.submit(asked)
        try:
            for _ in range(4):
                assert started.acquire(timeout=10)
            for text in (less, "routes:\n  safe: [local/simulate]\n", whole, less, whole):
                path.write_text(text)
                hang_up(platform, "was read again")
            ends = [stream.result() for stream in streams]
        finally:
            over.set()

    assert ends == ["data: [DONE]"] * 4
    assert steady.result() == {200}


def test_a_breaker_that_is_open_stays_open(own: tuple[Platform, Path, httpx.Client]):
    platform, _, client = own
    for _ in range(5):
        chat(client, "first/echo", "[[status=500]] lamp")
    hang_up(platform, "was read again")

    circuits = {row["name"]: row["circuits"] for row in client.get("/api/v1/providers").json()["data"]}
    assert circuits["first"] == {"echo": "open"}
    assert chat(client, "first/echo", "lamp").status_code == 503


def test_a_terminal_that_is_closed_ends_the_platform_though_it_hangs_up_too(tmp_path: Path):
    import pty  # not on Windows

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "nexusai", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, *command],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    ) as process:
        os.close(theirs)
        assert process.stdout is not None
        assert "is listening" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert "was read again" in process.stdout.readline()
        os.close(ours)
        assert process.wait(20) == 0


def test_a_start_with_a_broken_file_says_all_that_is_wrong(tmp_path: Path):
    path = tmp_path / "nexus.yaml"
    path.write_text("aliases:\n  a: nobody/x\nsettings:\n  sync_wait: 0\n")
    with pytest.raises(error.ConfigurationError, match="did not start") as failure:
        Platform({"NEXUS_CONFIG": str(path)}).__enter__()

    assert f"{path}:2:3: aliases.a: no such provider; there are local" in str(failure.value)
    assert f"{path}:4:3: settings.sync_wait: Input should be greater than 0" in str(failure.value)
