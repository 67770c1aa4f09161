"""The route of usage."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nexusai.server.clock import milliseconds, rfc3339
from nexusai.server.http import JsonResponse, Problem, place_of
from nexusai.server.keys.service import KeyService
from nexusai.server.usage.models import Span, Sum
from nexusai.server.usage.service import UsageService

__all__ = ["UsageRoutes"]

Group = Literal["key", "model", "provider", "project", "day"]
Moment = Annotated[datetime | None, Query(description="A date or a time; without a zone it is UTC.")]

CSV: Final = "text/csv"


@dataclass(frozen=True, slots=True)
class UsageRoutes:
    usage: UsageService
    keys: KeyService

    async def get(
        self,
        request: Request,
        group_by: Group | None = None,
        from_: Annotated[Moment, Query(alias="from")] = None,
        to: Moment = None,
        project: str | None = None,
        key: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        format: Literal["json", "csv"] | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """What was used, in a row for each group, or in one: of the project, or with `platform` of all."""
        caller = await self.keys.admit(request, "admin")
        everywhere = caller.key is not None and "platform" in caller.key.granted
        if not everywhere and project not in (None, caller.project.id):
            raise Problem("NOT_FOUND", f"There is no project {project!r}.")
        span = Span(
            project=project if everywhere else caller.project.id,
            key_id=key,
            model=model,
            provider=provider,
            since=_milliseconds("from", from_),
            until=_milliseconds("to", to),
        )
        if format == "csv" or (format is None and CSV in request.headers.get("accept", "")):
            name = {"Content-Disposition": 'attachment; filename="usage.csv"'}
            return StreamingResponse(self._lines(span, group_by), media_type=CSV, headers=name)
        start = place_of(cursor)
        sums, more = await self.usage.page(span, group_by, start, limit)
        return JsonResponse(
            {
                "data": [_shown(found, group_by) for found in sums],
                "has_more": more,
                "next_cursor": str(start + limit) if more else None,
                "group_by": group_by,
                "from": rfc3339(span.since) if span.since is not None else None,
                "to": rfc3339(span.until) if span.until is not None else None,
            }
        )

    async def _lines(self, span: Span, group: str | None) -> AsyncIterator[str]:
        """All groups as CSV (RFC 4180), the first line naming the columns."""
        names = [*([group] if group else []), *_COLUMNS]
        yield _line(names)
        async for found in self.usage.all(span, group):
            row = _flat(_shown(found, group))
            yield _line([row[name] for name in names])


_COLUMNS: Final = (
    "requests",
    "failed",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost",
    "currency",
    "unpriced",
)


def _milliseconds(name: str, moment: datetime | None) -> int | None:
    """Raises a 400 `Problem` for what no call can have been made at."""
    if moment is None:
        return None
    if not 1970 < moment.year < 9000:
        raise Problem.field([name], "is between 1971 and 8999")
    return milliseconds(moment)


def _shown(found: Sum, group: str | None) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if group is not None:
        shown[group] = rfc3339(found.group)[:10] if group == "day" else found.group
    return shown | {
        "requests": found.requests,
        "failed": found.failed,
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": found.completion_tokens,
        "total_tokens": found.prompt_tokens + found.completion_tokens,
        "cached_tokens": found.cached_tokens,
        "reasoning_tokens": found.reasoning_tokens,
        "cost": {"amount": found.dollars, "currency": "USD", "estimated": found.estimated},
        "unpriced": found.unpriced,
    }


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "cost": row["cost"]["amount"], "currency": row["cost"]["currency"]}


def _line(values: list[Any]) -> str:
    """A value that a spreadsheet would run as a formula is only text."""
    safe = [f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t" else value for value in values]
    out = io.StringIO()
    csv.writer(out).writerow(safe)
    return out.getvalue()
