"""What every request to the Gemini API, and every answer of it, have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from nexusai.providers.adapters import openai_wire
from nexusai.providers.adapters.openai_errors import error_from
from nexusai.providers.adapters.openai_stream import loads
from nexusai.providers.adapters.openai_wire import failure
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError, ContentFilterError
from nexusai.providers.transport import HttpRequest, HttpResponse

__all__ = ["UNREADABLE", "blocked", "error_of", "failure", "model_name", "object_of", "parse_error", "post"]

UNREADABLE: Final = (
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    ValueError,
    OverflowError,
    RecursionError,
)
"""What reading an answer of another shape than the API promises ends in."""

_TOO_LONG: Final = re.compile(r"exceeds? the maximum (number of )?tokens|maximum number of tokens", re.I)
_KEY_REASONS: Final = frozenset({"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "ACCESS_TOKEN_EXPIRED"})


def model_name(model: str) -> str:
    """The resource name: `models/…` unless the caller wrote it out."""
    return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"


def post(config: ProviderConfig, model: str, method: str, body: Mapping[str, Any]) -> HttpRequest:
    """`method` is what follows the model: `generateContent`. The key is in a header, never in the URL."""
    path = f"/{quote(model_name(model))}:{method}"
    sent = openai_wire.post(config, model, path, body)
    key = {"x-goog-api-key": config.api_key} if config.api_key else {}
    return replace(sent, headers={"content-type": "application/json", **key})


def object_of(config: ProviderConfig, model: str, response: HttpResponse) -> dict[str, Any]:
    """The JSON object that an answer is. Raises the error that stands in its place."""
    try:
        body = loads(response.body)
    except ValueError:
        body = None
    if isinstance(body, dict) and body.get("error"):
        raise parse_error(config, model, response)
    if not isinstance(body, dict):
        message = f"{config.provider} answered with something else than a JSON object: check the base URL"
        raise AdapterError(message, provider=config.provider, model=model, status=response.status)
    return body


def parse_error(config: ProviderConfig, model: str, response: HttpResponse) -> AdapterError:
    try:
        body = loads(response.body)
    except ValueError:
        body = response.body.decode("utf-8", "replace")
    return error_of(config, model, response.status, response.headers, body)


def error_of(
    config: ProviderConfig, model: str, status: int, headers: Mapping[str, str], body: Any
) -> AdapterError:
    """The error that a `google.rpc.Status` stands for; gateways answer with other shapes too.

    A status below 300 is an error inside an answer that began well: its own code then says the status.
    """
    body = body[0] if isinstance(body, list) and body else body
    found = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(found, Mapping) or not isinstance(found.get("status"), str):
        return error_from(config, model, status, headers, body)
    details, message, name = _details(found), str(found.get("message") or ""), found["status"]
    status = status if status >= 300 else _code(found.get("code"))
    no_key = any(str(detail.get("reason")) in _KEY_REASONS for detail in details)
    too_long = status == 400 and _TOO_LONG.search(message)
    facts = {"message": message, "code": "context_length_exceeded" if too_long else name}
    error = error_from(config, model, 401 if no_key else status, headers, {"error": facts})
    error.status, error.code = status, name
    error.retry_after = error.retry_after or _retry_delay(details)
    if any("PerDay" in str(detail.get("violations")) for detail in details):
        error.retryable = False  # a quota that no short wait helps
    return error


def blocked(config: ProviderConfig, model: str, reason: Any) -> ContentFilterError:
    """What it stands for when the vendor names a reason in place of an answer."""
    name = str(reason)[:100]
    message = f"{config.provider} will not answer this: {name}"
    return ContentFilterError(message, provider=config.provider, model=model, status=200, code=name)


def _code(code: Any) -> int:
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _details(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = error.get("details")
    return [item for item in details if isinstance(item, Mapping)] if isinstance(details, list) else []


def _retry_delay(details: list[Mapping[str, Any]]) -> float | None:
    """Seconds from `google.rpc.RetryInfo`, a duration such as `31s` or `0.25s`."""
    texts = (str(detail.get("retryDelay") or "") for detail in details)
    found = (re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", text) for text in texts)
    return next((float(delay[1]) for delay in found if delay), None)
