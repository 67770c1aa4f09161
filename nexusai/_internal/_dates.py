"""Dates on the wire."""

from __future__ import annotations

from datetime import date, datetime, timezone

__all__ = ["moment"]


def moment(when: date | str | None) -> str | None:
    """RFC 3339 in UTC; a naive datetime is of this machine's zone, a day stays a day, a str what it is."""
    if isinstance(when, datetime):
        return when.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    return when.isoformat() if isinstance(when, date) else when
