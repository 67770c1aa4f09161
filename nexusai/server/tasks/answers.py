"""How a task is answered, by whatever route it was asked for: at once, later, or as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nexusai.error import CODES
from nexusai.server.files.service import FileService
from nexusai.server.http import JsonResponse, Problem, preferences, problem_response, wait_preference
from nexusai.server.tasks.endings import CANCELLED, Failure
from nexusai.server.tasks.events import Event
from nexusai.server.tasks.models import TaskRow, accepted
from nexusai.server.tasks.service import TaskService
from nexusai.server.tasks.states import FINAL

__all__ = ["TaskAnswers"]


@dataclass(frozen=True, slots=True)
class TaskAnswers:
    tasks: TaskService
    files: FileService
    sync_wait: float

    async def answer(
        self,
        request: Request,
        row: TaskRow,
        stream: bool,
        *,
        show: Callable[[TaskRow], Mapping[str, Any]],
        cancel_on_disconnect: bool = False,
    ) -> Response:
        """What the caller of a submitted task prefers; `show` makes the body of a completed one."""
        preferred = preferences(request)
        if stream:
            return self.stream(request, row, 0, cancel_on_disconnect=cancel_on_disconnect)
        if "respond-async" in preferred:
            return _accepted(row, {"Preference-Applied": "respond-async"})
        wait = wait_preference(preferred, self.sync_wait)
        row = await self.tasks.wait(row.project, row.id, self.sync_wait if wait is None else wait)
        applied = {} if wait is None else {"Preference-Applied": f"wait={wait:g}"}
        if row.status not in FINAL:
            return _accepted(row, applied)
        if row.status != "completed":
            return problem_response(_problem(row))
        return JsonResponse(show(row), headers=applied)

    def stream(
        self, request: Request, row: TaskRow, after: int, cancel_on_disconnect: bool = False
    ) -> StreamingResponse:
        """The task's events after the id `after`."""

        async def body() -> AsyncIterator[bytes]:
            ended = False
            try:
                async with aclosing(self.tasks.follow(row, after, self.link(request))) as events:  # type: ignore[type-var]
                    async for event in events:
                        yield _wire(event)
                        ended = event is not None and event.last
            finally:
                if cancel_on_disconnect and not ended:
                    self.tasks.abandon(row)

        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(body(), media_type="text/event-stream", headers=headers)

    def link(self, request: Request) -> Callable[[str], str]:
        """Makes links to stored files, for this caller."""
        return lambda file_id: self.files.link(file_id, str(request.base_url))


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
