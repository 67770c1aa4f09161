"""The two drivers: they run flows, over httpx. What is decided, the flows, `_wire` and `_retry` decide."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar, cast

import httpx
from typing_extensions import Self

from nexusai._internal._budget import Budget
from nexusai._internal._files import multipart, whole_or_nothing
from nexusai._internal._flow import Call, Emit, Flow, OutOfTime, Reply, Sleep, fetch
from nexusai._internal._pool import AsyncPool, SyncPool
from nexusai._internal._retry import Retries
from nexusai._internal._wire import Wire
from nexusai.config import Config, changed
from nexusai.error import APIError, APITimeoutError

__all__ = ["AsyncDriver", "SyncDriver"]

T = TypeVar("T")
P = TypeVar("P", bound=SyncPool | AsyncPool)


class _Over:
    """How one of several flows ended."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Driver(Generic[P]):
    def __init__(self, config: Config, pool: P, headers: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.pool = pool
        self._wire = Wire(config, headers)

    def changed(self, options: Mapping[str, Any]) -> Self:
        """A driver with some of `ClientOptions` changed, on the same pool."""
        settings = dict(options)
        headers = settings.pop("default_headers", None) or {}
        return type(self)(changed(self.config, settings), self.pool, {**self._wire.headers, **headers})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config.base_url!r})"

    def __deepcopy__(self, _memo: Any) -> Self:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("A client cannot be pickled: make a client in the child process.")


class SyncDriver(_Driver[SyncPool]):
    """Runs flows in the calling thread."""

    def run(self, flow: Flow[T], timeout: float | None = None) -> T:
        """What the flow returns. All that it does may take `timeout` seconds together.

        Raises what the flow raises, and `APITimeoutError` when the time is over.
        """
        return self._run(flow, Budget(timeout))

    def run_all(
        self, flows: Sequence[Flow[None]], timeout: float | None = None
    ) -> Generator[Any, None, None]:
        """What the flows emit, as it comes. Each has a thread of its own; they share the time."""
        budget = Budget(timeout)
        news: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def work(flow: Flow[None]) -> None:
            try:
                self._run(flow, budget, news.put)
            except BaseException as error:
                news.put(_Over(error))
            else:
                news.put(_Over())

        for flow in flows:
            threading.Thread(target=work, args=(flow,), name="nexusai", daemon=True).start()
        try:
            running = len(flows)
            while running:
                item = news.get()
                if not isinstance(item, _Over):
                    yield item
                elif item.error is not None:
                    raise item.error
                else:
                    running -= 1
        finally:
            budget.end()

    def stream(self, call: Call) -> Generator[bytes, None, None]:
        """The body as it arrives; to close the iterator is to close the connection."""
        budget = Budget()
        with ExitStack() as stack:
            response = self._send(call, budget, lambda: stack.enter_context(self._answer(call, budget)))
            yield from response.iter_bytes()

    def fetch(self, url: str, into: Path | None) -> bytes | Path:
        """The body behind a link, in memory or in a file."""
        return self.run(fetch(self._wire.link(url), into))

    def pause(self, seconds: float, budget: Budget | None = None) -> None:
        if budget is not None:
            seconds = budget.sleep(seconds)
        time.sleep(seconds)

    def _run(self, flow: Flow[T], budget: Budget, emit: Callable[[Any], None] = lambda _: None) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = self._take(step, budget, emit)
                except BaseException as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            return cast(T, done.value)
        except OutOfTime as over:
            raise APITimeoutError(str(over), retryable=True) from None

    def _take(self, step: Call | Sleep | Emit, budget: Budget, emit: Callable[[Any], None]) -> Reply | None:
        if isinstance(step, Call):
            return self._send(step, budget, lambda: self._reply(step, budget))
        if isinstance(step, Sleep):
            self.pause(step.seconds, budget)
        else:
            emit(step.value)
        return None

    def _send(self, call: Call, budget: Budget, attempt: Callable[[], T]) -> T:
        """An attempt, and further ones under tenacity when it failed in a way that may pass."""
        try:
            return attempt()
        except APIError as error:
            retries = Retries(error, self._wire.retries(call), budget)
        from tenacity import Retrying

        def again() -> T:
            retries.replay_first()
            return attempt()

        def sleep(seconds: float) -> None:
            self.pause(seconds, budget)

        return Retrying(retry=retries.retry, wait=retries.wait, sleep=sleep)(again)

    def _reply(self, call: Call, budget: Budget) -> Reply:
        begun = time.monotonic()
        with self._answer(call, budget) as response:
            if call.into is None:
                response.read()
            else:
                with whole_or_nothing(call.into) as file:
                    for chunk in response.iter_bytes():
                        file.write(chunk)
            content = b"" if call.into else response.content
            return Reply(response.status_code, response.headers, content, time.monotonic() - begun)

    @contextmanager
    def _answer(self, call: Call, budget: Budget) -> Iterator[httpx.Response]:
        """A good answer of which the head has arrived. Raises `APIError` for any other."""
        left = budget.demand()
        begun = time.monotonic()
        with self.pool.lease() as client, multipart(call.upload) as files, self._wire.errors(call, budget):
            request = self._wire.request(client, call, left, files)
            response = client.send(request, stream=True, follow_redirects=False)
            try:
                self._wire.log(call, response, time.monotonic() - begun)
                if response.status_code >= 300:
                    response.read()
                    raise self._wire.error(call, response)
                yield response
            finally:
                response.close()


