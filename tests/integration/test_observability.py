"""What an operator sees of a platform that runs: its log, its figures, and whether it is well."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream
from tests.integration.conftest import of_upstream
from tests.integration.test_shutdown import until

PROMPT = "a sentence that only its writer and the model read"
CHAT = {"model": "echo", "messages": [{"role": "user", "content": PROMPT}]}


@pytest.fixture
def platform(upstream: Upstream) -> Iterator[Platform]:
    with Platform(of_upstream(upstream)) as platform:
        yield platform


def client(platform: Platform) -> httpx.Client:
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    return httpx.Client(base_url=platform.url, headers=headers, timeout=20)


def stopped(platform: Platform) -> list[dict[str, Any]]:
    """The lines of its log, all of which are written once it has ended."""
    platform.stop()
    return [json.loads(line) for line in platform.log if line.startswith("{")]


def figures(platform: Platform) -> dict[str, float]:
    """The sum of each sample over its labels."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(f"{platform.url}/metrics").text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


def test_a_call_through_the_gateway_is_a_line(platform: Platform, upstream: Upstream) -> None:
    with client(platform) as http:
        answer = http.post("/v1/chat/completions", json=CHAT)
        http.post("/v1/chat/completions", json={**CHAT, "stream": True}).read()
    usage = answer.json()["usage"]

    whole, stream = [line for line in stopped(platform) if line["event"] == "request"]
    assert whole["request_id"] == answer.headers["x-request-id"]
    assert (
        whole.items()
        >= {
            "method": "POST",
            "path": "/v1/chat/completions",
            "status": 200,
            "project": "proj_default",
            "provider": answer.headers["x-nexus-provider"],
            "model": "echo",
            "prompt_tokens": usage["prompt_tokens"],
            "completion_tokens": usage["completion_tokens"],
        }.items()
    )
    assert whole["key_id"].startswith("key_")
    assert whole["ms"] >= whole["upstream_ms"] > 0
    assert stream["ms"] >= stream["upstream_ms"] >= stream["first_chunk_ms"] > 0
    log = "\n".join(platform.log)
    for secret in (
        platform.api_key,
        upstream.api_key,
        PROMPT,
        answer.json()["choices"][0]["message"]["content"],
    ):
        assert secret not in log


def test_a_task_has_a_line_of_its_own_under_the_id_of_its_request(platform: Platform) -> None:
    asked = {"task_type": "text_generation", "input": {"prompt": PROMPT}}
    with client(platform) as http:
        task = http.post("/api/v1/invoke", json=asked).json()

    lines = {line["event"]: line for line in stopped(platform)}
    assert (
        lines["task"].items()
        >= {"task_type": "text_generation", "status": "completed", "model": "echo"}.items()
    )
    assert lines["task"]["task_id"] == lines["request"]["task_id"] == task["task_id"]
    assert lines["task"]["request_id"] == lines["request"]["request_id"]
    assert lines["task"]["completion_tokens"] == task["output"]["usage"]["completion_tokens"]
    assert PROMPT not in "\n".join(platform.log)


def test_what_is_refused_is_a_line_with_its_code(platform: Platform) -> None:
    httpx.post(
        f"{platform.url}/v1/chat/completions", json=CHAT, headers={"x-api-key": "nxs_somebody-elses-key"}
    )

    [line] = [line for line in stopped(platform) if line["event"] == "request"]
    assert line.items() >= {"status": 401, "code": "UNAUTHORIZED"}.items()
    assert "key_id" not in line
    assert "somebody" not in "\n".join(platform.log)


def test_a_client_that_hangs_up_is_told_of_with_what_was_produced(platform: Platform) -> None:
    slow = {"role": "user", "content": f"{PROMPT} [[delay=0.1]]"}
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    body = {**CHAT, "messages": [slow], "stream": True}
    with httpx.stream("POST", f"{platform.url}/v1/chat/completions", json=body, headers=headers) as answer:
        next(line for line in answer.iter_lines() if '"content":" ' in line)
    until(lambda: figures(platform).get("nexus_clients_gone_total"))

    [line] = [line for line in stopped(platform) if line["event"] == "request"]
    assert line.items() >= {"status": 200, "client_gone": True, "cut": True}.items()
    assert line["completion_tokens"] > 0


