"""A platform that is told to stop: nothing new is begun, what runs is finished, handed back, or told so."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream
from tests.integration.conftest import of_upstream

SIMULATE = {"provider": "local", "model": "simulate"}
WORDS = "one two three four five six seven eight"


def until(condition: Any, seconds: float = 20.0) -> None:
    """Wait for something that happens in another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def chat(delay: float) -> dict[str, Any]:
    prompt = f"{WORDS} [[delay={delay}]]"
    return {"model": "echo", "stream": True, "messages": [{"role": "user", "content": prompt}]}


@contextmanager
def talking(platform: Platform, body: dict[str, Any]) -> Iterator[Iterator[str]]:
    """The events of a stream that has begun."""
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    with httpx.stream(
        "POST", f"{platform.url}/v1/chat/completions", json=body, headers=headers, timeout=20
    ) as answer:
        events = (line.removeprefix("data: ") for line in answer.iter_lines() if line)
        next(events)
        yield events


def ready(platform: Platform) -> httpx.Response:
    return httpx.get(f"{platform.url}/health/ready")


def test_what_runs_is_finished_and_nothing_new_is_begun(upstream: Upstream) -> None:
    settings = {"NEXUS_SHUTDOWN_GRACE": "20", "NEXUS_MAX_RUNNING_TASKS": "1"}
    with Platform(of_upstream(upstream, **settings)) as platform, platform.client(max_retries=0) as client:
        running = client.text.generate_async("hi", **SIMULATE, config={"latency": 1.5})
        until(lambda: client.tasks.get(running.id).status == "running")
        queued = client.text.generate_async("hi", **SIMULATE)
        with talking(platform, chat(0.2)) as events:
            os.kill(platform.pid, signal.SIGTERM)
            until(lambda: ready(platform).status_code == 503)
            refused = httpx.post(
                f"{platform.url}/v1/chat/completions",
                json=chat(0),
                headers={"Authorization": f"Bearer {platform.api_key}"},
            )
            assert ready(platform).json()["checks"] == {"platform": "stopping"}
            assert client.tasks.get(running.id).status == "running"  # looking is allowed
            last = list(events)[-1]
        assert platform.wait_for_exit() == 0

        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["connection"] == "close"
        assert last == "[DONE]"
        platform.start()
        assert client.tasks.get(running.id).status == "completed"
        assert client.tasks.get(running.id).attempts == 1
        until(lambda: client.tasks.get(queued.id).status == "completed")


def test_what_takes_too_long_is_handed_back_or_told_so_and_billed(upstream: Upstream) -> None:
    with (
        Platform(of_upstream(upstream, NEXUS_SHUTDOWN_GRACE="0.1")) as platform,
        platform.client(max_retries=0) as client,
    ):
        running = client.text.generate_async("hi", **SIMULATE, config={"latency": 30})
        until(lambda: client.tasks.get(running.id).status == "running")
        with talking(platform, chat(0.5)) as events:
            os.kill(platform.pid, signal.SIGTERM)
            last = list(events)[-1]
        assert platform.wait_for_exit() == 0

        error = json.loads(last)["error"]
        assert (error["code"], error["message"]) == ("service_unavailable", "The platform is stopping.")
        assert "Traceback" not in "\n".join(platform.log)
        [call] = calls_after_restart(platform)
        assert (call["failed"], call["completion_tokens"] > 0) == (0, True)


def calls_after_restart(platform: Platform) -> list[dict[str, Any]]:
    """What was used, once it runs again; the task runs again too."""
    platform.start()
    with platform.client() as client:
        [task] = client.tasks.list(limit=5).data
        until(lambda: client.tasks.get(task.id).status == "running")
        client.tasks.cancel(task.id)
        rows = client.usage.get(group_by="model")
        return [row.model_dump() for row in rows if row.model and row.model.endswith("echo")]
