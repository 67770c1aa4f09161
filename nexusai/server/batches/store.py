"""The tables of batches and their requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from nexusai.server.batches.models import Counts, Item, StoredBatch
from nexusai.server.db.engine import Database
from nexusai.server.db.schema import batch_items as items
from nexusai.server.db.schema import batches, tasks

__all__ = ["BatchStore"]

_COLUMNS = [batches.c[name] for name in StoredBatch._fields]
_ITEM = [items.c[name] for name in Item._fields]


class BatchStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, batch: StoredBatch, requests: Sequence[Item]) -> bool:
        """Store a batch with its requests; False when its project has one with its idempotency key."""

        def write(connection: Connection) -> None:
            connection.execute(insert(batches).values(batch._asdict()))
            rows = [{"batch_id": batch.id, **item._asdict()} for item in requests]
            connection.execute(insert(items), rows)

        try:
            await self._database.run(write)
        except IntegrityError:
            return False
        return True

    async def find(self, project: str, batch_id: str) -> StoredBatch | None:
        return await self._one(and_(batches.c.id == batch_id, batches.c.project == project))

    async def find_by_key(self, project: str, key: str) -> StoredBatch | None:
        return await self._one(and_(batches.c.project == project, batches.c.idempotency_key == key))

    async def free_key(self, batch_id: str) -> None:
        """Forget the batch's idempotency key: it may be used again."""
        await self._write(update(batches).where(batches.c.id == batch_id).values(idempotency_key=None))

    async def page(self, project: str, cursor: str | None, limit: int) -> list[StoredBatch]:
        """Newest first, after the id `cursor`."""
        query = select(*_COLUMNS).where(batches.c.project == project).order_by(batches.c.id.desc())
        if cursor is not None:
            query = query.where(batches.c.id < cursor)
        rows = await self._database.run(lambda connection: connection.execute(query.limit(limit)).all())
        return [StoredBatch(*row) for row in rows]

    async def unfinished(self) -> list[StoredBatch]:
        query = select(*_COLUMNS).where(batches.c.finished_at.is_(None)).order_by(batches.c.id)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [StoredBatch(*row) for row in rows]

    async def waiting(self, batch_id: str, after: int, limit: int) -> list[Item]:
        """Requests after a position that are neither handed in nor refused."""
        unseen = and_(items.c.task_id.is_(None), items.c.error_json.is_(None))
        return await self._items(and_(items.c.batch_id == batch_id, items.c.position > after, unseen), limit)

    async def open(self, batch_id: str) -> list[Item]:
        """Requests whose tasks are not final."""
        live = tasks.c.status.in_(("queued", "running"))
        query = select(*_ITEM).join(tasks, tasks.c.id == items.c.task_id)
        query = query.where(items.c.batch_id == batch_id, live).order_by(items.c.position)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [Item(*row) for row in rows]

    async def after(self, batch_id: str, position: int, limit: int) -> list[Item]:
        return await self._items(and_(items.c.batch_id == batch_id, items.c.position > position), limit)

    async def note(self, batch_id: str, handed_in: Sequence[Item]) -> None:
        """What became of some requests: a task, or a refusal. One that was cancelled meanwhile stays so."""
        one = and_(items.c.batch_id == batch_id, items.c.position == bindparam("at"))
        where = and_(one, items.c.error_json.is_(None))
        change = update(items).where(where).values(task_id=bindparam("task"), error_json=bindparam("error"))
        rows = [{"at": item.position, "task": item.task_id, "error": item.error_json} for item in handed_in]
        await self._database.run(lambda connection: connection.execute(change, rows))

    async def cancel(self, batch_id: str, at: int, error_json: str) -> None:
        """Mark the batch, and end those of its requests that were not handed in."""
        unseen = and_(items.c.task_id.is_(None), items.c.error_json.is_(None))

        def write(connection: Connection) -> None:
            mark = update(batches).where(batches.c.id == batch_id, batches.c.cancelled_at.is_(None))
            connection.execute(mark.values(cancelled_at=at))
            ended = update(items).where(items.c.batch_id == batch_id, unseen)
            connection.execute(ended.values(error_json=error_json))

        await self._database.run(write)

    async def finish(self, batch_id: str, at: int, counts: Counts) -> None:
        counted = orjson.dumps(counts._asdict()).decode()
        where = and_(batches.c.id == batch_id, batches.c.finished_at.is_(None))
        await self._write(update(batches).where(where).values(finished_at=at, counts_json=counted))

    async def counts(self, batch: StoredBatch) -> Counts:
        """How far its requests are; as they were at its end once it has one."""
        if batch.counts_json is not None:
            return Counts(**orjson.loads(batch.counts_json))
        ended = select(func.coalesce(tasks.c.status, "refused"), items.c.error_json, func.count())
        ended = ended.select_from(items.outerjoin(tasks, tasks.c.id == items.c.task_id))
        final = tasks.c.status.in_(("completed", "failed", "cancelled"))
        gone = and_(items.c.task_id.is_not(None), tasks.c.id.is_(None))
        ended = ended.where(
            items.c.batch_id == batch.id, or_(final, items.c.error_json.is_not(None), gone)
        ).group_by(tasks.c.status, items.c.error_json)
        rows = await self._database.run(lambda connection: connection.execute(ended).all())
        found = {"completed": 0, "failed": 0, "cancelled": 0}
        for status, error_json, count in rows:
            refused = "cancelled" if "CANCELLED" in (error_json or "") else "failed"
            found[refused if status == "refused" else status] += count
        return Counts(batch.total, **found)

    async def _one(self, where: Any) -> StoredBatch | None:
        query = select(*_COLUMNS).where(where)
        row = await self._database.run(lambda connection: connection.execute(query).first())
        return StoredBatch(*row) if row else None

    async def _items(self, where: Any, limit: int) -> list[Item]:
        query = select(*_ITEM).where(where).order_by(items.c.position).limit(limit)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [Item(*row) for row in rows]

    async def _write(self, statement: Any) -> None:
        await self._database.run(lambda connection: connection.execute(statement))
