from __future__ import annotations

import json
from typing import Any

import pytest

from nexusai import error
from nexusai._internal._errors import error_of, retry_after
from nexusai._internal._flow import Call, create

CALL = Call("GET", "/tasks/task_1")
NOW = 1_700_000_000.0


def failed(
    status: int, body: Any = None, headers: dict[str, str] | None = None, call: Call = CALL
) -> error.APIError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_of(call, status, headers or {}, content, NOW)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, error.InvalidRequestError),
        (401, error.AuthenticationError),
        (403, error.PermissionError),
        (404, error.NotFoundError),
        (408, error.APITimeoutError),
        (409, error.ConflictError),
        (413, error.PayloadTooLargeError),
        (415, error.InvalidRequestError),
        (418, error.APIError),
        (429, error.RateLimitError),
        (500, error.ServerError),
        (504, error.ServerError),
    ],
)
def test_a_status_has_its_class(status: int, kind: type[error.APIError]):
    assert type(failed(status, {})) is kind


def test_a_problem_is_read_whole():
    problem = {
        "detail": "Slow down.",
        "title": "Rate limit exceeded",
        "error_code": "RATE_LIMIT_EXCEEDED",
        "request_id": "req_1",
        "retry_after": 3,
    }
    raised = failed(429, problem)

    assert raised.message == "Slow down."
    assert raised.error_code == "RATE_LIMIT_EXCEEDED"
    assert raised.request_id == "req_1"
    assert raised.retry_after == 3
    assert raised.response_body == problem
    assert raised.retryable
    assert str(raised) == "Slow down. (429, RATE_LIMIT_EXCEEDED, request req_1)"


def test_the_request_id_is_in_the_headers_too():
    assert failed(500, b"", {"x-request-id": "req_2"}).request_id == "req_2"


def test_the_openai_shape_is_read():
    raised = failed(400, {"error": {"message": "No such model.", "code": "model_not_found"}})
    assert (raised.message, raised.error_code) == ("No such model.", "model_not_found")


def test_wrong_fields_are_named_in_the_message():
    fault = {"loc": ["config", "temperature"], "msg": "is above 2", "type": "too_big"}
    raised = failed(400, {"detail": "The request is wrong.", "errors": [fault]})

    assert raised.message == "The request is wrong. config.temperature: is above 2"
    assert raised.errors == [fault]


def test_a_fault_that_the_detail_tells_already_is_not_told_twice():
    fault = {"loc": ["prompt"], "msg": "is empty", "type": "empty"}
    assert failed(400, {"detail": "prompt is empty", "errors": [fault]}).message == "prompt is empty"


def test_what_a_server_echoes_of_the_input_is_left_out_of_the_errors():
    fault = {"loc": "prompt", "msg": "too long", "type": "long", "input": "my secret"}
    raised = failed(400, {"detail": "no", "errors": [fault, "nonsense"]})

    assert raised.errors == [{"loc": "prompt", "msg": "too long", "type": "long"}]
    assert "my secret" not in str(raised)


@pytest.mark.parametrize("body", [b"<html><h1>Bad Gateway</h1></html>", b"", b"[1]", b"null", b"\xff\xfe"])
def test_a_proxys_page_gives_a_clear_message(body: bytes):
    raised = failed(502, body, {"content-type": "text/html; charset=utf-8"})

    assert raised.message.startswith("GET /tasks/task_1 was answered 502 with text/html")
    assert "proxy" in raised.message
    assert raised.retryable


def test_a_long_page_is_kept_in_part():
    assert len(failed(502, b"x" * 10_000).response_body) == 2_000


def test_a_redirect_says_that_it_is_not_followed():
    raised = failed(302, b"", {"location": "http://elsewhere"})
    assert "redirects are not followed" in raised.message
    assert not raised.retryable


def test_the_query_of_a_signed_link_is_not_shown():
    assert "signature" not in failed(403, b"", call=Call("GET", "http://a/f?signature=x")).message


def test_the_idempotency_key_is_on_the_error():
    call = create("/invoke")
    assert failed(500, {}, call=call).idempotency_key == call.idempotency_key


@pytest.mark.parametrize(
    ("status", "passes"), [(400, False), (408, True), (429, True), (500, True), (501, False), (522, True)]
)
def test_which_statuses_may_pass(status: int, passes: bool):
    assert failed(status, {}).retryable is passes


def test_a_code_that_may_pass_makes_its_error_so():
    assert failed(409, {"error_code": "SESSION_BUSY"}).retryable
    assert not failed(409, {"error_code": "CONFLICT"}).retryable


def test_a_long_retry_after_is_told():
    assert failed(503, {"detail": "Down."}, {"retry-after": "120"}).message == (
        "Down. It asks to wait 120 s before the next try."
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        ("0.5", 0.5),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("soon", None),
        ("inf", None),
        ("-1", None),
    ],
)
def test_retry_after_has_two_forms(value: str, seconds: float | None):
    assert retry_after({"retry-after": value}, NOW) == seconds


def test_no_retry_after_is_none():
    assert retry_after({}, NOW) is None
