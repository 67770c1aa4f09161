"""Batches as the API offers them, and the loop that hands in their requests a few at a time."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from nexusai.error import CODES
from nexusai.server.batches.models import MOST, BatchRequest, Counts, Item, StoredBatch, show, show_result
from nexusai.server.batches.store import BatchStore
from nexusai.server.clock import now_ms
from nexusai.server.files.service import FileService
from nexusai.server.http import KEY_LIFETIME, MALFORMED, Problem, invalid
from nexusai.server.ids import new_id
from nexusai.server.keys.caller import CallerOf, current_caller
from nexusai.server.tasks.models import InvokeRequest, Target
from nexusai.server.tasks.service import TaskService
from nexusai.server.tasks.states import FINAL
from nexusai.server.webhooks.service import WebhookService

__all__ = ["BatchService"]

logger: logging.Logger = logging.getLogger("nexusai.server.batches")

PRIORITY: Final = -10
"""Of a batch's tasks, where a request does not say: what somebody waits for goes first."""

AT_ONCE: Final = 64
"""Tasks of one batch that are handed in and not final: the memory of a batch, and its share."""

SHARE: Final = 32
"""Requests that are handed in together: their rows are written in one transaction."""

PAGE: Final = 200
LONGEST_LINE: Final = 4 * 1024 * 1024
POLL: Final = 60.0

_CANCELLED = orjson.dumps({"code": "CANCELLED", "message": "The batch was cancelled.", "retryable": False})


class _NamedRequest(InvokeRequest, kw_only=True):
    """A request of a batch: what `POST /invoke` takes, and a name of the caller's own."""

    custom_id: str | None = None


_decoder = msgspec.json.Decoder(_NamedRequest)


