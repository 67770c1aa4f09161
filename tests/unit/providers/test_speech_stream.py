from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from nexusai.providers import AdapterError, Prices, RetryableError, SpeechRequest, ValidationError
from nexusai.providers.record import CallRecord
from nexusai.providers.transport import HttpResponse
from tests.fixtures.vendor import Vendor, refused

PRICES = Prices.load({"openai_compatible/m": {"price": {"million_characters": 15.0, "currency": "USD"}}})
HELLO = SpeechRequest("m", "hello", "alloy", "mp3")
SOUND = b"ID3 and sound"


def sound(body: bytes = SOUND, kind: str = "audio/mpeg") -> HttpResponse:
    return HttpResponse(200, {"content-type": kind}, body)


def events(*told: dict[str, Any]) -> list[bytes | AdapterError]:
    return [b"data: " + json.dumps(event).encode() + b"\n\n" for event in told]


def heard(vendor: Vendor) -> CallRecord:
    """Run it; what is told of it afterwards."""
    records: list[CallRecord] = []
    calls = vendor.calls(prices=PRICES, hooks=[records.append])
    with contextlib.suppress(AdapterError):
        vendor.run(calls.call_at("openai_compatible", "speech_stream", HELLO))
    (record,) = records
    return record


def test_sound_is_emitted_as_it_comes_and_paid_by_its_letters():
    vendor = Vendor(sound())
    record = heard(vendor)

    (chunk,) = vendor.emitted
    assert (chunk.data, chunk.format) == (SOUND, "mp3")
    assert chunk.cost.amount == record.cost.amount == pytest.approx(5 * 15 / 1_000_000)
    assert (record.operation, record.first_chunk, record.error) == ("speech_stream", 0.0, None)
    assert (chunk.provider, chunk.model) == ("openai_compatible", "m")


def test_what_broke_off_is_paid_in_full():
    done = {"type": "speech.audio.delta", "audio": "aGk="}
    vendor = Vendor([*events(done), RetryableError("reset")])
    record = heard(vendor)
    assert record.error is not None
    assert record.cost is not None
    assert record.cost.amount == pytest.approx(5 * 15 / 1_000_000)
    assert len(vendor.sent) == 1


def test_what_fails_before_the_first_sound_is_tried_again():
    vendor = Vendor(refused(503), sound())
    record = heard(vendor)
    assert (len(vendor.sent), record.attempts, record.error) == (2, 2, None)


@pytest.mark.parametrize(
    "answer",
    [sound(b""), events(), events({"type": "speech.audio.delta", "audio": "aGk="}), [b"data: {no\n\n"]],
    ids=["nothing", "no event", "no end", "no JSON"],
)
def test_a_sound_that_is_not_whole_is_an_error(answer: Any):
    assert isinstance(heard(Vendor(answer)).error, AdapterError)


def test_an_error_in_place_of_sound_is_told():
    told = json.dumps({"error": {"message": "no such voice"}}).encode()
    assert "no such voice" in str(heard(Vendor(sound(told, "application/json"))).error)


def test_an_error_among_the_events_is_told():
    error = {"error": {"message": "the voice is gone"}}
    assert "the voice is gone" in str(heard(Vendor(events(error))).error)


def test_what_is_refused_is_not_tried_again():
    vendor = Vendor(refused(400, "no such voice"))
    assert isinstance(heard(vendor).error, ValidationError)
    assert len(vendor.sent) == 1


def test_the_last_event_tells_what_was_used():
    usage = {"input_tokens": 7, "output_tokens": 30, "total_tokens": 37}
    record = heard(Vendor(events({"type": "speech.audio.done", "usage": usage})))
    assert record.usage is not None
    assert record.usage.total_tokens == 37
