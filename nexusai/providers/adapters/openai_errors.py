"""What an answer in the shape of OpenAI's errors, or in the shapes that imitate it, means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import (
    AdapterError,
    AuthenticationError,
    ContentFilterError,
    ContextWindowError,
    RateLimitError,
    RetryableError,
    ValidationError,
)

__all__ = ["error_from", "retry_after"]

_MODEL_SHOWN: Final = 100

_CONTEXT: Final = re.compile(
    r"context_length|(maximum|max) (context|prompt) length|context (window|length|limit)|prompt is too long"
    r"|input is too long|too many tokens|range of input length|reduce the length of",
    re.I,
)
_FILTER: Final = re.compile(
    r"content[_ ]?filter|content[ _](management )?policy|data_?inspection|moderation_blocked|safety system"
    r"|sensitive[ _]?(content|word|information)|content exists risk|high risk|inappropriate content"
    r"|responsible ?ai",
    re.I,
)
_KEYS: Final = re.compile(r"\b(?:sk|xai|gsk|fw|tgp|nxs)[-_][\w*-]{6,}|Bearer\s+\S+")
_REQUEST_IDS: Final = (
    *("x-request-id", "request-id", "x-siliconcloud-trace-id", "x-trace-id"),
    *("apim-request-id", "x-ms-request-id", "x-log-id"),
)
_STATUS_OF_TYPE: Final = {
    "authentication_error": 401,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "requests": 429,
    "tokens": 429,
}
_GLM_CODES: Final = (
    (re.compile(r"1113|130[2-9]|131\d"), 429),
    (re.compile(r"100\d|11[12]\d|1220"), 401),
    (re.compile(r"12[0-2]\d|123[15]|1261|130[01]"), 400),
)
"""The statuses that the codes of Zhipu's API stand for, by its list of them."""
_GLM_CLASSES: Final = (
    (re.compile(r"1261"), ContextWindowError),
    (re.compile(r"130[01]"), ContentFilterError),
    (re.compile(r"111[0-2]|112\d"), AuthenticationError),
)
"""Classes that go by the code, whatever the status: an account that is locked answers 429."""
_EXHAUSTED: Final = re.compile(r"insufficient_quota|1113|1304|1308|1309|131[01]")
"""Codes of a 429 that no waiting helps."""


def error_from(
    config: ProviderConfig,
    model: str,
    status: int,
    headers: Mapping[str, str],
    body: Any,
) -> AdapterError:
    """The error that an answer stands for. `body` is its JSON, or its text where it is not JSON.

    A status of 200 is an error inside an answer that began well: its own code then says the status.
    """
    message, code, type = _facts(body)
    status = status if status >= 300 else _inner_status(code, type, message)
    if status < 400:
        message = f"answered {status}, a redirect: check the base URL"
    # a name can be as long as a prompt, and some vendors quote it
    message = message.replace(model, model[:_MODEL_SHOWN]) if len(model) > _MODEL_SHOWN else message
    message = _without_keys(message, config.api_key)[:500] or f"answered {status} and did not say why"
    known = next((kind for codes, kind in _GLM_CLASSES if codes.fullmatch(code)), None)
    error = (known or _class_for(status, f"{code} {type}", message))(
        f"{config.provider}: {message}",
        provider=config.provider,
        model=model,
        status=status,
        code=code or type or None,
        request_id=next((headers[name] for name in _REQUEST_IDS if name in headers), None),
        retry_after=retry_after(headers),
    )
    if _EXHAUSTED.fullmatch(code) or _EXHAUSTED.fullmatch(type):
        error.retryable = False
    return error


def _class_for(status: int, code: str, message: str) -> type[AdapterError]:
    if status in (400, 403, 413, 422):
        if _CONTEXT.search(code) or _CONTEXT.search(message):
            return ContextWindowError
        if _FILTER.search(code) or _FILTER.search(message):
            return ContentFilterError
    if status in (401, 403):
        return AuthenticationError
    if status == 429:
        return RateLimitError
    if status == 408 or status >= 500:
        return RetryableError
    return ValidationError if status >= 400 else AdapterError


def _facts(body: Any) -> tuple[str, str, str]:
    """Message, code and type, wherever they are: in `error`, on top, or in FastAPI's `detail`."""
    if isinstance(body, list) and body:
        return _facts(body[0])
    if not isinstance(body, Mapping):
        return _text(body), "", ""
    error = body.get("error")
    facts = error if isinstance(error, Mapping) else body
    message = facts.get("message") or facts.get("detail") or error or ""
    if isinstance(message, Mapping):
        message = message.get("detail") or ""
    inner = facts.get("innererror") or facts.get("inner_error")  # Azure's
    type = facts.get("type") or (inner.get("code") if isinstance(inner, Mapping) else None)
    return _text(message), str(facts.get("code") or ""), str(type or "")


def _text(message: Any) -> str:
    if isinstance(message, list):  # pydantic's errors, whose `input` would quote the prompt
        return "; ".join(_field_error(item) for item in message)
    text = str(message or "").strip()
    if not text.startswith("<"):
        return text
    title = re.search(r"<title>\s*(.*?)\s*</title>", text, re.I | re.S)
    page = f"an HTML page titled “{title[1]}”" if title else "an HTML page"
    return f"answered with {page} instead of JSON: check the base URL, or what stands in between"


def _field_error(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    return f"{'.'.join(map(str, item.get('loc', ())))}: {item.get('msg', '')}"


def _inner_status(code: str, type: str, message: str) -> int:
    if re.fullmatch(r"[45]\d\d", code):
        return int(code)
    known = next((status for codes, status in _GLM_CODES if codes.fullmatch(code)), None)
    if known is not None:
        return known
    refused = _FILTER.search(f"{code} {type} {message}") or _CONTEXT.search(f"{code} {message}")
    return _STATUS_OF_TYPE.get(type) or _STATUS_OF_TYPE.get(code) or (400 if refused else 500)


def _without_keys(message: str, key: str | None) -> str:
    return _KEYS.sub("***", message.replace(key, "***") if key else message)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms` or `Retry-After` (RFC 9110); a date counts from the answer's own."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None or value is None:
        return seconds
    from email.utils import parsedate_to_datetime  # 10 ms that few need

    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, wait.total_seconds())
    except (ValueError, TypeError):
        return None


def _seconds(value: str | None) -> float | None:
    return float(value) if value and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value) else None
