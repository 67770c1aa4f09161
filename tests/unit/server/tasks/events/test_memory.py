from __future__ import annotations

import tracemalloc

import pytest

from nexusai.server.tasks.events import Lost
from nexusai.server.tasks.events.memory import EVENT_BYTES, MemoryEvents

DONE = [("", b"[DONE]")]
ENDED_SIZE = EVENT_BYTES + len(b"[DONE]")


async def is_kept(events: MemoryEvents, task_id: str) -> bool:
    try:
        return bool([event async for event in events.follow(task_id, 0, 1)])
    except Lost:
        return False


async def test_the_oldest_ends_are_forgotten_when_there_is_no_more_room():
    events = MemoryEvents(kept_bytes=3 * ENDED_SIZE)
    names = [f"task_{number}" for number in range(5)]
    for name in names:
        events.open(name, 1)
        events.end(name, lambda: DONE)

    assert [await is_kept(events, name) for name in names] == [False, False, True, True, True]


async def test_a_stream_larger_than_the_room_is_not_kept():
    events = MemoryEvents(kept_bytes=1000)
    events.open("task_1", 1)
    events.publish("task_1", "", b"x" * 2000)
    events.end("task_1", lambda: DONE)

    assert not await is_kept(events, "task_1")


async def test_who_follows_a_stream_that_is_not_kept_still_gets_its_end():
    events = MemoryEvents(kept_bytes=0)
    events.open("task_1", 1)
    stream = events.follow("task_1", 0, 60)
    events.publish("task_1", "", b"a")
    assert (await anext(stream)).data == b"a"
    events.end("task_1", lambda: DONE)

    assert [event.data async for event in stream] == [b"[DONE]"]


async def watched_only(events: MemoryEvents, name: str) -> None:
    with events.watch(name) as watch:
        events.publish(name, "", b"x" * 100)
        events.end(name, lambda: DONE)
        await watch.wait(1)


async def unwatched(events: MemoryEvents, name: str) -> None:
    events.publish(name, "", b"x" * 100)
    events.end(name, lambda: DONE)


async def streamed(events: MemoryEvents, name: str) -> None:
    events.open(name, 1)
    events.publish(name, "", b"x" * 100)
    events.end(name, lambda: DONE)


@pytest.mark.parametrize("life", [watched_only, unwatched, streamed])
async def test_tasks_that_ended_cost_no_memory(life):
    events = MemoryEvents(kept_bytes=10 * ENDED_SIZE)
    for number in range(200):
        await life(events, f"task_{number}")
    tracemalloc.start()
    try:
        for number in range(2000):
            await life(events, f"task_{number:08d}")
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown < 50_000
