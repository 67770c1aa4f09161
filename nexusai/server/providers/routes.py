"""The routes that tell what can be called: models, and the providers that have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from nexusai.server.catalogue import Catalogue, Offer
from nexusai.server.http import JsonResponse, page_response, place_of
from nexusai.server.keys.service import KeyService

__all__ = ["ProviderRoutes"]


@dataclass(frozen=True, slots=True)
class ProviderRoutes:
    catalogue: Catalogue
    keys: KeyService

    async def models(
        self,
        request: Request,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """The models that the key may use: the defaults of each provider first, then those that are known."""
        caller = await self.keys.admit(request, "read")
        offers = [
            offer
            for offer in self.catalogue.offers()
            if caller.may_use(offer.provider, offer.model, self.catalogue.names)
        ]
        start = place_of(cursor)
        shown = [_shown(offer) for offer in offers[start : start + limit]]
        return page_response(shown, str(start + limit) if start + limit < len(offers) else None)

    async def list(self, request: Request) -> Response:
        """The providers that are configured, most preferred first, and whether their models answer."""
        await self.keys.admit(request, "read")
        return JsonResponse({"data": [_state(provider) for provider in self.catalogue.providers()]})


def _shown(offer: Offer) -> dict[str, Any]:
    return {
        "name": offer.name,
        "provider": offer.provider,
        "type": offer.type,
        "models": offer.models,
        "capabilities": sorted(offer.capabilities),
        "context_window": offer.context_window,
        "prices": offer.prices,
    }


def _state(provider: Any) -> dict[str, Any]:
    circuits = provider.circuits()
    return {
        "name": provider.name,
        "configured": True,
        "healthy": all(state == "closed" for state in circuits.values()),
        "capabilities": sorted(provider.capabilities),
        "circuits": circuits,
    }
