"""Turns of sessions when the platform is killed, its connections break, or its callers go away."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest

from nexusai import APIConnectionError, ConflictError, StreamError, TaskFailedError
from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream
from tests.fixtures.proxy import Fault, running_proxy
from tests.integration.conftest import of_upstream
from tests.integration.test_survival import survives, through, until

SIMULATED = {"provider": "local", "model": "simulate"}


@pytest.fixture
def platform() -> Iterator[Platform]:
    """One that a test may kill."""
    with Platform() as running:
        yield running


def begin_to_read(session: Any, prompt: str = "in the middle", **options: Any) -> tuple[str, str]:
    """The task of a streamed turn whose reader left in the middle, and what it had read."""
    with session.stream(prompt, **{"tokens": 20, "tokens_per_second": 10, **options}) as stream:
        while not stream.text:
            next(stream)
        return stream.task_id, stream.text


def events(platform: Platform, task: str, after: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """All that a task's stream tells: `(name, data)`; `after` is the `Last-Event-ID`."""
    headers = {"Authorization": f"Bearer {platform.api_key}"} | ({"Last-Event-ID": after} if after else {})
    told: list[tuple[str, dict[str, Any]]] = []
    url = f"{platform.base_url}/tasks/{task}/events"
    with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: {"):
                told.append((name, json.loads(line.removeprefix("data: "))))
            elif not line:
                name = ""
    return told


def text_of(told: list[tuple[str, dict[str, Any]]]) -> str:
    return "".join(data["delta"].get("content", "") for _, data in told if "delta" in data)


def test_a_streamed_turn_survives_kill_9_and_is_there_once(platform: Platform) -> None:
    with platform.client() as client:
        session = client.sessions.create(**SIMULATED)
        session.invoke("before")
        task, _ = begin_to_read(session)
        platform.kill()
        platform.start()
        running = events(platform, task)
        ended = client.tasks.wait(task)
        assert (ended.status, ended.attempts) == ("completed", 2)
        assert text_of(running) == text_of(events(platform, task)) == ended.output["text"]
        told = session.history()
        assert [message.content for message in told][2:] == ["in the middle", ended.output["text"]]
        assert str(session.invoke("after"))
        assert session.history().total == 6


def test_a_stream_of_the_attempt_that_was_killed_is_not_joined_to_another_text(platform: Platform) -> None:
    with platform.client() as client:
        session = client.sessions.create(**SIMULATED)
        task, _ = begin_to_read(session)
        platform.kill()
        platform.start()
        ((name, data),) = events(platform, task, after="1000000002")
        assert (name, data["error"]["code"]) == ("error", "STREAM_LOST")
        assert client.tasks.wait(task).status == "completed"
        assert session.history().total == 2


@pytest.mark.parametrize("after", [400, 1200])
def test_a_turn_whose_connection_breaks_shows_its_text_once(embedded: Platform, after: int) -> None:
    with embedded.client() as client:
        session_id = client.sessions.create(**SIMULATED).id
    faults = Fault(b"/invoke", after), Fault(b"/events", after), Fault(b"/events", 300)
    with running_proxy(embedded.port, *faults) as proxy:
        with embedded.client(base_url=through(proxy), max_retries=5) as client:
            session = client.sessions.get(session_id)
            with session.stream("hi", tokens=40, tokens_per_second=200) as stream:
                pieces = [chunk.text for chunk in stream if chunk.text]
            told = session.history()
        assert proxy.broken >= 2
    assert len(pieces) == 40
    assert [message.content for message in told] == ["hi", "".join(pieces)]


def test_a_turn_whose_answer_was_lost_on_the_way_is_taken_once(embedded: Platform) -> None:
    with running_proxy(embedded.port, Fault(b"/invoke", times=2)) as proxy:
        with embedded.client(base_url=through(proxy)) as client:
            session = client.sessions.create(**SIMULATED)
            answer = session.invoke("once")
            assert proxy.broken == 2
            assert [message.content for message in session.history()] == ["once", str(answer)]


def test_every_turn_is_completed_after_kills_at_any_moment(platform: Platform) -> None:
    with platform.client() as client:
        sessions = [client.sessions.create(**SIMULATED) for _ in range(20)]
        handles = [session.submit("hi", latency=number * 0.03) for number, session in enumerate(sessions)]
        for _ in range(2):
            platform.kill()
            platform.start()
        ended = client.tasks.wait_all([handle.id for handle in handles])
        assert len(ended) == 20
        for session in sessions:
            assert [message.role for message in session.history()] == ["user", "assistant"]


def test_readers_of_killed_turns_have_the_whole_text_or_are_told(platform: Platform) -> None:
    def read(session: Any) -> str | None:
        try:
            text: str = session.stream("hi", tokens=10, tokens_per_second=20).final().text
        except (StreamError, APIConnectionError):  # or the platform was down for too long
            return None
        return text

    with platform.client(max_retries=10) as client, ThreadPoolExecutor(12) as pool:
        sessions = [client.sessions.create(**SIMULATED) for _ in range(12)]
        reading = []
        for number, session in enumerate(sessions):
            reading.append(pool.submit(read, session))
            time.sleep(0.05)
            if number in (5, 11):
                platform.kill()
                platform.start()
        texts = [future.result(60) for future in reading]
        assert None in texts
        taken = 0
        for session, text in zip(sessions, texts, strict=True):
            tasks = client.tasks.list(metadata={"session_id": session.id}).data
            said = []
            if tasks:  # else its request never arrived
                (task,) = tasks
                ended = client.tasks.wait(task.id)
                assert ended.status == "completed"
                said = ["hi", ended.output["text"]]
                taken += 1
            assert text in (None, *said[1:])
            assert [message.content for message in session.history()] == said
        assert taken >= 6


def test_an_answer_that_is_given_anew_is_there_once_after_kill_9(platform: Platform) -> None:
    with platform.client() as client:
        session = client.sessions.create(**SIMULATED)
        old = session.invoke("hi", seed=1)
        with session.stream_regenerated(seed=2, tokens=10, tokens_per_second=10) as stream:
            while not stream.text:
                next(stream)
        assert stream.task_id is not None
        platform.kill()
        with closing(sqlite3.connect(platform.data_dir / "nexus.db")) as connection:
            kept = [row[0] for row in connection.execute("SELECT message_json FROM session_messages")]
        assert [json.loads(message)["content"] for message in kept] == ["hi", str(old)]
        platform.start()
        ended = client.tasks.wait(stream.task_id)
        assert [message.content for message in session.history()] == ["hi", ended.output["text"]]


def test_a_turn_that_kills_the_platform_fails_with_its_reason(upstream: Upstream) -> None:
    settings = of_upstream(upstream, NEXUS_MAX_ATTEMPTS="2")
    with Platform(settings) as platform, platform.client() as client:
        session = client.sessions.create()
        handle = session.submit(f"poison [[kill={platform.data_dir / 'pid'}]]")
        deaths = 0
        while not survives(platform):
            deaths += 1
        assert deaths == 2
        with pytest.raises(TaskFailedError) as caught:
            handle.wait(20)
        assert caught.value.error_code == "WORKER_LOST"
        assert session.history().total == 0
        assert "well" in str(session.invoke("all is well"))


def test_a_turn_runs_on_in_an_orderly_stop(platform: Platform) -> None:
    with platform.client() as client:
        session = client.sessions.create(**SIMULATED)
        handle = session.submit("hi", latency=30)
        until(lambda: client.tasks.get(handle.id).status == "running")
        platform.stop()
        platform.start()
        with pytest.raises(ConflictError):
            session.invoke("me too")
        client.tasks.cancel(handle.id)
        assert str(session.invoke("again"))


def test_an_answer_in_the_middle_of_a_vendors_failure_is_not_half_stored(upstream: Upstream) -> None:
    with Platform(of_upstream(upstream)) as platform, platform.client() as client:
        session = client.sessions.create()
        with pytest.raises(TaskFailedError):
            session.invoke("one two three four [[status=400]]")
        for words in ("one two three four [[error=2]]", "one two three [[drop=2]]"):
            with pytest.raises((TaskFailedError, StreamError)), session.stream(words) as stream:
                list(stream)
            assert stream.text.startswith("one")
        assert session.history().total == 0
        assert "five" in str(session.invoke("five"))
