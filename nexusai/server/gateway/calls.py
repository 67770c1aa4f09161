"""What every route under `/v1` does around a call to a provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from nexusai.providers.types import Capability, ChatRequest, Cost, Provider, StreamChunk
from nexusai.server.catalogue import Catalogue
from nexusai.server.http import ClientGone
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.guard import Guard

__all__ = ["Calls", "Stream", "StreamedResponse", "costs_of", "together", "told", "unless_gone"]

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

    async def begun(self, request: Request, caller: Caller, provider: Provider, asked: ChatRequest) -> Stream:
        """A stream that has its first chunk: what fails before that is raised here, with a status of its own.

        Until it is closed it counts as one of the caller's tasks.
        """
        self.guard.enter(caller)
        stream = Stream(provider.stream(asked), lambda: self.guard.leave(caller))
        try:
            await unless_gone(request, stream.begin())
        except BaseException:
            await stream.close()
            raise
        return stream


class Stream:
    """The chunks of an answer. `close` is what ends the call: nobody may ever come to read the chunks."""

    def __init__(self, chunks: Any, leave: Callable[[], object]) -> None:
        self._chunks = chunks
        self._leave = leave
        self._first: StreamChunk | None = None
        self._open = True

    async def begin(self) -> None:
        self._first = await anext(self._chunks, None)

    async def chunks(self) -> AsyncGenerator[StreamChunk, None]:
        if self._first is not None:
            yield self._first
        async for chunk in self._chunks:
            yield chunk

    async def close(self) -> None:
        if self._open:
            self._open = False
            self._leave()
            await self._chunks.aclose()


class StreamedResponse(StreamingResponse):
    """Server-sent events of a stream, which is closed however the response ends."""

    def __init__(
        self,
        stream: Stream,
        events: AsyncIterator[bytes],
        provider: Provider,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        told = {**STREAMING, "x-nexus-provider": provider.name, **(headers or {})}
        super().__init__(events, media_type="text/event-stream", headers=told)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._stream.close()


async def together(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; when one fails, the others are cut off."""
    running = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*running)
    finally:
        for call in running:
            call.cancel()
        await asyncio.gather(*running, return_exceptions=True)


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
