"""The time that one run may take, however many requests and pauses it is made of."""

from __future__ import annotations

import math
import time
from numbers import Real
from typing import Any

from nexusai._internal._flow import OutOfTime
from nexusai.error import InvalidRequestError

__all__ = ["Budget", "seconds_of"]

_NOTHING = 0.001


def seconds_of(timeout: Any) -> float:
    """A call's `timeout`. Raises `TypeError` or `InvalidRequestError` before anything is sent."""
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(f"timeout is a number of seconds, like timeout=60, not {type(timeout).__name__}")
    seconds = float(timeout)
    if not seconds > 0:
        raise InvalidRequestError(f"timeout={timeout} is not above 0: give seconds, like timeout=60.")
    return seconds


class Budget:
    """Seconds, spent by the clock or by the pauses asked for, whichever is more: a stopped clock ends too."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds: float = math.inf if seconds is None else seconds_of(seconds)
        self._begun = time.monotonic()
        self._slept = 0.0
        self.renewed: bool = False

    @classmethod
    def of(cls, timeout: float | Budget | None) -> Budget:
        """A new one of so many seconds, or the one that is given."""
        return timeout if isinstance(timeout, Budget) else cls(timeout)

    @property
    def left(self) -> float:
        left = self.seconds - max(time.monotonic() - self._begun, self._slept)
        return left if left > _NOTHING else 0.0

    def demand(self) -> float:
        """What is left, for one more step. Raises `OutOfTime` when it is nothing."""
        left = self.left
        if not left:
            raise OutOfTime(self.seconds)
        return left

    def sleep(self, seconds: float) -> float:
        """Take a pause off; answers how much of it there is time for. Raises `OutOfTime`."""
        pause = min(seconds, self.demand())
        self._slept += pause
        return pause

    def renew(self, seconds: float) -> None:
        """Leave so many seconds, whatever was left: for what is done once a run is cut short."""
        self.seconds, self._begun, self._slept = seconds, time.monotonic(), 0.0
        self.renewed = True

    def end(self) -> None:
        """Leave nothing: whoever runs on this budget stops at the next step."""
        self.seconds = 0.0
