"""HTTP as the contract has it: problems, request ids, bodies with a limit, JSON out."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import re
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
import orjson
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nexusai.error import CODES
from nexusai.providers.trace import upstream_headers
from nexusai.server.clock import now_ms, rfc3339
from nexusai.server.ids import new_id
from nexusai.server.traffic import Exchange, Traffic, current_work

__all__ = [
    "MALFORMED",
    "RATE_HEADERS",
    "Endpoint",
    "JsonResponse",
    "Problem",
    "RequestContext",
    "problem_response",
    "read_json",
    "request_id",
]

logger: logging.Logger = logging.getLogger("nexusai.server")

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")

_WELL_FORMED_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(rb"[ -~]{1,512}")
_DRAIN_LIMIT = 1024 * 1024 * 1024
_DRAIN_SECONDS = 30.0

KEY_LIFETIME: Final = 24 * 3600 * 1000
"""Milliseconds for which an idempotency key is remembered."""

USED_KEY: Final = "This Idempotency-Key was used for another request; use a new key."

HEADERS = "nexusai.headers"
"""Where a request's headers are looked up by name: the hot routes do so five times each."""

RATE_HEADERS = "nexusai.rate_headers"
"""Where a request keeps the headers that tell its caller what is left of its limit."""

T = TypeVar("T")
Route = Callable[[Request], Awaitable[Response]]


