"""The routes of logged conversations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from nexusai.server.clock import milliseconds
from nexusai.server.conversations.models import Search, Status
from nexusai.server.conversations.service import ConversationService
from nexusai.server.http import JsonResponse, Problem, page_response, place_of
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.service import KeyService

__all__ = ["ConversationRoutes"]

Moment = Annotated[datetime | None, Query(description="A date or a time; without a zone it is UTC.")]


@dataclass(frozen=True, slots=True)
class ConversationRoutes:
    conversations: ConversationService
    keys: KeyService

    async def list(
        self,
        request: Request,
        q: Annotated[
            str | None, Query(min_length=1, max_length=1000, description="Words that were said, all of them.")
        ] = None,
        model: str | None = None,
        key_id: str | None = None,
        status: Status | None = None,
        from_: Annotated[Moment, Query(alias="from")] = None,
        to: Moment = None,
        project: str | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        """List conversations, newest first, without what was said in them."""
        caller = await self.keys.admit(request, "admin")
        search = Search(
            project=_project(caller, project),
            q=q,
            model=model,
            key_id=key_id,
            status=status,
            since=_milliseconds("from", from_),
            until=_milliseconds("to", to),
        )
        rows, following = await self.conversations.page(search, place_of(cursor), limit)
        return page_response([row.show(whole=False) for row in rows], str(following) if following else None)

    async def get(self, request: Request, conversation_id: str) -> Response:
        """A conversation, with what was said if its key logs that."""
        caller = await self.keys.admit(request, "admin")
        return JsonResponse((await self.conversations.get(caller, conversation_id)).show())

    async def delete(self, request: Request, conversation_id: str) -> Response:
        """Delete a conversation."""
        caller = await self.keys.admit(request, "admin")
        await self.conversations.delete(caller, conversation_id)
        return Response(status_code=204)

    async def delete_many(
        self,
        request: Request,
        before: Moment = None,
        key_id: str | None = None,
        project: str | None = None,
    ) -> Response:
        """Delete the conversations that began before a moment, or those of a key, or what is both."""
        caller = await self.keys.admit(request, "admin")
        if before is None and key_id is None:
            raise Problem.field(["before"], "name `before` or `key_id`: which ones are to go", "missing")
        search = Search(_project(caller, project), key_id=key_id, until=_milliseconds("before", before))
        return JsonResponse({"deleted_count": await self.conversations.delete_all(search)})


def _project(caller: Caller, project: str | None) -> str:
    """The one that is asked for, else the caller's own. Raises a 404 `Problem`."""
    if project is not None and not caller.reaches(project):
        raise Problem("NOT_FOUND", f"There is no project {project!r}.")
    return project or caller.project.id


def _milliseconds(name: str, moment: datetime | None) -> int | None:
    """Raises a 400 `Problem` for what nothing can have happened at."""
    if moment is None:
        return None
    if not 1970 < moment.year < 9000:
        raise Problem.field([name], "is between 1971 and 8999")
    return milliseconds(moment)
