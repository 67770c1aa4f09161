"""The two drivers of flows: what a flow asks for is sent, read, awaited and handed on here."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, cast

from nexusai.error import ConfigurationError
from nexusai.providers.errors import AdapterError
from nexusai.providers.flow import Emit, Flow, Open, Read, Sleep, Step, Work
from nexusai.providers.transport import HttpRequest, HttpResponse, SyncTransport, Transport
from nexusai.providers.types import StreamChunk

__all__ = ["AsyncDriver", "SyncDriver"]

T = TypeVar("T")

_LAST_BYTES_WAIT: Final = 0.05
"""Seconds that a finished stream may take to end its body, so that the connection can be used again."""
_WORKERS: Final = 2


class SyncDriver:
    """Runs flows in the calling thread."""

    def __init__(self, transport: SyncTransport) -> None:
        self.transport = transport

    def run(self, flow: Flow[T]) -> T:
        """What the flow returns."""
        steps = self._steps(flow)
        try:
            while True:
                next(steps)
        except StopIteration as done:
            return cast(T, done.value)

    def stream(self, flow: Flow[None]) -> Generator[StreamChunk, None, None]:
        """What the flow emits. To close the generator is to close the connection."""
        with contextlib.closing(self._steps(flow)) as emitted:
            for chunks in emitted:
                yield from chunks

    def release(self) -> None:
        """Nothing to let go: what is worked on is worked on in the caller's thread."""

    def _steps(self, flow: Flow[T]) -> Generator[Any, None, T]:
        """Takes every step of the flow, and yields what it emits."""
        with contextlib.ExitStack() as stack:
            body: Iterator[bytes] = iter(())
            try:
                step = next(flow)
                while True:
                    answer: Any = None
                    try:
                        if isinstance(step, Read):
                            answer = next(body, b"")
                        elif isinstance(step, Emit):
                            yield step.value
                        elif isinstance(step, Open):
                            stack.close()
                            opened = stack.enter_context(self.transport.stream(step.request))
                            body = opened.chunks()
                            answer = HttpResponse(opened.status, opened.headers, b"")
                        else:
                            answer = self._take(step)
                    except BaseException as error:
                        step = flow.throw(error)
                    else:
                        step = flow.send(answer)
            except StopIteration as done:
                return cast(T, done.value)

    def _take(self, step: Step) -> Any:
        if isinstance(step, HttpRequest):
            return self.transport.send(step)
        if isinstance(step, Sleep):
            return time.sleep(step.seconds)
        if isinstance(step, Work):
            return step.run()
        return time.monotonic()  # Now


class AsyncDriver:
    """Runs flows in the running event loop."""

    def __init__(self, transport: Transport | None = None) -> None:
        """A provider of this very machine needs no transport."""
        self._transport = transport
        self._workers: ThreadPoolExecutor | None = None

    async def run(self, flow: Flow[T]) -> T:
        """What the flow returns."""
        opened = _Opened()
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._take(step, opened)
                except BaseException as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            return cast(T, done.value)
        finally:
            if opened.is_open:
                await opened.close()

    async def stream(self, flow: Flow[None]) -> AsyncGenerator[Any, None]:
        """What the flow emits. To close the generator is to close the connection at once."""
        opened = _Opened()
        try:
            step = next(flow)
            while True:
                answer: Any = None
                try:
                    if isinstance(step, Read):
                        answer = await opened.read()
                    elif isinstance(step, Emit):
                        for chunk in step.value:
                            yield chunk
                    else:
                        answer = await self._take(step, opened)
                except BaseException as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration:
            await opened.let_it_end()
        finally:
            await opened.close()

    @property
    def transport(self) -> Transport:
        if self._transport is None:
            raise ConfigurationError("Give a transport: only the provider `local` is called without.")
        return self._transport

    def release(self) -> None:
        """Let go of the threads that were worked in."""
        if self._workers is not None:
            self._workers.shutdown(wait=False)
            self._workers = None

    async def _take(self, step: Step, opened: _Opened) -> Any:
        if isinstance(step, HttpRequest):
            return await self.transport.send(step)
        if isinstance(step, Sleep):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, Open):
            return await opened.open(self.transport, step.request)
        if isinstance(step, Read):
            return await opened.read()
        if isinstance(step, Work):
            return await self._work(step)
        return asyncio.get_running_loop().time()  # Now

    async def _work(self, step: Work[T]) -> T:
        """In a thread: few of them, so that others get the processor too."""
        if self._workers is None:
            self._workers = ThreadPoolExecutor(_WORKERS, "nexus-work")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, step.run)
        finally:
            if step.stop is not None:
                step.stop()


class _Opened:
    """The answer that is being read, if any."""

    def __init__(self) -> None:
        self._stack: contextlib.AsyncExitStack | None = None
        self._body: AsyncIterator[bytes] | None = None

    async def open(self, transport: Transport, request: HttpRequest) -> HttpResponse:
        await self.close()
        self._stack = contextlib.AsyncExitStack()
        answer = await self._stack.enter_async_context(transport.stream(request))
        self._body = answer.chunks()
        return HttpResponse(answer.status, answer.headers, b"")

    async def read(self) -> bytes:
        if self._body is None:
            return b""
        try:
            return await self._body.__anext__()
        except StopAsyncIteration:
            self._body = None
            return b""

    async def let_it_end(self) -> None:
        """Read the end that follows the last event, else the connection would be closed, not used again."""

        async def rest() -> None:
            while await self.read():
                pass

        if self._body is not None:
            with contextlib.suppress(AdapterError, asyncio.TimeoutError):
                await asyncio.wait_for(rest(), _LAST_BYTES_WAIT)

    @property
    def is_open(self) -> bool:
        return self._stack is not None

    async def close(self) -> None:
        stack, self._stack, self._body = self._stack, None, None
        if stack is not None:
            await stack.aclose()
