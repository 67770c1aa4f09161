"""What every resource is made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from nexusai._internal._client import AsyncDriver, SyncDriver
from nexusai._internal._flow import Flow
from nexusai._internal._poller import TaskPoller
from nexusai.models import Page, Task, result_of
from nexusai.resources._handle import AsyncTaskHandle, TaskHandle, attend, attend_async

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import WatchOptions

__all__ = ["AsyncResource", "Slice", "SyncResource", "by_cursor"]

T = TypeVar("T")

Slice: TypeAlias = tuple[Sequence[T], Any]
"""The rows of one page, and where the next one starts: a cursor, a page number, an offset; None: nowhere."""


def by_cursor(listing: Flow[Page[T]]) -> Flow[Slice[T]]:
    """A page of a list that goes on at `next_cursor`."""
    page = yield from listing
    return page.data, page.next_cursor if page.has_more else None


class SyncResource:
    def __init__(self, driver: SyncDriver) -> None:
        self._driver = driver
        self._poller = TaskPoller(driver.config.poll_interval)

    def _attend(
        self,
        work: Callable[[TaskPoller], Flow[T]],
        timeout: float | None = None,
        **options: Unpack[WatchOptions],
    ) -> T:
        """What a flow of waiting returns; `work` makes it of the poller that the options are for."""
        return attend(self._driver, work, timeout, **options)

    def _finish(
        self,
        body: Mapping[str, Any],
        timeout: float | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[WatchOptions],
    ) -> Any:
        """The result of a new task, in the type of such tasks."""
        task = self._attend(lambda poller: poller.finish(body, idempotency_key), timeout, **options)
        return result_of(task, self._driver.fetch)

    def _submit(
        self, body: Mapping[str, Any], timeout: float | None = None, *, idempotency_key: str | None = None
    ) -> TaskHandle[Any]:
        return self._handle_of(self._driver.run(self._poller.submit(body, idempotency_key), timeout))

    def _handle_of(self, task: Task) -> TaskHandle[Any]:
        return TaskHandle(task, self._driver)

    def _iterate(self, page: Callable[[Any], Flow[Slice[T]]]) -> Generator[T, None, None]:
        """All rows of a list. A page is asked for when its first row is wanted; `page(None)` is the first."""
        start: Any = None
        while True:
            rows, following = self._driver.run(page(start))
            yield from rows
            if following is None or following == start:  # a server that does not go on is not asked for ever
                return
            start = following


class AsyncResource:
    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver
        self._poller = TaskPoller(driver.config.poll_interval)

    async def _attend(
        self,
        work: Callable[[TaskPoller], Flow[T]],
        timeout: float | None = None,
        **options: Unpack[WatchOptions],
    ) -> T:
        """What a flow of waiting returns; `work` makes it of the poller that the options are for."""
        return await attend_async(self._driver, work, timeout, **options)

    async def _finish(
        self,
        body: Mapping[str, Any],
        timeout: float | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[WatchOptions],
    ) -> Any:
        """The result of a new task, in the type of such tasks."""
        task = await self._attend(lambda poller: poller.finish(body, idempotency_key), timeout, **options)
        return result_of(task, self._driver.fetch, asynchronous=True)

    async def _submit(
        self, body: Mapping[str, Any], timeout: float | None = None, *, idempotency_key: str | None = None
    ) -> AsyncTaskHandle[Any]:
        return self._handle_of(await self._driver.run(self._poller.submit(body, idempotency_key), timeout))

    def _handle_of(self, task: Task) -> AsyncTaskHandle[Any]:
        return AsyncTaskHandle(task, self._driver)

    async def _iterate(self, page: Callable[[Any], Flow[Slice[T]]]) -> AsyncGenerator[T, None]:
        """All rows of a list. A page is asked for when its first row is wanted; `page(None)` is the first."""
        start: Any = None
        while True:
            rows, following = await self._driver.run(page(start))
            for row in rows:
                yield row
            if following is None or following == start:  # a server that does not go on is not asked for ever
                return
            start = following
