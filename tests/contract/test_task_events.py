"""What every keeper of tasks' events must do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from nexusai.server.tasks.events import ATTEMPT, Event, Lost, TaskEvents
from nexusai.server.tasks.events.memory import MemoryEvents

EVENTS: dict[str, Callable[[], TaskEvents]] = {"memory": MemoryEvents}
LONG = 60.0
DONE = [("", b'{"finish_reason":"stop"}'), ("", b"[DONE]")]


@pytest.fixture(params=EVENTS)
def events(request: pytest.FixtureRequest) -> TaskEvents:
    return EVENTS[request.param]()


def publish(events: TaskEvents, *texts: str) -> None:
    for text in texts:
        events.publish("task_1", "", text.encode())


def end(events: TaskEvents) -> None:
    events.end("task_1", lambda: DONE)


async def followed(events: TaskEvents, after: int = 0) -> list[Event]:
    """All the events of a task that ends."""

    async def read() -> list[Event]:
        return [event async for event in events.follow("task_1", after, LONG) if event is not None]

    return await asyncio.wait_for(read(), 5)


async def next_of(stream: AsyncIterator[Event | None]) -> Event | None:
    return await asyncio.wait_for(anext(stream), 5)


def texts(found: list[Event]) -> list[str]:
    return [event.data.decode() for event in found]


ENDING = [data.decode() for _, data in DONE]


# Follow


async def test_events_come_in_order_under_increasing_ids(events: TaskEvents):
    events.open("task_1", 1)
    events.publish("task_1", "status", b"{}")
    publish(events, "a", "b")
    end(events)

    found = await followed(events)

    assert [event.id for event in found] == [ATTEMPT + number for number in range(5)]
    assert [event.name for event in found] == ["status", "", "", "", ""]
    assert texts(found) == ["{}", "a", "b", *ENDING]
    assert [event.last for event in found] == [False, False, False, False, True]


async def test_a_follower_gets_events_as_they_happen(events: TaskEvents):
    events.open("task_1", 1)
    async with aclosing(events.follow("task_1", 0, LONG)) as stream:
        for text in ("a", "b", "c"):
            waiting = asyncio.ensure_future(next_of(stream))
            await asyncio.sleep(0)
            publish(events, text)

            event = await waiting
            assert event is not None
            assert event.data == text.encode()


async def test_a_stream_goes_on_after_any_of_its_events(events: TaskEvents):
    events.open("task_1", 2)
    publish(events, "a", "b")
    end(events)
    whole = await followed(events)

    for number, event in enumerate(whole):
        assert await followed(events, event.id) == whole[number + 1 :]


async def test_an_id_from_before_any_attempt_is_the_start(events: TaskEvents):
    events.open("task_1", 1)
    publish(events, "a")
    end(events)

    assert await followed(events, 1) == await followed(events, 0)


async def test_who_comes_after_the_end_gets_everything(events: TaskEvents):
    events.open("task_1", 1)
    publish(events, "a")
    end(events)

    assert texts(await followed(events)) == ["a", *ENDING]


async def test_who_comes_in_the_middle_gets_everything(events: TaskEvents):
    events.open("task_1", 1)
    publish(events, "a")
    reading = asyncio.ensure_future(followed(events))
    await asyncio.sleep(0)
    publish(events, "b")
    end(events)

    assert texts(await reading) == ["a", "b", *ENDING]


async def test_every_follower_gets_everything(events: TaskEvents):
    events.open("task_1", 1)
    reading = [asyncio.ensure_future(followed(events)) for _ in range(5)]
    await asyncio.sleep(0)
    publish(events, "a", "b")
    end(events)

    for found in await asyncio.gather(*reading):
        assert texts(found) == ["a", "b", *ENDING]


async def test_a_follower_that_goes_leaves_the_others(events: TaskEvents):
    events.open("task_1", 1)
    leaving = asyncio.ensure_future(followed(events))
    staying = asyncio.ensure_future(followed(events))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    publish(events, "a")
    end(events)

    assert texts(await staying) == ["a", *ENDING]


async def test_tasks_do_not_see_each_other(events: TaskEvents):
    events.open("task_1", 1)
    events.open("task_2", 1)
    events.publish("task_2", "", b"theirs")
    publish(events, "mine")
    end(events)

    assert texts(await followed(events)) == ["mine", *ENDING]


async def test_a_silent_stream_gives_heartbeats(events: TaskEvents):
    events.open("task_1", 1)
    async with aclosing(events.follow("task_1", 0, 0.001)) as stream:
        assert [await next_of(stream), await next_of(stream)] == [None, None]
        publish(events, "a")
        while (event := await next_of(stream)) is None:
            pass

    assert event.data == b"a"


# Attempts


async def test_what_was_opened_before_the_first_attempt_belongs_to_it(events: TaskEvents):
    events.open("task_1", 0)
    publish(events, "queued")
    events.open("task_1", 1)
    publish(events, "a")
    end(events)

    found = await followed(events)

    assert texts(found) == ["queued", "a", *ENDING]
    assert found[0].id == ATTEMPT


async def test_opening_again_keeps_what_is_there(events: TaskEvents):
    events.open("task_1", 2)
    publish(events, "a")
    events.open("task_1", 2)
    events.open("task_1", 1)
    end(events)

    assert texts(await followed(events)) == ["a", *ENDING]


async def test_opening_after_the_end_changes_nothing(events: TaskEvents):
    events.open("task_1", 1)
    end(events)
    events.open("task_1", 2)
    publish(events, "never")

    assert texts(await followed(events)) == ENDING


async def test_a_new_attempt_starts_anew(events: TaskEvents):
    events.open("task_1", 1)
    publish(events, "a", "b")
    events.open("task_1", 2)
    publish(events, "c")
    end(events)

    found = await followed(events)

    assert texts(found) == ["c", *ENDING]
    assert found[0].id == 2 * ATTEMPT


async def test_the_events_after_one_of_an_earlier_attempt_are_lost(events: TaskEvents):
    events.open("task_1", 1)
    publish(events, "a")
    events.open("task_1", 2)
    publish(events, "b")
    end(events)

    with pytest.raises(Lost):
        await followed(events, ATTEMPT)


async def test_a_follower_in_the_middle_of_an_attempt_loses_it_to_the_next(events: TaskEvents):
    events.open("task_1", 1)
    publish(events, "a")
    async with aclosing(events.follow("task_1", 0, LONG)) as stream:
        assert await next_of(stream)
        waiting = asyncio.ensure_future(next_of(stream))
        await asyncio.sleep(0)
        events.open("task_1", 2)
        publish(events, "b")

        with pytest.raises(Lost):
            await waiting


async def test_a_follower_that_had_nothing_yet_follows_the_next_attempt(events: TaskEvents):
    events.open("task_1", 1)
    reading = asyncio.ensure_future(followed(events))
    await asyncio.sleep(0)
    events.open("task_1", 2)
    publish(events, "b")
    end(events)

    assert texts(await reading) == ["b", *ENDING]


async def test_the_events_after_one_that_never_was_are_lost(events: TaskEvents):
    events.open("task_1", 1)
    publish(events, "a")

    with pytest.raises(Lost):
        await followed(events, ATTEMPT + 7)


async def test_the_events_of_a_task_that_nobody_opened_are_lost(events: TaskEvents):
    publish(events, "a")
    end(events)

    with pytest.raises(Lost):
        await followed(events)


async def test_how_a_task_ended_is_not_made_up_when_nobody_asked(events: TaskEvents):
    asked: list[str] = []

    def closing() -> list[tuple[str, bytes]]:
        asked.append("closing")
        return DONE

    events.end("task_1", closing)
    events.open("task_2", 1)
    events.end("task_2", closing)

    assert asked == ["closing"]


# Watch


async def test_the_end_wakes_everybody_who_watches(events: TaskEvents):
    with events.watch("task_1") as one, events.watch("task_1") as other:
        waiting = [asyncio.ensure_future(watch.wait(LONG)) for watch in (one, other, other)]
        await asyncio.sleep(0)
        end(events)

        assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [True, True, True]


async def test_an_end_before_the_wait_is_not_missed(events: TaskEvents):
    with events.watch("task_1") as watch:
        end(events)

        assert await watch.wait(LONG)


async def test_a_watch_ends_with_its_time(events: TaskEvents):
    with events.watch("task_1") as watch:
        assert not await watch.wait(0.001)


async def test_the_end_of_another_task_wakes_nobody(events: TaskEvents):
    with events.watch("task_1") as watch:
        events.end("task_2", lambda: DONE)
        publish(events, "a")

        assert not await watch.wait(0.001)


async def test_who_stops_watching_leaves_the_others(events: TaskEvents):
    with events.watch("task_1") as staying:
        with events.watch("task_1"):
            pass
        end(events)

        assert await staying.wait(LONG)


async def test_a_cancelled_wait_leaves_the_others(events: TaskEvents):
    with events.watch("task_1") as watch:
        leaving, staying = (asyncio.ensure_future(watch.wait(LONG)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        end(events)

        assert await asyncio.wait_for(staying, 5)


# The platform stops


async def test_who_follows_is_let_go(events: TaskEvents):
    events.open("task_1", 1)
    publish(events, "a")
    reading = asyncio.ensure_future(followed(events))
    await asyncio.sleep(0)

    events.close()

    assert texts(await reading) == ["a"]
    assert texts(await followed(events)) == ["a"]


async def test_who_waits_is_let_go(events: TaskEvents):
    with events.watch("task_1") as watch, events.watch("task_2") as ended:
        events.end("task_2", lambda: DONE)
        waiting = asyncio.ensure_future(watch.wait(LONG))
        await asyncio.sleep(0)

        events.close()

        assert not await asyncio.wait_for(waiting, 5)
        assert await ended.wait(LONG)


async def test_who_comes_to_wait_afterwards_does_not(events: TaskEvents):
    events.close()

    with events.watch("task_1") as watch:
        assert not await asyncio.wait_for(watch.wait(LONG), 5)
