"""What must not be lost: killed platforms, poisonous tasks, answers and streams that break off."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nexusai import StreamError, TaskFailedError
from nexusai.error import ConfigurationError
from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream
from tests.fixtures.proxy import Fault, Proxy, running_proxy
from tests.integration.conftest import of_upstream

SIMULATE = {"provider": "local", "model": "simulate"}


@pytest.fixture
def platform() -> Iterator[Platform]:
    """One that a test may kill."""
    with Platform() as running:
        yield running


def until(condition: Any, seconds: float = 20.0) -> None:
    """Wait for something that happens in another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def survives(platform: Platform) -> bool:
    """Start the platform if it is down, and see whether it lives for a second."""
    try:
        if not platform.running:
            platform.start()
        return platform.wait_for_exit(1) is None
    except ConfigurationError:  # it died before it listened
        return False
    except subprocess.TimeoutExpired:
        return True


def through(proxy: Proxy) -> str:
    return f"http://127.0.0.1:{proxy.port}/api/v1"


def statuses(client: Any, label: str) -> Counter[str]:
    page = client.tasks.list(metadata={"label": label}, limit=100)
    tasks = list(page.data)
    while page.has_more:
        page = client.tasks.list(metadata={"label": label}, limit=100, cursor=page.next_cursor)
        tasks += page.data
    return Counter(task.status for task in tasks)


def test_200_running_tasks_survive_kill_9_and_each_has_one_result(platform: Platform) -> None:
    with platform.client() as client:
        handles = [
            client.text.generate_async(
                f"task {n}", **SIMULATE, config={"latency": 6.0}, metadata={"label": "killed"}
            )
            for n in range(200)
        ]
        until(lambda: statuses(client, "killed")["running"] == 200)
        platform.kill()
        platform.start()
        ended = {handle.id: handle.task for handle in client.tasks.as_completed(handles)}
        assert set(ended) == {handle.id for handle in handles}
        assert statuses(client, "killed") == {"completed": 200}
        assert {task.attempts for task in ended.values()} == {2}
        before = {id: (task.finished_at, task.output["text"]) for id, task in ended.items()}
        platform.kill()
        platform.start()
        again = {id: client.tasks.get(id) for id in list(ended)[::20]}
        assert all((task.finished_at, task.output["text"]) == before[id] for id, task in again.items())


def test_what_was_accepted_is_there_after_a_kill_at_any_moment(platform: Platform) -> None:
    """Submitting goes on while the platform is killed: every answered submission is a task afterwards."""
    accepted: list[str] = []
    headers = {"Authorization": f"Bearer {platform.api_key}", "Prefer": "respond-async"}
    body = {"task_type": "text_generation", "input": {"prompt": "x"}, **SIMULATE}
    with httpx.Client(base_url=platform.base_url, headers=headers) as http:
        for _ in range(3):
            deadline = time.monotonic() + 0.15
            while time.monotonic() < deadline:
                accepted.append(http.post("/invoke", json=body).json()["task_id"])
            os.kill(platform.pid, signal.SIGKILL)
            with contextlib.suppress(httpx.TransportError):
                accepted.append(http.post("/invoke", json=body).json()["task_id"])
            platform.kill()
            platform.start()
    with platform.client() as client:
        assert len(accepted) > 20
        assert {client.tasks.wait(id).status for id in accepted} == {"completed"}


def test_a_task_that_kills_its_worker_fails_after_its_attempts(upstream: Upstream) -> None:
    with Platform(of_upstream(upstream, NEXUS_MAX_ATTEMPTS="3")) as platform, platform.client() as client:
        poison = client.text.generate_async(f"poison [[kill={platform.data_dir / 'pid'}]]")
        deaths = 0
        while not survives(platform):
            deaths += 1
        assert deaths == 3
        with pytest.raises(TaskFailedError) as caught:
            poison.wait(20)
        assert (caught.value.error_code, caught.value.task.attempts) == ("WORKER_LOST", 3)
        assert client.text.generate("the platform is well").text == "the platform is well"


