"""The routes that machines ask: is it alive, is it ready, and what are its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from nexusai.server.http import JsonResponse, Problem
from nexusai.server.keys.service import KeyService, from_here, presented_key
from nexusai.server.observability.health import Health
from nexusai.server.observability.metrics import Metrics
from nexusai.server.observability.readings import Readings

__all__ = ["Access", "HealthRoutes", "MetricsRoutes"]

Access = Literal["local", "open", "off"]
"""Who may read the metrics without a key: programs on this machine, everybody, or nobody may at all."""


@dataclass(frozen=True, slots=True)
class HealthRoutes:
    health: Health

    async def live(self) -> Response:
        """Whether the platform answers."""
        return JsonResponse({"status": "healthy"})

    async def ready(self) -> Response:
        """Whether the platform can do its work: 503 while a part of it fails, or while it stops."""
        return JsonResponse({"status": "healthy", "checks": await self.health.ready()})


class MetricsRoutes:
    def __init__(self, metrics: Metrics, readings: Readings, keys: KeyService, access: Access) -> None:
        from nexusai.server.observability.exposition import MEDIA_TYPE, Exposition

        self._readings = readings
        self._keys = keys
        self._access = access
        self._exposition = Exposition(metrics.families)
        self._media_type = MEDIA_TYPE

    async def metrics(self, request: Request) -> Response:
        """Counts, durations, tokens and costs of all projects, in Prometheus' text format."""
        if self._access == "off":
            raise Problem("NOT_FOUND", "There are no metrics here: NEXUS_METRICS is off.")
        free = self._access == "open" or (from_here(request) and presented_key(request) is None)
        if not free:
            await self._keys.admit(request, "platform")
        text = self._exposition.text(await self._readings.all())
        return Response(text, media_type=self._media_type)
