"""Whether the platform can do its work: each of the parts that it cannot do without, and how it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import Final

from nexusai.server.http import Problem
from nexusai.server.traffic import Traffic

__all__ = ["Check", "Health", "seldom"]

logger: logging.Logger = logging.getLogger("nexusai.server")

PATIENCE: Final = 5.0
"""Seconds after which a part that does not answer counts as failed."""

Check = Callable[[], Awaitable[object]]
"""Looks whether a part works, and raises when it does not."""


def seldom(check: Check, seconds: float) -> Check:
    """A check that costs money: while it was fine lately, it is not made again."""
    fine_until = -inf

    async def remembered() -> None:
        nonlocal fine_until
        now = asyncio.get_running_loop().time()
        if now >= fine_until:
            await check()
            fine_until = now + seconds

    return remembered


class Health:
    """Asks the parts at the same time; who asks while they are being asked gets the same answer."""

    def __init__(self, checks: Mapping[str, Check], traffic: Traffic) -> None:
        self._checks = checks
        self._traffic = traffic
        self._asking: asyncio.Task[dict[str, str]] | None = None

    async def ready(self) -> dict[str, str]:
        """The state of each part, `ok`. Raises a 503 `Problem` that says which is not, or that we stop."""
        if self._traffic.closing:
            raise Problem("SERVICE_UNAVAILABLE", "The platform is stopping.", checks={"platform": "stopping"})
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        states = await asyncio.shield(self._asking)
        failed = [name for name, state in states.items() if state != "ok"]
        if failed:
            raise Problem("SERVICE_UNAVAILABLE", f"Not working: {', '.join(failed)}.", checks=states)
        return states

    async def _ask(self) -> dict[str, str]:
        states = await asyncio.gather(*(self._state(name, check) for name, check in self._checks.items()))
        return dict(zip(self._checks, states, strict=True))

    async def _state(self, name: str, check: Check) -> str:
        try:
            await asyncio.wait_for(check(), PATIENCE)
        except asyncio.TimeoutError:
            logger.error("the %s does not answer within %g s", name, PATIENCE)
            return "no answer"
        except Exception as error:
            logger.error("the %s does not work: %s", name, error)
            return f"failed: {type(error).__name__}"
        return "ok"
