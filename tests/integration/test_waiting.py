"""Waiting for tasks of the real platform: watched, cut short, taken up again elsewhere."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image as Picture

from nexusai import TaskTimeoutError
from nexusai.testing import Platform

Use = Callable[..., Any]
SIMULATE = {"provider": "local", "model": "simulate"}


def slow(seconds: float) -> dict[str, Any]:
    return {**SIMULATE, "config": {"latency": seconds}}


def status(sdk: Use, task_id: str) -> str:
    return str(sdk(lambda client: client.tasks.get(task_id)).status)


def test_a_task_is_watched_on_its_way(sdk: Use) -> None:
    heard: list[Any] = []
    text = sdk(lambda client: client.text.generate("x", **slow(1.3), on_progress=heard.append))
    assert [task.status for task in heard] == ["queued", "running", "completed"]
    assert {task.id for task in heard} == {text.task_id}


async def test_an_async_callback_is_awaited(embedded: Platform) -> None:
    heard: list[str] = []

    async def hear(task: Any) -> None:
        await asyncio.sleep(0)
        heard.append(task.status)

    async with embedded.async_client() as client:
        await client.text.generate("x", **SIMULATE, on_progress=hear)
    assert heard[-1] == "completed"


def test_a_watched_task_is_known_as_soon_as_it_ends(sdk: Use) -> None:
    begun = time.monotonic()
    sdk(lambda client: client.text.generate("x", **slow(0.3), on_progress=lambda task: None))
    assert time.monotonic() - begun < 1.0


def test_a_task_that_is_late_is_cancelled_where_that_was_asked_for(sdk: Use) -> None:
    with pytest.raises(TaskTimeoutError, match="was asked to stop and is cancelled") as caught:
        sdk(lambda client: client.text.generate("x", **slow(60), timeout=0.3, on_timeout="cancel"))
    assert caught.value.handle.status == "cancelled"
    assert status(sdk, caught.value.task.id) == "cancelled"


def test_a_task_that_is_late_is_waited_for_by_its_handle(sdk: Use) -> None:
    def use(client: Any) -> Any:
        try:
            coming = client.text.generate("x", **slow(0.6), timeout=0.2)
        except TaskTimeoutError as late:
            return late.handle.wait()
        return later(coming)

    async def later(coming: Any) -> Any:
        with pytest.raises(TaskTimeoutError) as caught:
            await coming
        return await caught.value.handle.wait()

    assert sdk(use).text


@pytest.mark.parametrize("option", ["detach", "cancel"])
async def test_who_cancels_the_waiting_chooses_what_becomes_of_the_task(
    embedded: Platform, option: str
) -> None:
    async with embedded.async_client() as client:
        handle = await client.text.generate_async("x", **slow(0.5))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(handle.wait(on_interrupt=option), 0.1)
        await asyncio.sleep(0.1)
        task = await client.tasks.get(handle.id)
        assert task.status == ("cancelled" if option == "cancel" else "running")


# Ctrl-C

SYNC = """
with NexusAIClient() as client:
    client.text.generate("x", **options)
"""
ASYNC = """
async def main():
    async with AsyncNexusAIClient() as client:
        await client.text.generate("x", **options)

asyncio.run(main())
"""
FIRST = """
import asyncio, logging, signal
from nexusai import AsyncNexusAIClient, NexusAIClient

