"""The routes of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from nexusai.server.http import JsonResponse, Problem, idempotency_key, read_as, request_id
from nexusai.server.keys.service import KeyService
from nexusai.server.sessions.models import (
    CreateSession,
    ForkSession,
    RegenerateTurn,
    TurnRequest,
    UpdateSession,
)
from nexusai.server.sessions.service import SessionService
from nexusai.server.tasks.answers import TaskAnswers
from nexusai.server.tasks.models import TaskRow

__all__ = ["SessionRoutes"]

T = TypeVar("T")

Page = Annotated[int, Query(ge=1, le=1_000_000)]
PerPage = Annotated[int, Query(ge=1, le=100)]
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000)]


@dataclass(frozen=True, slots=True)
class SessionRoutes:
    sessions: SessionService
    answers: TaskAnswers
    keys: KeyService
    max_body_bytes: int

    async def create(self, request: Request) -> Response:
        """Begin a session."""
        project = await self.keys.project(request)
        wanted = await self._body(request, CreateSession)
        session = await self.sessions.create(project, wanted, idempotency_key(request))
        (shown,) = await self.sessions.show(session)
        return JsonResponse(shown, 201, {"Location": f"/api/v1/sessions/{session.id}"})

    async def list(self, request: Request, page: Page = 1, per_page: PerPage = 20) -> Response:
        """List sessions, newest first."""
        project = await self.keys.project(request)
        rows, total = await self.sessions.page(project, page, per_page)
        pages = -(-total // per_page)
        numbers = {"total": total, "page": page, "per_page": per_page, "pages": pages}
        return JsonResponse({"sessions": await self.sessions.show(*rows), **numbers})

    async def get(self, request: Request, session_id: str) -> Response:
        """What is known of a session."""
        project = await self.keys.project(request)
        (shown,) = await self.sessions.show(await self.sessions.get(project, session_id))
        return JsonResponse(shown)

    async def update(self, request: Request) -> Response:
        """Change a session by a merge patch (RFC 7396); a turn that runs goes on as it began."""
        project = await self.keys.project(request)
        wanted = await self._body(request, UpdateSession)
        session = await self.sessions.update(project, request.path_params["session_id"], wanted)
        (shown,) = await self.sessions.show(session)
        return JsonResponse(shown)

    async def delete(self, request: Request, session_id: str) -> Response:
        """Delete a session, its messages and the tasks of its turns; a turn that runs is cancelled."""
        project = await self.keys.project(request)
        await self.sessions.delete(project, session_id)
        return Response(status_code=204)

    async def history(
        self, request: Request, session_id: str, limit: Limit = 20, offset: Offset = 0
    ) -> Response:
        """A part of what was said, oldest first."""
        project = await self.keys.project(request)
        rows, total = await self.sessions.history(project, session_id, offset, limit)
        messages = [row.show() for row in rows]
        return JsonResponse({"session_id": session_id, "messages": messages, "total": total})

    async def fork(self, request: Request) -> Response:
        """Begin a session with the messages of this one, up to and with `message_id`."""
        project = await self.keys.project(request)
        wanted = await self._body(request, ForkSession)
        session_id = request.path_params["session_id"]
        session = await self.sessions.fork(project, session_id, wanted, idempotency_key(request))
        (shown,) = await self.sessions.show(session)
        return JsonResponse(shown, 201, {"Location": f"/api/v1/sessions/{session.id}"})

    async def invoke(self, request: Request) -> Response:
        """Say something, or answer the tool calls of the turn before; answered as `POST /invoke` is."""
        project = await self.keys.project(request)
        wanted = await self._body(request, TurnRequest)
        row = await self.sessions.invoke(
            project,
            request.path_params["session_id"],
            wanted,
            key=idempotency_key(request),
            request_id=request_id.get(),
        )
        return await self._answer(request, row, wanted)

    async def regenerate(self, request: Request) -> Response:
        """Have the last answer given anew, in its place."""
        project = await self.keys.project(request)
        wanted = await self._body(request, RegenerateTurn)
        row = await self.sessions.regenerate(
            project,
            request.path_params["session_id"],
            wanted,
            key=idempotency_key(request),
            request_id=request_id.get(),
        )
        return await self._answer(request, row, wanted)

    async def _answer(self, request: Request, row: TaskRow, wanted: RegenerateTurn) -> Response:
        cancel = bool((wanted.config or {}).get("cancel_on_disconnect"))
        return await self.answers.answer(request, row, wanted.stream, cancel_on_disconnect=cancel, show=_turn)

    async def _body(self, request: Request, kind: type[T]) -> T:
        return await read_as(request, kind, self.max_body_bytes)


def _turn(row: TaskRow) -> dict[str, Any]:
    """A completed turn: its output, whose text stands in the response."""
    if row.output_json is None:
        raise Problem("NOT_FOUND", f"The task {row.id!r} has no output.")
    output = msgspec.json.decode(row.output_json, type=dict[str, Any])
    del output["text"]
    return {"task_id": row.id, **output}
