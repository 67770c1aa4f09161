"""What an answer that is not a good one means: RFC 9457 problems, OpenAI's shape, and pages of proxies."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic_core import from_json

from nexusai._internal._flow import Call
from nexusai.constants import MAX_RETRY_AFTER
from nexusai.error import CODES, APIError, class_for_status

__all__ = ["error_of", "retry_after", "seconds"]

_PASSING = {408, 429}
_FOR_GOOD = {501, 505}
_TEXT_KEPT = 2_000


def error_of(call: Call, status: int, headers: Mapping[str, str], content: bytes, now: float) -> APIError:
    """The error that stands for an answer. `now` is in Unix seconds, for a `Retry-After` that is a date."""
    body = _json(content)
    problem = _problem(body)
    code = problem.get("error_code") or problem.get("code")
    request_id = problem.get("request_id")
    pause = seconds(problem.get("retry_after"))
    if pause is None:
        pause = retry_after(headers, now)
    return class_for_status(status)(
        _message(call, status, headers, problem, pause),
        status_code=status,
        error_code=code if isinstance(code, str) else None,
        request_id=request_id if _is_text(request_id) else headers.get("x-request-id"),
        response_body=content.decode("utf-8", "replace")[:_TEXT_KEPT] if body is None else body,
        retryable=_may_pass(status, code),
        retry_after=pause,
        errors=_field_errors(problem),
        idempotency_key=call.idempotency_key,
    )


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """`Retry-After` in seconds from now, whichever of its two forms it has (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after")
    if value is None:
        return None
    pause = seconds(value)
    if pause is None:
        try:
            pause = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(pause, 0.0)


def seconds(value: Any) -> float | None:
    """A number of seconds, from 0 on; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None


def _json(content: bytes) -> Any:
    try:
        return from_json(content)
    except ValueError:
        return None


def _problem(body: Any) -> dict[str, Any]:
    """The members that say what went wrong: the body itself, or its `error`."""
    if not isinstance(body, dict):
        return {}
    inner = body.get("error")
    return inner if isinstance(inner, dict) else body


def _may_pass(status: int, code: Any) -> bool:
    known = CODES.get(code) if isinstance(code, str) else None
    return (
        status in _PASSING or (status >= 500 and status not in _FOR_GOOD) or bool(known and known.retryable)
    )


def _field_errors(problem: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`{loc, msg, type}` of each; nothing more, since some servers echo the input beside them."""
    errors = problem.get("errors")
    listed = errors if isinstance(errors, list) else []
    return [
        {name: fault.get(name) for name in ("loc", "msg", "type")} for fault in listed if _is_fault(fault)
    ]


def _is_fault(fault: Any) -> bool:
    return isinstance(fault, dict) and "msg" in fault


def _message(
    call: Call, status: int, headers: Mapping[str, str], problem: Mapping[str, Any], pause: float | None
) -> str:
    said = next(
        (problem[name] for name in ("detail", "message", "title") if _is_text(problem.get(name))), None
    )
    message = said or _unexplained(call, status, headers)
    faults = [fault for fault in _field_errors(problem) if str(fault["msg"]) not in message]
    if faults:
        message += " " + "; ".join(f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults)
    if pause is not None and pause > MAX_RETRY_AFTER:
        message += f" It asks to wait {pause:g} s before the next try."
    return message


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _place(loc: Any) -> str:
    return ".".join(map(str, loc)) if isinstance(loc, list) else str(loc)


def _unexplained(call: Call, status: int, headers: Mapping[str, str]) -> str:
    kind = headers.get("content-type", "").partition(";")[0] or "nothing"
    route = call.path.partition("?")[0]
    if 300 <= status < 400:
        return f"{call.method} {route} was redirected, and redirects are not followed: is the base URL exact?"
    return (
        f"{call.method} {route} was answered {status} with {kind} in place of a problem: "
        "something between here and the platform (a proxy?) may have answered, or the base URL is another's."
    )