class BatchService:
    """Every call names the project that asks: what belongs to another does not exist for it."""

    def __init__(
        self,
        store: BatchStore,
        tasks: TaskService,
        files: FileService,
        webhooks: WebhookService,
        caller_of: CallerOf,
    ) -> None:
        self._store = store
        self._caller_of = caller_of
        self._webhooks = webhooks
        self._tasks = tasks
        self._files = files
        self._driving: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Go on with the batches that a stop or a crash interrupted."""
        for batch in await self._store.unfinished():
            self._drive(batch)

    async def stop(self) -> None:
        for driving in self._driving.values():
            driving.cancel()
        await asyncio.gather(*self._driving.values(), return_exceptions=True)

    async def create(
        self, project: str, asked: BatchRequest, key: str | None, request_id: str
    ) -> dict[str, Any]:
        """Store a batch; its tasks follow by and by. Raises a 400 or 409 `Problem`."""
        items = _listed(asked.requests) if asked.requests is not None else await self._read(project, asked)
        caller = current_caller.get()
        batch = StoredBatch(
            id=new_id("batch"),
            project=project,
            request_id=request_id,
            total=len(items),
            metadata_json=orjson.dumps(asked.metadata).decode() if asked.metadata else None,
            webhook_json=msgspec.json.encode(asked.webhook).decode() if asked.webhook else None,
            idempotency_key=key,
            request_hash=hashlib.sha256(msgspec.json.encode(asked)).digest() if key else None,
            created_at=now_ms(),
            key_id=caller.key.id if caller is not None and caller.key is not None else None,
        )
        if not await self._store.add(batch, items):
            batch = await self._earlier(batch, items)
        if batch.finished_at is None:
            self._drive(batch)
        return show(batch, await self._store.counts(batch))

    async def get(self, project: str, batch_id: str) -> dict[str, Any]:
        batch = await self._find(project, batch_id)
        return show(batch, await self._store.counts(batch))

    async def page(
        self, project: str, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page, newest first, and where the next one begins."""
        rows = await self._store.page(project, cursor, limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        shown = [show(batch, await self._store.counts(batch)) for batch in rows]
        return shown, rows[-1].id if more else None

    async def results(self, project: str, batch_id: str, link: Callable[[str], str]) -> AsyncIterator[bytes]:
        """A line for each request, in their order; a page of them is in memory at a time."""
        batch = await self._find(project, batch_id)

        async def lines() -> AsyncIterator[bytes]:
            after = -1
            while page := await self._store.after(batch.id, after, PAGE):
                for item in page:
                    yield show_result(item, await self._task(project, item, link))
                after = page[-1].position

        return lines()

    async def cancel(self, project: str, batch_id: str) -> dict[str, Any]:
        """End what has not ended. Raises a 409 `Problem` when all of it has."""
        batch = await self._find(project, batch_id)
        if batch.finished_at is not None or (await self._store.counts(batch)).finished:
            raise Problem("CONFLICT", "The batch has ended: it cannot be cancelled any more.")
        await self._store.cancel(batch.id, now_ms(), _CANCELLED.decode())
        await self._abandon(project, await self._store.open(batch.id))
        return await self.get(project, batch_id)

    async def _abandon(self, project: str, items: Sequence[Item]) -> None:
        for item in items:
            if item.task_id is not None:
                self._tasks.abandon(await self._tasks.get(project, item.task_id))

    async def _find(self, project: str, batch_id: str) -> StoredBatch:
        batch = await self._store.find(project, batch_id)
        if batch is None:
            raise Problem("NOT_FOUND", f"There is no batch {batch_id!r}.")
        return batch

    async def _earlier(self, batch: StoredBatch, items: list[Item]) -> StoredBatch:
        earlier = await self._store.find_by_key(batch.project, batch.idempotency_key or "")
        if earlier is not None and earlier.created_at < now_ms() - KEY_LIFETIME:
            await self._store.free_key(earlier.id)
            if await self._store.add(batch, items):
                return batch
        if earlier is None or earlier.request_hash != batch.request_hash:
            raise Problem("CONFLICT", "This Idempotency-Key was used for another batch; use a new key.")
        return earlier

    async def _read(self, project: str, asked: BatchRequest) -> list[Item]:
        """The requests of a JSONL file. A line that is no request is a request that is refused."""
        try:
            file = await self._files.get(project, asked.input_file_id or "")
        except Problem:
            raise Problem.field(["input_file_id"], f"there is no file {asked.input_file_id!r}") from None

        def read(path: Path) -> list[Item]:
            items: list[Item] = []
            with path.open("rb") as lines:
                number = 0
                while line := lines.readline(LONGEST_LINE + 1):
                    number += 1
                    if len(line) > LONGEST_LINE:
                        raise Problem.field(
                            ["input_file_id"], f"line {number} has more than {LONGEST_LINE:,} bytes"
                        )
                    if line.strip():
                        items.append(_of_line(len(items), number, line))
                    if len(items) > MOST:
                        raise _too_many("input_file_id")
            return items

        async with self._files.path(file) as path:
            items = await asyncio.to_thread(read, path)
        if not items:
            raise Problem.field(["input_file_id"], "the file has no line with a request")
        return items

    async def _task(self, project: str, item: Item, link: Callable[[str], str]) -> dict[str, Any] | None:
        if item.task_id is None:
            return None
        try:
            return self._tasks.show(await self._tasks.get(project, item.task_id), link)
        except Problem:  # deleted since
            return None

    def _drive(self, batch: StoredBatch) -> None:
        if batch.id not in self._driving:
            driving = self._driving[batch.id] = asyncio.create_task(self._run(batch))
            driving.add_done_callback(lambda _: self._driving.pop(batch.id, None))

    async def _run(self, batch: StoredBatch) -> None:
        """Hand in the requests, never more than `AT_ONCE` of them open; note the end of the last one."""
        places = asyncio.Semaphore(AT_ONCE)
        waits: set[asyncio.Task[None]] = set()
        try:
            current_caller.set(await self._caller_of(batch.project, batch.key_id))
            for item in await self._store.open(batch.id):
                await self._await_one(batch, item.task_id or "", places, waits)
            after = -1
            while page := await self._store.waiting(batch.id, after, SHARE):
                handed_in = await asyncio.gather(*(self._hand_in(batch, item) for item in page))
                await self._store.note(batch.id, handed_in)
                if (await self._find(batch.project, batch.id)).cancelled_at is not None:
                    await self._abandon(batch.project, handed_in)  # cancelled while they were handed in
                for item in handed_in:
                    if item.task_id is not None:
                        await self._await_one(batch, item.task_id, places, waits)
                after = page[-1].position
            while waits:
                await asyncio.wait(waits)
            await self._finish(batch)
        except Exception:
            logger.exception(
                "batch %s is interrupted; the next start of the platform goes on with it", batch.id
            )
        finally:
            for wait in waits:
                wait.cancel()

    async def _finish(self, batch: StoredBatch) -> None:
        """Tell of the end, then note it: told twice after a crash in between, never not at all."""
        counts = await self._settled(batch)
        ended = (await self._find(batch.project, batch.id))._replace(finished_at=now_ms())
        target = msgspec.json.decode(batch.webhook_json, type=Target) if batch.webhook_json else None
        await self._webhooks.tell(batch.project, "batch.completed", batch.id, show(ended, counts), target)
        await self._store.finish(batch.id, ended.finished_at or 0, counts)

    async def _settled(self, batch: StoredBatch) -> Counts:
        counts = await self._store.counts(batch)
        while not counts.finished:
            await asyncio.sleep(0.5)
            counts = await self._store.counts(batch)
        return counts

    async def _await_one(
        self, batch: StoredBatch, task_id: str, places: asyncio.Semaphore, waits: set[asyncio.Task[None]]
    ) -> None:
        async def until_final() -> None:
            try:
                while (await self._tasks.wait(batch.project, task_id, POLL)).status not in FINAL:
                    pass
            except Problem:  # deleted
                pass
            finally:
                places.release()

        await places.acquire()
        wait = asyncio.create_task(until_final())
        waits.add(wait)
        wait.add_done_callback(waits.discard)

    async def _hand_in(self, batch: StoredBatch, item: Item) -> Item:
        """With its task, made once however often this is tried; or with why it is refused."""
        try:
            row = await self._tasks.submit(
                batch.project,
                _request(item),
                idempotency_key=f"{batch.id}:{item.position}",
                request_id=batch.request_id,
            )
        except Problem as problem:
            code, message = problem.code, problem.detail
            error = {"code": code, "message": message, "retryable": CODES[code].retryable}
            return item._replace(error_json=orjson.dumps(error).decode())
        return item._replace(task_id=row.id)


def _listed(requests: list[msgspec.Raw]) -> list[Item]:
    """Requests of the body. Raises a 400 `Problem` for one that is none, by its number."""
    if not requests:
        raise Problem.field(["requests"], "has no request")
    if len(requests) > MOST:
        raise _too_many("requests")
    items = []
    for position, raw in enumerate(requests):
        try:
            request = _decoder.decode(raw)
        except MALFORMED as error:
            raise invalid(error, ["requests", str(position)]) from None
        _not_streamed(request, ["requests", str(position)])
        items.append(Item(position, request.custom_id, bytes(raw).decode()))
    return items


def _of_line(position: int, number: int, line: bytes) -> Item:
    try:
        request = _decoder.decode(line)
        _not_streamed(request, [])
    except MALFORMED as error:
        return _refused(position, number, line, invalid(error))
    except Problem as problem:
        return _refused(position, number, line, problem)
    return Item(position, request.custom_id, line.decode().strip())


def _refused(position: int, number: int, line: bytes, problem: Problem) -> Item:
    error = {"code": problem.code, "message": f"line {number}: {problem.detail}", "retryable": False}
    return Item(position, None, "", error_json=orjson.dumps(error).decode())


def _not_streamed(request: InvokeRequest, loc: list[str]) -> None:
    if request.stream:
        raise Problem.field([*loc, "stream"], "the requests of a batch are not streamed")


def _request(item: Item) -> InvokeRequest:
    named = _decoder.decode(item.request_json)
    fields = {name: getattr(named, name) for name in InvokeRequest.__struct_fields__}
    return InvokeRequest(**{**fields, "priority": named.priority or PRIORITY})


def _too_many(field: str) -> Problem:
    return Problem.field([field], f"has more than {MOST:,} requests: make several batches")