def test_a_fault_inside_is_told_by_where_it_came_from_and_by_no_words_of_the_caller(
    platform: Platform, upstream: Upstream
) -> None:
    asked = {"task_type": "text_generation", "input": {"prompt": PROMPT}, "metadata": {"note": PROMPT}}
    with closing(sqlite3.connect(platform.data_dir / "nexus.db")) as connection, client(platform) as http:
        connection.execute("ALTER TABLE tasks RENAME TO elsewhere")
        answer = http.post("/api/v1/invoke", json=asked)
        ready = http.get("/health/ready")
        connection.execute("ALTER TABLE elsewhere RENAME TO tasks")

    lines = stopped(platform)
    [fault] = [
        line
        for line in lines
        if line.get("request_id") == answer.headers["x-request-id"]
        if "exception" in line
    ]
    [line] = [line for line in lines if line["event"] == "request"][:1]
    assert answer.status_code == ready.status_code == 503
    assert ready.json()["checks"] == {"database": "failed: OperationalError", "storage": "ok", "queue": "ok"}
    assert "group_commit.py" in fault["exception"]
    assert line.items() >= {"code": "SERVICE_UNAVAILABLE", "error": "OperationalError"}.items()
    log = "\n".join(platform.log)
    for secret in (platform.api_key, upstream.api_key, PROMPT):
        assert secret not in log


def test_a_vendor_out_of_reach_is_told_of_without_the_secrets_of_its_address() -> None:
    key = "vendor-key-of-no-known-form"
    vendor = {"BASE_URL": "http://somebody:hunter22@127.0.0.1:1/v1", "API_KEY": key, "MODEL": "echo"}
    with Platform({f"NEXUS_PROVIDER_{name}": value for name, value in vendor.items()}) as platform:
        with client(platform) as http:
            answer = http.post("/v1/chat/completions", json={**CHAT, "model": "echo"})
        lines = stopped(platform)

    assert answer.status_code >= 500
    assert lines[-1]["code"]
    log = "\n".join(platform.log)
    for secret in (key, "hunter22", PROMPT, platform.api_key):
        assert secret not in log


def test_a_log_that_nobody_reads_holds_up_neither_requests_nor_the_end(platform: Platform) -> None:
    command = [
        sys.executable,
        "-m",
        "nexusai",
        "serve",
        "--port",
        "0",
        "--data-dir",
        str(platform.home / "other"),
    ]
    environ = {
        **os.environ,
        "NEXUS_HOME": str(platform.home / "home"),
        "NEXUS_BOOTSTRAP_API_KEY": platform.api_key,
    }
    unread, end = os.pipe()
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=end, text=True) as process:
        os.close(end)
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {platform.api_key}"}) as http:
            statuses = {http.get(f"/api/v1/tasks/task_{'x' * 180}{n}").status_code for n in range(400)}
        process.terminate()
        assert process.wait(20) == 0
    os.close(unread)
    assert statuses == {404}


def test_the_figures_are_there_for_prometheus(platform: Platform) -> None:
    with client(platform) as http:
        usage = http.post("/v1/chat/completions", json=CHAT).json()["usage"]
        http.post("/v1/chat/completions", json={**CHAT, "stream": True}).read()
        http.post("/api/v1/invoke", json={"task_type": "text_generation", "input": {"prompt": PROMPT}})
        http.get("/nowhere")

    found = figures(platform)
    assert found["nexus_requests_total"] == 4
    assert found["nexus_errors_total"] == 1
    assert found["nexus_calls_total"] == 3
    assert found["nexus_first_chunk_seconds_count"] == 1
    assert found["nexus_tokens_total"] > usage["total_tokens"]
    assert found["nexus_tasks_total"] == 1
    assert found["nexus_upstream_connections"] >= 1
    assert found["nexus_breaker_state"] == 0
    assert found["nexus_requests_under_way"] == 1  # the one that asks


def test_the_figures_are_for_this_machine_and_for_keys_of_the_platform(platform: Platform) -> None:
    url = f"{platform.url}/metrics"
    with platform.client() as admin:
        member = admin.keys.create("a member").api_key

    def status(**headers: str) -> int:
        return httpx.get(url, headers=headers).status_code

    assert status() == 200
    assert status(**{"X-Forwarded-For": "10.0.0.9"}) == 401
    assert status(**{"X-Forwarded-For": "10.0.0.9", "Authorization": f"Bearer {platform.api_key}"}) == 200
    assert status(Authorization=f"Bearer {member}") == 403


@pytest.mark.parametrize(("access", "status"), [("open", 200), ("off", 404)])
def test_the_figures_may_be_open_or_not_there(access: str, status: int) -> None:
    with Platform({"NEXUS_METRICS": access}) as platform:
        answer = httpx.get(f"{platform.url}/metrics", headers={"X-Forwarded-For": "10.0.0.9"})
    assert answer.status_code == status


def test_a_log_level_of_warning_is_silent_about_what_goes_well() -> None:
    with Platform({"NEXUS_LOG_LEVEL": "warning"}) as platform:
        httpx.get(f"{platform.url}/api/v1/tasks", headers={"Authorization": f"Bearer {platform.api_key}"})
        platform.stop()
        assert [line for line in platform.log if line.startswith("{")] == []