signal.signal(signal.SIGINT, signal.default_int_handler)
logging.basicConfig(format="%(message)s")
logging.getLogger("nexusai").setLevel(logging.INFO)
options = dict(provider="local", model="simulate", config={{"latency": 1.5}}, on_interrupt={option!r})
options["on_progress"] = lambda task: print(task.id, flush=True)
"""


def interrupted(platform: Platform, script: str) -> tuple[str, str]:
    """The id of the task that a process waits for as Ctrl-C is pressed, and what it says then."""
    environ = {"NEXUS_API_KEY": platform.api_key, "NEXUS_BASE_URL": platform.base_url}
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    task_id = process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode != 0
    return task_id, said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
@pytest.mark.parametrize("script", [SYNC, ASYNC], ids=["sync", "async"])
def test_after_ctrl_c_the_task_goes_on(embedded: Platform, script: str) -> None:
    task_id, said = interrupted(embedded, FIRST.format(option="detach") + script)
    line = f"Task {task_id} goes on: client.tasks.wait({task_id!r}) waits for it."
    assert said.splitlines()[0] == line
    assert said.splitlines().count(line) == (2 if sys.version_info >= (3, 11) else 1)
    assert "KeyboardInterrupt" in said
    with embedded.client() as client:
        assert client.tasks.wait(task_id).status == "completed"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
@pytest.mark.parametrize("script", [SYNC, ASYNC], ids=["sync", "async"])
def test_ctrl_c_cancels_the_task_where_that_was_asked_for(embedded: Platform, script: str) -> None:
    task_id, said = interrupted(embedded, FIRST.format(option="cancel") + script)
    assert said.splitlines()[0] == f"Task {task_id} was asked to stop and is cancelled."
    with embedded.client() as client:
        assert client.tasks.get(task_id).status == "cancelled"


# Events


def events(sdk: Use, task_id: str) -> list[Any]:
    """What is told of a task from its beginning to its end."""
    found: list[Any] = []

    async def later(stream: Any) -> None:
        async for event in stream:
            found.append(event)

    def use(client: Any) -> Any:
        stream = client.tasks.attach(task_id).events()
        if hasattr(stream, "__aiter__"):
            return later(stream)
        found.extend(stream)
        return None

    sdk(use)
    return found


def test_a_streaming_task_is_followed_from_elsewhere(sdk: Use, embedded: Platform) -> None:
    config = {"tokens": 12, "tokens_per_second": 40}
    with embedded.client() as client, client.text.stream("walk", **SIMULATE, config=config) as stream:
        next(stream)
        assert stream.task_id is not None
        told = events(sdk, stream.task_id)
        final = stream.final()
    assert [told[0].kind, told[-1].kind] == ["start", "end"]
    assert "".join(event.delta.content for event in told if event.delta) == final.text
    assert told[-1].usage.completion_tokens == 12


def test_a_task_in_the_background_is_followed(sdk: Use) -> None:
    handle = sdk(lambda client: client.text.generate_async("x", **slow(0.3)))
    kinds = [event.kind for event in events(sdk, handle.id)]
    assert [kinds[0], *kinds[-2:]] == ["start", "delta", "end"]


def test_a_task_that_is_over_is_told_of_as_well(sdk: Use) -> None:
    image = sdk(lambda client: client.images.generate("the sea", size="64x64"))
    told = events(sdk, image.task_id)
    assert [event.kind for event in told] == ["start", "output", "end"]
    assert told[1].output["images"][0]["file_id"] == image.file_id


def test_a_failure_is_the_last_event(sdk: Use) -> None:
    handle = sdk(lambda client: client.text.generate_async("x", **SIMULATE, config={"failure_rate": 1}))
    last = events(sdk, handle.id)[-1]
    assert (last.kind, last.status, last.error.code) == ("error", "failed", "PROVIDER_ERROR")


# Elsewhere

ATTACH = """
import pickle, sys
from nexusai import NexusAIClient

with NexusAIClient() as client:
    print(client.tasks.attach(pickle.load(sys.stdin.buffer)).wait().text)
"""


def test_a_pickled_handle_is_waited_for_in_another_process(sdk: Use, embedded: Platform) -> None:
    handle = sdk(lambda client: client.text.generate_async("x", **slow(0.3)))
    environ = {"NEXUS_API_KEY": embedded.api_key, "NEXUS_BASE_URL": embedded.base_url}
    there = subprocess.run(
        [sys.executable, "-c", ATTACH],
        env={**os.environ, **environ},
        input=pickle.dumps(handle),
        capture_output=True,
        check=True,
    )
    assert there.stdout.decode().strip() == sdk(lambda client: client.tasks.attach(handle).wait()).text


def test_the_same_call_under_the_same_key_is_the_same_task(sdk: Use) -> None:
    key = f"order-{uuid4()}"
    texts = [sdk(lambda client: client.text.generate("x", **SIMULATE, idempotency_key=key)) for _ in "ab"]
    assert texts[0].task_id == texts[1].task_id


def test_all_tasks_are_gone_through(sdk: Use) -> None:
    label = {"test": f"all {uuid4()}"}
    made = [sdk(lambda client: client.text.generate("x", **SIMULATE, metadata=label)) for _ in range(5)]
    found = sdk(lambda client: client.tasks.iter(metadata=label, limit=2))
    assert [task.id for task in found] == [text.task_id for text in reversed(made)]


def test_a_text_is_generated_about_pictures(sdk: Use) -> None:
    data = io.BytesIO()
    Picture.new("RGB", (3, 2)).save(data, "PNG")
    stored = sdk(lambda client: client.files.upload(("a.png", data.getvalue())))
    given = [data.getvalue(), stored, stored.file_id]
    assert sdk(lambda client: client.text.generate("What is it?", **SIMULATE, images=given)).text
