"""What an error of Anthropic's API means."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from nexusai.providers.adapters.openai_errors import error_from
from nexusai.providers.adapters.openai_stream import loads
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError, RateLimitError
from nexusai.providers.transport import HttpResponse

__all__ = ["error_of", "parse_error"]

_STATUS: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_SPENT: Final = frozenset({"contract_spend_limit_reached", "enforced_spend_limit_reached"})


def parse_error(config: ProviderConfig, model: str, response: HttpResponse) -> AdapterError:
    try:
        body = loads(response.body)
    except ValueError:
        body = response.body.decode("utf-8", "replace")
    return error_of(config, model, response.status, response.headers, body)


def error_of(
    config: ProviderConfig, model: str, status: int, headers: Mapping[str, str], body: Any
) -> AdapterError:
    """A status below 300 is an error inside an answer that began well: its type then says the status."""
    found = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(found, Mapping):
        return error_from(config, model, status, headers, body)
    details = found.get("details")
    code = str((details.get("error_code") if isinstance(details, Mapping) else found.get("code")) or "")
    status = status if status >= 300 else _STATUS.get(str(found.get("type")), 500)
    if isinstance(body.get("request_id"), str):
        headers = {"request-id": body["request_id"], **headers}
    error = error_from(config, model, status, headers, {"error": {**found, "code": code}})
    if isinstance(error, RateLimitError) and error.retry_after is None:
        error.retry_after = _until_reset(headers)
    if code in _SPENT or headers.get("x-should-retry") == "false":
        error.retryable = False
    return error


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until every `anthropic-ratelimit-*` that has nothing remaining is filled up again."""
    resets = (
        headers.get(name.removesuffix("remaining") + "reset", "")
        for name, remaining in headers.items()
        if name.startswith("anthropic-ratelimit-") and name.endswith("-remaining") and remaining == "0"
    )
    try:
        now = parsedate_to_datetime(headers.get("date", ""))
        ends = [datetime.fromisoformat(reset.replace("Z", "+00:00")) for reset in resets]
        waits = [(end - now).total_seconds() for end in ends]
    except (ValueError, TypeError):
        return None
    return max(0.0, *waits) if waits else None
