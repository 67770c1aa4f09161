"""The tables of keys and projects: digests only, a key itself is stored nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from nexusai.server.db.engine import Database
from nexusai.server.db.schema import keys, projects
from nexusai.server.keys.models import Key, Project

__all__ = ["KeyStore"]

_KEY = [keys.c[name] for name in Key.__struct_fields__]
_PROJECT = [projects.c[name] for name in Project.__struct_fields__]


class KeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: Key) -> bool:
        """Store a key; False when there is one with its idempotency key."""
        return await self._added(insert(keys).values(msgspec.structs.asdict(key)))

    async def change(self, key_id: str, **fields: Any) -> None:
        await self._write(update(keys).where(keys.c.id == key_id).values(fields))

    async def find(self, key_id: str) -> Key | None:
        return await self._key(keys.c.id == key_id)

    async def find_by_key(self, project: str, idempotency_key: str) -> Key | None:
        return await self._key(and_(keys.c.project == project, keys.c.idempotency_key == idempotency_key))

    async def find_by_digest(self, digest: bytes) -> Key | None:
        """The key that this is the digest of, or was before it was rotated."""
        return await self._key(or_(keys.c.digest == digest, keys.c.previous_digest == digest))

    async def page(self, project: str | None, cursor: str | None, limit: int) -> list[Key]:
        """Newest first; of every project where none is named."""
        query = select(*_KEY).order_by(keys.c.id.desc()).limit(limit)
        if project is not None:
            query = query.where(keys.c.project == project)
        if cursor is not None:
            query = query.where(keys.c.id < cursor)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [Key(*row) for row in rows]

    async def limited(self) -> list[Key]:
        """Those of which something may be counted."""
        query = select(*_KEY).where(and_(keys.c.limits_json != "{}", keys.c.disabled_at.is_(None)))
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [Key(*row) for row in rows]

    async def used(self, moments: Mapping[str, int]) -> None:
        """Note when keys were last used."""
        rows = [{"key": key_id, "moment": moment} for key_id, moment in moments.items()]
        statement = update(keys).where(keys.c.id == bindparam("key")).values(last_used_at=bindparam("moment"))
        await self._database.run(lambda connection: connection.execute(statement, rows))

    async def add_project(self, project: Project) -> bool:
        """Store a project; False when there is one with its idempotency key."""
        return await self._added(insert(projects).values(msgspec.structs.asdict(project)))

    async def change_project(self, project_id: str, **fields: Any) -> None:
        await self._write(update(projects).where(projects.c.id == project_id).values(fields))

    async def find_project(self, project_id: str) -> Project | None:
        return await self._project(projects.c.id == project_id)

    async def find_project_by_key(self, idempotency_key: str) -> Project | None:
        return await self._project(projects.c.idempotency_key == idempotency_key)

    async def _project(self, where: Any) -> Project | None:
        query = select(*_PROJECT).where(where)
        row = await self._database.run(lambda connection: connection.execute(query).first())
        return Project(*row) if row else None

    async def projects(self, cursor: str | None, limit: int) -> list[Project]:
        """Newest first."""
        query = select(*_PROJECT).order_by(projects.c.id.desc()).limit(limit)
        if cursor is not None:
            query = query.where(projects.c.id < cursor)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [Project(*row) for row in rows]

    async def _key(self, where: Any) -> Key | None:
        query = select(*_KEY).where(where)
        row = await self._database.run(lambda connection: connection.execute(query).first())
        return Key(*row) if row else None

    async def _added(self, statement: Any) -> bool:
        try:
            await self._write(statement)
        except IntegrityError:
            return False
        return True

    async def _write(self, statement: Any) -> None:
        await self._database.run(lambda connection: connection.execute(statement))
