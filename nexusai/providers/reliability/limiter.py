"""How fast calls may be sent, so that a vendor's limits are met here and not there.

A sliding window: in any minute no more calls begin, and no more tokens are reserved, than the limit says.
The whole limit may be used at once; then there is no room until a minute after. Calls go in the order in
which they came.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Final

from nexusai.error import ConfigurationError
from nexusai.providers.errors import AdapterError, RateLimitError

__all__ = ["LIMITED_HERE", "Limiter", "RateLimit", "Reservation"]

LIMITED_HERE: Final = "client_rate_limit"
"""`code` of the `RateLimitError` of a call that was never sent."""

_WINDOW: Final = 60.0
_LONGEST_HOLD: Final = 86_400.0
"""A header that asks for more than a day holds a date or another unit."""
_HEADERS: Final = (
    "x-ratelimit-{}-requests",
    "x-ratelimit-{}-tokens",
    "anthropic-ratelimit-requests-{}",
    "anthropic-ratelimit-tokens-{}",
    "anthropic-ratelimit-input-tokens-{}",
    "anthropic-ratelimit-output-tokens-{}",
)
_DURATION: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_UNITS: Final = (86_400.0, 3600.0, 60.0, 1.0, 0.001)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a model takes in any 60 seconds. A call that would wait for more than `max_wait` s fails at once.

    Raises `ConfigurationError` for a value that makes no sense.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_wait: float = 30.0

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and not value >= 1:
                raise ConfigurationError(f"{name} is {value}: make it 1 or more, or None for no limit")
        if not self.max_wait >= 0:
            raise ConfigurationError(f"max_wait is {self.max_wait}: make it 0 or more")


@dataclass(eq=False, slots=True)
class Reservation:
    """A place in the queue: the call begins at `start` (monotonic seconds), `wait` after it was reserved."""

    start: float
    wait: float
    tokens: int
    counted: bool = False
    """Whether it still takes room: until a minute after its start."""


class Limiter:
    """The state of a `RateLimit` for one model of one vendor. Times are monotonic seconds.

    Safe to share between threads.
    """

    def __init__(self, limit: RateLimit | None = None) -> None:
        self._limit = limit or RateLimit()
        self._lock = Lock()
        self._queue: deque[Reservation] = deque()
        """What began in the last minute or is going to, in order."""
        self._tokens = 0
        self._bounded = (self._limit.requests_per_minute, self._limit.tokens_per_minute) != (None, None)
        self._held_until = float("-inf")

    @property
    def counts_tokens(self) -> bool:
        """Whether `reserve` has to be told how many tokens a call takes."""
        return self._limit.tokens_per_minute is not None

    def reserve(self, now: float, tokens: int = 0) -> Reservation:
        """The next place for a call of about that many tokens, answer included.

        Raises `RateLimitError`, and reserves nothing, when it would have to wait too long or can never fit.
        """
        with self._lock:
            start = self._start(now, tokens)
            wait = start - now
            if wait > self._limit.max_wait:
                raise RateLimitError(
                    f"not sent: there is no room for {wait:.1f} s; raise max_wait, or send less",
                    code=LIMITED_HERE,
                    retry_after=wait,
                )
            reservation = Reservation(start, wait, tokens, counted=self._bounded)
            if self._bounded:
                self._queue.append(reservation)
                self._tokens += tokens
            return reservation

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """How many tokens the call used in the end; too low an estimate makes later calls wait longer."""
        with self._lock:
            if reservation.counted:
                self._tokens += tokens - reservation.tokens
                reservation.tokens = tokens

    def release(self, reservation: Reservation) -> None:
        """The call was never sent, and gives its place back."""
        with self._lock:
            if reservation.counted:
                self._queue.remove(reservation)
                self._forget(reservation)

    def observe(self, error: AdapterError, now: float) -> None:
        """A vendor that asks for a pause (429 with `Retry-After`) is given one, by all calls."""
        if error.code != LIMITED_HERE:
            self._hold(error.retry_after or 0.0, now)

    def heed(self, headers: Mapping[str, str], now: float) -> None:
        """What an answer's `x-ratelimit-…` and `anthropic-ratelimit-…` headers say when nothing is left."""
        self._hold(max(_pauses(headers), default=0.0), now)

    def _hold(self, seconds: float, now: float) -> None:
        if 0 < seconds <= _LONGEST_HOLD:
            with self._lock:
                self._held_until = max(self._held_until, now + seconds)

    def _start(self, now: float, tokens: int) -> float:
        """When the next call may begin."""
        while self._queue and self._queue[0].start <= now - _WINDOW:
            self._forget(self._queue.popleft())
        start = max(now, self._held_until, self._queue[-1].start if self._queue else now)
        calls, used = len(self._queue), self._tokens
        for earlier in self._queue:
            if earlier.start > start - _WINDOW and self._fits(calls + 1, used + tokens):
                break
            start = max(start, earlier.start + _WINDOW)
            calls, used = calls - 1, used - earlier.tokens
        if not self._fits(calls + 1, used + tokens):
            raise self._too_large(tokens)
        return start

    def _forget(self, reservation: Reservation) -> None:
        reservation.counted = False
        self._tokens -= reservation.tokens

    def _fits(self, calls: int, tokens: int) -> bool:
        most_calls, most_tokens = self._limit.requests_per_minute, self._limit.tokens_per_minute
        return (most_calls is None or calls <= most_calls) and (most_tokens is None or tokens <= most_tokens)

    def _too_large(self, tokens: int) -> RateLimitError:
        most = self._limit.tokens_per_minute
        error = RateLimitError(
            f"not sent: it needs about {tokens} tokens and tokens_per_minute is {most}; raise it, or send a"
            " shorter prompt or a lower max_tokens",
            code=LIMITED_HERE,
        )
        error.retryable = False
        return error


def _pauses(headers: Mapping[str, str]) -> Iterator[float]:
    """Seconds until a quota that is used up has room for one more.

    Vendors refill all the time and say when all will be there again, so one part of it is there much earlier.
    """
    for name in _HEADERS:
        if headers.get(name.format("remaining")) == "0":
            limit = headers.get(name.format("limit"), "")
            reset = _seconds(headers.get(name.format("reset"), ""), headers.get("date"))
            yield reset / max(1, int(limit) if re.fullmatch(r"\d{1,12}", limit) else 1)


def _seconds(reset: str, date: str | None) -> float:
    """`1s`, `6m0s`, `120ms`, `59.5` or a time in RFC 3339, counted from the answer's own date; else 0."""
    if reset.replace(".", "", 1).isdecimal():
        return float(reset)
    if found := _DURATION.fullmatch(reset):
        return sum(unit * float(count) for unit, count in zip(_UNITS, found.groups(), strict=True) if count)
    try:
        until = datetime.fromisoformat(reset.replace("Z", "+00:00"))
        return (until - parsedate_to_datetime(date or "")).total_seconds()
    except (ValueError, TypeError):
        return 0.0
