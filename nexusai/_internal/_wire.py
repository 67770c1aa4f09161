"""What both drivers share: what a call looks like on the wire, and what comes of the answer."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from nexusai.__version__ import __version__
from nexusai._internal._budget import Budget
from nexusai._internal._errors import error_of
from nexusai._internal._flow import Call, OutOfTime
from nexusai.config import Config, origin
from nexusai.error import APIConnectionError, APIError, APITimeoutError

__all__ = ["Wire"]

logger = logging.getLogger("nexusai")

_SPARE = 0.5
"""Seconds before the end of a run at which a held answer is wanted, so that it tells how things stand."""

_ANYWHERE = {"User-Agent": f"nexusai-python/{__version__}"}


class Wire:
    """A platform as it is spoken to. The key, and the caller's own headers, go to its origin alone."""

    def __init__(self, config: Config, headers: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.headers = dict(headers or {})
        self._origin = origin(config.base_url)
        ours = {
            **_ANYWHERE,
            "Accept": "application/json",
            "Authorization": f"Bearer {config.api_key}",
        }
        theirs = {name.lower() for name in self.headers}
        kept = {name: value for name, value in ours.items() if name.lower() not in theirs}
        self._own = {**kept, **self.headers}
        self._timeout = httpx.Timeout(_finite(config.timeout), pool=None)

    def request(
        self, client: httpx.Client | httpx.AsyncClient, call: Call, left: float, files: Any
    ) -> httpx.Request:
        url = call.path if "://" in call.path else self.config.base_url + call.path
        at_home = url is not call.path or origin(url) == self._origin
        hold = int(min(call.hold, max(left - _SPARE, 0)))
        prefer = {"Prefer": f"wait={hold}"} if hold else {}
        return client.build_request(
            call.method,
            url,
            json=call.json,
            params=call.params,
            files=files,
            headers={**(self._own if at_home else _ANYWHERE), **call.headers, **prefer},
            timeout=self._timeouts(call, hold, left),
        )

    def retries(self, call: Call) -> int:
        """How often a call may be sent again: never, when its body is gone after the first time."""
        gone = call.upload is not None and not call.upload.rewindable
        return 0 if gone or not call.retry else self.config.max_retries

    def link(self, url: str) -> str:
        """A link from an answer, whole."""
        return urljoin(self.config.base_url, url)

    def error(self, call: Call, response: httpx.Response) -> APIError:
        return error_of(call, response.status_code, response.headers, response.content, time.time())

    @contextmanager
    def errors(self, call: Call, budget: Budget) -> Iterator[None]:
        """httpx's errors as ours: `OutOfTime` when the run's time is over, else an `APIError`."""
        try:
            yield
        except httpx.HTTPError as error:
            if not budget.left:
                raise OutOfTime(budget.seconds) from None
            raise self._failure(call, error) from error

    def log(self, call: Call, response: httpx.Response, seconds: float) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "%s %s -> %d (%s, %.0f ms)",
                call.method,
                response.request.url.path,
                response.status_code,
                response.headers.get("x-request-id", "no request id"),
                seconds * 1000,
            )

    def _timeouts(self, call: Call, hold: int, left: float) -> httpx.Timeout:
        """The wait for a free connection is not the platform's silence: only the run's time bounds it."""
        if math.isinf(left) and not hold and call.timeout is None:
            return self._timeout
        silence = self.config.timeout if call.timeout is None else call.timeout
        return httpx.Timeout(
            _finite(min(silence, left)),
            read=_finite(min(silence + hold, left)),
            pool=_finite(left),
        )

    def _failure(self, call: Call, error: httpx.HTTPError) -> APIError:
        scheme, host, port = origin(call.path) if "://" in call.path else self._origin
        where, what = f"{scheme}://{host}:{port}", f"{call.method} {urlsplit(call.path).path}"
        facts: dict[str, Any] = {"idempotency_key": call.idempotency_key, "retryable": True}
        if isinstance(error, httpx.ConnectError):
            return APIConnectionError(
                f"Cannot connect to {where} ({error}). Is the platform running? `nexusai serve` starts one "
                "here; NEXUS_BASE_URL or base_url= names one elsewhere.",
                **facts,
            )
        if isinstance(error, httpx.TimeoutException):
            return APITimeoutError(f"{what} had no answer from {where} in time.", **facts)
        facts["retryable"] = isinstance(
            error, (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError)
        )
        return APIConnectionError(f"{what} to {where} broke off ({type(error).__name__}).", **facts)


def _finite(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds
