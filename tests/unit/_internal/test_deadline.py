"""Whatever goes wrong, and in whatever order: a run ends when its time is over, and no request gets more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from freezegun import freeze_time
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nexusai.error import APIError
from tests.fixtures.sdk import Both

TASK = {"task_id": "task_1", "task_type": "text_generation"}
BROKEN = (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError)


@dataclass(frozen=True)
class Turn:
    """What the platform does with one request: after some seconds it answers, or the connection breaks."""

    seconds: float
    status: int = 200
    task: str = "running"
    broken: int | None = None
    retry_after: float | None = None
    held: bool = False


turns = st.builds(
    Turn,
    seconds=st.floats(0, 40),
    status=st.sampled_from([200, 200, 200, 202, 408, 409, 429, 500, 502, 503]),
    task=st.sampled_from(["queued", "running", "paused", "completed", "failed", "cancelled"]),
    broken=st.none() | st.integers(0, len(BROKEN) - 1),
    retry_after=st.none() | st.floats(0, 90),
    held=st.booleans(),
)


@dataclass
class Platform:
    """Takes its turns in order, then only ever says that the task runs. Its clock is the simulated one."""

    clock: Any
    plan: list[Turn]
    begun: float = 0.0
    excess: list[float] = field(default_factory=list)
    """By how many seconds more than was left a request could have lasted."""
    limit: float = 0.0
    cancelled: int = 0

    @property
    def spent(self) -> float:
        return time.monotonic() - self.begun

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/cancel"):
            self.cancelled += 1
            return httpx.Response(200, json={**TASK, "status": "cancelled"})
        turn = self.plan.pop(0) if self.plan else Turn(0.0)
        patience = request.extensions["timeout"]["read"]
        self.excess.append(patience - (self.limit - self.spent))
        self.clock.tick(min(turn.seconds, patience))
        if turn.seconds > patience:
            raise httpx.ReadTimeout("late", request=request)
        if turn.broken is not None:
            raise BROKEN[turn.broken]("broken", request=request)
        headers = {} if turn.retry_after is None else {"Retry-After": f"{turn.retry_after:.3f}"}
        if turn.held:
            headers["Preference-Applied"] = request.headers.get("prefer", "")
        return httpx.Response(turn.status, json={**TASK, "status": turn.task}, headers=headers)


@contextmanager
def simulated(plan: list[Turn], limit: float) -> Iterator[Platform]:
    """A platform on a clock that only its answers, and the pauses of whoever asks it, move on."""
    pause = asyncio.sleep

    async def nap(seconds: float) -> None:
        clock.tick(seconds)
        await pause(0)

    with freeze_time("2025-01-01", real_asyncio=True) as clock, pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", clock.tick)
        patch.setattr(asyncio, "sleep", nap)
        yield Platform(clock, list(plan), begun=time.monotonic(), limit=limit)


def use(asynchronous: bool, platform: Platform, work: Any) -> None:
    """Some work on a client of the platform, whether it succeeds or not."""

    async def answer(request: httpx.Request) -> httpx.Response:
        return platform.answer(request)

    transport = httpx.MockTransport(answer if asynchronous else platform.answer)
    kind = httpx.AsyncClient if asynchronous else httpx.Client
    with suppress(APIError):
        Both(asynchronous=asynchronous)(work, http_client=kind(transport=transport))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([Turn(0.0, 503, retry_after=60.0)] * 9, 30.0)
@example([Turn(0.0), Turn(39.0), Turn(39.0)], 40.0)
@given(st.lists(turns, max_size=12), st.floats(0.1, 120))
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_generated_text_takes_no_longer_than_its_time(asynchronous: bool, plan: list[Turn], limit: float):
    with simulated(plan, limit) as platform:
        use(asynchronous, platform, lambda client: client.text.generate("hi", timeout=limit))
        assert platform.spent <= limit + 0.01
        assert max(platform.excess) <= 0.01


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(turns, max_size=12), st.floats(0.1, 60))
def test_a_wait_that_is_watched_takes_no_longer_than_its_time(plan: list[Turn], limit: float):
    with simulated(plan, limit) as platform:
        use(
            False,
            platform,
            lambda client: client.tasks.wait(
                "task_1", limit, on_progress=lambda task: platform.clock.tick(0.1)
            ),
        )
        assert platform.spent <= limit + 0.11


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(turns, max_size=8), st.floats(0.1, 60))
def test_cancelling_what_is_late_takes_no_more_than_its_own_few_seconds(plan: list[Turn], limit: float):
    with simulated(plan, limit) as platform:
        use(False, platform, lambda client: client.tasks.wait("task_1", limit, on_timeout="cancel"))
        assert platform.spent <= limit + 5.01
        assert platform.cancelled <= 1
