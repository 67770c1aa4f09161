"""The routes of tasks. They read a request and write an answer; the service decides.

`POST /invoke` and `GET /tasks/{id}` carry the load, so they parse with msgspec and know no pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from nexusai.server.clock import milliseconds
from nexusai.server.files.service import FileService
from nexusai.server.http import (
    MALFORMED,
    JsonResponse,
    Problem,
    idempotency_key,
    invalid,
    preferences,
    read_json,
    request_id,
    wait_preference,
)
from nexusai.server.keys.service import KeyService
from nexusai.server.tasks.answers import TaskAnswers
from nexusai.server.tasks.models import Filter, InvokeRequest, TaskRow
from nexusai.server.tasks.service import TaskService
from nexusai.server.tasks.shorthand import EmbeddingsRequest, embeddings_of
from nexusai.server.tasks.states import Status

__all__ = ["TaskRoutes"]

LONGEST_POLL: Final = 60.0

_decoder = msgspec.json.Decoder(InvokeRequest)
_embeddings = msgspec.json.Decoder(EmbeddingsRequest)


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
        row = await self.tasks.submit(
            project, wanted, idempotency_key=idempotency_key(request), request_id=request_id.get()
        )
        cancel = bool((wanted.config or {}).get("cancel_on_disconnect"))
        show = partial(self._show, request)
        return await self._answers.answer(request, row, wanted.stream, cancel_on_disconnect=cancel, show=show)

    async def embed(self, request: Request) -> Response:
        """Vectors of texts, asked for and answered as OpenAI's API has it: the task `embeddings` in short."""
        project = await self.keys.project(request)
        body = await read_json(request, self.max_body_bytes)
        try:
            wanted = _embeddings.decode(body)
        except MALFORMED as error:
            raise invalid(error) from None
        row = await self.tasks.submit(
            project, wanted.task(), idempotency_key=idempotency_key(request), request_id=request_id.get()
        )
        show = partial(embeddings_of, encoding=wanted.encoding_format)
        return await self._answers.answer(request, row, False, show=show)

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
        return self._answers.stream(request, row, int(after))

    def _show(self, request: Request, row: TaskRow) -> dict[str, object]:
        return self.tasks.show(row, self._answers.link(request))

    @property
    def _answers(self) -> TaskAnswers:
        return TaskAnswers(self.tasks, self.files, self.sync_wait)


def _metadata(request: Request) -> dict[str, str]:
    """The `metadata[name]=value` of the query."""
    names = (name for name in request.query_params if name.startswith("metadata[") and name.endswith("]"))
    return {name[9:-1]: request.query_params[name] for name in names}
