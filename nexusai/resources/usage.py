"""What was used."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from nexusai._internal._dates import moment
from nexusai._internal._flow import Call, Flow, ask, given
from nexusai.models import UsageReport
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from nexusai.types import UsageGroup

__all__ = ["AsyncUsageReports", "UsageReports"]


def _get(
    group_by: UsageGroup | None,
    from_: date | str | None,
    to: date | str | None,
    limit: int | None,
    cursor: str | None,
) -> Flow[UsageReport]:
    wanted = given(group_by=group_by, from_=moment(from_), to=moment(to), limit=limit, cursor=cursor)
    return ask(Call("GET", "/usage", params=wanted), UsageReport)


class UsageReports(SyncResource):
    """Tokens and money: how much, by whom, for what."""

    def get(
        self,
        *,
        group_by: UsageGroup | None = None,
        from_: date | str | None = None,
        to: date | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> UsageReport:
        """What was used from one moment to another, in a row for each key, model, provider or day.

        Both are a date, a datetime, or a str such as `"2025-01-31"`.
        """
        return self._driver.run(_get(group_by, from_, to, limit, cursor))


class AsyncUsageReports(AsyncResource):
    """Tokens and money: how much, by whom, for what."""

    async def get(
        self,
        *,
        group_by: UsageGroup | None = None,
        from_: date | str | None = None,
        to: date | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> UsageReport:
        """What was used from one moment to another, in a row for each key, model, provider or day.

        Both are a date, a datetime, or a str such as `"2025-01-31"`.
        """
        return await self._driver.run(_get(group_by, from_, to, limit, cursor))
