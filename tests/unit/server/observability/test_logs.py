from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from nexusai.providers.errors import RateLimitError
from nexusai.providers.record import CallRecord
from nexusai.providers.types import Usage
from nexusai.server.observability.logs import Log, unhandled
from nexusai.server.traffic import ROUTE, Exchange, TaskRun

KEY = "nxs_k3y-0f_4-caller-that-nobody-may-see"
VENDOR_KEY = "vendor-key-without-any-known-form"
ENVIRON = {"ACME_API_KEY": VENDOR_KEY, "HOME": "/home/somebody"}
PROMPT = "the prompt that nobody but its writer reads"


class Lines:
    """A log, and what was written to it."""

    def __init__(self, level: str = "info", form: Any = "json") -> None:
        self.stream = io.StringIO()
        self.log = Log(self.stream, ENVIRON, level, form)
        self.log.writer.start()
        self.logger = logging.Logger("nexusai.test")
        self.logger.addHandler(self.log.handler)

    def text(self) -> str:
        self.log.writer.stop()
        return self.stream.getvalue()

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines = Lines()
    yield lines
    lines.log.writer.stop()


def exchange(path: str = "/v1/chat/completions", route: str | None = None, method: str = "POST") -> Exchange:
    scope = {"method": method, "path": path, ROUTE: path if route is None else route or None}
    return Exchange("req_1", scope)


def called(**facts: Any) -> CallRecord:
    usage = Usage(12, 30, source="provider")
    return CallRecord("chat", "openai", "gpt-4o-mini", **{"attempts": 1, "usage": usage, **facts})


# Requests and tasks


def test_a_request_is_a_line_of_json(lines: Lines):
    one = exchange()
    one.project, one.key_id, one.status, one.seconds = "proj_1", "key_1", 200, 0.25
    one.heard(called(seconds=0.2, first_chunk=0.05, attempts=2, tried=("azure/gpt-4o",)), 0.000125)

    lines.log.request(one)

    [line] = lines.read()
    assert line.pop("timestamp").endswith("Z")
    assert 199 < line.pop("upstream_ms") < 201
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": "req_1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "ms": 250.0,
        "project": "proj_1",
        "key_id": "key_1",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "first_chunk_ms": 50.0,
        "prompt_tokens": 12,
        "completion_tokens": 30,
        "cost_usd": 0.000125,
        "attempts": 2,
        "fallback_from": "azure/gpt-4o",
    }


def test_several_calls_of_a_request_are_added_up(lines: Lines):
    one = exchange()
    one.heard(called(), 0.5)
    one.heard(called(), 0.25)

    lines.log.request(one)

    [line] = lines.read()
    assert (line["calls"], line["prompt_tokens"], line["completion_tokens"]) == (2, 24, 60)
    assert line["cost_usd"] == 0.75


def test_what_has_no_price_is_told_no_cost(lines: Lines):
    one = exchange()
    one.heard(called(), None)

    lines.log.request(one)

    assert "cost_usd" not in lines.read()[0]


def test_an_error_is_its_code_and_its_class(lines: Lines):
    one = exchange()
    one.status = 429
    one.failed("RATE_LIMIT_EXCEEDED", RateLimitError(f"what you said: {PROMPT}"))

    lines.log.request(one)

    assert lines.read()[0].items() >= {"code": "RATE_LIMIT_EXCEEDED", "error": "RateLimitError"}.items()
    assert PROMPT not in lines.text()


def test_a_task_is_a_line(lines: Lines):
    run = TaskRun("req_1", "task_1", "text_generation", 1, 0.5)
    run.status, run.seconds = "completed", 2.0

    lines.log.task(run)

    [line] = lines.read()
    assert {**line, "timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "event": "task",
        "request_id": "req_1",
        "task_id": "task_1",
        "task_type": "text_generation",
        "status": "completed",
        "attempt": 1,
        "waited_ms": 500.0,
        "ms": 2000.0,
    }


def test_at_warning_only_what_went_wrong_has_a_line():
    lines = Lines("warning")
    fine, broken = exchange(), exchange()
    fine.status, broken.status = 200, 502

    lines.log.request(fine)
    lines.log.request(broken)
    lines.log.task(TaskRun("req_1", "task_1", "text_generation", 1, 0.5))

    assert [line["status"] for line in lines.read()] == [502]


@pytest.mark.parametrize("path", ["/health/ready", "/metrics"])
def test_what_machines_ask_all_day_has_no_line_unless_it_fails(lines: Lines, path: str):
    fine, broken = exchange(path, method="GET"), exchange(path, method="GET")
    fine.status, broken.status = 200, 503

    lines.log.request(fine)
    lines.log.request(broken)

    assert [line["status"] for line in lines.read()] == [503]


