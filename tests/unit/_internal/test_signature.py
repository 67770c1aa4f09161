"""Held to what the scheme's own library signs."""

from __future__ import annotations

import base64
import hmac
from datetime import datetime, timezone
from typing import Any

import pytest

from nexusai._internal._signature import verified
from nexusai.error import ConfigurationError, WebhookVerificationError
from tests.fixtures.webhooks import BODY, NOW, OTHER, SECRET, signature, signed


def signed_by_hand(body: bytes, timestamp: str) -> dict[str, str]:
    """For what the library would not sign."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    mac = hmac.digest(key, f"msg_1.{timestamp}.".encode() + body, "sha256")
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": timestamp, "webhook-signature": signature}


def check(
    body: Any = BODY, headers: Any = None, secret: str = SECRET, tolerance: float = 300, now: float = NOW
) -> Any:
    return verified(body, headers or signed(), secret, tolerance=tolerance, now=now)


def test_what_the_schemes_own_library_signed_is_an_event():
    event = check()
    assert (event.id, event.type, event.data) == ("msg_1", "task.completed", {"task_id": "task_1"})
    assert event.timestamp == datetime(2025, 6, 15, 15, 6, 39, tzinfo=timezone.utc)


def test_an_event_without_a_time_has_that_of_its_signature():
    body = b'{"type": "ping"}'
    assert check(body, signed(body)).timestamp == datetime.fromtimestamp(NOW, tz=timezone.utc)


def test_the_vector_of_the_specification():
    """From the reference implementations' tests."""
    event = verified(
        b'{"test": 2432232314}',
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        tolerance=300,
        now=1614265330,
    )
    assert event.test == 2432232314


@pytest.mark.parametrize("change", [str.upper, str.title, lambda name: name.encode()])
def test_names_of_headers_are_read_in_any_case_and_as_bytes(change: Any):
    assert check(headers={change(name): value for name, value in signed().items()}).id == "msg_1"


def test_one_right_signature_among_several_is_enough():
    headers = signed()
    headers["webhook-signature"] = f"v1a,x {signature(secret=OTHER)} {headers['webhook-signature']}"
    assert check(headers=headers).id == "msg_1"


@pytest.mark.parametrize("wrong", ["", "v1,", "v2,{}", "v1 {}", "{}x", "v1,ключ", "v1,v1,{}"])
def test_anything_else_is_no_signature(wrong: str):
    right = signed()["webhook-signature"].removeprefix("v1,")
    with pytest.raises(WebhookVerificationError):
        check(headers={**signed(), "webhook-signature": wrong.format(right)})


def test_a_body_that_was_changed_is_refused():
    with pytest.raises(WebhookVerificationError, match="body is not what was sent"):
        check(BODY + b" ")


def test_the_secret_of_another_endpoint_is_refused_and_not_shown():
    with pytest.raises(WebhookVerificationError, match="another endpoint's") as raised:
        check(secret=OTHER)
    assert OTHER[6:] not in str(raised.value)
    assert SECRET[6:] not in str(raised.value)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_id_and_time_are_signed_too(name: str):
    with pytest.raises(WebhookVerificationError, match="No signature"):
        check(headers={**signed(), name: "1"})


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named(name: str):
    headers = signed()
    del headers[name]
    with pytest.raises(WebhookVerificationError, match=f"{name} is missing"):
        check(headers=headers)


@pytest.mark.parametrize("age", [300, -300, 0])
def test_five_minutes_are_tolerated_either_way(age: int):
    assert check(headers=signed(at=NOW - age)).id == "msg_1"


@pytest.mark.parametrize(("age", "said"), [(301, "301 s old"), (-301, "301 s ahead")])
def test_more_is_not(age: int, said: str):
    with pytest.raises(WebhookVerificationError, match=said):
        check(headers=signed(at=NOW - age))


def test_the_tolerance_is_the_callers():
    assert check(headers=signed(at=NOW - 3600), tolerance=3600).id == "msg_1"


def test_a_time_that_is_none_is_refused():
    with pytest.raises(WebhookVerificationError, match="no whole number"):
        check(headers=signed_by_hand(BODY, "soon"))


def test_a_secret_without_its_prefix_is_the_same():
    assert check(secret=SECRET.removeprefix("whsec_")).id == "msg_1"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64!", "x"])
def test_what_is_no_secret_is_said_and_not_shown(secret: str):
    with pytest.raises(ConfigurationError, match="not base64") as raised:
        check(secret=secret)
    assert "not base64!" not in str(raised.value)


@pytest.mark.parametrize("payload", [{"type": "x"}, BODY.decode()])
def test_a_body_that_was_read_already_is_refused(payload: Any):
    with pytest.raises(TypeError, match="as it came, in bytes"):
        check(payload)


def test_headers_that_are_none_are_refused():
    with pytest.raises(TypeError, match="as a mapping, not list"):
        verified(BODY, [("webhook-id", "msg_1")], SECRET, tolerance=300, now=NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [b"[1]", b"hello", b"\xff", b'{"data": 1}', b"7"])
def test_a_signed_body_that_is_no_event_is_said(body: bytes):
    with pytest.raises(WebhookVerificationError, match="no event"):
        check(body, signed_by_hand(body, str(NOW)))


def test_a_bytearray_is_bytes():
    assert check(bytearray(BODY)).id == "msg_1"
