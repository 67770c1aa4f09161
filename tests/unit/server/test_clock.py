from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.server.clock import milliseconds, now_ms, rfc3339

NOON = 1_767_268_800_000  # 2026-01-01T12:00:00Z


def test_now_is_in_milliseconds_since_1970(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("time.time_ns", lambda: (NOON + 123) * 1_000_000 + 999_999)

    assert now_ms() == NOON + 123


def test_a_time_is_shown_in_utc_with_a_z():
    assert rfc3339(NOON + 7) == "2026-01-01T12:00:00.007Z"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 1, 12, tzinfo=timezone.utc),
        datetime(2026, 1, 1, 20, tzinfo=timezone(timedelta(hours=8))),
        datetime(2026, 1, 1, 12),  # noqa: DTZ001 - a time without a zone is what is tried
    ],
    ids=["utc", "another zone", "no zone"],
)
def test_a_time_without_a_zone_is_utc(moment: datetime):
    assert milliseconds(moment) == NOON


@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_time_are_times(year: int):
    milliseconds(datetime(year, 1, 1, tzinfo=timezone(timedelta(hours=14))))
    milliseconds(datetime(year, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-14))))


@given(st.integers(0, 32_503_680_000_000))
def test_what_is_shown_can_be_read_back(moment: int):
    shown = rfc3339(moment)

    assert milliseconds(datetime.fromisoformat(shown.replace("Z", "+00:00"))) == moment
