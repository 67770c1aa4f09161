"""Signatures of webhooks, by the Standard Webhooks scheme (standardwebhooks.com). Pure: `now` is given."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from typing import Any

from nexusai.error import ConfigurationError, WebhookVerificationError
from nexusai.models import WebhookEvent

__all__ = ["verified"]

_PREFIX = "whsec_"


def verified(
    payload: bytes, headers: Mapping[str, str], secret: str, *, tolerance: float, now: float
) -> WebhookEvent:
    """The event of a call whose signature is right and whose time is within `tolerance` seconds of `now`.

    Raises `WebhookVerificationError`, and `ConfigurationError` for a secret that is none.
    """
    if not isinstance(payload, (bytes, bytearray)):
        raise TypeError(
            f"payload is the request's body as it came, in bytes, not {type(payload).__name__}: "
            "parsed and written again, it would have another signature"
        )
    if not hasattr(headers, "items"):  # several frameworks' headers are no Mapping
        raise TypeError(f"headers are the request's, as a mapping, not {type(headers).__name__}")
    found = {_text(name).lower(): _text(value) for name, value in headers.items()}
    message, timestamp, signatures = (
        _header(found, name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    )
    signed = f"{message}.{timestamp}.".encode() + payload
    expected = base64.b64encode(hmac.digest(_key(secret), signed, "sha256"))
    if not _among(expected, signatures):
        raise WebhookVerificationError(
            "No signature of the webhook is right: the secret is another endpoint's, or the body is not "
            "what was sent."
        )
    _check_time(timestamp, tolerance, now)
    return _event(payload, message, timestamp)


def _header(headers: Mapping[str, str], name: str) -> str:
    if not headers.get(name):
        raise WebhookVerificationError(f"The header {name} is missing: this is no signed webhook.")
    return headers[name]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.strip().removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigurationError("The webhook secret is not base64: it looks like whsec_MfKQ9r8GKYqrTwjU…")
    return key


def _among(expected: bytes, signatures: str) -> bool:
    """Whether one of `v1,… v1,…` is the expected one; all are compared, in time that tells nothing."""
    right = False
    for version, _, given in (signature.partition(",") for signature in signatures.split()):
        right |= version == "v1" and hmac.compare_digest(expected, given.encode())
    return right


def _check_time(timestamp: str, tolerance: float, now: float) -> None:
    try:
        age = now - int(timestamp)
    except ValueError:
        raise WebhookVerificationError("The header webhook-timestamp is no whole number.") from None
    if abs(age) > tolerance:
        when = f"{age:.0f} s old" if age > 0 else f"{-age:.0f} s ahead of this machine's clock"
        raise WebhookVerificationError(f"The webhook is {when}: at most {tolerance:g} s are tolerated.")


def _event(payload: bytes, message: str, timestamp: str) -> WebhookEvent:
    try:
        return WebhookEvent.model_validate(
            {"timestamp": int(timestamp), **json.loads(payload), "id": message}
        )
    except (ValueError, TypeError):
        raise WebhookVerificationError("The webhook is signed, but its body is no event in JSON.") from None
