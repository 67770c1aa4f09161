"""The two drivers: they run flows, over httpx. What is decided, the flows, `_wire` and `_retry` decide."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
)
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar, cast

import httpx
from typing_extensions import Self

from nexusai._internal._budget import Budget
from nexusai._internal._files import AsyncForm, Form, multipart, whole_or_nothing
from nexusai._internal._flow import Call, Emit, Flow, Grace, OutOfTime, Reply, Sleep, fetch
from nexusai._internal._logging import log_answer
from nexusai._internal._pool import AsyncPool, SyncPool
from nexusai._internal._retry import Retries
from nexusai._internal._tracing import traced
from nexusai._internal._wire import Wire
from nexusai.config import Config, changed, header_fields
from nexusai.error import APIError, APITimeoutError

__all__ = ["AsyncDriver", "SyncDriver"]

T = TypeVar("T")
P = TypeVar("P", bound=SyncPool | AsyncPool)

Hear: TypeAlias = Callable[[Any], Any]
"""Is told what a flow emits."""


_LONGEST_PAGE = 1024 * 1024


def _nobody(_: Any) -> None:
    """Hears nothing."""


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. Whoever is cancelled a second time meanwhile leaves it to end by itself."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # asked for, by somebody
    return await asyncio.shield(task)


def _page(response: httpx.Response) -> bytes:
    """The body of an answer that is no good one, as far as anybody reads it."""
    page = b""
    for part in response.iter_bytes():
        page += part
        if len(page) > _LONGEST_PAGE:
            break
    return page


async def _page_async(response: httpx.Response) -> bytes:
    page = b""
    async for part in response.aiter_bytes():
        page += part
        if len(page) > _LONGEST_PAGE:
            break
    return page


class _Driver(Generic[P]):
    def __init__(self, config: Config, pool: P, headers: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.pool = pool
        self._wire = Wire(config, headers)

    def changed(self, options: Mapping[str, Any]) -> Self:
        """A driver with some of `ClientOptions` changed, on the same pool."""
        settings = dict(options)
        headers = self._wire.headers.copy()
        headers.update(header_fields(settings.pop("default_headers", None) or {}))
        return type(self)(changed(self.config, settings), self.pool, headers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config.base_url!r})"

    def __deepcopy__(self, _memo: Any) -> Self:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("A client cannot be pickled: make a client in the child process.")


class SyncDriver(_Driver[SyncPool]):
    """Runs flows in the calling thread."""

    def run(self, flow: Flow[T], timeout: float | Budget | None = None, hear: Hear | None = None) -> T:
        """What the flow returns. All that it does may take `timeout` seconds together.

        Raises what the flow raises, and `APITimeoutError` when the time is over.
        """
        return self._run(traced(flow, self.config.base_url), Budget.of(timeout), hear or _nobody)

    def stream(self, call: Call) -> Generator[bytes, None, None]:
        """The body as it arrives; to close the iterator is to close the connection."""
        budget = Budget()
        with ExitStack() as stack:
            response = self._send(
                call, budget, lambda number: stack.enter_context(self._answer(call, budget, number))
            )
            self._wire.opened(call, response)
            yield from response.iter_bytes()

    def fetch(self, url: str, into: Path | None) -> bytes | Path:
        """The body behind a link, in memory or in a file."""
        return self.run(fetch(self._wire.link(url), into))

    def pause(self, seconds: float, budget: Budget | None = None) -> None:
        if budget is not None:
            seconds = budget.sleep(seconds)
        time.sleep(seconds)

    def _run(self, flow: Flow[T], budget: Budget, hear: Hear) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = self._take(step, budget, hear)
                except BaseException as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            return cast(T, done.value)
        except OutOfTime as over:
            raise APITimeoutError(str(over), retryable=True) from None

    def _take(self, step: Call | Sleep | Emit | Grace, budget: Budget, hear: Hear) -> Reply | None:
        if isinstance(step, Call):
            return self._send(step, budget, lambda number: self._reply(step, budget, number))
        if isinstance(step, Sleep):
            self.pause(step.seconds, budget)
        elif isinstance(step, Grace):
            budget.renew(step.seconds)
        else:
            hear(step.value)
        return None

    def _send(self, call: Call, budget: Budget, attempt: Callable[[int], T]) -> T:
        """An attempt, and further ones under tenacity when it failed in a way that may pass."""
        try:
            return attempt(1)
        except APIError as error:
            retries = Retries(call, error, self._wire.retries(call), budget)
        from tenacity import Retrying

        def again() -> T:
            retries.replay_first()
            return attempt(retries.attempt)

        def sleep(seconds: float) -> None:
            self.pause(seconds, budget)

        return Retrying(retry=retries.retry, wait=retries.wait, sleep=sleep)(again)

    def _reply(self, call: Call, budget: Budget, attempt: int) -> Reply:
        begun = time.monotonic()
        with self._answer(call, budget, attempt) as response:
            if call.into is None:
                response.read()
            else:
                with whole_or_nothing(call.into) as file:
                    for chunk in response.iter_bytes():
                        file.write(chunk)
            content = b"" if call.into else response.content
            return Reply(response.status_code, response.headers, content, time.monotonic() - begun)

    @contextmanager
    def _answer(self, call: Call, budget: Budget, attempt: int) -> Iterator[httpx.Response]:
        """A good answer of which the head has arrived. Raises `APIError` for any other."""
        left = budget.demand()
        begun = time.monotonic()
        with (
            self.pool.lease() as client,
            multipart(call.upload, Form) as form,
            self._wire.errors(call, budget, attempt),
        ):
            request = self._wire.request(client, call, left, form)
            response = client.send(request, stream=True, follow_redirects=False)
            try:
                log_answer(response, time.monotonic() - begun, attempt)
                if response.status_code >= 300:
                    raise self._wire.error(call, response, _page(response))
                yield response
            finally:
                response.close()


class AsyncDriver(_Driver[AsyncPool]):
    """Runs flows in the running event loop."""

    async def run(self, flow: Flow[T], timeout: float | Budget | None = None, hear: Hear | None = None) -> T:
        """What the flow returns. All that it does may take `timeout` seconds together.

        `hear` may be an async function. Raises what the flow raises, and `APITimeoutError` when the time is
        over.
        """
        return await self._run(traced(flow, self.config.base_url), Budget.of(timeout), hear or _nobody)

    async def stream(self, call: Call) -> AsyncGenerator[bytes, None]:
        """The body as it arrives; to close the iterator is to close the connection."""
        budget = Budget()
        async with AsyncExitStack() as stack:
            response = await self._send(
                call, budget, lambda number: stack.enter_async_context(self._answer(call, budget, number))
            )
            self._wire.opened(call, response)
            async for chunk in response.aiter_bytes():
                yield chunk

    async def fetch(self, url: str, into: Path | None) -> bytes | Path:
        """The body behind a link, in memory or in a file."""
        return await self.run(fetch(self._wire.link(url), into))

    async def pause(self, seconds: float, budget: Budget | None = None) -> None:
        if budget is not None:
            seconds = budget.sleep(seconds)
        await asyncio.sleep(seconds)

    async def _run(self, flow: Flow[T], budget: Budget, hear: Hear) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._take(step, budget, hear)
                except BaseException as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            return cast(T, done.value)
        except OutOfTime as over:
            raise APITimeoutError(str(over), retryable=True) from None

    async def _take(self, step: Call | Sleep | Emit | Grace, budget: Budget, hear: Hear) -> Reply | None:
        if isinstance(step, Call):
            sending = self._send(step, budget, lambda number: self._reply(step, budget, number))
            return await (_to_the_end(sending) if budget.renewed else sending)
        if isinstance(step, Sleep):
            await self.pause(step.seconds, budget)
        elif isinstance(step, Grace):
            budget.renew(step.seconds)
        elif inspect.isawaitable(heard := hear(step.value)):
            await heard
        return None

    async def _send(self, call: Call, budget: Budget, attempt: Callable[[int], Awaitable[T]]) -> T:
        """An attempt, and further ones under tenacity when it failed in a way that may pass."""
        try:
            return await attempt(1)
        except APIError as error:
            retries = Retries(call, error, self._wire.retries(call), budget)
        from tenacity import AsyncRetrying

        async def again() -> T:
            retries.replay_first()
            return await attempt(retries.attempt)

        async def sleep(seconds: float) -> None:
            await self.pause(seconds, budget)

        return await AsyncRetrying(retry=retries.retry, wait=retries.wait, sleep=sleep)(again)

    async def _reply(self, call: Call, budget: Budget, attempt: int) -> Reply:
        begun = time.monotonic()
        async with self._answer(call, budget, attempt) as response:
            if call.into is None:
                await response.aread()
            else:
                with whole_or_nothing(call.into) as file:
                    async for chunk in response.aiter_bytes():
                        await asyncio.to_thread(file.write, chunk)
            content = b"" if call.into else response.content
            return Reply(response.status_code, response.headers, content, time.monotonic() - begun)

    @asynccontextmanager
    async def _answer(self, call: Call, budget: Budget, attempt: int) -> AsyncIterator[httpx.Response]:
        """A good answer of which the head has arrived. Raises `APIError` for any other."""
        left = budget.demand()
        begun = time.monotonic()
        with (
            self.pool.lease() as client,
            multipart(call.upload, AsyncForm) as form,
            self._wire.errors(call, budget, attempt),
        ):
            request = self._wire.request(client, call, left, form)
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                log_answer(response, time.monotonic() - begun, attempt)
                if response.status_code >= 300:
                    raise self._wire.error(call, response, await _page_async(response))
                yield response
            finally:
                await response.aclose()
