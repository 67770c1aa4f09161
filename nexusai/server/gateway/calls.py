"""What every route under `/v1` does around a call to a provider."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from nexusai.providers.types import Capability, Cost, Provider, RelayApi, RelayChunk, RelayRequest
from nexusai.server.catalogue import Catalogue
from nexusai.server.conversations.log import ConversationLog
from nexusai.server.files.service import FileService
from nexusai.server.gateway.attachments import with_files
from nexusai.server.gateway.attended import Attended, too_slow
from nexusai.server.gateway.bodies import model_in
from nexusai.server.http import JsonResponse, Problem, read_json, stay, stopping
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.guard import Guard
from nexusai.server.traffic import Traffic

__all__ = ["Calls", "Stream", "StreamedResponse", "cost_told", "sum_of", "together", "told"]

T = TypeVar("T")

STREAMING: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


@dataclass(frozen=True, slots=True)
class Calls:
    catalogue: Catalogue
    guard: Guard
    log: ConversationLog
    files: FileService
    longest: float = math.inf
    """Seconds that a call may take."""

    async def body(self, request: Request, caller: Caller, limit: int) -> bytes:
        """The JSON body of a request, which begins a conversation where its key logs any.

        Files of ours that its messages name are in it.
        """
        body = await read_json(request, limit)
        self.log.begin(caller, request.scope["path"], body)
        return await with_files(body, caller.project.id, self.files, limit)

    def resolve(self, capability: Capability, model: str | None) -> tuple[Provider, str]:
        """The provider of a model, and its name there. Raises a 400 `Problem`."""
        provider, name = self.catalogue.resolve(capability, None, model)
        found = self.catalogue.get(provider, name)
        assert found is not None  # noqa: S101 - it was just resolved
        return found, name

    def passing(
        self,
        api: RelayApi,
        capability: Capability,
        fields: Mapping[str, bytes],
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Provider, RelayRequest]:
        """A request as it may pass, and whose it is. Raises a 400 `Problem`."""
        provider, model = self.resolve(capability, model_in(fields))
        streams = fields.get("stream", b"null")
        if streams not in (b"true", b"false", b"null"):  # which a vendor might take for true
            raise Problem.field(["stream"], "is true or false")
        return provider, RelayRequest(api, model, fields, streams == b"true", headers or {})

    async def unless_gone(self, request: Request, work: Awaitable[T]) -> T:
        """The result of some work, which is cut off when its caller hangs up.

        Raises a 408 `Problem` when it takes too long.
        """
        async with Attended(request.receive, self.longest):
            return await work

    @asynccontextmanager
    async def under_way(self, caller: Caller) -> AsyncIterator[None]:
        """While a call counts as one of the caller's tasks that run. Raises a 429 `Problem`."""
        self.guard.enter(caller)
        try:
            yield
        finally:
            self.guard.leave(caller)

    async def begun(self, request: Request, caller: Caller, chunks: AsyncIterator[T]) -> Stream[T]:
        """A stream that has its first chunk: what fails before that is raised here, with a status of its own.

        Until it is closed it counts as one of the caller's tasks.
        """
        self.guard.enter(caller)
        stream: Stream[T] = Stream(chunks, lambda: self.guard.leave(caller), self.guard.traffic, self.longest)
        try:
            await self.unless_gone(request, stream.begin())
        except BaseException:
            await stream.close()
            raise
        return stream

    async def relayed(
        self,
        request: Request,
        caller: Caller,
        provider: Provider,
        asked: RelayRequest,
        broken: Callable[[Exception], bytes],
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer of a vendor that is spoken to in its own words, as it is.

        `broken` writes the event that stands at the end of a stream which broke.
        """
        if asked.stream:
            stream = await self.begun(request, caller, provider.relay_stream(asked))
            return StreamedResponse(stream, _passed(stream, broken), provider, headers)
        self.guard.enter(caller)
        try:
            answer = await self.unless_gone(request, provider.relay(asked))
        finally:
            self.guard.leave(caller)
        shown = told(provider, answer)
        return JsonResponse(answer.body, headers={**shown, **headers} if headers else shown)


class Stream(Generic[T]):
    """The chunks of an answer. `close` is what ends the call: nobody may ever come to read the chunks."""

    def __init__(
        self,
        chunks: Any,
        leave: Callable[[], object],
        traffic: Traffic | None = None,
        longest: float = math.inf,
    ) -> None:
        self.longest: float = longest
        """Seconds that it may take once it has begun."""
        self.late: bool = False
        """Whether it took too long, and is cut off."""
        self._chunks = chunks
        self._leave = leave
        self._traffic = traffic or Traffic()
        self._first: T | None = None
        self.provider: str | None = None
        """Who answers, once it has begun."""
        self._open = True

    @property
    def first(self) -> T | None:
        """The first chunk, while nobody has read it."""
        return self._first

    async def begin(self) -> None:
        self._first = await anext(self._chunks, None)
        self.provider = getattr(self._first, "provider", None)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        first, self._first = self._first, None
        if first is not None:
            return first
        try:
            chunk: T = await self._chunks.__anext__()
        except asyncio.CancelledError:
            if self.late or self._traffic.closing:  # so that its reader is told why it ends here
                stay()
                raise (too_slow(self.longest) if self.late else stopping()) from None
            raise
        return chunk

    async def close(self) -> None:
        if self._open:
            self._open = False
            self._leave()
            await self._chunks.aclose()


async def _passed(
    stream: Stream[RelayChunk], broken: Callable[[Exception], bytes]
) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in stream:
            if chunk.data:
                yield chunk.data
    except Exception as error:
        yield broken(error)


class StreamedResponse(Response):
    """Server-sent events of a stream, which is closed however the response ends."""

    def __init__(
        self,
        stream: Stream[Any],
        events: AsyncGenerator[bytes, None],
        provider: Provider,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        shown = {**STREAMING, "x-nexus-provider": stream.provider or provider.name, **(headers or {})}
        self.status_code = 200
        self.background: BackgroundTask | None = None
        self.raw_headers: list[tuple[bytes, bytes]] = [
            (k.lower().encode(), v.encode("latin-1")) for k, v in shown.items()
        ]
        self._stream = stream
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        try:
            attended = Attended(receive, self._stream.longest, self._stream)
            async with attended, aclosing(self._events) as events:
                await send(start)
                async for data in events:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await self._stream.close()


async def together(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; when one fails, the others are cut off."""
    running = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*running)
    finally:
        await _cut_off(running)


async def _cut_off(running: list[asyncio.Task[T]]) -> None:
    for call in running:
        call.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    running.clear()  # what failed holds the frame that called, which is not to hold what failed


class Answer(Protocol):
    """What the answers of all providers have."""

    @property
    def provider(self) -> str | None: ...
    @property
    def cost(self) -> Cost | None: ...


def told(provider: Provider, *answers: Answer) -> dict[str, str]:
    """Headers: who answered, which for a route is another than who was asked, and what it cost."""
    cost = answers[0].cost if len(answers) == 1 else sum_of([answer.cost for answer in answers])
    return {"x-nexus-provider": answers[0].provider or provider.name, **cost_told(cost)}


def sum_of(costs: Sequence[Cost | None]) -> Cost | None:
    """What the parts of an answer cost, where each has a price, and all in the same currency."""
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs) or len({cost.currency for cost in known}) != 1:
        return None
    return Cost(sum(cost.amount for cost in known), known[0].currency)


def cost_told(cost: Cost | None) -> dict[str, str]:
    """The header for it, where it is known."""
    return {} if cost is None else {"x-nexus-cost": f"{cost.amount:.10g} {cost.currency}"}
