"""What one contestant of `providers.py` takes, in a process of its own: prints it as JSON.

    python benchmarks/provider_calls.py nexusai|openai|litellm|httpx URL

Processor seconds: to import, for each chat call and for each streamed chunk, sync and async.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

CALLS = 150
EVENTS = 2000
MESSAGES = [{"role": "user", "content": "Say something about benchmarks, in a few words."}]
KEY = "sk-1"


def nexusai(url: str, asynchronous: bool) -> Any:
    from nexusai.providers import AsyncClient, Client

    client = (AsyncClient if asynchronous else Client)("openai_compatible", api_key=KEY, base_url=url)

    def chat(stream: bool) -> Any:
        return client.chat(model="m", messages=MESSAGES, stream=stream)

    return chat


def openai(url: str, asynchronous: bool) -> Any:
    from openai import AsyncOpenAI, OpenAI

    client = (AsyncOpenAI if asynchronous else OpenAI)(api_key=KEY, base_url=url)

    def chat(stream: bool) -> Any:
        return client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)

    return chat


def litellm(url: str, asynchronous: bool) -> Any:
    import litellm

    call = litellm.acompletion if asynchronous else litellm.completion

    def chat(stream: bool) -> Any:
        return call(model="openai/m", messages=MESSAGES, api_key=KEY, api_base=url, stream=stream)

    return chat


def httpx(url: str, asynchronous: bool) -> Any:
    """The floor: the request sent, the answer read as JSON, line by line."""
    import httpx

    client = (httpx.AsyncClient if asynchronous else httpx.Client)(headers={"authorization": f"Bearer {KEY}"})
    address, body = f"{url}/chat/completions", {"model": "m", "messages": MESSAGES}

    def lines() -> Any:
        with client.stream("POST", address, json={**body, "stream": True}) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])

    async def alines() -> Any:
        async with client.stream("POST", address, json={**body, "stream": True}) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])

    async def acall() -> Any:
        return (await client.post(address, json=body)).json()

    def chat(stream: bool) -> Any:
        if stream:
            return alines() if asynchronous else lines()
        return acall() if asynchronous else client.post(address, json=body).json()

    return chat


def spent(work: Callable[[], int]) -> float:
    """Processor seconds for each of the units that the work says it did; once without counting."""
    work()
    begun = time.process_time()
    units = work()
    return (time.process_time() - begun) / units


def synchronous(make: Any, url: str) -> dict[str, float]:
    def call() -> int:
        chat = make(f"{url}/whole", False)
        for _ in range(CALLS):
            chat(False)
        return CALLS

    def chunk(path: str) -> Callable[[], int]:
        def work() -> int:
            chunks = sum(1 for _ in make(f"{url}/{path}", False)(True))
            assert chunks >= EVENTS, chunks
            return EVENTS

        return work

    return {"call": spent(call), "chunk": spent(chunk("1")), "chunk of 40": spent(chunk("40"))}


def asynchronous(make: Any, url: str) -> dict[str, float]:
    async def calls() -> int:
        chat = make(f"{url}/whole", True)
        for _ in range(CALLS):
            await chat(False)
        return CALLS

    async def chunks(path: str) -> int:
        answer = make(f"{url}/{path}", True)(True)
        if asyncio.iscoroutine(answer):
            answer = await answer
        count = 0
        async for _ in answer:
            count += 1
        assert count >= EVENTS, count
        return EVENTS

    return {
        "async call": spent(lambda: asyncio.run(calls())),
        "async chunk": spent(lambda: asyncio.run(chunks("1"))),
        "async chunk of 40": spent(lambda: asyncio.run(chunks("40"))),
    }


def main(name: str, url: str) -> None:
    begun = time.process_time()
    __import__("nexusai.providers" if name == "nexusai" else name)
    imported = time.process_time() - begun
    make = globals()[name]
    print(json.dumps({"import": imported, **synchronous(make, url), **asynchronous(make, url)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
