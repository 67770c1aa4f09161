"""One connection of the platform's transport: HTTP/1.1, read by httptools as the loop hands it over."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httptools

from nexusai.providers.transport_coding import Unpacking, unpacking
from nexusai.providers.transport_ways import news_of

__all__ = ["Connection", "Headers", "Late"]

_LARGEST_HEAD: Final = 256 * 1024
_INTERIM_ANSWERS: Final = 100
_AHEAD: Final = 256 * 1024
"""Bytes of a body that are taken before somebody reads them."""
_ONE_WRITE: Final = 64 * 1024


class Late(Exception):
    """`overall` is whether the whole took too long; else it was silent for too long."""

    def __init__(self, overall: bool) -> None:
        self.overall = overall


class Headers(Mapping[str, str]):
    """The headers of an answer, by their names in lower case; decoded when they are asked for."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name.encode()].decode("utf-8", "replace")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Connection(asyncio.Protocol):
    """Carries one exchange at a time: `begin`, then `head`, then `read` to the end. Times are the loop's.

    `head` and `read` raise `Late`, `OSError` for a connection that is lost, `EOFError` or `zlib.error` for a
    compressed body that is broken, and httptools' errors for what is no HTTP.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.idle_since: float = 0.0
        self.status: int = 0
        self.headers: dict[bytes, bytes] = {}
        """By their names in lower case."""
        self.complete: bool = True
        """Whether all of the answer has come; there may be some left to read."""
        self._loop = loop
        self._parser: Any = httptools.HttpResponseParser(self)
        self._trouble: BaseException | None = None
        self._reusable = True
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._pieces: list[bytes] = []
        self._held = 0
        self._paused = False
        self._in_body = False

    # An exchange

    def begin(self, head: bytes, body: bytes | None, silence: float, deadline: float) -> None:
        """Send a request; the answer may be silent for `silence` seconds, and last until `deadline`."""
        self.status, self.headers, self.complete = 0, {}, False
        self._pieces, self._held, self._head_bytes, self._interim = [], 0, 0, 0
        self._in_body = self._until_closed = False
        self._unpacking: Unpacking | None = None
        self._silence, self._deadline = silence, deadline
        self._heard = now = self._loop.time()
        first = min(now + silence, deadline)
        if self._timer is None or self._timer.when() > first:  # that of the last exchange will do as well
            self._stop_looking()
            self._timer = self._loop.call_at(first, self._look)
        self._large = body is not None and len(body) > _ONE_WRITE
        if body is not None and not self._large:
            self._transport.write(head + body)
            return
        self._transport.write(head)
        if body:
            self._transport.write(body)

    async def head(self) -> None:
        """Wait for `status` and `headers`."""
        while not self._in_body:
            await self._news()

    async def read(self) -> bytes:
        """What has come since; empty at the end."""
        while True:
            if self._pieces:
                pieces, self._pieces, self._held = self._pieces, [], 0
                if self._paused:
                    self._paused = False
                    self._transport.resume_reading()
                data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                if self._unpacking is not None:
                    data = self._unpacking.feed(data)
                if data:
                    return data
            elif self.complete:
                if self._unpacking is not None:
                    self._unpacking.end()
                return b""
            else:
                await self._news()

    def end(self) -> bool:
        """Be done with the exchange; whether another may follow."""
        return self.complete and self._reusable and self._trouble is None and not self._transport.is_closing()

    def is_quiet(self) -> bool:
        """Whether an idle connection may be used: what came unasked would be the answer to the next request,
        and the loop may not have had the time to read it.
        """
        return self.end() and not self._has_news()

    def abort(self) -> None:
        """Close at once, whatever is still unsent."""
        self._stop_looking()
        self._transport.abort()

    async def _news(self) -> None:
        if self._trouble is not None:
            raise self._trouble
        self._waiter = self._loop.create_future()
        self._heard = max(self._heard, self._loop.time())
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Whether it has been silent for too long, while somebody listened."""
        self._timer = None
        if self.complete:
            return
        now = self._loop.time()
        if now >= self._deadline:
            self._fail(Late(overall=True))
        elif self._waiter is not None and now - self._heard >= self._silence:
            self._fail(Late(overall=False))
        else:
            since = self._heard if self._waiter is not None else now
            self._timer = self._loop.call_at(min(since + self._silence, self._deadline), self._look)

    def _fail(self, trouble: BaseException) -> None:
        if self._trouble is None:
            self._trouble = trouble
        self._wake()
        self._transport.abort()

    # What the loop tells

    def connection_made(self, transport: Any) -> None:
        self._has_news = news_of(transport.get_extra_info("socket"))
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self.complete:  # nobody asked for that
            self._reusable = False
            self._transport.abort()
            return
        if not self._in_body:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionResetError(errno.EPROTO, f"no HTTP answer: {error or type(error).__name__}"))
            return
        if not self._in_body and self._head_bytes > _LARGEST_HEAD:
            self._fail(ConnectionResetError(errno.EPROTO, "its headers do not end"))

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self._reusable = False
        self._stop_looking()
        if self.complete:
            return
        if self._in_body and self._until_closed and error is None and self._trouble is None:
            self.complete = True
            self._wake()
            return
        self._fail(error or ConnectionResetError(errno.ECONNRESET, "it was closed before the answer's end"))

    # What the parser tells

    def on_message_begin(self) -> None:
        if self.complete:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status: int = self._parser.get_status_code()
        if 100 <= status < 200:
            self._interim += 1
            self.headers = {}
            return
        headers = self.headers
        self.status, self._in_body = status, True
        if b"content-length" not in headers:
            self._until_closed = b"chunked" not in headers.get(b"transfer-encoding", b"").lower()
        if b"content-encoding" in headers:
            self._unpacking = unpacking(Headers(headers))
        self._wake()

    def on_body(self, body: bytes) -> None:
        if self.complete:
            return
        self._pieces.append(body)
        self._held += len(body)
        if self._held > _AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self._in_body and not self.complete:
            self.complete = True
            well = not self._paused and not self._came_early() and self._parser.should_keep_alive()
            self._reusable = self._reusable and bool(well)
            self._wake()
        elif self._interim > _INTERIM_ANSWERS:
            raise ValueError("nothing but interim answers")

    def _came_early(self) -> bool:
        """Whether the answer did not wait for all of the request, whose rest would be taken for the next one.

        What TLS has not sent yet cannot be seen: but who refuses a large request need not have read it.
        """
        return self._transport.get_write_buffer_size() > 0 or (self._large and self.status >= 400)
