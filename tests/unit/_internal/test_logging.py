from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from nexusai._internal._flow import Call, create
from nexusai.error import APIConnectionError
from tests.fixtures.sdk import KEY, Both

LOOK = Call("GET", "/tasks/task_1", hold=30)


def run(sdk: Both, call: Call, **options: Any) -> Any:
    def ask() -> Any:
        return (yield call)

    return sdk(lambda client: client._driver.run(ask()), **options)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """What our logger said, at any level."""
    with caplog.at_level(logging.DEBUG, "nexusai"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name == "nexusai"]


def test_a_request_is_a_line(sdk: Both, httpx_mock: HTTPXMock, lines: Any):
    httpx_mock.add_response(status_code=202, headers={"x-request-id": "req_7"})
    run(sdk, LOOK)

    (line,) = lines()
    assert re.match(r"GET /api/v1/tasks/task_1 -> 202 in \d+ ms \(req_7, attempt 1\) \{", line)
    assert "'prefer': 'wait=30'" in line


def test_a_line_has_neither_key_nor_body_nor_query(sdk: Both, httpx_mock: HTTPXMock, lines: Any):
    httpx_mock.add_response()
    call = create("/invoke", json={"prompt": "my secret"}, params={"signature": "my secret"})
    run(sdk, call, default_headers={"X-Team": "my secret", "Cookie": "my secret"})

    (line,) = lines()
    assert "POST /api/v1/invoke?… -> 200" in line
    assert "'authorization': '[redacted]'" in line
    assert "'x-team': '[redacted]'" in line
    assert "'cookie': '[redacted]'" in line
    assert KEY not in line
    assert "my secret" not in line


def test_an_attempt_has_its_number_and_what_led_to_it_is_told(
    sdk: Both, httpx_mock: HTTPXMock, naps: list[float], lines: Any
):
    httpx_mock.add_response(status_code=503, headers={"x-request-id": "req_1", "retry-after": "2"})
    httpx_mock.add_response()
    run(sdk, LOOK)

    first, why, second = lines()
    assert "-> 503" in first
    assert why == "GET /tasks/task_1 -> 503, req_1: attempt 2 follows in 2.0 s"
    assert "(no request id, attempt 2)" in second


def test_a_request_without_an_answer_is_a_line(sdk: Both, httpx_mock: HTTPXMock, lines: Any):
    httpx_mock.add_exception(httpx.ConnectError("refused"))
    with pytest.raises(APIConnectionError):
        run(sdk, Call("GET", "/files/f?sig=secret"), max_retries=0)

    assert [re.sub(r"\d+ ms", "0 ms", line) for line in lines()] == [
        "GET /files/f -> ConnectError in 0 ms (attempt 1)"
    ]


def test_a_retry_alone_is_told_at_info(
    sdk: Both, httpx_mock: HTTPXMock, naps: list[float], caplog: pytest.LogCaptureFixture
):
    httpx_mock.add_exception(httpx.ReadTimeout("late"))
    httpx_mock.add_response()
    with caplog.at_level(logging.INFO, "nexusai"):
        run(sdk, LOOK)

    (line,) = [record.getMessage() for record in caplog.records if record.name == "nexusai"]
    assert line.startswith("GET /tasks/task_1 -> APITimeoutError: attempt 2 follows in ")


def test_no_logger_of_anybody_tells_the_key(
    sdk: Both, httpx_mock: HTTPXMock, caplog: pytest.LogCaptureFixture
):
    httpx_mock.add_response()
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "nexusai"):
        run(sdk, LOOK)
    assert "nexusai" in caplog.text
    assert KEY not in caplog.text


# NEXUS_LOG


def stderr_of(code: str, folder: Path, **environ: str) -> list[str]:
    """What two clients, one after the other, and their requests to nobody say on stderr."""
    code = f"""
import contextlib, logging, nexusai
{code}
for _ in range(2):
    client = nexusai.NexusAIClient("nxs_1", "http://127.0.0.1:9", max_retries=0)
    with contextlib.suppress(nexusai.NexusAIError):
        client.tasks.get("task_1")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "NEXUS_HOME": str(folder), **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()


def test_it_shows_each_request_once_on_stderr(tmp_path: Path):
    lines = stderr_of("", tmp_path, NEXUS_LOG="debug")
    assert len(lines) == 2
    assert all("nexusai DEBUG GET /tasks/task_1 -> ConnectError" in line for line in lines)


def test_it_shows_no_requests_at_info(tmp_path: Path):
    assert stderr_of("", tmp_path, NEXUS_LOG="INFO") == []


def test_it_may_stand_in_dotenv(tmp_path: Path):
    (tmp_path / ".env").write_text("NEXUS_LOG=debug\n")
    assert len(stderr_of("", tmp_path)) == 2


def test_without_it_nothing_is_shown(tmp_path: Path):
    assert stderr_of("", tmp_path) == []


def test_a_wrong_value_is_named(tmp_path: Path):
    assert set(stderr_of("", tmp_path, NEXUS_LOG="loud")) == {
        "NEXUS_LOG=loud is unknown and not used: it is debug or info"
    }


def test_an_application_that_logs_itself_gets_the_lines_once(tmp_path: Path):
    lines = stderr_of("logging.basicConfig(format='mine %(message)s')", tmp_path, NEXUS_LOG="debug")
    assert [line.split(" -> ")[0] for line in lines if "/tasks/" in line] == ["mine GET /tasks/task_1"] * 2
