"""The table of keys: digests only, a key itself is stored nowhere."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

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
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, key: StoredKey) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(insert(keys).values(key._asdict()))

    async def find(self, digest: bytes) -> StoredKey | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(*_COLUMNS).where(keys.c.digest == digest))).first()
        return StoredKey(*row) if row else None
