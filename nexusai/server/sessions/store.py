"""The tables of sessions and their messages. What changes a session first takes its row, then the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from nexusai.server.db.engine import Database
from nexusai.server.db.schema import session_messages as messages
from nexusai.server.db.schema import sessions
from nexusai.server.sessions.models import MessageRow, SessionRow

__all__ = ["SessionStore", "SqlSessionStore", "Turn"]


class Turn(NamedTuple):
    """What a turn leaves behind. Positions of the new messages are given by the store."""

    session_id: str
    task_id: str
    messages: Sequence[MessageRow]
    replaces: str | None
    summary: str | None
    summary_until: int
    at: int


class SessionStore(Protocol):
    """Sessions in a database. What is answered is committed."""

    async def add(self, session: SessionRow, copied: Sequence[MessageRow] = ()) -> bool:
        """Store a session with its first messages; False when its idempotency key is taken."""

    async def find(self, project: str, session_id: str) -> SessionRow | None: ...

    async def find_by_key(self, project: str, idempotency_key: str) -> SessionRow | None: ...

    async def free_key(self, session_id: str) -> None:
        """Forget the session's idempotency key: it may be used again."""

    async def count(self, session_ids: Sequence[str]) -> dict[str, int]:
        """How many messages each has; one without any is left out."""

    async def page(self, project: str, offset: int, limit: int) -> tuple[list[SessionRow], int]:
        """A page of the project's sessions, newest first, and how many there are in all."""

    async def update(self, was: SessionRow, fields: dict[str, Any]) -> bool:
        """Change the session; False when it is gone, or its config or metadata is not what it was."""

    async def delete(self, project: str, session_id: str) -> bool:
        """Delete the session and its messages."""

    async def history(self, session_id: str, offset: int, limit: int | None) -> tuple[list[MessageRow], int]:
        """A part of the messages (None: all), oldest first, and how many there are in all."""

    async def newest(self, session_id: str, after: int, limit: int) -> list[MessageRow]:
        """The last messages behind a position, oldest first."""

    async def reserve(self, session_id: str, task_id: str, holder: str | None, at: int) -> bool:
        """Make the session busy with a task if it is still held by `holder`, or by nobody."""

    async def release(self, session_id: str, task_id: str) -> None:
        """The task is not the session's any more, if it was."""

    async def said(self, session_id: str, task_id: str) -> list[MessageRow]:
        """The messages that a task left, in order."""

    async def keep(self, turn: Turn) -> bool:
        """Store a turn whole and let go of the session; False when the task does not hold it."""


_SESSION = [sessions.c[name] for name in SessionRow._fields]
_MESSAGE = [messages.c[name] for name in MessageRow._fields]


