"""Errors under `/v1`: what went wrong in the contract's codes, and as OpenAI's clients read it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, Final

import orjson
from starlette.responses import Response

from nexusai.error import CODES
from nexusai.providers.errors import AdapterError, CircuitOpenError
from nexusai.server.conversations.log import Tapped, current_conversation
from nexusai.server.http import ClientGone, Problem, broken, note
from nexusai.server.tasks.endings import failure

__all__ = ["answering", "error_body", "error_response", "headers_of", "problem_of"]

logger: logging.Logger = logging.getLogger("nexusai.server.gateway")

_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
}
_NAMES: Final[Mapping[str, str]] = {"UNAUTHORIZED": "invalid_api_key"}
NOT_FOUND: Final = 404
View = Callable[..., Coroutine[Any, Any, Response]]
LONGEST_WAIT: Final = 60
"""Seconds after which it is not worth a client's while to wait and try again."""


def problem_of(error: Exception) -> Problem:
    """What went wrong, in the contract's codes; what nobody foresaw is written to the log."""
    if isinstance(error, Problem):
        note(error.code)
        return error
    if isinstance(error, AdapterError):
        told = failure(error)
        if isinstance(error, CircuitOpenError):
            told["code"] = "SERVICE_UNAVAILABLE"
        elif error.status == NOT_FOUND:
            told["code"] = "NOT_FOUND"
        note(told["code"], error)
        retry_after = getattr(error, "retry_after", None)
        headers = {"x-nexus-provider": error.provider} if error.provider else {}
        if CODES[told["code"]].status in (408, 429) or CODES[told["code"]].status >= 500:
            headers["x-should-retry"] = "false"  # ours are spent: a client's would multiply them
        wait = None if retry_after is None else max(1, round(retry_after))
        return Problem(told["code"], told["message"], retry_after=wait, headers=headers)
    logger.error("a call under /v1 failed", exc_info=error)
    return broken(error)


def error_body(problem: Problem) -> dict[str, Any]:
    """OpenAI's error object."""
    status = CODES[problem.code].status
    loc = problem.errors[0]["loc"] if problem.errors else None
    return {
        "error": {
            "message": problem.detail,
            "type": _TYPES.get(status, "server_error"),
            "param": ".".join(map(str, loc)) if loc else None,
            "code": _NAMES.get(problem.code, problem.code.lower()),
        }
    }


def answering(respond: Callable[[Exception], Response]) -> Callable[[View], View]:
    """Routes whose errors are answered in the words of one API."""

    def wrap(view: View) -> View:
        @wraps(view)
        async def answered(*args: Any, **kwargs: Any) -> Response:
            if current_conversation.get() is not None:  # that of the request before, on the same connection
                current_conversation.set(None)
            try:
                answer = await view(*args, **kwargs)
            except (ClientGone, asyncio.CancelledError):
                if (conversation := current_conversation.get()) is not None:
                    conversation.end(cut=True)
                raise
            except Exception as error:
                answer = respond(error)
            conversation = current_conversation.get()
            return answer if conversation is None else Tapped(answer, conversation)

        return answered

    return wrap


def error_response(error: Exception) -> Response:
    problem = problem_of(error)
    content, status = orjson.dumps(error_body(problem)), CODES[problem.code].status
    return Response(content, status, headers_of(problem), media_type="application/json")


def headers_of(problem: Problem) -> dict[str, str]:
    """When to try again, and whether to."""
    headers = dict(problem.headers)
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
        if problem.retry_after > LONGEST_WAIT:
            headers.setdefault("x-should-retry", "false")
    return headers
