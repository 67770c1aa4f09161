"""The `file` part of a multipart body, as a stream: it is never whole in memory, nor twice on disk."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from nexusai.server.http import Problem, too_large

__all__ = ["Upload"]

_UNKNOWN = "application/octet-stream"
_LONGEST_FIELD, _MOST_FIELDS = 1000, 20
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+ *(;[ -~]*)?")
"""It becomes a header of our answers: nothing else may be in it, a line feed least of all."""


class Upload:
    """Read with `open`, then `chunks`. `fields` are the other parts, as far as they came, of those that are
    short; long ones are skipped.
    """

    def __init__(self, request: Request, limit: int) -> None:
        self.filename: str = ""
        self.media_type: str = _UNKNOWN
        self.fields: dict[str, str] = {}
        self._limit = limit
        self._request = request
        self._body = request.stream()
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._data: deque[bytes] = deque()
        self._name, self._value = "", bytearray()
        self._inside = self._found = self._complete = False
        self._parser = self._make_parser(request.headers.get("content-type", ""))

    def _make_parser(self, content_type: str) -> MultipartParser:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or b"boundary" not in options:
            raise Problem(
                "UNSUPPORTED_MEDIA_TYPE",
                "Send the file as multipart/form-data, in a part that is named `file`.",
            )
        callbacks = {
            "on_part_begin": self._part_begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }
        try:
            return MultipartParser(options[b"boundary"], callbacks)  # type: ignore[arg-type]
        except FormParserError as error:
            raise _broken(error) from None

    def _part_begin(self) -> None:
        self._headers = {}
        self._header = (bytearray(), bytearray())

    def _header_end(self) -> None:
        self._headers[bytes(self._header[0]).lower()] = bytes(self._header[1])
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if self._found or options.get(b"name") != b"file":
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            return
        self._found = self._inside = True
        self.filename = options.get(b"filename", b"").decode("utf-8", "replace")
        media_type = self._headers.get(b"content-type", b"").decode("latin-1")
        self.media_type = media_type if _MEDIA_TYPE.fullmatch(media_type) else _UNKNOWN

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._data.append(data[start:end])
        elif len(self._value) <= _LONGEST_FIELD:
            self._value += data[start:end]

    def _part_end(self) -> None:
        if not self._inside and len(self._value) <= _LONGEST_FIELD and len(self.fields) < _MOST_FIELDS:
            self.fields[self._name] = self._value.decode("utf-8", "replace")
        self._inside, self._value = False, bytearray()

    def _end(self) -> None:
        self._complete = True

    async def open(self) -> None:
        """Read up to the start of the file. Raises a 400 `Problem` when there is none."""
        while not self._found:
            if not await self._read():
                raise Problem.field(["file"], "the form has no part that is named `file`", "missing")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes. Raises a 413 `Problem` over the limit, a 400 when the body breaks off."""
        size = 0
        while True:
            while self._data:
                chunk = self._data.popleft()
                size += len(chunk)
                if size > self._limit:
                    raise too_large("file", self._limit)
                yield chunk
            if not await self._read():
                break
        if not self._complete:
            raise Problem("INVALID_REQUEST", "The upload broke off before its end.")

    async def _read(self) -> bool:
        async for chunk in self._body:
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise _broken(error) from None
            return True
        return False


def _broken(error: FormParserError) -> Problem:
    return Problem("INVALID_REQUEST", f"The multipart body is broken: {error}")
