"""The table of calls: written in batches, read in sums."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import and_, case, delete, func, literal, select

from nexusai.server.db.engine import Database
from nexusai.server.db.group_commit import GroupCommit, Write
from nexusai.server.db.schema import calls
from nexusai.server.usage.models import CallRow, Span, Sum

__all__ = ["UsageStore"]

DAY: Final = 24 * 3600 * 1000


_GROUPS: Final = {
    "key": calls.c.key_id,
    "model": calls.c.provider + "/" + calls.c.model,
    "provider": calls.c.provider,
    "project": calls.c.project,
    "day": calls.c.at - calls.c.at % DAY,
}


def _record(connection: sqlite3.Connection, batches: Sequence[Sequence[CallRow]]) -> list[None]:
    """Many rows at a step: after each one the interpreter lock has to be won back."""
    rows = [row for batch in batches for row in batch]
    done = 0
    for many in _AT_ONCE:
        while len(rows) - done >= many:
            values = [value for row in rows[done : done + many] for value in row]
            connection.execute(_insert(many), values)
            done += many
    return [None] * len(batches)


_AT_ONCE: Final = (256, 32, 4, 1)


@cache
def _insert(rows: int) -> str:
    row = f"({', '.join('?' * len(CallRow._fields))})"
    return f"INSERT INTO calls ({', '.join(CallRow._fields)}) VALUES {', '.join([row] * rows)}"


RECORD: Final[Write[Sequence[CallRow], None]] = Write(_record, durable=False)


class UsageStore:
    """Writes with the tasks' own writer: a second one would keep it waiting."""

    def __init__(self, database: Database, commits: GroupCommit) -> None:
        self._database = database
        self._commits = commits

    async def add(self, rows: Sequence[CallRow]) -> None:
        await self._commits.submit(RECORD, rows)

    async def sums(self, span: Span, group: str | None, after: int, limit: int) -> list[Sum]:
        """One for each group, in the order of the groups, after the first `after` of them."""
        by = _GROUPS[group] if group else literal(None)
        query = select(
            by.label("group"),
            func.count(),
            _how_many(calls.c.status == "failed"),
            *(func.sum(calls.c[name]) for name in Sum._fields[3:7]),
            func.sum(calls.c.dollars),
            func.max(calls.c.estimated),
            _how_many(and_(calls.c.cost.is_(None), calls.c.status != "failed")),
        ).where(*_conditions(span))
        if group:
            query = query.group_by("group").order_by("group").offset(after).limit(limit)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [Sum(*_plain(row)) for row in rows]

    async def spent(self, since: int) -> list[tuple[str, str | None, float]]:
        """`(project, key, dollars)` since a moment."""
        query = (
            select(calls.c.project, calls.c.key_id, func.sum(calls.c.dollars))
            .where(calls.c.at >= since)
            .group_by(calls.c.project, calls.c.key_id)
        )
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [(row[0], row[1], row[2]) for row in rows]

    async def delete_before(self, moment: int, most: int) -> int:
        """Delete at most so many of the calls before a moment, and tell how many they were."""
        doomed = select(calls.c.number).where(calls.c.at < moment).limit(most)
        gone = delete(calls).where(calls.c.number.in_(doomed))
        return await self._database.run(lambda connection: connection.execute(gone).rowcount)


def _how_many(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))


def _conditions(span: Span) -> list[Any]:
    wanted = {
        calls.c.project: span.project,
        calls.c.key_id: span.key_id,
        calls.c.model: span.model,
        calls.c.provider: span.provider,
    }
    conditions = [column == value for column, value in wanted.items() if value is not None]
    if span.since is not None:
        conditions.append(calls.c.at >= span.since)
    if span.until is not None:
        conditions.append(calls.c.at < span.until)
    return conditions


def _plain(row: Any) -> list[Any]:
    """Sums of nothing are 0."""
    group, *numbers = row
    values = [0 if number is None else number for number in numbers]
    values[-2] = bool(values[-2])
    return [group, *values]
