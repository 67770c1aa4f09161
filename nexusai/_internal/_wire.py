"""What both drivers share: what a call looks like on the wire, and what comes of the answer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin

import httpx

from nexusai.__version__ import __version__
from nexusai._internal._budget import Budget
from nexusai._internal._errors import error_of
from nexusai._internal._files import AsyncForm, Form
from nexusai._internal._flow import EVENT_STREAM, Call, OutOfTime, unlike
from nexusai._internal._json import encoded
from nexusai._internal._logging import log_failure
from nexusai._internal._network import Patience
from nexusai._internal._tracing import trace_headers
from nexusai.config import Config, header_fields, origin
from nexusai.constants import KEY_PREFIX
from nexusai.error import APIConnectionError, APIError, APITimeoutError, InvalidRequestError

__all__ = ["Wire"]

_SPARE = 0.5
"""Seconds before the end of a run at which a held answer is wanted, so that it tells how things stand."""

_FOR_EVER = 366 * 86400.0

_ANYWHERE = {"User-Agent": f"nexusai-python/{__version__}", "Accept-Encoding": "gzip, deflate"}


class Wire:
    """A platform as it is spoken to. The key, and the caller's own headers, go to its origin alone."""

    def __init__(self, config: Config, headers: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.headers = httpx.Headers(header_fields({} if headers is None else headers))
        self._origin = origin(config.base_url)
        self._own = httpx.Headers(
            {**_ANYWHERE, "Accept": "application/json", "Authorization": f"Bearer {config.api_key}"}
        )
        self._own.update(self.headers)
        self._timeout = httpx.Timeout(_finite(config.timeout), pool=None).as_dict()

    def request(
        self, client: httpx.Client | httpx.AsyncClient, call: Call, left: float, form: Form | AsyncForm | None
    ) -> httpx.Request:
        """Raises `InvalidRequestError` for what cannot be sent, without showing it."""
        hold = int(min(call.hold, max(left - _SPARE, 0)))
        body = form if call.json is None else encoded(call.json)
        try:
            url = call.path if "://" in call.path else self.config.base_url + call.path
            at_home = url is not call.path or origin(url) == self._origin
            return client.build_request(
                call.method,
                url,
                params=call.params,
                content=body,
                headers=self._headers(call, form, hold, at_home),
                extensions={"timeout": self._timeouts(call, hold, left)},
            )
        except (httpx.InvalidURL, ValueError, RecursionError) as error:
            raise InvalidRequestError(
                f"{call.name[:200]} cannot be sent: its address is no URL ({type(error).__name__})."
            ) from None

    def _headers(self, call: Call, form: Form | AsyncForm | None, hold: int, at_home: bool) -> httpx.Headers:
        headers = httpx.Headers(self._own if at_home else _ANYWHERE)
        more = {**(trace_headers() if at_home else {}), **call.headers, **(form.headers if form else {})}
        if call.json is not None:
            more["Content-Type"] = "application/json"
        if hold:
            more["Prefer"] = f"wait={hold}"
        if more:
            headers.update(more)
        return headers

    def retries(self, call: Call) -> int:
        """How often a call may be sent again: never, when its body is gone after the first time."""
        gone = call.upload is not None and not call.upload.rewindable
        return 0 if gone or not call.retry else self.config.max_retries

    def link(self, url: str) -> str:
        """A link from an answer, whole. Raises `APIError` for one that leads nowhere."""
        try:
            link = urljoin(self.config.base_url, url)
            httpx.URL(link)
        except (httpx.InvalidURL, ValueError):
            raise APIError("The answer's link is no URL.") from None
        return link

    def error(self, call: Call, response: httpx.Response, page: bytes) -> APIError:
        """What an answer that is not a good one means; a key that somebody echoes in it goes no further."""
        content = page.replace(self.config.api_key.encode(), KEY_PREFIX.encode() + b"***")
        return error_of(call, response.status_code, response.headers, content, time.time())

    def opened(self, call: Call, response: httpx.Response) -> None:
        """The head of a stream is there, its body has no deadline. Raises `APIError` for what is none."""
        kind = response.headers.get("content-type", "no content type")
        if call.headers.get("Accept") == EVENT_STREAM and not kind.startswith(EVENT_STREAM):
            raise unlike("event stream", response.status_code, response.headers)
        patience = response.request.extensions["timeout"]["read"]
        if isinstance(patience, Patience):
            patience.until = math.inf

    @contextmanager
    def errors(self, call: Call, budget: Budget, attempt: int) -> Iterator[None]:
        """httpx's errors as ours: `OutOfTime` when the run's time is over, else an `APIError`."""
        begun = time.monotonic()
        try:
            yield
        except httpx.HTTPError as error:
            log_failure(call, error, time.monotonic() - begun, attempt)
            if not budget.left:
                raise OutOfTime(budget.seconds) from None
            quotes = isinstance(error, httpx.LocalProtocolError)  # the header that cannot be sent
            raise self._failure(call, error) from (None if quotes else error)

    def _timeouts(self, call: Call, hold: int, left: float) -> dict[str, float | None]:
        """The wait for a free connection is not the platform's silence: only the run's time bounds it."""
        if math.isinf(left) and not hold and call.timeout is None:
            return self._timeout
        silence = self.config.timeout if call.timeout is None else call.timeout
        until = time.monotonic() + min(left, math.inf if call.timeout is None else silence)
        brief = _patience(min(silence, left), until)
        held = _patience(min(silence + hold, left), until)
        return {"connect": brief, "read": held, "write": brief, "pool": _finite(left)}

    def _failure(self, call: Call, error: httpx.HTTPError) -> APIError:
        scheme, host, port = origin(call.path) if "://" in call.path else self._origin
        where, what = f"{scheme}://{host}:{port}", call.name
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
    """Seconds as sockets and locks take them: to these, much more than a year is an error."""
    return None if seconds > _FOR_EVER else seconds


def _patience(silence: float, until: float) -> Patience | None:
    return None if silence > _FOR_EVER else Patience.of(silence, until)
