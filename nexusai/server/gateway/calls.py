"""What every route under `/v1` does around a call to a provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from starlette.requests import Request

from nexusai.providers.types import Capability, ChatRequest, Cost, Provider, StreamChunk
from nexusai.server.catalogue import Catalogue
from nexusai.server.http import ClientGone
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.guard import Guard

__all__ = ["STREAMING", "Calls", "costs_of", "told", "unless_gone"]

T = TypeVar("T")

STREAMING: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class Calls:
    catalogue: Catalogue
    guard: Guard

    def resolve(self, capability: Capability, model: str | None) -> tuple[Provider, str]:
        """The provider of a model, and its name there. Raises a 400 `Problem`."""
        provider, name = self.catalogue.resolve(capability, None, model)
        found = self.catalogue.get(provider)
        assert found is not None  # noqa: S101 - it was just resolved
        return found, name

    @asynccontextmanager
    async def under_way(self, caller: Caller) -> AsyncIterator[None]:
        """While a call counts as one of the caller's tasks that run. Raises a 429 `Problem`."""
        self.guard.enter(caller)
        try:
            yield
        finally:
            self.guard.leave(caller)

    async def begun(
        self, caller: Caller, provider: Provider, asked: ChatRequest
    ) -> AsyncGenerator[StreamChunk, None]:
        """A stream that has its first chunk: what fails before that is raised here, with a status of its own.

        The call is over, and no longer counted, when the chunks are read or their reader is closed.
        """
        self.guard.enter(caller)
        stream: Any = provider.stream(asked)
        try:
            first = await anext(stream, None)
        except BaseException:
            self.guard.leave(caller)
            raise

        async def chunks() -> AsyncGenerator[StreamChunk, None]:
            try:
                if first is not None:
                    yield first
                async for chunk in stream:
                    yield chunk
            finally:
                await stream.aclose()
                self.guard.leave(caller)

        return chunks()


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of some work, which is cut off when its caller hangs up."""
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        watching.cancel()
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def told(provider: Provider, cost: Cost | None) -> dict[str, str]:
    """Headers: who answered, and what it cost."""
    return {"x-nexus-provider": provider.name} | costs_of([cost])


def costs_of(costs: Sequence[Cost | None]) -> dict[str, str]:
    """The header for what an answer cost, where every part of it has a price."""
    known = [cost for cost in costs if cost is not None]
    if not known or len(known) < len(costs):
        return {}
    return {"x-nexus-cost": f"{sum(cost.amount for cost in known):.10g} {known[0].currency}"}
