from __future__ import annotations

import json
import time

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook as Standard

from nexusai.server.webhooks.models import CreateWebhook, UpdateWebhook, next_attempt, secret_of, signed

SECRET = b"s" * 32


def test_what_is_signed_here_is_verified_by_the_standards_own_package():
    secret = secret_of(SECRET, "whk_1")
    payload = json.dumps({"type": "task.completed", "data": {"text": "你好"}}).encode()
    headers = signed(secret, "msg_1", int(time.time()), payload)
    assert Standard(secret).verify(payload, dict(headers))["type"] == "task.completed"


def test_each_owner_and_version_has_a_secret_of_its_own():
    secrets = {secret_of(SECRET, owner, version) for owner in ("whk_1", "whk_2") for version in (1, 2)}
    assert len(secrets) == 4
    assert secret_of(SECRET, "whk_1") == secret_of(SECRET, "whk_1")


def test_a_delivery_is_tried_for_about_a_day_and_then_given_up():
    now, attempts = 0, 1
    pauses = []
    while (again := next_attempt(attempts, now)) is not None:
        pauses.append(again - now)
        now, attempts = again, attempts + 1
    assert 20 * 3600_000 < now < 28 * 3600_000
    assert pauses == sorted(pauses)


@pytest.mark.parametrize(
    "body", [{"url": "ftp://a"}, {"url": "http://"}, {"url": "https://a", "events": ["x"]}, {}]
)
def test_a_wrong_endpoint_is_refused(body):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(body), type=CreateWebhook)


def test_a_change_tells_what_is_left_out_from_what_is_null():
    change = msgspec.json.decode(b'{"events": null}', type=UpdateWebhook)
    assert change.events is None
    assert change.url is msgspec.UNSET
