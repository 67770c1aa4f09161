"""Whether, and after how long, a failed model call is made again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nexusai.error import ConfigurationError
from nexusai.providers.errors import AdapterError, RetryableError, TimeoutError
from nexusai.providers.transport import UNREACHABLE

__all__ = ["RetryPolicy", "delay_before_retry", "given_up", "may_have_run"]

_NOT_REPEATED: Final = "; it may have been carried out, so it was not sent again"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Times are in seconds. A vendor that asks for more than `max_retry_after` is given up.

    The pause doubles from `base_delay` to `max_delay`; `jitter`, 0 to 1, is the part of it that is left to
    chance. Raises `ConfigurationError` for a value that makes no sense.
    """

    max_retries: int = 2
    base_delay: float = 0.5
    max_delay: float = 8.0
    jitter: float = 1.0
    max_retry_after: float = 60.0

    def __post_init__(self) -> None:
        for name in ("max_retries", "base_delay", "max_delay", "max_retry_after"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}: make it 0 or more")
        if not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"jitter is {self.jitter}: make it 0 to 1")


def delay_before_retry(policy: RetryPolicy, attempt: int, error: AdapterError, random: float) -> float | None:
    """Seconds until the next try, or None to give up, after try number `attempt` (from 1) failed.

    Exponential backoff; `random` is in [0, 1). What `Retry-After` asks is waited first.
    """
    if attempt > policy.max_retries or not _certainly_not_done(error):
        return None
    backoff = min(policy.max_delay, policy.base_delay * 2.0 ** min(attempt - 1, 64))
    asked = error.retry_after or 0.0
    if asked > policy.max_retry_after:
        return None
    return asked + backoff * (1 - policy.jitter + policy.jitter * random)


def may_have_run(error: AdapterError) -> bool:
    """Whether the vendor may have done the work, and bill it, though its answer never arrived."""
    sent = isinstance(error, (RetryableError, TimeoutError))
    return sent and error.retryable and not _certainly_not_done(error)


def given_up(error: AdapterError) -> AdapterError:
    """The error that a call ends with: it says when the call was not repeated for fear of doing it twice."""
    if may_have_run(error) and not error.message.endswith(_NOT_REPEATED):
        error.message += _NOT_REPEATED
        error.args = (error.message,)
    return error


def _certainly_not_done(error: AdapterError) -> bool:
    """True when the vendor did not do the work, or failed at it; a lost answer may have been paid for."""
    if not error.retryable or isinstance(error, TimeoutError):
        return False
    status = error.status or 0
    return error.code == UNREACHABLE or status in (408, 429) or status >= 500
