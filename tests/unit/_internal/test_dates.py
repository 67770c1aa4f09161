from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from nexusai._internal._dates import moment


@pytest.mark.parametrize(
    ("when", "sent"),
    [
        (datetime(2025, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2025-01-01T00:00:00Z"),
        (date(2025, 1, 31), "2025-01-31"),
        ("2025-01", "2025-01"),
        (None, None),
    ],
)
def test_a_moment_is_sent_in_utc_and_a_day_as_it_is(when: date | str | None, sent: str | None):
    assert moment(when) == sent


def test_a_naive_datetime_is_of_this_machines_zone():
    naive = datetime(2025, 1, 1, 12)  # noqa: DTZ001
    assert moment(naive) == moment(naive.astimezone())
