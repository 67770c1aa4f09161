"""Several flows at once on one client: what they emit, as it comes."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

from nexusai._internal._budget import Budget
from nexusai._internal._client import AsyncDriver, SyncDriver
from nexusai._internal._flow import Flow

__all__ = ["run_all", "run_all_async"]


class _Over:
    """How one of the flows ended."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def run_all(
    driver: SyncDriver, flows: Sequence[Flow[None]], timeout: float | None = None
) -> Generator[Any, None, None]:
    """Each flow has a thread, and all have the same `timeout` seconds. The first error ends them all."""
    budgets = [Budget(timeout) for _ in flows]
    news: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work(flow: Flow[None], budget: Budget) -> None:
        try:
            driver.run(flow, budget, news.put)
        except BaseException as error:
            news.put(_Over(error))
        else:
            news.put(_Over())

    for flow, budget in zip(flows, budgets, strict=True):
        threading.Thread(target=work, args=(flow, budget), name="nexusai", daemon=True).start()
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
        for budget in budgets:
            budget.end()


async def run_all_async(
    driver: AsyncDriver, flows: Sequence[Flow[None]], timeout: float | None = None
) -> AsyncGenerator[Any, None]:
    """As `run_all`; each flow has an asyncio task."""
    news: asyncio.Queue[Any] = asyncio.Queue()

    async def work(flow: Flow[None], budget: Budget) -> None:
        try:
            await driver.run(flow, budget, news.put_nowait)
        except BaseException as error:
            news.put_nowait(_Over(error))
            raise
        else:
            news.put_nowait(_Over())

    tasks = [asyncio.create_task(work(flow, Budget(timeout))) for flow in flows]
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
