"""Webhooks as the API offers them, and the loop that tells: at least once, for about a day."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec
import orjson

from nexusai.server.clock import now_ms, rfc3339
from nexusai.server.http import KEY_LIFETIME, Problem
from nexusai.server.ids import new_id
from nexusai.server.tasks.models import Target
from nexusai.server.tasks.service import TaskService
from nexusai.server.webhooks.models import (
    CreateWebhook,
    Delivery,
    Endpoint,
    UpdateWebhook,
    next_attempt,
    secret_of,
    show,
    show_delivery,
    signed,
)
from nexusai.server.webhooks.sender import Outcome, Sender
from nexusai.server.webhooks.store import WebhookStore

__all__ = ["WebhookService"]

logger: logging.Logger = logging.getLogger("nexusai.server.webhooks")

AT_ONCE: Final = 64
OF_ONE_ADDRESS: Final = 8
"""Calls at once: a slow address has its own share, and holds up no other."""
LONGEST_PAUSE: Final = 5.0
"""Seconds between two looks for tasks that have ended."""
LARGEST_OUTPUT: Final = 256 * 1024
"""Bytes of a task's output that go along; a larger one is to be fetched."""
KEPT: Final = 7 * 24 * 3600 * 1000
GONE: Final = 410


class WebhookService:
    """Every call names the project that asks: what belongs to another does not exist for it."""

    def __init__(self, store: WebhookStore, tasks: TaskService, sender: Sender, secret: bytes) -> None:
        self._store = store
        self._tasks = tasks
        self._sender = sender
        self._secret = secret
        self._loop: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._calls: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """There may be something to tell."""
        self._news.set()

    async def start(self) -> None:
        self._tasks.watched.update(await self._store.projects())
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        running = [*self._calls.values(), *([self._loop] if self._loop else [])]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._sender.close()

    async def create(self, project: str, asked: CreateWebhook, key: str | None) -> dict[str, Any]:
        """An endpoint with its secret, which is shown here only."""
        now = now_ms()
        endpoint = Endpoint(
            id=new_id("whk"),
            project=project,
            url=asked.url,
            events_json=_json(asked.events),
            is_active=True,
            secret_version=1,
            failing_since=None,
            idempotency_key=key,
            request_hash=hashlib.sha256(msgspec.json.encode(asked)).digest() if key else None,
            created_at=now,
            updated_at=now,
        )
        if not await self._store.add(endpoint):
            endpoint = await self._earlier(endpoint)
        self._tasks.watched.add(project)
        return show(endpoint, self._secret_of(endpoint))

    async def get(self, project: str, webhook_id: str) -> dict[str, Any]:
        return show(await self._find(project, webhook_id))

    async def page(
        self, project: str, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        rows = await self._store.page(project, cursor, limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        return [show(row) for row in rows], rows[-1].id if more else None

    async def update(self, project: str, webhook_id: str, asked: UpdateWebhook) -> dict[str, Any]:
        await self._find(project, webhook_id)
        fields: dict[str, Any] = {"updated_at": now_ms()}
        if asked.url is not msgspec.UNSET:
            fields["url"] = asked.url
        if asked.events is not msgspec.UNSET:
            fields["events_json"] = _json(asked.events)
        if asked.is_active is not msgspec.UNSET:
            fields |= {"is_active": asked.is_active, "failing_since": None}
        await self._store.change(webhook_id, **fields)
        await self._watch(project)
        return await self.get(project, webhook_id)

    async def rotate(self, project: str, webhook_id: str) -> dict[str, Any]:
        """A new secret in place of the old one, from the next call on."""
        endpoint = await self._find(project, webhook_id)
        version = endpoint.secret_version + 1
        await self._store.change(webhook_id, secret_version=version, updated_at=now_ms())
        endpoint = await self._find(project, webhook_id)
        return show(endpoint, self._secret_of(endpoint))

    async def delete(self, project: str, webhook_id: str) -> None:
        if not await self._store.delete(project, webhook_id):
            raise _missing(webhook_id)
        await self._watch(project)

    def project_secret(self, project: str) -> str:
        """What signs the calls to addresses that tasks and batches name themselves."""
        return secret_of(self._secret, project)

    async def log(
        self, project: str, webhook_id: str, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        await self._find(project, webhook_id)
        rows = await self._store.log(webhook_id, cursor, limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        return [show_delivery(row) for row in rows], rows[-1].id if more else None

    async def redeliver(self, project: str, webhook_id: str, delivery_id: str) -> dict[str, Any]:
        """Send it again, soon, as the same message."""
        await self._find(project, webhook_id)
        delivery = await self._store.delivery(webhook_id, delivery_id)
        if delivery is None:
            raise Problem("NOT_FOUND", f"There is no delivery {delivery_id!r}.")
        delivery = delivery._replace(status="pending", attempts=0, next_at=now_ms(), finished_at=None)
        await self._store.tried(delivery)
        self._news.set()
        return show_delivery(delivery)

    async def tell(
        self, project: str, event: str, subject: str, data: Mapping[str, Any], target: Target | None = None
    ) -> None:
        """Store an event's deliveries. Once for each subject, however often it is told."""
        await self._store.enqueue(await self._for(project, event, subject, data, target))
        self._news.set()

    async def _for(
        self, project: str, event: str, subject: str, data: Mapping[str, Any], target: Target | None
    ) -> list[Delivery]:
        now = now_ms()
        payload = orjson.dumps({"type": event, "timestamp": rfc3339(now), "data": data})
        addresses: list[tuple[str | None, str]] = [
            (endpoint.id, endpoint.url)
            for endpoint in await self._store.of_project(project)
            if endpoint.wants(event)
        ]
        if target is not None and (target.events is None or event in target.events):
            addresses.append((None, target.url))
        return [
            Delivery(new_id("msg"), project, webhook_id, url, event, subject, payload, "pending", 0, now, now)
            for webhook_id, url in addresses
        ]

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                await self._collect()
                await self._deliver()
                await self._store.forget(now_ms() - KEPT)
            except asyncio.CancelledError:
                raise
            except Exception:
                logger.exception("webhooks are not delivered at the moment")
            pause = await self._pause()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause)

    async def _pause(self) -> float:
        """Seconds until a delivery becomes due. What is due already begins when a call has ended: news."""
        now = now_ms()
        try:
            due = await self._store.next_due(now)
        except Exception:
            return LONGEST_PAUSE
        return LONGEST_PAUSE if due is None else min((due - now) / 1000, LONGEST_PAUSE)

    async def _collect(self) -> None:
        """Make deliveries of the tasks that have ended since."""
        while ended := await self._store.to_tell(AT_ONCE):
            for project, task_id in ended:
                row = await self._tasks.get(project, task_id)
                target = msgspec.json.decode(row.webhook_json, type=Target) if row.webhook_json else None
                shown = self._tasks.show(row, lambda file_id: file_id)
                if len(row.output_json or "") > LARGEST_OUTPUT:
                    shown.pop("output", None)
                deliveries = await self._for(project, f"task.{row.status}", row.id, shown, target)
                await self._store.told(row.id, deliveries)

    async def _deliver(self) -> None:
        """Begin the calls that are due and have a place."""
        begun = set(self._calls)  # before the look: one that ends meanwhile is seen as due, and is not
        for delivery in await self._store.due(now_ms(), OF_ONE_ADDRESS, AT_ONCE):
            if delivery.id not in begun and len(self._calls) < AT_ONCE:
                call = self._calls[delivery.id] = asyncio.create_task(self._attempt(delivery))
                call.add_done_callback(partial(self._ended, delivery.id))

    def _ended(self, delivery_id: str, call: asyncio.Task[None]) -> None:
        del self._calls[delivery_id]
        if not call.cancelled() and (error := call.exception()):
            logger.error("what became of delivery %s could not be noted", delivery_id, exc_info=error)
            return  # it is still due, and tried again after the pause
        self._news.set()

    async def _attempt(self, delivery: Delivery) -> None:
        endpoint = None
        if delivery.webhook_id is not None:
            endpoint = await self._store.find(delivery.project, delivery.webhook_id)
            if endpoint is None or not endpoint.is_active:
                await self._store.tried(
                    delivery._replace(
                        status="failed", finished_at=now_ms(), last_error="the endpoint is switched off"
                    )
                )
                return
        secret = self.project_secret(delivery.project) if endpoint is None else self._secret_of(endpoint)
        headers = signed(secret, delivery.id, int(time.time()), delivery.payload)
        outcome = await self._sender.post(
            endpoint.url if endpoint else delivery.url, delivery.payload, headers
        )
        await self._note(delivery, endpoint, outcome)

    async def _note(self, delivery: Delivery, endpoint: Endpoint | None, outcome: Outcome) -> None:
        now, attempts = now_ms(), delivery.attempts + 1
        tried = delivery._replace(
            attempts=attempts, last_status=outcome.status, last_error=outcome.error, finished_at=now
        )
        if outcome.good:
            await self._store.tried(tried._replace(status="delivered"))
            if endpoint is not None and endpoint.failing_since is not None:
                await self._store.change(endpoint.id, failing_since=None)
            return
        again = None if outcome.status == GONE else next_attempt(attempts, now)
        if again is not None:
            await self._store.tried(tried._replace(next_at=again, finished_at=None))
            if endpoint is not None and endpoint.failing_since is None:
                await self._store.change(endpoint.id, failing_since=now)
            return
        await self._store.tried(tried._replace(status="failed"))
        if endpoint is not None and (endpoint.failing_since is not None or outcome.status == GONE):
            await self._disable(endpoint, outcome.error or "")

    async def _disable(self, endpoint: Endpoint, why: str) -> None:
        """It failed for as long as anything is tried: call it no more, and say so."""
        await self._store.change(endpoint.id, is_active=False, updated_at=now_ms())
        logger.warning("webhook %s is switched off: %s", endpoint.id, why)
        data = {"webhook_id": endpoint.id, "url": endpoint.url, "error": why}
        await self.tell(endpoint.project, "webhook.disabled", new_id("off"), data)
        await self._watch(endpoint.project)

    async def _watch(self, project: str) -> None:
        """Whether the project's tasks are to be told of, from now on."""
        if any(endpoint.is_active for endpoint in await self._store.of_project(project)):
            self._tasks.watched.add(project)
        else:
            self._tasks.watched.discard(project)

    async def _find(self, project: str, webhook_id: str) -> Endpoint:
        endpoint = await self._store.find(project, webhook_id)
        if endpoint is None:
            raise _missing(webhook_id)
        return endpoint

    async def _earlier(self, endpoint: Endpoint) -> Endpoint:
        earlier = await self._store.find_by_key(endpoint.project, endpoint.idempotency_key or "")
        if earlier is not None and earlier.created_at < now_ms() - KEY_LIFETIME:
            await self._store.change(earlier.id, idempotency_key=None)
            if await self._store.add(endpoint):
                return endpoint
        if earlier is None or earlier.request_hash != endpoint.request_hash:
            raise Problem("CONFLICT", "This Idempotency-Key was used for another webhook; use a new key.")
        return earlier

    def _secret_of(self, endpoint: Endpoint) -> str:
        return secret_of(self._secret, endpoint.id, endpoint.secret_version)


def _json(events: list[str] | None) -> str | None:
    return None if events is None else orjson.dumps(events).decode()


def _missing(webhook_id: str) -> Problem:
    return Problem("NOT_FOUND", f"There is no webhook {webhook_id!r}.")