def test_a_key_in_a_path_that_leads_nowhere_is_hidden(lines: Lines):
    lines.log.request(exchange(f"/v1/{KEY}/chat", route=""))

    assert lines.read()[0]["path"] == "/v1/***/chat"


def test_for_reading_it_is_no_json():
    lines = Lines(form="pretty")

    lines.log.request(exchange())

    line = " ".join(lines.text().split())
    assert "] request method=POST path=/v1/chat/completions status=0 request_id=req_1" in line


def test_a_client_cannot_tell_a_terminal_what_to_do():
    lines = Lines(form="pretty")

    lines.log.request(exchange("/x\x1b[2J\x07\x9b1m", method="G\x1bT"))
    lines.log.request(exchange("/x\nforged"))

    text = lines.text()
    assert "path=/x\\x1b[2J\\x07\\x9b1m" in text
    assert not {"\x1b", "\x07", "\x9b"} & set(text)
    assert len(text.splitlines()) == 2


def test_for_reading_an_error_is_a_stack_of_lines():
    lines = Lines(form="pretty")

    try:
        raise OSError("the disk is gone")
    except OSError:
        lines.logger.exception("it failed")

    text = lines.text()
    assert "it failed" in text.splitlines()[0]
    assert "OSError: the disk is gone" in text.splitlines()


# What is told on the way


def test_a_line_of_a_library_has_the_same_form(lines: Lines):
    lines.logger.warning("it takes %s", "long")

    [line] = lines.read()
    assert {**line, "timestamp": ""} == {
        "timestamp": "",
        "level": "warning",
        "event": "it takes long",
        "logger": "nexusai.test",
        "request_id": "-",
    }


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        VENDOR_KEY,
        "sk-proj-abcdef0123456789",
        "AIzaSyA-abcdefghijklmnop",
        "Bearer abcdefgh12345678",
        "https://api.example.com/v1/models?key=abcdef&alt=sse",
        "https://api.example.com/v1?alt=sse&access_token=abcdef",
        "https://somebody:hunter2@proxy.example.com/",
    ],
)
def test_a_secret_is_in_no_line(lines: Lines, secret: str):
    lines.logger.error("it cannot be reached: %s", secret)
    try:
        raise OSError(f"cannot reach {secret}")
    except OSError:
        lines.logger.exception("it failed")

    text = lines.text()
    assert "***" in text
    for part in (KEY, VENDOR_KEY, "abcdef", "hunter2"):
        assert part not in text


def test_what_an_error_says_may_quote_a_prompt_and_is_left_out(lines: Lines):
    try:
        try:
            int(PROMPT)
        except ValueError as error:
            raise KeyError(PROMPT) from error
    except KeyError as error:
        lines.logger.exception("a task failed")
        lines.logger.warning("a task failed: %s", error)
        lines.logger.warning("a task failed: %r", error)

    text = lines.text()
    assert PROMPT not in text
    assert json.loads(text.splitlines()[0])["error"] == "KeyError"
    assert text.index("ValueError") < text.index("which led to")
    assert json.loads(text.splitlines()[1])["event"] == "a task failed: KeyError"


def test_what_the_system_says_is_told(lines: Lines):
    lines.logger.error("it cannot be written: %s", OSError(28, "No space left on device"))

    assert lines.read()[0]["event"].endswith("OSError: [Errno 28] No space left on device")


def test_an_error_of_a_provider_is_told_by_its_status_and_code(lines: Lines):
    lines.logger.error("no summary: %s", RateLimitError(PROMPT, status=429, code="too_many"))

    assert lines.read()[0]["event"] == "no summary: RateLimitError 429 too_many"


def test_for_debugging_errors_are_told_whole_but_for_keys():
    lines = Lines("debug")

    lines.logger.error("no answer: %s", ValueError(f"what is {KEY}"))

    assert lines.read()[0]["event"] == "no answer: ValueError: what is ***"


def test_an_error_that_nobody_waited_for_is_not_quoted(lines: Lines):
    error = ValueError(PROMPT)
    asyncio_log = logging.getLogger("asyncio")
    asyncio_log.addHandler(lines.log.handler)
    try:
        unhandled(
            None, {"message": "Task exception was never retrieved", "exception": error, "future": PROMPT}
        )
    finally:
        asyncio_log.removeHandler(lines.log.handler)

    assert lines.read()[0].items() >= {"logger": "asyncio", "error": "ValueError"}.items()
    assert PROMPT not in lines.text()


def test_text_that_is_no_unicode_is_written_all_the_same(lines: Lines):
    lines.logger.error("no such file: %s", "\udcff.txt")

    assert "udcff.txt" in lines.read()[0]["event"]


def test_a_line_that_cannot_be_made_is_told_of_without_what_it_was_about(lines: Lines):
    lines.logger.error("%d tasks", PROMPT)

    assert lines.text() == "a line of nexusai.test cannot be written: TypeError\n"
