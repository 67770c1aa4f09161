"""Whether, and after how long, a failed model call is made again."""

from __future__ import annotations

from dataclasses import dataclass

from nexusai.providers.errors import AdapterError, TimeoutError
from nexusai.providers.transport import UNREACHABLE

__all__ = ["RetryPolicy", "delay_before_retry"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Times are in seconds. A vendor that asks for more than `max_retry_after` is given up."""

    max_retries: int = 2
    base_delay: float = 0.5
    max_delay: float = 8.0
    max_retry_after: float = 60.0


def delay_before_retry(policy: RetryPolicy, attempt: int, error: AdapterError, random: float) -> float | None:
    """Seconds until the next try, or None to give up, after try number `attempt` (from 1) failed.

    Exponential backoff with full jitter; `random` is in [0, 1). What `Retry-After` asks is waited first.
    """
    if attempt > policy.max_retries or not _safe_to_repeat(error):
        return None
    backoff = random * min(policy.max_delay, policy.base_delay * 2 ** (attempt - 1))
    asked = error.retry_after or 0.0
    return None if asked > policy.max_retry_after else asked + backoff


def _safe_to_repeat(error: AdapterError) -> bool:
    """True when the vendor did not do the work, or failed at it; a lost answer may have been paid for."""
    if not error.retryable or isinstance(error, TimeoutError):
        return False
    status = error.status or 0
    return error.code == UNREACHABLE or status in (408, 429) or status >= 500