class AsyncDriver(_Driver[AsyncPool]):
    """Runs flows in the running event loop."""

    async def run(self, flow: Flow[T], timeout: float | None = None) -> T:
        """What the flow returns. All that it does may take `timeout` seconds together.

        Raises what the flow raises, and `APITimeoutError` when the time is over.
        """
        return await self._run(flow, Budget(timeout))

    async def run_all(
        self, flows: Sequence[Flow[None]], timeout: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """What the flows emit, as it comes. Each has an asyncio task of its own; they share the time."""
        budget = Budget(timeout)
        news: asyncio.Queue[Any] = asyncio.Queue()

        async def work(flow: Flow[None]) -> None:
            try:
                await self._run(flow, budget, news.put_nowait)
            except Exception as error:
                news.put_nowait(_Over(error))
            else:
                news.put_nowait(_Over())

        tasks = [asyncio.create_task(work(flow)) for flow in flows]
        try:
            running = len(flows)
            while running:
                item = await news.get()
                if not isinstance(item, _Over):
                    yield item
                elif item.error is not None:
                    raise item.error
                else:
                    running -= 1
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stream(self, call: Call) -> AsyncGenerator[bytes, None]:
        """The body as it arrives; to close the iterator is to close the connection."""
        budget = Budget()
        async with AsyncExitStack() as stack:
            response = await self._send(
                call, budget, lambda: stack.enter_async_context(self._answer(call, budget))
            )
            async for chunk in response.aiter_bytes():
                yield chunk

    async def fetch(self, url: str, into: Path | None) -> bytes | Path:
        """The body behind a link, in memory or in a file."""
        return await self.run(fetch(self._wire.link(url), into))

    async def pause(self, seconds: float, budget: Budget | None = None) -> None:
        if budget is not None:
            seconds = budget.sleep(seconds)
        await asyncio.sleep(seconds)

    async def _run(self, flow: Flow[T], budget: Budget, emit: Callable[[Any], None] = lambda _: None) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._take(step, budget, emit)
                except BaseException as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            return cast(T, done.value)
        except OutOfTime as over:
            raise APITimeoutError(str(over), retryable=True) from None

    async def _take(
        self, step: Call | Sleep | Emit, budget: Budget, emit: Callable[[Any], None]
    ) -> Reply | None:
        if isinstance(step, Call):
            return await self._send(step, budget, lambda: self._reply(step, budget))
        if isinstance(step, Sleep):
            await self.pause(step.seconds, budget)
        else:
            emit(step.value)
        return None

    async def _send(self, call: Call, budget: Budget, attempt: Callable[[], Awaitable[T]]) -> T:
        """An attempt, and further ones under tenacity when it failed in a way that may pass."""
        try:
            return await attempt()
        except APIError as error:
            retries = Retries(error, self._wire.retries(call), budget)
        from tenacity import AsyncRetrying

        async def again() -> T:
            retries.replay_first()
            return await attempt()

        async def sleep(seconds: float) -> None:
            await self.pause(seconds, budget)

        return await AsyncRetrying(retry=retries.retry, wait=retries.wait, sleep=sleep)(again)

    async def _reply(self, call: Call, budget: Budget) -> Reply:
        begun = time.monotonic()
        async with self._answer(call, budget) as response:
            if call.into is None:
                await response.aread()
            else:
                with whole_or_nothing(call.into) as file:
                    async for chunk in response.aiter_bytes():
                        await asyncio.to_thread(file.write, chunk)
            content = b"" if call.into else response.content
            return Reply(response.status_code, response.headers, content, time.monotonic() - begun)

    @asynccontextmanager
    async def _answer(self, call: Call, budget: Budget) -> AsyncIterator[httpx.Response]:
        """A good answer of which the head has arrived. Raises `APIError` for any other."""
        left = budget.demand()
        begun = time.monotonic()
        with self.pool.lease() as client, multipart(call.upload) as files, self._wire.errors(call, budget):
            request = self._wire.request(client, call, left, files)
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                self._wire.log(call, response, time.monotonic() - begun)
                if response.status_code >= 300:
                    await response.aread()
                    raise self._wire.error(call, response)
                yield response
            finally:
                await response.aclose()
