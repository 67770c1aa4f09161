"""The tables of endpoints and deliveries, and the tasks of which somebody is to be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from nexusai.server.db.engine import Database
from nexusai.server.db.schema import TELL, tasks, webhook_deliveries, webhooks
from nexusai.server.webhooks.models import Delivery, Endpoint

__all__ = ["WebhookStore"]

_ENDPOINT = [webhooks.c[name] for name in Endpoint._fields]
_DELIVERY = [webhook_deliveries.c[name] for name in Delivery._fields]

SCANNED: Final = 10_000
"""Deliveries among which the next ones are looked for."""


class WebhookStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, endpoint: Endpoint) -> bool:
        """Store an endpoint; False when its project has one with its idempotency key."""
        try:
            await self._write(insert(webhooks).values(endpoint._asdict()))
        except IntegrityError:
            return False
        return True

    async def find(self, project: str, webhook_id: str) -> Endpoint | None:
        return await self._endpoint(and_(webhooks.c.id == webhook_id, webhooks.c.project == project))

    async def find_by_key(self, project: str, key: str) -> Endpoint | None:
        return await self._endpoint(and_(webhooks.c.project == project, webhooks.c.idempotency_key == key))

    async def of_project(self, project: str) -> list[Endpoint]:
        return await self._endpoints(select(*_ENDPOINT).where(webhooks.c.project == project))

    async def projects(self) -> set[str]:
        """Those that have an endpoint which is called."""
        query = select(webhooks.c.project).where(webhooks.c.is_active).distinct()
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return {row[0] for row in rows}

    async def page(self, project: str, cursor: str | None, limit: int) -> list[Endpoint]:
        query = select(*_ENDPOINT).where(webhooks.c.project == project).order_by(webhooks.c.id.desc())
        if cursor is not None:
            query = query.where(webhooks.c.id < cursor)
        return await self._endpoints(query.limit(limit))

    async def change(self, webhook_id: str, **fields: Any) -> None:
        await self._write(update(webhooks).where(webhooks.c.id == webhook_id).values(fields))

    async def delete(self, project: str, webhook_id: str) -> bool:
        """With its deliveries."""

        def work(connection: Connection) -> bool:
            mine = and_(webhooks.c.id == webhook_id, webhooks.c.project == project)
            gone = connection.execute(delete(webhooks).where(mine)).rowcount > 0
            if gone:
                theirs = webhook_deliveries.c.webhook_id == webhook_id
                connection.execute(delete(webhook_deliveries).where(theirs))
            return gone

        return await self._database.run(work)

    async def to_tell(self, limit: int) -> list[tuple[str, str]]:
        """`(project, id)` of final tasks of which somebody is still to be told."""
        query = select(tasks.c.project, tasks.c.id).where(TELL).limit(limit)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [(row[0], row[1]) for row in rows]

    async def told(self, task_id: str, deliveries: Sequence[Delivery]) -> None:
        """Store a task's deliveries, and that it has them: together, so that none is lost or made twice."""

        def work(connection: Connection) -> None:
            _add(connection, deliveries)
            connection.execute(update(tasks).where(tasks.c.id == task_id).values(notify=False))

        await self._database.run(work)

    async def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        """Store deliveries; those of a subject that has them already are left as they are."""
        await self._database.run(lambda connection: _add(connection, deliveries))

    async def due(self, now: int, each: int, limit: int) -> list[Delivery]:
        """What is to be tried, the oldest first, and never more than `each` of one address."""
        table = webhook_deliveries.c
        waiting = select(table.id, table.url, table.next_at).where(_pending(table.next_at <= now))
        oldest = waiting.order_by(table.next_at).limit(SCANNED).subquery()
        turn = func.row_number().over(partition_by=oldest.c.url, order_by=(oldest.c.next_at, oldest.c.id))
        ranked = select(oldest.c.id, turn.label("turn")).subquery()
        query = select(*_DELIVERY).join(ranked, ranked.c.id == table.id).where(ranked.c.turn <= each)
        return await self._deliveries(query.order_by(table.next_at, table.id).limit(limit))

    async def next_due(self, now: int) -> int | None:
        """When, after now, the next delivery is to be tried."""
        query = select(webhook_deliveries.c.next_at).where(_pending(webhook_deliveries.c.next_at > now))
        query = query.order_by(webhook_deliveries.c.next_at).limit(1)
        row = await self._database.run(lambda connection: connection.execute(query).first())
        return row[0] if row else None

    async def tried(self, delivery: Delivery) -> None:
        fields = delivery._asdict()
        where = webhook_deliveries.c.id == fields.pop("id")
        await self._write(update(webhook_deliveries).where(where).values(fields))

    async def log(self, webhook_id: str, cursor: str | None, limit: int) -> list[Delivery]:
        """Newest first."""
        query = select(*_DELIVERY).where(webhook_deliveries.c.webhook_id == webhook_id)
        if cursor is not None:
            query = query.where(webhook_deliveries.c.id < cursor)
        return await self._deliveries(query.order_by(webhook_deliveries.c.id.desc()).limit(limit))

    async def delivery(self, webhook_id: str, delivery_id: str) -> Delivery | None:
        where = and_(webhook_deliveries.c.id == delivery_id, webhook_deliveries.c.webhook_id == webhook_id)
        found = await self._deliveries(select(*_DELIVERY).where(where))
        return found[0] if found else None

    async def forget(self, before: int) -> None:
        """Drop what ended before a time."""
        over = and_(webhook_deliveries.c.status != "pending", webhook_deliveries.c.finished_at < before)
        await self._write(delete(webhook_deliveries).where(over))

    async def _endpoint(self, where: Any) -> Endpoint | None:
        found = await self._endpoints(select(*_ENDPOINT).where(where))
        return found[0] if found else None

    async def _endpoints(self, query: Any) -> list[Endpoint]:
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [Endpoint(*row) for row in rows]

    async def _deliveries(self, query: Any) -> list[Delivery]:
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [Delivery(*row) for row in rows]

    async def _write(self, statement: Any) -> None:
        await self._database.run(lambda connection: connection.execute(statement))


def _pending(when: Any) -> Any:
    return and_(webhook_deliveries.c.status == "pending", when)


def _add(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    for delivery in deliveries:
        same = and_(
            webhook_deliveries.c.subject == delivery.subject,
            webhook_deliveries.c.event == delivery.event,
            webhook_deliveries.c.url == delivery.url,
            webhook_deliveries.c.webhook_id.is_not_distinct_from(delivery.webhook_id),
        )
        if connection.execute(select(webhook_deliveries.c.id).where(same)).first() is None:
            connection.execute(insert(webhook_deliveries).values(delivery._asdict()))
