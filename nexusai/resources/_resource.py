"""What every resource is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from nexusai._internal._client import AsyncDriver, SyncDriver
from nexusai._internal._flow import Flow
from nexusai._internal._poller import TaskPoller
from nexusai.models import result_of
from nexusai.resources._handle import AsyncTaskHandle, TaskHandle

__all__ = ["AsyncResource", "SyncResource"]

T = TypeVar("T")


class SyncResource:
    def __init__(self, driver: SyncDriver) -> None:
        self._driver = driver
        self._poller = TaskPoller(driver.config.poll_interval)

    def _wait(self, flow: Flow[T], timeout: float | None) -> T:
        limit = self._driver.config.poll_timeout if timeout is None else timeout
        return self._driver.run(flow, limit)

    def _finish(self, body: Mapping[str, Any], timeout: float | None) -> Any:
        """The result of a new task, in the type of such tasks."""
        return result_of(self._wait(self._poller.finish(body), timeout), self._driver.fetch)

    def _submit(self, body: Mapping[str, Any], timeout: float | None) -> TaskHandle[Any]:
        return TaskHandle(self._driver.run(self._poller.submit(body), timeout), self._driver)


class AsyncResource:
    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver
        self._poller = TaskPoller(driver.config.poll_interval)

    async def _wait(self, flow: Flow[T], timeout: float | None) -> T:
        limit = self._driver.config.poll_timeout if timeout is None else timeout
        return await self._driver.run(flow, limit)

    async def _finish(self, body: Mapping[str, Any], timeout: float | None) -> Any:
        """The result of a new task, in the type of such tasks."""
        task = await self._wait(self._poller.finish(body), timeout)
        return result_of(task, self._driver.fetch, asynchronous=True)

    async def _submit(self, body: Mapping[str, Any], timeout: float | None) -> AsyncTaskHandle[Any]:
        return AsyncTaskHandle(await self._driver.run(self._poller.submit(body), timeout), self._driver)
