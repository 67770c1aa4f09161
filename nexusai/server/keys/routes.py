"""The routes of keys and of projects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from nexusai.server.http import JsonResponse, idempotency_key, page_response, read_as
from nexusai.server.keys.models import CreateKey, CreateProject, RotateKey, UpdateKey, UpdateProject
from nexusai.server.keys.service import KeyService

__all__ = ["KeyRoutes"]

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=100)]


@dataclass(frozen=True, slots=True)
class KeyRoutes:
    keys: KeyService
    max_body_bytes: int

    async def create(self, request: Request) -> Response:
        """Make a key. The answer shows it, once."""
        caller = await self.keys.admit(request, "admin")
        asked = await self._body(request, CreateKey)
        shown = await self.keys.make(caller, asked, idempotency_key(request))
        return JsonResponse(shown, 201, {"Location": f"/api/v1/keys/{shown['key_id']}"})

    async def list(
        self, request: Request, project: str | None = None, cursor: str | None = None, limit: Limit = 20
    ) -> Response:
        """List keys, newest first, none with itself."""
        caller = await self.keys.admit(request, "admin")
        rows, following = await self.keys.page(caller, project, cursor, limit)
        return page_response([key.show() for key in rows], following)

    async def get(self, request: Request, key_id: str) -> Response:
        """What is known of a key."""
        caller = await self.keys.admit(request, "admin")
        return JsonResponse((await self.keys.get(caller, key_id)).show())

    async def update(self, request: Request) -> Response:
        """Change what a key may do; `null` takes a limit away."""
        caller = await self.keys.admit(request, "admin")
        asked = await self._body(request, UpdateKey)
        return JsonResponse((await self.keys.update(caller, request.path_params["key_id"], asked)).show())

    async def rotate(self, request: Request) -> Response:
        """Give a key a new secret, which the answer shows, once; the old one may open for a while yet."""
        caller = await self.keys.admit(request, "admin")
        empty = (
            request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
        )
        asked = RotateKey() if empty else await self._body(request, RotateKey)
        key_id = request.path_params["key_id"]
        idempotent = idempotency_key(request)
        return JsonResponse(await self.keys.rotate(caller, key_id, asked.grace_seconds, idempotent))

    async def disable(self, request: Request, key_id: str) -> Response:
        """Have a key open nothing any more."""
        caller = await self.keys.admit(request, "admin")
        return JsonResponse((await self.keys.disable(caller, key_id)).show())

    async def create_project(self, request: Request) -> Response:
        """Make a project: what belongs to it is seen by its keys alone."""
        await self.keys.admit(request, "platform")
        asked = await self._body(request, CreateProject)
        project = await self.keys.make_project(asked, idempotency_key(request))
        return JsonResponse(project.show(), 201, {"Location": f"/api/v1/projects/{project.id}"})

    async def list_projects(self, request: Request, cursor: str | None = None, limit: Limit = 20) -> Response:
        """List projects, newest first."""
        await self.keys.admit(request, "platform")
        rows, following = await self.keys.page_projects(cursor, limit)
        return page_response([project.show() for project in rows], following)

    async def get_project(self, request: Request, project_id: str) -> Response:
        """A project and its limits."""
        caller = await self.keys.admit(request, "admin")
        return JsonResponse((await self.keys.get_project(caller, project_id)).show())

    async def update_project(self, request: Request) -> Response:
        """Change a project's name or limits; `null` takes a limit away."""
        caller = await self.keys.admit(request, "platform")
        asked = await self._body(request, UpdateProject)
        project_id = request.path_params["project_id"]
        return JsonResponse((await self.keys.update_project(caller, project_id, asked)).show())

    async def _body(self, request: Request, kind: type[T]) -> T:
        return await read_as(request, kind, self.max_body_bytes)
