"""The table of files."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from nexusai.server.clock import now_ms
from nexusai.server.db.engine import Database
from nexusai.server.db.schema import files
from nexusai.server.files.models import USER_DATA, Part, StoredFile

__all__ = ["FileStore"]

_COLUMNS = [files.c[name] for name in StoredFile._fields]


def _alive() -> ColumnElement[Any]:
    return or_(files.c.expires_at.is_(None), files.c.expires_at > now_ms())


class FileStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, file: StoredFile) -> bool:
        """Store the row; False when its project already has one with its idempotency key."""
        try:
            await self._database.run(
                lambda connection: connection.execute(insert(files).values(file._asdict()))
            )
        except IntegrityError:
            return False
        return True

    async def find(self, project: str, file_id: str) -> StoredFile | None:
        return await self._one(and_(files.c.id == file_id, files.c.project == project, _alive()))

    async def find_any(self, file_id: str) -> StoredFile | None:
        """The file whosever it is: for signed links."""
        return await self._one(and_(files.c.id == file_id, _alive()))

    async def find_by_key(self, project: str, idempotency_key: str) -> StoredFile | None:
        return await self._one(and_(files.c.project == project, files.c.idempotency_key == idempotency_key))

    async def free_key(self, file_id: str) -> None:
        """Forget the file's idempotency key: it may be used again."""
        freed = update(files).where(files.c.id == file_id).values(idempotency_key=None)
        await self._database.run(lambda connection: connection.execute(freed))

    async def _one(self, where: ColumnElement[Any]) -> StoredFile | None:
        query = select(*_COLUMNS).where(where)
        row = await self._database.run(lambda connection: connection.execute(query).first())
        return StoredFile(*row) if row else None

    async def page(self, project: str, offset: int, limit: int) -> tuple[list[StoredFile], int]:
        """A page of the project's files, newest first, and how many there are in all."""
        mine = and_(files.c.project == project, _alive())
        query = select(*_COLUMNS).where(mine).order_by(files.c.id.desc()).offset(offset).limit(limit)
        count = select(func.count()).select_from(files).where(mine)

        def read(connection: Connection) -> tuple[list[StoredFile], int]:
            rows = [StoredFile(*row) for row in connection.execute(query)]
            return rows, connection.execute(count).scalar_one()

        return await self._database.run(read)

    async def part(self, project: str, part: Part) -> list[StoredFile]:
        """Some of the project's files; one without a purpose is of the purpose `USER_DATA`."""
        query = select(*_COLUMNS).where(files.c.project == project, _alive()).limit(part.limit)
        query = query.order_by(files.c.id if part.oldest_first else files.c.id.desc())
        if part.purpose is not None:
            query = query.where(func.coalesce(files.c.purpose, USER_DATA) == part.purpose)
        if part.after is not None:
            query = query.where(files.c.id > part.after if part.oldest_first else files.c.id < part.after)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [StoredFile(*row) for row in rows]

    async def expired(self, moment: int, most: int) -> list[StoredFile]:
        """Files of all projects whose time was over by then."""
        query = select(*_COLUMNS).where(files.c.expires_at <= moment).limit(most)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [StoredFile(*row) for row in rows]

    async def delete(self, project: str, file_id: str) -> bool:
        gone = delete(files).where(files.c.id == file_id, files.c.project == project)
        return await self._database.run(lambda connection: connection.execute(gone).rowcount > 0)