class SqlSessionStore:
    """`SessionStore` in tables of their own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, session: SessionRow, copied: Sequence[MessageRow] = ()) -> bool:
        def work(connection: Connection) -> None:
            connection.execute(insert(sessions).values(session._asdict()))
            if copied:
                connection.execute(insert(messages), [message._asdict() for message in copied])

        try:
            await self._database.run(work)
        except IntegrityError:
            return False
        return True

    async def find(self, project: str, session_id: str) -> SessionRow | None:
        return await self._one(and_(sessions.c.id == session_id, sessions.c.project == project))

    async def find_by_key(self, project: str, idempotency_key: str) -> SessionRow | None:
        of_key = sessions.c.idempotency_key == idempotency_key
        return await self._one(and_(sessions.c.project == project, of_key))

    async def _one(self, where: ColumnElement[Any]) -> SessionRow | None:
        query = select(*_SESSION).where(where)
        row = await self._database.run(lambda connection: connection.execute(query).first())
        return SessionRow(*row) if row else None

    async def free_key(self, session_id: str) -> None:
        freed = update(sessions).where(sessions.c.id == session_id).values(idempotency_key=None)
        await self._database.run(lambda connection: connection.execute(freed))

    async def count(self, session_ids: Sequence[str]) -> dict[str, int]:
        query = (
            select(messages.c.session_id, func.count())
            .where(messages.c.session_id.in_(session_ids))
            .group_by(messages.c.session_id)
        )
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return {row[0]: row[1] for row in rows}

    async def page(self, project: str, offset: int, limit: int) -> tuple[list[SessionRow], int]:
        mine = sessions.c.project == project
        query = select(*_SESSION).where(mine).order_by(sessions.c.id.desc()).offset(offset).limit(limit)
        count = select(func.count()).select_from(sessions).where(mine)

        def read(connection: Connection) -> tuple[list[SessionRow], int]:
            rows = [SessionRow(*row) for row in connection.execute(query)]
            return rows, connection.execute(count).scalar_one()

        return await self._database.run(read)

    async def update(self, was: SessionRow, fields: dict[str, Any]) -> bool:
        same = and_(
            sessions.c.id == was.id,
            sessions.c.project == was.project,
            sessions.c.config_json == was.config_json,
            sessions.c.metadata_json.is_not_distinct_from(was.metadata_json),
        )
        return await self._changed(update(sessions).where(same).values(fields))

    async def delete(self, project: str, session_id: str) -> bool:
        def work(connection: Connection) -> bool:
            mine = and_(sessions.c.id == session_id, sessions.c.project == project)
            if not connection.execute(delete(sessions).where(mine)).rowcount:
                return False
            connection.execute(delete(messages).where(messages.c.session_id == session_id))
            return True

        return await self._database.run(work)

    async def history(self, session_id: str, offset: int, limit: int | None) -> tuple[list[MessageRow], int]:
        of_it = messages.c.session_id == session_id
        query = select(*_MESSAGE).where(of_it).order_by(messages.c.position).offset(offset).limit(limit)
        count = select(func.count()).select_from(messages).where(of_it)

        def read(connection: Connection) -> tuple[list[MessageRow], int]:
            rows = [MessageRow(*row) for row in connection.execute(query)]
            return rows, connection.execute(count).scalar_one()

        return await self._database.run(read)

    async def newest(self, session_id: str, after: int, limit: int) -> list[MessageRow]:
        behind = and_(messages.c.session_id == session_id, messages.c.position > after)
        query = select(*_MESSAGE).where(behind).order_by(messages.c.position.desc()).limit(limit)
        return (await self._messages(query))[::-1]

    async def said(self, session_id: str, task_id: str) -> list[MessageRow]:
        of_task = and_(messages.c.session_id == session_id, messages.c.task_id == task_id)
        return await self._messages(select(*_MESSAGE).where(of_task).order_by(messages.c.ordinal))

    async def _messages(self, query: Select[Any]) -> list[MessageRow]:
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [MessageRow(*row) for row in rows]

    async def reserve(self, session_id: str, task_id: str, holder: str | None, at: int) -> bool:
        held: ColumnElement[bool] = sessions.c.busy_task.is_(None)
        if holder is not None:
            held = held | (sessions.c.busy_task == holder)
        taken = (
            update(sessions).where(sessions.c.id == session_id, held).values(busy_task=task_id, busy_at=at)
        )
        return await self._changed(taken)

    async def release(self, session_id: str, task_id: str) -> None:
        mine = and_(sessions.c.id == session_id, sessions.c.busy_task == task_id)
        await self._changed(update(sessions).where(mine).values(busy_task=None))

    async def keep(self, turn: Turn) -> bool:
        mine = and_(sessions.c.id == turn.session_id, sessions.c.busy_task == turn.task_id)
        freed = (
            update(sessions)
            .where(mine)
            .values(
                busy_task=None, summary=turn.summary, summary_until=turn.summary_until, updated_at=turn.at
            )
        )
        last = select(func.max(messages.c.position)).where(messages.c.session_id == turn.session_id)

        def work(connection: Connection) -> bool:
            if not connection.execute(freed).rowcount:
                return False
            if turn.replaces is not None:
                connection.execute(delete(messages).where(messages.c.id == turn.replaces))
            first = (connection.execute(last).scalar() or 0) + 1
            placed = [
                message._replace(position=first + number)._asdict()
                for number, message in enumerate(turn.messages)
            ]
            connection.execute(insert(messages), placed)
            return True

        return await self._database.run(work)

    async def _changed(self, statement: Any) -> bool:
        return await self._database.run(lambda connection: connection.execute(statement).rowcount > 0)