class Problem(Exception):
    """An answer that is an error, raised wherever it is found out."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[dict[str, Any]] = (),
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors: list[dict[str, Any]] = list(errors)
        self.retry_after = retry_after
        self.headers: Mapping[str, str] = headers or {}
        self.members = members

    @classmethod
    def field(cls, loc: Sequence[str | int], msg: str, type: str = "value_error") -> Problem:
        """A request with one wrong field."""
        name = ".".join(str(part) for part in loc)
        return cls("INVALID_REQUEST", f"{name}: {msg}", errors=[{"loc": list(loc), "msg": msg, "type": type}])


def problem_response(problem: Problem) -> Response:
    """The `application/problem+json` (RFC 9457) of a problem."""
    code = CODES[problem.code]
    note(problem.code)
    body = {
        "type": "about:blank",
        "title": code.title,
        "status": code.status,
        "detail": problem.detail,
        "error_code": problem.code,
        "timestamp": rfc3339(now_ms()),
        "request_id": request_id.get(),
        **problem.members,
    }
    headers = dict(problem.headers)
    if problem.errors:
        body["errors"] = problem.errors
    retry_after = problem.retry_after
    if retry_after is None and code.status in (429, 503):
        retry_after = 1
    if retry_after is not None:
        body["retry_after"] = retry_after
        headers["Retry-After"] = str(retry_after)
    if code.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="nexusai"'
    return Response(orjson.dumps(body), code.status, headers, media_type="application/problem+json")


def note(code: str, error: BaseException | None = None) -> None:
    """Tell those who watch the request what went wrong with it."""
    work = current_work.get()
    if work is not None:
        work.failed(code, error)


def broken(error: Exception) -> Problem:
    """What an unforeseen error is to the caller; a disk or database that is full may be well again soon."""
    problem = _unforeseen(error)
    note(problem.code, error)
    return problem


def _unforeseen(error: Exception) -> Problem:
    if isinstance(error, sqlite3.OperationalError):
        return Problem("SERVICE_UNAVAILABLE", "The database cannot be used at the moment.", retry_after=5)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem("SERVICE_UNAVAILABLE", "The platform's disk is full.", retry_after=60)
    return Problem("INTERNAL_ERROR", "The platform failed; the request id finds the reason in its log.")


def stopping() -> Problem:
    """What is not begun, or not finished, because the platform stops; another one, or the next, may do it."""
    return Problem("SERVICE_UNAVAILABLE", "The platform is stopping.", retry_after=5)


def stay() -> None:
    """Go on after a cancellation that is answered."""
    task = asyncio.current_task()
    if sys.version_info >= (3, 11) and task is not None:
        task.uncancel()


class JsonResponse(Response):
    """JSON, or bytes that are JSON already; its headers are made for the wire at once, in half the time of
    Starlette's general way.
    """

    def __init__(self, data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status_code = status
        self.background: BackgroundTask | None = None
        self.body: bytes = data if type(data) is bytes else orjson.dumps(data)
        self.raw_headers: list[tuple[bytes, bytes]] = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body)),
        ]
        if headers:
            self.raw_headers += [
                (k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()
            ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


class Endpoint:
    """A route function as a bare ASGI application: no middleware between the router and it."""

    def __init__(self, route: Route) -> None:
        self.route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.route(Request(scope, receive))
        await response(scope, receive, send)


class ClientGone(Exception):
    """There is nobody to answer any more; uvloop says so with a `RuntimeError`."""


class RequestContext:
    """Outermost: gives each request its id, turns what was raised into an answer, and tells who watches."""

    def __init__(self, app: ASGIApp, traffic: Traffic | None = None) -> None:
        self.app = app
        self.traffic: Traffic = traffic or Traffic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = scope[HEADERS] = dict(scope["headers"])
        name = _well_formed(headers.get(b"x-request-id")) or new_id("req")
        request_id.set(name)
        if (trace := _trace(headers)) or upstream_headers.get():  # of the request before on this connection
            upstream_headers.set(trace)
        exchange = Exchange(name, scope)
        current_work.set(exchange)
        body = Body(receive) if _may_be_large(headers) else None
        header = (b"x-request-id", name.encode())
        status, ended = 0, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append(header)
                message["headers"].extend(scope.get(RATE_HEADERS, ()))
                if self.traffic.closing:
                    message["headers"].append((b"connection", b"close"))
                if body is not None and status >= 400:
                    await body.drain()
            else:
                ended = not message.get("more_body")
            try:
                await send(message)
            except (OSError, RuntimeError) as error:
                if "closed" in str(error):
                    raise ClientGone from error
                raise

        self.traffic.under_way += 1
        try:
            try:
                await self.app(scope, body or receive, send_with_id)
            except (ClientGone, ClientDisconnect):
                raise
            except asyncio.CancelledError:
                if status or not self.traffic.closing:
                    raise
                stay()
                await problem_response(stopping())(scope, receive, send_with_id)
            except Exception as error:
                if not isinstance(error, Problem):
                    logger.exception(
                        "%s %r failed", scope["method"], scope["path"], extra={"request_id": name}
                    )
                if status and not ended:
                    raise
                if not status:
                    problem = error if isinstance(error, Problem) else broken(error)
                    await problem_response(problem)(scope, receive, send_with_id)
        except (ClientGone, ClientDisconnect):
            exchange.gone = True
        finally:
            self.traffic.under_way -= 1
            self.traffic.request_ended(exchange, status)


class Body:
    """A large request body that can be read to its end after it was refused.

    A client that is still sending when the connection closes would never see the answer.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._ended = not message.get("more_body")
        return message

    async def drain(self) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._read_on(), _DRAIN_SECONDS)

    async def _read_on(self) -> None:
        size = 0
        while not self._ended and size < _DRAIN_LIMIT:
            size += len((await self()).get("body", b""))


def _trace(headers: Mapping[bytes, bytes]) -> Mapping[str, str]:
    """The W3C Trace Context of a request, which goes along to the provider; malformed, it is none."""
    parent, state = headers.get(b"traceparent"), headers.get(b"tracestate", b"")
    if parent is None or not _TRACEPARENT.fullmatch(parent):
        return {}
    told = {"traceparent": parent.decode()}
    return {**told, "tracestate": state.decode()} if _TRACESTATE.fullmatch(state) else told


def _well_formed(name: bytes | None) -> str | None:
    return name.decode("ascii") if name and _WELL_FORMED_ID.fullmatch(name) else None


def _may_be_large(headers: dict[bytes, bytes]) -> bool:
    return len(headers.get(b"content-length", b"")) > 5 or b"transfer-encoding" in headers


def header(request: Request, name: bytes) -> str | None:
    """A header by its name in lower case; the last one where it came several times."""
    value: bytes | None = request.scope[HEADERS].get(name)
    return None if value is None else value.decode("latin-1")


