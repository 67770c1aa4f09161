"""The table of responses, each with a link to the one that it goes on from."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, and_, delete, func, literal, select

from nexusai.server.db.engine import Database
from nexusai.server.db.group_commit import GroupCommit, Write
from nexusai.server.db.schema import response_items, responses
from nexusai.server.responses.models import Item, ResponseRow

__all__ = ["Kept", "ResponseStore", "Turn"]

_ROW: Final = [responses.c[name] for name in ResponseRow._fields]
_INSERT: Final = (
    f"INSERT INTO responses ({', '.join(ResponseRow._fields)}) "
    f"VALUES ({', '.join('?' * len(ResponseRow._fields))})"
)
_REFER: Final = (
    "INSERT INTO response_items (project, item_id, response_id) VALUES (?, ?, ?) "
    "ON CONFLICT (project, item_id) DO UPDATE SET response_id = excluded.response_id"
)
"""Some vendors give the same id again: it then means the newest item, which outlives the others."""
_LIVE_ON: Final = "UPDATE responses SET expires_at = ? WHERE id = ? AND project = ? AND expires_at < ?"


class Kept(NamedTuple):
    """A response to be kept, the ids of its output's items, and the responses before it."""

    row: ResponseRow
    item_ids: Sequence[str]
    earlier: Sequence[str]


class Turn(NamedTuple):
    """One response of a conversation."""

    id: str
    previous_id: str | None
    status: str
    items: Sequence[Item]
    """What came in, then what came out."""


def _keep(connection: sqlite3.Connection, batch: Sequence[Kept]) -> list[None]:
    """A conversation lives on as a whole: as long as its newest response."""
    connection.executemany(_INSERT, [kept.row for kept in batch])
    for row, item_ids, earlier in batch:
        connection.executemany(_REFER, [(row.project, item_id, row.id) for item_id in item_ids])
        until = row.expires_at
        connection.executemany(_LIVE_ON, [(until, each, row.project, until) for each in earlier])
    return [None] * len(batch)


KEEP: Final[Write[Kept, None]] = Write(_keep)


class ResponseStore:
    """Writes with the tasks' own writer: a second one would keep it waiting."""

    def __init__(self, database: Database, commits: GroupCommit) -> None:
        self._database = database
        self._commits = commits

    async def add(self, kept: Kept) -> None:
        await self._commits.submit(KEEP, kept)

    async def find(self, project: str, response_id: str, now: int) -> ResponseRow | None:
        query = select(*_ROW).where(_mine(project, now), responses.c.id == response_id)
        row = await self._database.run(lambda connection: connection.execute(query).first())
        return ResponseRow(*row) if row else None

    async def conversation(self, project: str, last: str, most: int, now: int) -> list[Turn] | None:
        """The turns up to a response, oldest first; None when they are of more than `most` bytes.

        The first has a `previous_id` only where that response is not kept any more.
        """

        def work(connection: Connection) -> list[Turn] | None:
            links = responses.c.id, responses.c.previous_id
            first = select(*links, literal(0).label("back"), responses.c.size.label("total"))
            chain = first.where(_mine(project, now), responses.c.id == last).cte("chain", recursive=True)
            before = select(*links, chain.c.back + 1, chain.c.total + responses.c.size)
            before = before.join(chain, responses.c.id == chain.c.previous_id)
            chain = chain.union_all(before.where(_mine(project, now), chain.c.total <= most))
            found = connection.execute(select(chain.c.id, chain.c.total).order_by(chain.c.back.desc())).all()
            if found and found[0].total > most:
                return None
            rows = (
                connection.execute(select(*_ROW).where(responses.c.id == each.id)).one() for each in found
            )
            return [_turn(ResponseRow(*row)) for row in rows]

        return await self._database.run(work)

    async def items(
        self, project: str, item_ids: Sequence[str], most: int, now: int
    ) -> dict[str, Item] | None:
        """Those items of answers that are kept, by their ids; None where `most` bytes will not hold them."""
        wanted = set(item_ids)
        owners = select(response_items.c.response_id).where(
            response_items.c.project == project, response_items.c.item_id.in_(wanted)
        )
        theirs = and_(_mine(project, now), responses.c.id.in_(owners))

        def work(connection: Connection) -> dict[str, Item] | None:
            size = connection.execute(select(func.sum(responses.c.size)).where(theirs)).scalar()
            if (size or 0) > most:
                return None
            turns = [_turn(ResponseRow(*row)) for row in connection.execute(select(*_ROW).where(theirs))]
            return {item["id"]: item for turn in turns for item in turn.items if item.get("id") in wanted}

        return await self._database.run(work)

    async def delete(self, project: str, response_id: str, now: int) -> bool:
        def work(connection: Connection) -> bool:
            found = and_(_mine(project, now), responses.c.id == response_id)
            if not connection.execute(delete(responses).where(found)).rowcount:
                return False
            connection.execute(delete(response_items).where(response_items.c.response_id == response_id))
            return True

        return await self._database.run(work)

    async def forget(self, now: int, most: int) -> int:
        """Drop what has expired, at most so many at once; how many it was."""

        def work(connection: Connection) -> int:
            over = select(responses.c.id).where(responses.c.expires_at <= now).limit(most)
            ids = [row[0] for row in connection.execute(over)]
            connection.execute(delete(response_items).where(response_items.c.response_id.in_(ids)))
            connection.execute(delete(responses).where(responses.c.id.in_(ids)))
            return len(ids)

        return await self._database.run(work)


def _mine(project: str, now: int) -> ColumnElement[bool]:
    return and_(responses.c.project == project, responses.c.expires_at > now)


def _turn(row: ResponseRow) -> Turn:
    items = [*orjson.loads(row.input_json), *orjson.loads(row.response_json)["output"]]
    return Turn(row.id, row.previous_id, row.status, items)
