"""When a vendor that keeps failing is left alone, and when it is asked again."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Literal, TypeAlias

from nexusai.error import ConfigurationError
from nexusai.providers.errors import AdapterError, RetryableError, TimeoutError

__all__ = ["Circuit", "CircuitBreaker", "CircuitState", "counts"]

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """After `failure_threshold` failures in a row, nothing is sent for `reset_timeout` s; then one probe.

    Raises `ConfigurationError` for a value that makes no sense.
    """

    failure_threshold: int = 5
    reset_timeout: float = 30.0

    def __post_init__(self) -> None:
        if not self.failure_threshold >= 1:
            raise ConfigurationError(f"failure_threshold is {self.failure_threshold}: make it 1 or more")
        if not 0 < self.reset_timeout < float("inf"):
            raise ConfigurationError(f"reset_timeout is {self.reset_timeout}: make it a number above 0")


def counts(error: AdapterError) -> bool:
    """Whether the vendor is to blame: it is down, overloaded, out of reach, late, or broke its answer off.

    A refused request or key is the caller's fault, and a rate limit is no illness.
    """
    return isinstance(error, (RetryableError, TimeoutError)) or (error.status or 0) >= 500


class Circuit:
    """The state of a `CircuitBreaker` for one model of one vendor. Times are monotonic seconds.

    Each call that `allow` lets through ends in `ended`. A probe that never does is given up after another
    `reset_timeout`, so a circuit cannot stay open for ever. Safe to share between threads.
    """

    def __init__(self, policy: CircuitBreaker | None = None) -> None:
        self._policy = policy or CircuitBreaker()
        self._lock = Lock()
        self._failures = 0
        self.state: CircuitState = "closed"
        self.retry_at: float | None = None
        """When a call will be let through again; None while the circuit is closed."""

    def ready(self, now: float) -> bool:
        """What `allow` would say, without taking the probe."""
        until = self.retry_at
        return until is None or now >= until

    def allow(self, now: float) -> bool:
        """Whether a call may be sent. While the circuit is half open, the one that may is the probe."""
        until = self.retry_at
        if until is None:  # as nearly always
            return True
        with self._lock:
            if self.retry_at is None:
                return True
            if now < self.retry_at:
                return False
            self.state, self.retry_at = "half_open", now + self._policy.reset_timeout
            return True

    def ended(self, error: BaseException | None, now: float) -> None:
        """How a call ended: None for well. An answer that refuses the request is a sign of life too."""
        if isinstance(error, AdapterError) and counts(error):
            self.failure(now)
        elif error is None or (isinstance(error, AdapterError) and error.status not in (None, 429)):
            self.success(now)
        else:
            self.abandoned(now)

    def success(self, now: float) -> None:
        """Closes a half-open circuit; one that is open stays so, for the call was sent before it opened."""
        if self.state == "closed" and not self._failures:
            return
        with self._lock:
            if self.state != "open":
                self.state, self.retry_at, self._failures = "closed", None, 0

    def failure(self, now: float) -> None:
        """Opens the circuit at the threshold, and a half-open one at once. Late failures prolong nothing."""
        with self._lock:
            self._failures += 1
            enough = self._failures >= self._policy.failure_threshold
            if self.state == "half_open" or (self.state == "closed" and enough):
                self.state, self.retry_at = "open", now + self._policy.reset_timeout

    def abandoned(self, now: float) -> None:
        """The call ended without telling anything, cancelled for one: the next one probes."""
        with self._lock:
            if self.state == "half_open":
                self.retry_at = now