def test_a_submission_whose_answer_was_lost_makes_one_task(embedded: Platform) -> None:
    with running_proxy(embedded.port, Fault(b"POST /api/v1/invoke", times=2)) as proxy:
        with embedded.client(base_url=through(proxy)) as client:
            text = client.text.generate("once", **SIMULATE, metadata={"label": "lost answer"})
            assert proxy.broken == 2
            assert text.text
            assert statuses(client, "lost answer") == {"completed": 1}


async def test_the_async_client_makes_one_task_too(embedded: Platform) -> None:
    with running_proxy(embedded.port, Fault(b"POST /api/v1/invoke", times=2)) as proxy:
        async with embedded.async_client(base_url=through(proxy)) as client:
            await client.text.generate("once", **SIMULATE, metadata={"label": "lost"})
            page = await client.tasks.list(metadata={"label": "lost"})
            assert (proxy.broken, [task.status for task in page.data]) == (2, ["completed"])


@pytest.mark.parametrize("after", [500, 900, 1500, 2200])
def test_a_broken_stream_goes_on_without_loss_or_repetition(embedded: Platform, after: int) -> None:
    options = {**SIMULATE, "config": {"tokens": 40, "tokens_per_second": 200, "seed": 7}}
    with embedded.client() as client:
        whole = client.text.generate("stream", **options).text
    faults = Fault(b"POST /api/v1/invoke", after), Fault(b"/events", after), Fault(b"/events", 300)
    with running_proxy(embedded.port, *faults) as proxy:
        with embedded.client(base_url=through(proxy), max_retries=5) as client:
            with client.text.stream("stream", **options) as stream:
                pieces = [chunk.text for chunk in stream if chunk.text]
                assert stream.final().text == whole
        assert "".join(pieces) == whole
        assert len(pieces) == 40
        assert proxy.broken >= 1


@pytest.mark.parametrize("end", [Platform.kill, Platform.stop])
def test_a_stream_whose_task_was_started_again_says_so(end: Callable[[Platform], None]) -> None:
    slow = {"tokens": 100, "tokens_per_second": 50}
    with Platform({"NEXUS_SHUTDOWN_GRACE": "0"}) as platform, platform.client(max_retries=8) as client:
        with client.text.stream("x", **SIMULATE, config=slow) as stream:
            chunks = iter(stream)
            while not stream.text:
                next(chunks)
            end(platform)
            platform.start()
            with pytest.raises(StreamError):
                list(chunks)
            assert stream.task_id is not None
            task = client.tasks.wait(stream.task_id)
    assert (task.status, task.attempts) == ("completed", 2)


def test_a_stop_hands_back_what_runs_and_counts_nothing(tmp_path: Path) -> None:
    settings = {"NEXUS_SHUTDOWN_GRACE": "0.1", "NEXUS_MAX_ATTEMPTS": "1"}
    with Platform(settings) as platform, platform.client() as client:
        handle = client.text.generate_async("x", **SIMULATE, config={"latency": 1.5})
        until(lambda: handle.refresh().status == "running")
        platform.stop()
        platform.start()
        handle.wait()
        assert handle.task.attempts == 2


def test_a_client_that_goes_away_cancels_only_if_it_said_so(embedded: Platform) -> None:
    with embedded.client() as client:
        for cancel, ended in ((True, "cancelled"), (False, "completed")):
            config = {"tokens": 20, "tokens_per_second": 20, "cancel_on_disconnect": cancel}
            with client.text.stream("x", **SIMULATE, config=config) as stream:
                next(iter(stream))
            assert stream.task_id is not None
            until(lambda task=stream.task_id: client.tasks.get(task).status in ("cancelled", "completed"))
            assert client.tasks.get(stream.task_id).status == ended
