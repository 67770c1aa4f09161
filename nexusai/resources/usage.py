"""What was used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from nexusai._internal._dates import moment
from nexusai._internal._flow import Call, Flow, ask, given
from nexusai.models import UsageReport
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import UsageFilter, UsageGroup

__all__ = ["AsyncUsageReports", "UsageReports"]


def _get(
    group_by: UsageGroup | None,
    from_: date | str | None,
    to: date | str | None,
    limit: int | None,
    cursor: str | None,
    only: Mapping[str, Any],
) -> Flow[UsageReport]:
    span = given(group_by=group_by, from_=moment(from_), to=moment(to), limit=limit, cursor=cursor)
    return ask(Call("GET", "/usage", params={**span, **given(**only)}), UsageReport)


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
        **only: Unpack[UsageFilter],
    ) -> UsageReport:
        """What was used from one moment to before another, in a row for each of the group, or in one.

        Both are a date, a datetime, or a str such as `"2025-01-31"`. It needs a key of the scope `admin`,
        and tells of that key's project, or with `platform` of all.
        """
        return self._driver.run(_get(group_by, from_, to, limit, cursor, only))


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
        **only: Unpack[UsageFilter],
    ) -> UsageReport:
        """What was used from one moment to before another, in a row for each of the group, or in one.

        Both are a date, a datetime, or a str such as `"2025-01-31"`. It needs a key of the scope `admin`,
        and tells of that key's project, or with `platform` of all.
        """
        return await self._driver.run(_get(group_by, from_, to, limit, cursor, only))
