"""The platform's parts, wired: the one place where objects meet."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping

from dotenv import dotenv_values

from nexusai.error import ConfigurationError
from nexusai.providers.adapters.local import LocalProvider
from nexusai.providers.client import open_provider
from nexusai.providers.config import configured
from nexusai.providers.types import Provider
from nexusai.server.catalogue import Catalogue
from nexusai.server.data_dir import DataDir
from nexusai.server.db.engine import Database, migrate
from nexusai.server.files.service import FileService
from nexusai.server.files.storage import LocalDisk
from nexusai.server.files.store import FileStore
from nexusai.server.ids import new_id
from nexusai.server.keys.service import KeyService
from nexusai.server.keys.store import KeyStore
from nexusai.server.settings import Settings
from nexusai.server.tasks.dispatch.embedded import EmbeddedDispatcher
from nexusai.server.tasks.events.memory import MemoryEvents
from nexusai.server.tasks.kinds import KINDS
from nexusai.server.tasks.reconciler import Reconciler
from nexusai.server.tasks.runner import Runner
from nexusai.server.tasks.service import TaskService
from nexusai.server.tasks.store import SqliteTaskStore

__all__ = ["Platform"]


class Platform:
    """Everything behind the routes. Owns the data folder from `open` to `close`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._data = DataDir(settings.data_dir)

    async def open(self) -> None:
        """Raises `ConfigurationError` when the data folder or a provider's setting will not do."""
        self._data.acquire()
        try:
            migrate(self._data.database)
            self._wire(self._data.secret())
            self._store.start()
            await self._store.void_leases()
            await self._dispatcher.start()
            await self._reconciler.start()
        except BaseException as error:
            self._data.release()
            if isinstance(error, sqlite3.OperationalError):
                raise ConfigurationError(
                    f"The database {self._data.database} cannot be used: {error}."
                ) from None
            raise

    def _wire(self, secret: bytes) -> None:
        settings = self.settings
        self._database = Database(self._data.database)
        self._catalogue = open_catalogue(environment())
        self.keys = KeyService(KeyStore(self._database), secret)
        self.files = FileService(
            store=FileStore(self._database),
            storage=LocalDisk(self._data.files),
            secret=secret,
            link_seconds=settings.link_seconds,
            public_url=settings.public_url,
        )
        self._store = SqliteTaskStore(self._data.database)
        self._events = MemoryEvents()
        runner = Runner(
            worker=new_id("worker"),
            store=self._store,
            events=self._events,
            catalogue=self._catalogue,
            kinds=KINDS,
            media=self.files,
            lease=settings.lease,
        )
        self._dispatcher = EmbeddedDispatcher(runner, settings.max_running_tasks)
        self._reconciler = Reconciler(
            store=self._store,
            dispatcher=self._dispatcher,
            runner=runner,
            events=self._events,
            interval=settings.reconcile_interval,
            max_attempts=settings.max_attempts,
        )
        self.tasks = TaskService(
            store=self._store,
            dispatcher=self._dispatcher,
            events=self._events,
            catalogue=self._catalogue,
            kinds=KINDS,
            default_timeout=settings.task_timeout,
            max_attempts=settings.max_attempts,
            heartbeat=settings.heartbeat,
        )

    async def probe(self) -> None:
        """Write to the database, changing nothing. Raises `sqlite3.OperationalError` when that fails."""
        await self._store.free_keys(0)

    async def drain(self) -> None:
        """Give running tasks the grace to finish, hand the others back, then let go of who waits for them."""
        await self._reconciler.stop()
        await self._dispatcher.stop(self.settings.shutdown_grace)
        self._events.close()

    async def close(self) -> None:
        """Drain, then let go of everything."""
        await self.drain()
        await self._store.stop()
        await self._catalogue.aclose()
        self._database.close()
        self._data.release()


def environment() -> dict[str, str]:
    """The environment over the `.env` of the working directory, as the settings see it."""
    written = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return {**written, **os.environ}


def open_catalogue(environ: Mapping[str, str]) -> Catalogue:
    """The providers that the environment switches on, then `local`, which is always there."""
    remote = configured(environ)
    transport = None
    opened: dict[str, Provider] = {}
    if remote:
        from nexusai.server.upstream import AiohttpTransport  # a third of a second to load

        transport = AiohttpTransport()
        opened = {name: open_provider(config, transport) for name, config in remote.items()}
    return Catalogue({**opened, "local": LocalProvider()}, transport)
