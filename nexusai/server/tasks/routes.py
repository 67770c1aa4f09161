"""The routes of tasks. They read a request and write an answer; the service decides.

`POST /invoke` and `GET /tasks/{id}` carry the load, so they parse with msgspec and know no pydantic.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import msgspec
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nexusai.error import CODES
from nexusai.server.clock import milliseconds
from nexusai.server.files.service import FileService
from nexusai.server.http import (
    MALFORMED,
    JsonResponse,
    Problem,
    idempotency_key,
    invalid,
    preferences,
    problem_response,
    read_json,
    request_id,
    wait_preference,
)
from nexusai.server.keys.service import KeyService
from nexusai.server.tasks.endings import CANCELLED, Failure
from nexusai.server.tasks.events import Event
from nexusai.server.tasks.models import Filter, InvokeRequest, TaskRow, accepted
from nexusai.server.tasks.service import TaskService
from nexusai.server.tasks.states import FINAL, Status

__all__ = ["TaskRoutes"]

LONGEST_POLL: Final = 60.0

_decoder = msgspec.json.Decoder(InvokeRequest)


@dataclass(frozen=True, slots=True)
class TaskRoutes:
    tasks: TaskService
    files: FileService
    keys: KeyService
    max_body_bytes: int
    sync_wait: float

    async def invoke(self, request: Request) -> Response:
        """Ask for a task: asynchronously, synchronously or as a stream."""
        project = await self.keys.project(request)
        body = await read_json(request, self.max_body_bytes)
        try:
            wanted = _decoder.decode(body)
        except MALFORMED as error:
            raise invalid(error) from None
        preferred = preferences(request)
        row = await self.tasks.submit(
            project, wanted, idempotency_key=idempotency_key(request), request_id=request_id.get()
        )
        if wanted.stream:
            cancel = bool((wanted.config or {}).get("cancel_on_disconnect"))
            return self._stream(request, row, 0, cancel_on_disconnect=cancel)
        if "respond-async" in preferred:
            return _accepted(row, {"Preference-Applied": "respond-async"})
        return await self._synchronous(request, row, wait_preference(preferred, self.sync_wait))

    async def _synchronous(self, request: Request, row: TaskRow, wait: float | None) -> Response:
        row = await self.tasks.wait(row.project, row.id, self.sync_wait if wait is None else wait)
        applied = {} if wait is None else {"Preference-Applied": f"wait={wait:g}"}
        if row.status not in FINAL:
            return _accepted(row, applied)
        if row.status != "completed":
            return problem_response(_problem(row))
        return JsonResponse(self._show(request, row), headers=applied)

    async def get(self, request: Request) -> Response:
        """Look at a task; `Prefer: wait=N` holds the answer until it is final."""
        project = await self.keys.project(request)
        task_id = request.path_params["task_id"]
        wait = wait_preference(preferences(request), LONGEST_POLL)
        if wait is None:
            return JsonResponse(self._show(request, await self.tasks.get(project, task_id)))
        row = await self.tasks.wait(project, task_id, wait)
        return JsonResponse(self._show(request, row), headers={"Preference-Applied": f"wait={wait:g}"})

    async def list(
        self,
        request: Request,
        status: Status | None = None,
        task_type: str | None = None,
        created_after: datetime | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        """List tasks, newest first; `metadata[name]=value` keeps those whose metadata says so."""
        project = await self.keys.project(request)
        after = milliseconds(created_after) if created_after else None
        wanted = Filter(status, task_type, after, _metadata(request), cursor, limit + 1)
        rows = await self.tasks.select(project, wanted)
        more, rows = len(rows) > limit, rows[:limit]
        shown = [self._show(request, row) for row in rows]
        return JsonResponse({"data": shown, "has_more": more, "next_cursor": rows[-1].id if more else None})

    async def cancel(self, request: Request, task_id: str) -> Response:
        """Cancel a task that is not final yet."""
        project = await self.keys.project(request)
        row = await self.tasks.cancel(project, task_id)
        return JsonResponse(self._show(request, row))

    async def delete(self, request: Request, task_id: str) -> Response:
        """Delete a task that is final."""
        project = await self.keys.project(request)
        await self.tasks.delete(project, task_id)
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """Follow a task; `Last-Event-ID` goes on after that event."""
        project = await self.keys.project(request)
        row = await self.tasks.get(project, request.path_params["task_id"])
        after = request.headers.get("last-event-id") or "0"
        if not (after.isascii() and after.isdigit() and len(after) < 19):
            raise Problem.field(["Last-Event-ID"], "must be the id of an event of this task")
        return self._stream(request, row, int(after))

    def _show(self, request: Request, row: TaskRow) -> dict[str, object]:
        return self.tasks.show(row, self._link(request))

    def _link(self, request: Request) -> Callable[[str], str]:
        return lambda file_id: self.files.link(file_id, str(request.base_url))

    def _stream(
        self, request: Request, row: TaskRow, after: int, cancel_on_disconnect: bool = False
    ) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            ended = False
            try:
                async with aclosing(self.tasks.follow(row, after, self._link(request))) as events:  # type: ignore[type-var]
                    async for event in events:
                        yield _wire(event)
                        ended = event is not None and event.last
            finally:
                if cancel_on_disconnect and not ended:
                    self.tasks.abandon(row)

        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


def _wire(event: Event | None) -> bytes:
    if event is None:
        return b": still here\n\n"
    name = f"event: {event.name}\n".encode() if event.name else b""
    return b"id: %d\n%bdata: %b\n\n" % (event.id, name, event.data)


def _accepted(row: TaskRow, headers: dict[str, str]) -> Response:
    return JsonResponse(
        accepted(row), 202, {"Location": f"/api/v1/tasks/{row.id}", "Retry-After": "1", **headers}
    )


def _problem(row: TaskRow) -> Problem:
    error: Failure = msgspec.json.decode(row.error_json) if row.error_json else CANCELLED
    code = error["code"] if error["code"] in CODES else "PROVIDER_ERROR"
    return Problem(code, error["message"], errors=error.get("errors", ()), task_id=row.id)


def _metadata(request: Request) -> dict[str, str]:
    """The `metadata[name]=value` of the query."""
    names = (name for name in request.query_params if name.startswith("metadata[") and name.endswith("]"))
    return {name[9:-1]: request.query_params[name] for name in names}
