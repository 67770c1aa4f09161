"""The table of keys: digests only, a key itself is stored nowhere."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import insert, select

from nexusai.server.db.engine import Database
from nexusai.server.db.schema import keys

__all__ = ["KeyStore", "StoredKey"]


class StoredKey(NamedTuple):
    """A row of the table `keys`; `hint` is the part of the key that may be shown."""

    id: str
    project: str
    name: str
    digest: bytes
    hint: str
    created_at: int


_COLUMNS = [keys.c[name] for name in StoredKey._fields]


class KeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: StoredKey) -> None:
        await self._database.run(lambda connection: connection.execute(insert(keys).values(key._asdict())))

    async def find(self, digest: bytes) -> StoredKey | None:
        query = select(*_COLUMNS).where(keys.c.digest == digest)
        row = await self._database.run(lambda connection: connection.execute(query).first())
        return StoredKey(*row) if row else None
