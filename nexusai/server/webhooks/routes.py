"""The routes of webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from nexusai.server.http import JsonResponse, idempotency_key, page_response, read_as
from nexusai.server.keys.service import KeyService
from nexusai.server.webhooks.models import CreateWebhook, UpdateWebhook
from nexusai.server.webhooks.service import WebhookService

__all__ = ["WebhookRoutes"]

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=100)]


@dataclass(frozen=True, slots=True)
class WebhookRoutes:
    webhooks: WebhookService
    keys: KeyService
    max_body_bytes: int

    async def create(self, request: Request) -> Response:
        """Have an address called when the project's tasks end. The answer shows its secret, once."""
        project = await self.keys.project(request)
        asked = await self._body(request, CreateWebhook)
        shown = await self.webhooks.create(project, asked, idempotency_key(request))
        return JsonResponse(shown, 201, {"Location": f"/api/v1/webhooks/{shown['webhook_id']}"})

    async def list(self, request: Request, cursor: str | None = None, limit: Limit = 20) -> Response:
        """List endpoints, newest first."""
        project = await self.keys.project(request)
        return page_response(*await self.webhooks.page(project, cursor, limit))

    async def secret(self, request: Request) -> Response:
        """What signs the calls to addresses that tasks and batches name themselves."""
        project = await self.keys.project(request)
        return JsonResponse({"secret": self.webhooks.project_secret(project)})

    async def get(self, request: Request, webhook_id: str) -> Response:
        """What is known of an endpoint."""
        project = await self.keys.project(request)
        return JsonResponse(await self.webhooks.get(project, webhook_id))

    async def update(self, request: Request) -> Response:
        """Change an endpoint, or switch it on again."""
        project = await self.keys.project(request)
        asked = await self._body(request, UpdateWebhook)
        return JsonResponse(await self.webhooks.update(project, request.path_params["webhook_id"], asked))

    async def rotate(self, request: Request, webhook_id: str) -> Response:
        """Give an endpoint a new secret; the answer shows it, once."""
        project = await self.keys.project(request)
        return JsonResponse(await self.webhooks.rotate(project, webhook_id))

    async def delete(self, request: Request, webhook_id: str) -> Response:
        """Delete an endpoint and its log."""
        project = await self.keys.project(request)
        await self.webhooks.delete(project, webhook_id)
        return Response(status_code=204)

    async def deliveries(
        self, request: Request, webhook_id: str, cursor: str | None = None, limit: Limit = 20
    ) -> Response:
        """The log of an endpoint's calls, newest first."""
        project = await self.keys.project(request)
        return page_response(*await self.webhooks.log(project, webhook_id, cursor, limit))

    async def redeliver(self, request: Request, webhook_id: str, delivery_id: str) -> Response:
        """Send a delivery again."""
        project = await self.keys.project(request)
        return JsonResponse(await self.webhooks.redeliver(project, webhook_id, delivery_id), 202)

    async def _body(self, request: Request, kind: type[T]) -> T:
        return await read_as(request, kind, self.max_body_bytes)
