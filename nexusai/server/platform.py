"""The platform's parts, wired: the one place where objects meet."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from nexusai.error import ConfigurationError
from nexusai.providers.pricing import default_prices
from nexusai.providers.record import CallRecord
from nexusai.providers.setup import Setup
from nexusai.server.batches.service import BatchService
from nexusai.server.batches.store import BatchStore
from nexusai.server.catalogue import Catalogue
from nexusai.server.clock import now_ms
from nexusai.server.configuration import environment, load
from nexusai.server.conversations.log import ConversationLog
from nexusai.server.conversations.service import ConversationService
from nexusai.server.conversations.store import ConversationStore
from nexusai.server.data_dir import DataDir
from nexusai.server.db.engine import Database, migrate
from nexusai.server.db.retention import Retention, Rule
from nexusai.server.files.service import FileService
from nexusai.server.files.storage import LocalDisk, Storage
from nexusai.server.files.store import FileStore
from nexusai.server.ids import new_id
from nexusai.server.keys.guard import Guard
from nexusai.server.keys.limits import Lanes, MemoryLedger, window
from nexusai.server.keys.service import KeyService
from nexusai.server.keys.store import KeyStore
from nexusai.server.knowledge.artefacts import Artefacts
from nexusai.server.knowledge.embedding import Embeddings
from nexusai.server.knowledge.finder import Finder
from nexusai.server.knowledge.pipeline import Pipeline
from nexusai.server.knowledge.processing import DOCUMENT_PROCESSING
from nexusai.server.knowledge.search import Search
from nexusai.server.knowledge.service import KnowledgeService
from nexusai.server.knowledge.sqlite_index import SqliteIndex
from nexusai.server.knowledge.store import KnowledgeStore
from nexusai.server.observability.health import Health, seldom
from nexusai.server.observability.labels import KnownModels
from nexusai.server.observability.logs import Log
from nexusai.server.observability.metrics import Metrics
from nexusai.server.observability.readings import Readings
from nexusai.server.observability.tracing import Tracing, open_tracing
from nexusai.server.providers.opening import Providers
from nexusai.server.responses.service import ResponseService
from nexusai.server.responses.store import ResponseStore
from nexusai.server.sessions.agents import agents
from nexusai.server.sessions.configs import AgentConfigs
from nexusai.server.sessions.service import SessionService
from nexusai.server.sessions.store import SqlSessionStore
from nexusai.server.sessions.turn import Turns
from nexusai.server.settings import Settings
from nexusai.server.tasks.dispatch.embedded import EmbeddedDispatcher
from nexusai.server.tasks.events.memory import MemoryEvents
from nexusai.server.tasks.kinds import KINDS
from nexusai.server.tasks.reconciler import Reconciler
from nexusai.server.tasks.runner import Runner
from nexusai.server.tasks.service import TaskService
from nexusai.server.tasks.store import SqliteTaskStore
from nexusai.server.traffic import Traffic
from nexusai.server.usage.metered import Meter
from nexusai.server.usage.models import Rates
from nexusai.server.usage.recorder import Recorder
from nexusai.server.usage.service import UsageService
from nexusai.server.usage.store import UsageStore
from nexusai.server.webhooks.sender import Sender
from nexusai.server.webhooks.service import WebhookService
from nexusai.server.webhooks.store import WebhookStore

__all__ = ["Platform"]

Hook = Callable[[CallRecord], object]
BUCKET_CHECKED: Final = 30.0
"""Seconds for which a bucket that could be written counts as well."""


class Platform:
    """Everything behind the routes. Owns the data folder from `open` to `close`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.traffic: Traffic = Traffic()
        self.tracing: Tracing | None = None
        self._data = DataDir(settings.data_dir)
        self._changing = asyncio.Lock()
        self._hide: Callable[[Setup], object] = _nothing

    async def open(self) -> None:
        """Raises `ConfigurationError` when the data folder or the configuration will not do."""
        setup = self._setup = load(self.settings)
        self._data.acquire()
        try:
            migrate(self._data.database)
            self.tracing = open_tracing(environment())
            self._wire(setup, self._data.secret(), await self._storage())
            self._store.start()
            await self.keys.open()
            await self._restore_budgets()
            await self._recorder.start()
            await self.conversation_log.start()
            await self._store.void_leases()
            await self._dispatcher.start()
            await self._reconciler.start()
            await self.knowledge.reconcile()
            await self.webhooks.start()
            await self.batches.start()
            await self.retention.start()
        except BaseException as error:
            self._data.release()
            if isinstance(error, sqlite3.OperationalError):
                raise ConfigurationError(
                    f"The database {self._data.database} cannot be used: {error}."
                ) from None
            raise

    async def _storage(self) -> Storage:
        if self.settings.storage is None:
            return LocalDisk(self._data.files)
        from nexusai.server.files.s3 import S3  # an extra

        storage = S3(self.settings.storage, environment())
        await storage.check()
        return storage

    def _wire(self, setup: Setup, secret: bytes, storage: Storage) -> None:
        settings = self.settings
        self._database = Database(self._data.database)
        rates = Rates(settings.usd_rates)
        self._ledger = MemoryLedger()
        self._store = SqliteTaskStore(self._data.database)
        self.guard: Guard = Guard(self._ledger, Lanes(), self.traffic)
        guard = self.guard
        self._conversations = ConversationStore(self._database, self._store.commits)
        self.conversation_log: ConversationLog = ConversationLog(self._conversations.add)
        self.conversations: ConversationService = ConversationService(
            self._conversations, self.conversation_log
        )
        self._calls = UsageStore(self._database, self._store.commits)
        self._recorder = Recorder(self._calls.add, rates, guard)
        self.usage: UsageService = UsageService(self._calls, self._recorder)
        meter = Meter(guard, default_prices(), rates)
        self.metrics: Metrics = Metrics(rates, lambda provider, model: self._known(provider, model))
        hooks = self._recorder.heard, *self._spans(), self.metrics.heard, self.conversation_log.heard
        self._providers = Providers(setup, meter, *hooks)
        self.catalogue: Catalogue = self._providers.catalogue
        self._known = KnownModels(self.catalogue)
        self.traffic.requests.append(self.metrics.request)
        self.traffic.tasks.append(self.metrics.task)
        self.keys: KeyService = KeyService(
            KeyStore(self._database), guard, secret, anonymous=settings.allow_anonymous
        )
        self.files: FileService = FileService(
            store=FileStore(self._database),
            storage=storage,
            secret=secret,
            link_seconds=settings.link_seconds,
            public_url=settings.public_url,
            types=tuple(kind.strip().lower() for kind in settings.file_types.split(",")),
        )
        kept = ResponseStore(self._database, self._store.commits)
        self.responses: ResponseService = ResponseService(
            kept, settings.response_days, settings.max_body_bytes
        )
        knowledge_store = KnowledgeStore(self._database, index := SqliteIndex(self._database))
        embeddings = Embeddings(self.catalogue, knowledge_store)
        finder = Finder(knowledge_store, Search(index), embeddings)
        artefacts = Artefacts(self._data.artefacts)
        pipeline = Pipeline(knowledge_store, artefacts, embeddings, self.files)
        session_store, known_agents = SqlSessionStore(self._database), agents()
        turns = Turns(session_store, known_agents, finder, self.catalogue.known)
        kinds = {
            kind.task_type: kind
            for kind in (*KINDS.values(), DOCUMENT_PROCESSING, *pipeline.kinds, turns.kind)
        }
        self._events = MemoryEvents()
        runner = Runner(
            worker=new_id("worker"),
            store=self._store,
            events=self._events,
            catalogue=self.catalogue,
            kinds=kinds,
            media=self.files,
            lease=settings.lease,
            caller_of=self.keys.caller,
        )
        self._dispatcher = EmbeddedDispatcher(runner, settings.max_running_tasks, guard.lanes)
        self._reconciler = Reconciler(
            store=self._store,
            dispatcher=self._dispatcher,
            runner=runner,
            events=self._events,
            interval=settings.reconcile_interval,
            max_attempts=settings.max_attempts,
        )
        self.tasks: TaskService = TaskService(
            store=self._store,
            dispatcher=self._dispatcher,
            events=self._events,
            catalogue=self.catalogue,
            kinds=kinds,
            default_timeout=settings.task_timeout,
            max_attempts=settings.max_attempts,
            heartbeat=settings.heartbeat,
        )
        self.webhooks: WebhookService = WebhookService(
            WebhookStore(self._database),
            self.tasks,
            Sender(allow_private=settings.webhook_allow_private),
            secret,
        )
        runner.on_told = self.webhooks.wake
        self.readings: Readings = Readings(
            self.traffic, self.tasks, self.catalogue, self._recorder, self.conversation_log, self._known
        )
        runner.on_ended = self.traffic.task_ended
        if self.tracing is not None:
            runner.spans = self.tracing.task
        stored = storage.check if settings.storage is None else seldom(storage.check, BUCKET_CHECKED)
        self.health: Health = Health(
            {"database": self.probe, "storage": stored, "queue": self._dispatcher.check}, self.traffic
        )
        self.batches: BatchService = BatchService(
            BatchStore(self._database), self.tasks, self.files, self.webhooks, self.keys.caller
        )
        self.knowledge: KnowledgeService = KnowledgeService(
            store=knowledge_store,
            finder=finder,
            embeddings=embeddings,
            artefacts=artefacts,
            files=self.files,
            tasks=self.tasks,
        )
        self.files.users.append(self.knowledge)
        self.sessions: SessionService = SessionService(
            session_store, self.tasks, AgentConfigs(self.catalogue, known_agents, finder)
        )

        self.retention: Retention = Retention(
            [
                Rule("conversations", settings.conversation_days, self._conversations.delete_before),
                Rule("files", 0, self.files.delete_expired),
                Rule("usage", settings.usage_days, self._calls.delete_before),
                Rule("responses", 0, kept.forget),
            ]
        )

    async def _restore_budgets(self) -> None:
        """What was spent of this day and month before the platform started."""
        now = now_ms()
        for measure in ("month", "day"):
            spent: defaultdict[str, float] = defaultdict(float)
            for project, key_id, dollars in await self._calls.spent(window(measure, now)[0]):
                spent[project] += dollars
                if key_id is not None:
                    spent[key_id] += dollars
            for subject, dollars in spent.items():
                self._ledger.restore(subject, measure, dollars, now)

    async def reload(self) -> Setup:
        """Offer the models that the configuration speaks of now; no call that is under way notices it.

        Its settings wait for the next start. Raises `ConfigurationError`, and nothing has changed.
        """
        async with self._changing:
            setup = await asyncio.to_thread(load, self.settings)
            self._providers.change(setup)
            self._known.forget()
            self._hide(setup)
            self._known.forget()
            return setup

    async def probe(self) -> None:
        """Write to the database, changing nothing. Raises `sqlite3.OperationalError` when that fails."""
        await self._store.free_keys(0)

    def _spans(self) -> Iterator[Hook]:
        """The hook that traces calls, where somebody wants traces."""
        if self.tracing is not None:
            self.traffic.requests.append(self.tracing.ended)
            yield self.tracing.hook

    def watched_by(self, log: Log) -> None:
        """Write a line for each request and each task."""
        self._hide = lambda setup: log.redact.learn(each.api_key for each in setup.providers.values())
        self._hide(self._setup)
        self.traffic.requests.append(log.request)
        self.traffic.tasks.append(log.task)
        self.readings.lines_dropped = lambda: log.writer.dropped

    async def drain(self) -> None:
        """Begin nothing new, give running tasks the grace to finish, hand the others back, then let go of
        who waits for them.
        """
        self.traffic.closing = True
        await self.batches.stop()
        await self.webhooks.stop()
        await self._reconciler.stop()
        await self._dispatcher.stop(self.settings.shutdown_grace)
        self._events.close()

    async def close(self) -> None:
        """Drain, then let go of everything."""
        await self.drain()
        await self._changing.acquire()  # for good: what a reload opened now nobody would close
        await self.retention.stop()
        await self._recorder.stop()
        await self.conversation_log.stop()
        await self.keys.close()
        await self._store.stop()
        await self.catalogue.aclose()
        if self.tracing is not None:
            await self.tracing.aclose()
        self._database.close()
        self._data.release()


def _nothing(setup: Setup) -> None:
    pass
