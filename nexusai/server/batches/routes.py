"""The routes of batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nexusai.server.batches.models import BatchRequest
from nexusai.server.batches.service import BatchService
from nexusai.server.files.service import FileService
from nexusai.server.http import (
    MALFORMED,
    JsonResponse,
    idempotency_key,
    invalid,
    page_response,
    read_json,
    request_id,
)
from nexusai.server.keys.service import KeyService

__all__ = ["BatchRoutes"]

_decoder = msgspec.json.Decoder(BatchRequest)


@dataclass(frozen=True, slots=True)
class BatchRoutes:
    batches: BatchService
    files: FileService
    keys: KeyService
    max_body_bytes: int

    async def create(self, request: Request) -> Response:
        """Hand in many tasks: a list of what `POST /invoke` takes, or a JSONL file of such."""
        project = await self.keys.project(request)
        body = await read_json(request, self.max_body_bytes)
        try:
            asked = _decoder.decode(body)
        except MALFORMED as error:
            raise invalid(error) from None
        batch = await self.batches.create(project, asked, idempotency_key(request), request_id.get())
        return JsonResponse(batch, 202, {"Location": f"/api/v1/batches/{batch['batch_id']}"})

    async def list(
        self,
        request: Request,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        """List batches, newest first."""
        project = await self.keys.project(request)
        shown, following = await self.batches.page(project, cursor, limit)
        return page_response(shown, following)

    async def get(self, request: Request, batch_id: str) -> Response:
        """How far a batch is."""
        project = await self.keys.project(request)
        return JsonResponse(await self.batches.get(project, batch_id))

    async def results(self, request: Request, batch_id: str) -> Response:
        """What became of each request so far, as JSON lines in the order of the requests."""
        project = await self.keys.project(request)
        lines = await self.batches.results(
            project, batch_id, lambda file_id: self.files.link(file_id, str(request.base_url))
        )
        return StreamingResponse(lines, media_type="application/jsonl")

    async def cancel(self, request: Request, batch_id: str) -> Response:
        """Cancel what has not ended."""
        project = await self.keys.project(request)
        return JsonResponse(await self.batches.cancel(project, batch_id))
