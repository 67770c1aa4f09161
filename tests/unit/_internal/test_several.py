from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from typing import Any

import pytest
from freezegun import freeze_time

from nexusai import AsyncNexusAIClient
from nexusai._internal._flow import Emit, OutOfTime, Sleep
from nexusai._internal._several import run_all, run_all_async
from nexusai.error import APIError, APITimeoutError
from tests.fixtures.sdk import BASE, KEY, Both


def heard(sdk: Both, flows: Sequence[Generator[Any, Any, None]], timeout: float | None = None) -> Any:
    run = run_all_async if sdk.asynchronous else run_all
    return sdk(lambda client: run(client._driver, flows, timeout))


def told(*values: str, error: Exception | None = None) -> Generator[Any, Any, None]:
    for value in values:
        yield Emit(value)
    if error is not None:
        raise error


def pauses(count: int) -> Generator[Any, Any, None]:
    for _ in range(count):
        yield Sleep(1)


def test_all_flows_are_heard(sdk: Both):
    assert sorted(heard(sdk, [told("a", "b"), told(), told("c")])) == ["a", "b", "c"]


def test_no_flows_are_heard_to_the_end(sdk: Both):
    assert heard(sdk, []) == []


def test_the_error_of_one_flow_ends_all(sdk: Both):
    with pytest.raises(APIError, match="broken"):
        heard(sdk, [told("a", error=APIError("broken")), told("b")])


def test_each_flow_has_all_of_the_time(sdk: Both, naps: list[float]):
    with freeze_time("2025-01-01", real_asyncio=True):
        heard(sdk, [pauses(3) for _ in range(16)], 4)
    assert len(naps) == 16 * 3


def test_a_flow_that_takes_longer_ends_all(sdk: Both, naps: list[float]):
    with freeze_time("2025-01-01", real_asyncio=True), pytest.raises(APITimeoutError, match="within 4 s"):
        heard(sdk, [pauses(9), pauses(9)], 4)
    assert sum(naps) <= 2 * 4


def test_flows_stop_when_nobody_listens_any_more():
    ended: list[str] = []

    def flow() -> Generator[Any, Any, None]:
        try:
            yield Emit("a")
            while True:
                yield Sleep(0.01)
        except OutOfTime:
            ended.append("yes")

    def first(client: Any) -> Any:
        news = run_all(client._driver, [flow()])
        value = next(news)
        news.close()
        return value

    assert Both(asynchronous=False)(first) == "a"
    for _ in range(100):
        if ended:
            break
        time.sleep(0.01)
    assert ended == ["yes"]


async def test_flows_of_the_async_driver_stop_when_nobody_listens_any_more():
    ended: list[str] = []

    def flow() -> Generator[Any, Any, None]:
        try:
            yield Emit("a")
            yield Sleep(100)
        except asyncio.CancelledError:
            ended.append("yes")
            raise

    async with AsyncNexusAIClient(api_key=KEY, base_url=BASE) as client:
        news = run_all_async(client._driver, [flow()])
        assert await anext(news) == "a"
        await asyncio.sleep(0)
        await news.aclose()
    assert ended == ["yes"]


async def test_a_flow_that_is_cancelled_from_within_ends_all():
    def flow() -> Generator[Any, Any, None]:
        yield Emit("a")
        raise asyncio.CancelledError

    async with AsyncNexusAIClient(api_key=KEY, base_url=BASE) as client:
        news = run_all_async(client._driver, [flow()])
        assert await anext(news) == "a"
        with pytest.raises(asyncio.CancelledError):
            await anext(news)
