"""Tasks as the API offers them: accept, look at, wait for, cancel, delete."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from nexusai.providers.trace import upstream_headers
from nexusai.server.catalogue import Catalogue
from nexusai.server.clock import now_ms
from nexusai.server.http import KEY_LIFETIME, USED_KEY, Problem
from nexusai.server.ids import new_id
from nexusai.server.keys.caller import Caller, current_caller
from nexusai.server.tasks.dispatch import Dispatcher
from nexusai.server.tasks.endings import closing_events, start_event, stream_lost
from nexusai.server.tasks.events import ATTEMPT, Event, Lost, TaskEvents
from nexusai.server.tasks.kinds.kind import Kind
from nexusai.server.tasks.models import Filter, InvokeRequest, StoredRequest, TaskRow, show
from nexusai.server.tasks.states import FINAL
from nexusai.server.tasks.store import TaskStore
from nexusai.server.traffic import Exchange, current_work

__all__ = ["TaskService"]

CANCEL_WAIT = 2.0
"""Seconds `cancel` waits for a running task to let go, so that its answer is final."""


@dataclass(frozen=True, slots=True)
class TaskService:
    """Every call names the project that asks: what belongs to another does not exist for it."""

    store: TaskStore
    dispatcher: Dispatcher
    events: TaskEvents
    catalogue: Catalogue
    kinds: Mapping[str, Kind]
    default_timeout: float
    max_attempts: int
    heartbeat: float
    abandoned: set[asyncio.Future[TaskRow]] = field(default_factory=set)
    watched: set[str] = field(default_factory=set)
    """Projects with an endpoint that is told of their tasks."""

    async def submit(
        self,
        project: str,
        request: InvokeRequest,
        *,
        idempotency_key: str | None,
        request_id: str,
        internal: bool = False,
        task_id: str | None = None,
        asked: object = None,
    ) -> TaskRow:
        """Store the task, then bring it to a worker. Raises a 400 or 409 `Problem`.

        With an idempotency key that the project used for the same request, that task is the answer.
        `internal` lets a feature ask for a task type of its own, whose id may be chosen before; `asked` is
        what its caller said, by which requests are compared then.
        """
        task = self._new_task(
            project, request, idempotency_key, request_id, internal=internal, task_id=task_id, asked=asked
        )
        if not await self.store.accept(task):
            return await self._earlier(task, request)
        work = current_work.get()
        if isinstance(work, Exchange):
            work.task_id = task.id
        if request.stream:
            self.events.open(task.id, 0)
        self.dispatcher.submit(task.id, task.priority, task.not_before, task.lanes)
        return task

    async def replay(self, project: str, asked: object, key: str) -> TaskRow | None:
        """The task that this key made before. Raises a 409 `Problem` when what is asked is not the same."""
        row = await self.store.find_by_key(project, key)
        if row is None or row.created_at < now_ms() - KEY_LIFETIME:
            return None
        if row.request_hash != _fingerprint(asked):
            raise Problem("CONFLICT", USED_KEY)
        return row

    def _new_task(
        self,
        project: str,
        request: InvokeRequest,
        key: str | None,
        request_id: str,
        *,
        internal: bool,
        task_id: str | None,
        asked: object,
    ) -> TaskRow:
        kind = self.kinds.get(request.task_type)
        if kind is None or (kind.internal and not internal):
            known = ", ".join(name for name, kind in self.kinds.items() if not kind.internal)
            asked = request.task_type[:100]
            raise Problem.field(["task_type"], f"{asked!r} is not a task type; known: {known}")
        config = request.config or {}
        input, _, _ = kind.parse(request.input, config)
        caller = current_caller.get()
        provider, model = self._maker(kind, input, request, caller)
        stored = StoredRequest(request.input, config, request.stream, dict(upstream_headers.get()))
        return TaskRow(
            id=task_id or new_id("task"),
            project=project,
            task_type=request.task_type,
            status="queued",
            priority=request.priority,
            provider=provider,
            model=model,
            request_json=stored.dump(),
            metadata_json=orjson.dumps(request.metadata).decode() if request.metadata else None,
            request_id=request_id,
            idempotency_key=key,
            request_hash=_fingerprint(asked or request) if key else None,
            timeout=request.timeout or self.default_timeout,
            max_attempts=self.max_attempts,
            webhook_json=msgspec.json.encode(request.webhook).decode() if request.webhook else None,
            notify=request.webhook is not None or (project in self.watched and not internal),
            not_before=0,
            created_at=now_ms(),
            key_id=caller.key.id if caller is not None and caller.key is not None else None,
        )

    def _maker(
        self, kind: Kind, input: Any, request: InvokeRequest, caller: Caller | None
    ) -> tuple[str, str]:
        capability = kind.needs(input) if kind.needs else kind.capability
        if capability is not None:
            provider, model = self.catalogue.resolve(capability, request.provider, request.model)
            if caller is not None:
                caller.require_model(provider, model, self.catalogue.names)
            return provider, model
        named = "provider" if request.provider else "model" if request.model else None
        if named:
            raise Problem.field([named], f"{kind.task_type} is done by the platform itself: leave it out")
        return "local", kind.task_type

    async def _earlier(self, task: TaskRow, request: InvokeRequest) -> TaskRow:
        key = task.idempotency_key or ""
        row = await self.store.find_by_key(task.project, key)
        if row is None or row.created_at < now_ms() - KEY_LIFETIME:
            await self.store.free_keys(now_ms() - KEY_LIFETIME)
            if await self.store.accept(task):
                if request.stream:
                    self.events.open(task.id, 0)
                self.dispatcher.submit(task.id, task.priority, task.not_before, task.lanes)
                return task
            row = await self.store.find_by_key(task.project, key)
        if row is None or row.request_hash != task.request_hash:
            raise Problem("CONFLICT", USED_KEY)
        return row

    async def get(self, project: str, task_id: str) -> TaskRow:
        row = await self.store.find(project, task_id)
        if row is None:
            raise Problem("NOT_FOUND", f"There is no task {task_id!r}.")
        return row

    async def wait(self, project: str, task_id: str, seconds: float) -> TaskRow:
        """The task once it is final, or as it is after some seconds."""
        with self.events.watch(task_id) as watch:
            row = await self.get(project, task_id)
            if row.status in FINAL or seconds <= 0:
                return row
            await watch.wait(seconds)
        return await self.get(project, task_id)

    async def select(self, project: str, wanted: Filter) -> list[TaskRow]:
        return await self.store.select(project, wanted)

    async def cancel(self, project: str, task_id: str) -> TaskRow:
        """Cancel the task; one that has ended otherwise is a 409 `Problem`."""
        await self.get(project, task_id)
        status = await self.store.request_cancel(task_id, now_ms())
        self.dispatcher.cancel(task_id)
        if status == "running":
            row = await self.wait(project, task_id, CANCEL_WAIT)
            if row.status not in ("completed", "failed"):
                return row
            status = row.status
        if status == "cancelled":
            self.events.end(task_id, lambda: closing_events("cancelled", None, None, True))
            return await self.get(project, task_id)
        raise Problem("CONFLICT", f"The task is {status}: it cannot be cancelled any more.")

    def abandon(self, row: TaskRow) -> None:
        """Cancel the task without waiting: whoever wanted it has gone."""
        cancelling = asyncio.ensure_future(self.cancel(row.project, row.id))
        self.abandoned.add(cancelling)
        cancelling.add_done_callback(self._forget)

    def _forget(self, cancelling: asyncio.Future[TaskRow]) -> None:
        self.abandoned.discard(cancelling)
        if not cancelling.cancelled():
            cancelling.exception()  # the task had ended already: nothing to tell anybody

    async def delete(self, project: str, task_id: str) -> None:
        status = await self.store.delete(project, task_id)
        if status is None:
            raise Problem("NOT_FOUND", f"There is no task {task_id!r}.")
        if status not in FINAL:
            raise Problem("CONFLICT", f"The task is {status}: cancel it first, or wait for its end.")

    async def follow(
        self, row: TaskRow, after: int, link: Callable[[str], str]
    ) -> AsyncIterator[Event | None]:
        """The task's events after the id `after` (0: from the start); None is a heartbeat."""
        if after < 1:
            yield Event(1, "", start_event(row.id, row.provider, row.model))
        if row.status not in FINAL:
            await self._watch_from_now(row)
        try:
            async with aclosing(self.events.follow(row.id, after, self.heartbeat)) as events:  # type: ignore[type-var]
                async for event in events:
                    yield self._linked(row, event, link) if event else None
        except Lost:
            async for event in self._afterwards(row, after):
                yield self._linked(row, event, link)

    async def _watch_from_now(self, row: TaskRow) -> None:
        self.events.open(row.id, row.attempt)
        row = await self.get(row.project, row.id)
        if row.status in FINAL:  # it ended before anybody listened
            told = StoredRequest.of(row).stream
            self.events.end(row.id, lambda: closing_events(row.status, row.output_json, row.error_json, told))

    def _linked(self, row: TaskRow, event: Event, link: Callable[[str], str]) -> Event:
        links = self.kinds[row.task_type].links
        if links is None or not event.data.startswith(b'{"output":'):
            return event
        output = links(orjson.loads(event.data)["output"], link)
        return event._replace(data=orjson.dumps({"output": output}))

    async def _afterwards(self, row: TaskRow, after: int) -> AsyncIterator[Event]:
        """What a stream can still be told when the events it waits for are not kept."""
        row = await self.get(row.project, row.id)
        number = max(row.attempt, 1) * ATTEMPT
        if after >= ATTEMPT or row.status not in FINAL:
            yield Event(
                max(number, after) + 1, "error", orjson.dumps({"error": stream_lost(row.id)}), last=True
            )
            return
        for name, data in closing_events(row.status, row.output_json, row.error_json, told=False):
            yield Event(number, name, data)
            number += 1

    def show(self, row: TaskRow, link: Callable[[str], str]) -> dict[str, Any]:
        """The task as the API answers it; `link` makes the address of a stored file."""
        output = orjson.loads(row.output_json) if row.output_json is not None else None
        kind = self.kinds.get(row.task_type)
        if output is not None and kind is not None and kind.links is not None:
            output = kind.links(output, link)
        return show(row, output)


def _fingerprint(asked: object) -> bytes:
    """The same for the same request however it was spelt."""
    if isinstance(asked, InvokeRequest):
        fields = {name: getattr(asked, name) for name in asked.__struct_fields__}
        asked = fields | {"input": msgspec.json.decode(asked.input)}
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).digest()
