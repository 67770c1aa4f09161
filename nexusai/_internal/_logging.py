"""What the logger `nexusai` tells of requests: never a key, a body, or the query of a link.

NEXUS_LOG=debug    a line for each request
NEXUS_LOG=info     what is sent again, and why
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import httpx

from nexusai._internal._flow import Call
from nexusai.error import APIError

__all__ = ["log_answer", "log_failure", "log_retry", "show"]

_logger = logging.getLogger("nexusai")

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}
_SHOWN = frozenset(
    (
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "last-event-id",
        "prefer",
        "traceparent",
        "transfer-encoding",
        "user-agent",
    )
)


def show(level: str) -> None:
    """Do as `NEXUS_LOG` says: on stderr, unless the application has handlers of its own for it."""
    if level.lower() not in _LEVELS:
        _logger.warning("NEXUS_LOG=%s is unknown and not used: it is debug or info", level)
        return
    _logger.setLevel(_LEVELS[level.lower()])
    if not _logger.hasHandlers():
        stderr = logging.StreamHandler()
        stderr.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        _logger.addHandler(stderr)


def log_answer(response: httpx.Response, seconds: float, attempt: int) -> None:
    if _logger.isEnabledFor(logging.DEBUG):
        request = response.request
        _logger.debug(
            "%s %s%s -> %d in %.0f ms (%s, attempt %d) %s",
            request.method,
            request.url.path,
            "?…" if request.url.query else "",
            response.status_code,
            seconds * 1000,
            response.headers.get("x-request-id", "no request id"),
            attempt,
            _redacted(request.headers),
        )


def log_failure(call: Call, error: httpx.HTTPError, seconds: float, attempt: int) -> None:
    _logger.debug(
        "%s -> %s in %.0f ms (attempt %d)", call.name, type(error).__name__, seconds * 1000, attempt
    )


def log_retry(call: Call, error: APIError, pause: float, attempt: int) -> None:
    what = error.status_code or type(error).__name__
    request = f", {error.request_id}" if error.request_id else ""
    _logger.info("%s -> %s%s: attempt %d follows in %.1f s", call.name, what, request, attempt, pause)


def _redacted(headers: Mapping[str, str]) -> dict[str, str]:
    """What a header of an application's own may hold is not known: its name alone is shown."""
    return {name: value if name in _SHOWN else "[redacted]" for name, value in headers.items()}
