"""Processor time of requests and of streams: the SDK, httpx and openai against the same constants."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from importlib.util import find_spec
from typing import Any

import httpx

from benchmarks.answers import EVENTS, TASK_ID
from benchmarks.turns import Row, in_turns, row
from nexusai import AsyncNexusAIClient, NexusAIClient

__all__ = ["asynchronous", "synchronous"]

REQUESTS = 200
STREAMS = 5
KEY = "nxs_benchmark"
HEADERS = {"Authorization": f"Bearer {KEY}"}
CHAT: Any = {"model": "simulate", "messages": [{"role": "user", "content": "hi"}], "stream": True}
TASK = f"/api/v1/tasks/{TASK_ID}"


def synchronous(url: str, rounds: int) -> Iterator[Row]:
    """The request for a final task (openai asks for a model), and streams: the text of each event is read."""
    with ExitStack() as stack:
        works: dict[str, Callable[[], Any]] = {}
        ours = stack.enter_context(NexusAIClient(KEY, f"{url}/api/v1"))
        works["nexusai"] = lambda: ours.tasks.get(TASK_ID)
        raw = stack.enter_context(httpx.Client(base_url=url, headers=HEADERS))
        works["httpx"] = lambda: raw.get(TASK).json()
        if find_spec("openai"):
            import openai

            theirs = stack.enter_context(openai.OpenAI(api_key="x", base_url=f"{url}/v1"))
            works["openai"] = lambda: theirs.models.retrieve("simulate")

        yield _requests("sync", in_turns(rounds, {name: _each(work) for name, work in works.items()}))
        for together in (1, 40):
            works["nexusai"] = lambda there=f"{url}/{together}": _read_ours(ours, there)
            works["httpx"] = lambda path=f"/{together}/invoke": _read_raw(raw, path)
            if "openai" in works:
                works["openai"] = lambda there=f"{url}/{together}": _read_theirs(theirs, there)
            rates = in_turns(rounds, {name: _rate(work) for name, work in works.items()})
            yield _streams("sync", together, rates)


def _read_ours(client: NexusAIClient, url: str) -> int:
    with client.with_options(base_url=url).text.stream("hi") as chunks:
        return sum(bool(chunk.text) for chunk in chunks)


def _read_raw(client: httpx.Client, path: str) -> int:
    with client.stream("POST", path, json={"stream": True}) as answer:
        return sum(map(_has_text, answer.iter_lines()))


def _read_theirs(client: Any, url: str) -> int:
    chunks = client.with_options(base_url=url).chat.completions.create(**CHAT)
    return sum(bool(chunk.choices[0].delta.content) for chunk in chunks)


def asynchronous(url: str, rounds: int) -> Iterator[Row]:
    """The same with the asynchronous clients, in one event loop."""
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    run = loop.run_until_complete
    try:
        works: dict[str, Callable[[], Awaitable[Any]]] = {}
        ours = run(stack.enter_async_context(AsyncNexusAIClient(KEY, f"{url}/api/v1")))
        works["nexusai"] = lambda: ours.tasks.get(TASK_ID)
        raw = run(stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=HEADERS)))
        works["httpx"] = lambda: _get(raw)
        if find_spec("openai"):
            import openai

            theirs = run(stack.enter_async_context(openai.AsyncOpenAI(api_key="x", base_url=f"{url}/v1")))
            works["openai"] = lambda: theirs.models.retrieve("simulate")

        repeated = {name: _each_of(run, work) for name, work in works.items()}
        yield _requests("async", in_turns(rounds, repeated))
        for together in (1, 40):
            works["nexusai"] = lambda there=f"{url}/{together}": _aread_ours(ours, there)
            works["httpx"] = lambda path=f"/{together}/invoke": _aread_raw(raw, path)
            if "openai" in works:
                works["openai"] = lambda there=f"{url}/{together}": _aread_theirs(theirs, there)
            readers = {name: _rate(lambda work=work: run(work())) for name, work in works.items()}
            yield _streams("async", together, in_turns(rounds, readers))
    finally:
        run(stack.aclose())
        run(loop.shutdown_asyncgens())
        loop.close()


async def _get(client: httpx.AsyncClient) -> Any:
    return (await client.get(TASK)).json()


async def _aread_ours(client: AsyncNexusAIClient, url: str) -> int:
    async with client.with_options(base_url=url).text.stream("hi") as chunks:
        return await _count(chunks, lambda chunk: bool(chunk.text))


async def _aread_raw(client: httpx.AsyncClient, path: str) -> int:
    async with client.stream("POST", path, json={"stream": True}) as answer:
        return await _count(answer.aiter_lines(), _has_text)


async def _aread_theirs(client: Any, url: str) -> int:
    chunks = await client.with_options(base_url=url).chat.completions.create(**CHAT)
    return await _count(chunks, lambda chunk: bool(chunk.choices[0].delta.content))


async def _count(items: AsyncIterable[Any], wanted: Callable[[Any], bool]) -> int:
    count = 0
    async for item in items:
        count += wanted(item)
    return count


def _has_text(line: str) -> bool:
    if not line.startswith("data: ") or line == "data: [DONE]":
        return False
    return bool(json.loads(line[6:]).get("delta", {}).get("content"))


def _each(work: Callable[[], Any]) -> Callable[[], float]:
    """Microseconds of processor time for one of many."""
    return lambda: _processor_time(lambda: [work() for _ in range(REQUESTS)]) / REQUESTS * 1e6


def _each_of(run: Callable[[Any], Any], work: Callable[[], Awaitable[Any]]) -> Callable[[], float]:
    async def repeat() -> None:
        for _ in range(REQUESTS):
            await work()

    return lambda: _processor_time(lambda: run(repeat())) / REQUESTS * 1e6


def _rate(work: Callable[[], Any]) -> Callable[[], float]:
    """Events per second of processor time."""

    def rate() -> float:
        counts: list[int] = []
        seconds = _processor_time(lambda: counts.extend(work() for _ in range(STREAMS)))
        assert counts == [EVENTS] * STREAMS, counts
        return STREAMS * EVENTS / seconds

    return rate


def _processor_time(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _requests(kind: str, measured: Mapping[str, list[float]]) -> Row:
    what, bar = f"request, {kind}, us of CPU", "<= 1.3 x httpx"
    return row(what, measured, "{:.0f}", beside="httpx", bar=bar, met=lambda _, ratio: ratio <= 1.3)


def _streams(kind: str, together: int, measured: Mapping[str, list[float]]) -> Row:
    what, bar = f"SSE events/s, {kind}, {together} to a chunk", ">= 0.6 x httpx lines + json"
    return row(what, measured, "{:,.0f}", beside="httpx", bar=bar, met=lambda _, ratio: ratio >= 0.6)