async def read_json(request: Request, limit: int) -> bytes:
    """The body of a JSON request, at most `limit` bytes of it. Raises a 413 or 415 `Problem`."""
    headers = request.scope[HEADERS]
    if headers.get(b"content-type") != b"application/json":
        media_type = (header(request, b"content-type") or "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            said = media_type or "none"
            raise Problem(
                "UNSUPPORTED_MEDIA_TYPE", f"Send the body as Content-Type: application/json (it was {said})."
            )
    if int(headers.get(b"content-length", 0)) > limit:
        raise too_large("JSON body", limit)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(part)
        if size > limit:
            raise too_large("JSON body", limit)
        if not more and not parts:
            return part
        parts.append(part)
    return b"".join(parts)


def too_large(what: str, limit: int) -> Problem:
    return Problem("PAYLOAD_TOO_LARGE", f"The {what} is larger than the limit of {limit:,} bytes.")


MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON that is none, or is not what was asked for."""

_PATH = re.compile(r"^(?P<msg>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL)


def invalid(error: Exception, prefix: Sequence[str] = ()) -> Problem:
    """A complaint of msgspec (`MALFORMED`) as the contract's 400, its path as `loc`."""
    if isinstance(error, RecursionError):
        return Problem("INVALID_REQUEST", "The body is nested too deeply.")
    match = _PATH.match(str(error))
    assert match is not None  # noqa: S101 - the pattern matches every string
    message, path = match["msg"], (match["path"] or "").partition("[...]")[0]
    loc: list[str | int] = [*prefix]
    for key, index in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path):
        loc.append(key or int(index))
    unknown = re.match(r"Object contains unknown field `(.+)`", message)
    if unknown:
        return Problem.field([*loc, unknown[1][:100]], "unknown field", "extra_forbidden")
    missing = re.match(r"Object missing required field `(.+)`", message)
    if missing:
        return Problem.field([*loc, missing[1]], "required", "missing")
    if not isinstance(error, msgspec.ValidationError):
        return Problem("INVALID_REQUEST", f"The body is not JSON: {message}")
    if match["key"]:
        message = f"a key: {message}"
    return Problem.field(loc or ["body"], message[:200])  # msgspec quotes a wrong value whole


def preferences(request: Request) -> dict[str, str]:
    """The `Prefer` headers (RFC 7240) as name → value, e.g. `{"respond-async": "", "wait": "10"}`."""
    found: dict[str, str] = {}
    for value in [value for name, value in request.scope["headers"] if name == b"prefer"]:
        for part in value.decode("latin-1").split(","):
            name, _, argument = part.partition(";")[0].partition("=")
            found.setdefault(name.strip().lower(), argument.strip().strip('"'))
    return found


def wait_preference(preferred: dict[str, str], limit: float) -> float | None:
    """Seconds of `wait=N`, at most `limit`; None when it is absent or not a number, as RFC 7240 has it."""
    value = preferred.get("wait", "")
    return min(float(value), limit) if value.isascii() and value.isdigit() else None


async def read_as(request: Request, kind: type[T], limit: int) -> T:
    """The JSON body as a `kind` of msgspec. Raises a 400 `Problem` that names the field, a 413 or a 415."""
    body = await read_json(request, limit)
    try:
        return msgspec.json.decode(body, type=kind)
    except MALFORMED as error:
        raise invalid(error) from None


def page_response(shown: Sequence[Any], following: str | None) -> Response:
    """One page of a list; `following` is the cursor of the next one, if there is one."""
    return JsonResponse({"data": shown, "has_more": following is not None, "next_cursor": following})


def place_of(cursor: str | None) -> int:
    """Where a list goes on whose cursors are places in it. Raises a 400 `Problem` for what is none."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 10):
        raise Problem.field(["cursor"], "is the `next_cursor` of a page")
    return int(cursor)


def idempotency_key(request: Request) -> str | None:
    """The `Idempotency-Key`, of 1 to 255 characters. Raises a 400 `Problem` for another."""
    key = header(request, b"idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:
        raise Problem.field(["Idempotency-Key"], "must have 1 to 255 characters")
    return key
