"""How tasks end: what went wrong in the contract's words, and the last events of their streams."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from nexusai.error import CODES
from nexusai.providers import errors
from nexusai.server.http import Problem

__all__ = ["CANCELLED", "closing_events", "failure", "start_event", "stream_lost", "timed_out", "worker_lost"]

Failure = dict[str, Any]
"""`{code, message, retryable}` and, for a request the provider refused, `errors`."""

CANCELLED: Failure = {"code": "CANCELLED", "message": "The task was cancelled.", "retryable": False}


def stream_lost(task_id: str) -> Failure:
    message = f"This stream cannot go on where it broke; GET /tasks/{task_id} will have the whole result."
    return {"code": "STREAM_LOST", "message": message, "retryable": False}


def timed_out(seconds: float) -> Failure:
    message = f"The task ran longer than its {seconds:g} s; give it a longer `timeout`."
    return {"code": "TIMEOUT", "message": message, "retryable": True}


def worker_lost(attempts: int) -> Failure:
    message = f"The worker died {attempts} times while it ran this task."
    return {"code": "WORKER_LOST", "message": message, "retryable": True}


_CODES: Mapping[type[errors.AdapterError], str] = {
    errors.RateLimitError: "RATE_LIMIT_EXCEEDED",
    errors.TimeoutError: "TIMEOUT",
    errors.ValidationError: "INVALID_REQUEST",
    errors.CapabilityError: "INVALID_REQUEST",
}


def failure(error: Exception) -> Failure:
    """What a task's error says to its caller. A vendor that refuses *our* key is not the caller's 401."""
    if isinstance(error, Problem):
        shown = {"code": error.code, "message": error.detail, "retryable": CODES[error.code].retryable}
        return shown | ({"errors": error.errors} if error.errors else {})
    if isinstance(error, errors.AdapterError):
        known = (code for kind, code in _CODES.items() if isinstance(error, kind))
        code = error.code if error.code in CODES else next(known, "PROVIDER_ERROR")
        return {"code": code, "message": error.message, "retryable": error.retryable}
    return {
        "code": "INTERNAL_ERROR",
        "message": "The task failed inside the platform; its request id finds the reason in the log.",
        "retryable": True,
    }


def start_event(task_id: str, provider: str, model: str) -> bytes:
    return orjson.dumps({"task_id": task_id, "model": model, "provider": provider})


def closing_events(
    status: str, output_json: str | None, error_json: str | None, told: bool
) -> list[tuple[str, bytes]]:
    """The last events of a final task's stream: `told` when its text went out in deltas already."""
    if status != "completed":
        error = json.loads(error_json) if error_json else CANCELLED
        return [("error", orjson.dumps({"error": error}))]
    output = json.loads(output_json or "{}")
    events: list[tuple[str, bytes]] = []
    if "text" not in output:
        events.append(("", orjson.dumps({"output": output})))
    elif not told:
        delta = {"content": output["text"], "reasoning_content": output.get("reasoning")}
        response = output.get("response", output)  # a session's turn has it inside
        delta["tool_calls"] = response.get("tool_calls")
        delta["citations"] = response.get("citations") if response is not output else None
        events.append(("", orjson.dumps({"delta": {key: value for key, value in delta.items() if value}})))
    extra = {
        key: value
        for key, value in output.items()
        if key not in ("text", "tool_calls", "reasoning", "images", "response")
    }
    last = (
        {"finish_reason": "stop", "usage": None, **extra} if "text" in output else {"finish_reason": "stop"}
    )
    last["cost"] = output.get("cost")
    events.append(("", orjson.dumps(last)))
    events.append(("", b"[DONE]"))
    return events
