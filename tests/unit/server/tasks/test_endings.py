from __future__ import annotations

import json

import pytest

from nexusai.error import CODES
from nexusai.providers import errors
from nexusai.server.http import Problem
from nexusai.server.tasks.endings import CANCELLED, closing_events, failure, timed_out, worker_lost


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (errors.RateLimitError("m"), "RATE_LIMIT_EXCEEDED", True),
        (errors.TimeoutError("m"), "TIMEOUT", True),
        (errors.RetryableError("m"), "PROVIDER_ERROR", True),
        (errors.ValidationError("m"), "INVALID_REQUEST", False),
        (errors.ContentFilterError("m"), "INVALID_REQUEST", False),
        (errors.ContextWindowError("m"), "INVALID_REQUEST", False),
        (errors.CapabilityError("m"), "INVALID_REQUEST", False),
        (errors.AuthenticationError("m", status=401), "PROVIDER_ERROR", False),
        (errors.AdapterError("m", code="insufficient_quota"), "PROVIDER_ERROR", False),
        (errors.AdapterError("m", code="SERVICE_UNAVAILABLE"), "SERVICE_UNAVAILABLE", False),
        (Problem("CONFLICT", "m"), "CONFLICT", False),
        (Problem("SESSION_BUSY", "m"), "SESSION_BUSY", True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_is_told_in_the_contracts_words(error: Exception, code: str, retryable: bool):
    assert failure(error) == {"code": code, "message": "m", "retryable": retryable}


def test_the_fields_of_a_refused_request_are_told():
    shown = failure(Problem.field(["input", "file_id"], "there is no file"))

    assert shown["errors"] == [
        {"loc": ["input", "file_id"], "msg": "there is no file", "type": "value_error"}
    ]


def test_an_error_of_our_own_tells_nothing_of_itself():
    shown = failure(KeyError("the secret prompt"))

    assert (shown["code"], shown["retryable"]) == ("INTERNAL_ERROR", True)
    assert "secret" not in shown["message"]


@pytest.mark.parametrize(
    "ending", [CANCELLED, timed_out(1.5), worker_lost(5)], ids=lambda ending: ending["code"]
)
def test_how_a_task_can_end_without_its_body_is_in_the_contract(ending: dict):
    assert ending["code"] in CODES
    assert ending["message"]


def test_a_timeout_says_how_long_it_was():
    assert "1.5 s" in timed_out(1.5)["message"]
    assert "600 s" in timed_out(600.0)["message"]


OUTPUT = {
    "text": "Hi.",
    "finish_reason": "length",
    "usage": {"total_tokens": 3},
    "reasoning": "Hm.",
    "tool_calls": [{"id": "call_1"}],
    "provider": "local",
    "model": "text",
    "cost": {"amount": 0.5},
}


def events(status: str, output: dict | None = None, error: dict | None = None, told: bool = False) -> list:
    closing = closing_events(
        status, output and json.dumps(output), json.dumps(error) if error else None, told
    )
    return [(name, data.decode() if data == b"[DONE]" else json.loads(data)) for name, data in closing]


def test_a_stream_ends_with_what_is_known_at_the_end_and_done():
    *_, (_, last), done = events("completed", OUTPUT, told=True)

    assert (
        last.items()
        >= {
            "finish_reason": "length",
            "usage": {"total_tokens": 3},
            "cost": {"amount": 0.5},
            "provider": "local",
            "model": "text",
        }.items()
    )
    assert "text" not in last
    assert done == ("", "[DONE]")


def test_a_text_that_was_not_streamed_is_told_at_once_at_the_end():
    (_, first), *rest = events("completed", OUTPUT)

    assert first == {
        "delta": {"content": "Hi.", "reasoning_content": "Hm.", "tool_calls": [{"id": "call_1"}]}
    }
    assert rest == events("completed", OUTPUT, told=True)


def test_a_result_that_is_no_text_is_told_whole():
    output = {"images": [{"file_id": "file_1"}], "cost": None}

    assert events("completed", output, told=True) == [
        ("", {"output": output}),
        ("", {"finish_reason": "stop", "cost": None}),
        ("", "[DONE]"),
    ]


def test_a_failure_ends_the_stream_without_done():
    error = {"code": "TIMEOUT", "message": "…", "retryable": True}

    assert events("failed", error=error) == [("error", {"error": error})]


def test_a_cancelled_task_ends_its_stream_with_an_error():
    assert events("cancelled") == [("error", {"error": CANCELLED})]


def test_a_turn_of_a_session_tells_its_tool_calls_and_citations_once():
    response = {"content": "Hi.", "tool_calls": [{"id": "call_1"}], "citations": [{"doc_id": "doc_1"}]}
    output = {"text": "Hi.", "response": response, "finish_reason": "stop", "session_id": "sess_1"}

    (_, first), (_, last), _ = events("completed", output)

    assert first == {
        "delta": {
            "content": "Hi.",
            "tool_calls": [{"id": "call_1"}],
            "citations": [{"doc_id": "doc_1"}],
        }
    }
    assert last == {"finish_reason": "stop", "usage": None, "session_id": "sess_1", "cost": None}
