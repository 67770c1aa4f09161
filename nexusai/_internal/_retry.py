"""When to send again, decided purely; tenacity asks and waits."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from nexusai._internal._budget import Budget
from nexusai._internal._flow import Call
from nexusai._internal._logging import log_retry
from nexusai.constants import MAX_RETRY_AFTER
from nexusai.error import APIError

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["Retries", "pause_before"]

_FIRST = 0.5
_LONGEST = 8.0


def pause_before(retry: int, error: APIError, *, most: int, left: float, chance: float) -> float | None:
    """Seconds to wait before the given retry (1 is the first), or None when `error` stands.

    Full jitter: a share `chance` (0 to 1) of 0.5 s, 1 s, 2 s … 8 s; a `Retry-After` is kept to exactly.
    There are `most` retries at all, and none whose pause does not fit into what is `left`, in seconds.
    """
    if retry > most or not _may_pass(error):
        return None
    if error.retry_after is None:
        pause = chance * min(_LONGEST, _FIRST * 2 ** min(retry - 1, 8))
    elif error.retry_after > MAX_RETRY_AFTER:
        return None
    else:
        pause = error.retry_after
    return pause if pause < left else None


def _may_pass(error: APIError) -> bool:
    """A conflict passes only where the platform says when."""
    return error.retry_after is not None if error.status_code == 409 else error.retryable


class Retries:
    """The answers to tenacity's questions, after a first attempt that tenacity did not see.

    `attempt` is the number of the one that is made next, or now.
    """

    def __init__(self, call: Call, first: APIError, most: int, budget: Budget) -> None:
        self.attempt: int = 1
        self._call = call
        self._first: APIError | None = first
        self._most = most
        self._budget = budget
        self._pause = 0.0

    def replay_first(self) -> None:
        """The first attempt as it ended; nothing from the second time on."""
        first, self._first = self._first, None
        if first is not None:
            raise first

    def retry(self, state: RetryCallState) -> bool:
        error = state.outcome and state.outcome.exception()
        if not isinstance(error, APIError):
            return False
        pause = pause_before(
            state.attempt_number,
            error,
            most=self._most,
            left=self._budget.left,
            chance=random.random(),
        )
        if pause is None:
            return False
        self.attempt = state.attempt_number + 1
        self._pause = pause
        log_retry(self._call, error, pause, self.attempt)
        return True

    def wait(self, _state: RetryCallState) -> float:
        return self._pause
