"""A vendor of Chat Completions that answers constants at once: what gateways are measured before.

    python benchmarks/gateway_upstream.py PORT

It is written on the event loop's own protocols, so that it is far from being what is measured. A conversation
whose text holds `chunks=100 pause=10` gets, when it asks for a stream, 100 chunks with 10 ms between them;
each is written by itself, as a model's come.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import sys
from typing import Any, cast

MODEL = "gpt-4o-mini"
TEXT = (
    "A sentence of some twenty words, such as a model writes when it is asked who keeps the light, and why. "
    * 7
)
USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 160,
    "total_tokens": 1160,
    "prompt_tokens_details": {"cached_tokens": 128, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
HEAD: dict[str, Any] = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion",
    "created": 1741569952,
    "model": MODEL,
    "service_tier": "default",
    "system_fingerprint": "fp_b376dfbbd5",
}
VENDOR = (
    "date: Mon, 10 Mar 2025 01:25:52 GMT\r\nserver: upstream\r\nopenai-organization: an-organization\r\n"
    "openai-processing-ms: 3\r\nopenai-version: 2020-10-01\r\nx-ratelimit-limit-requests: 30000\r\n"
    "x-ratelimit-remaining-requests: 29999\r\nx-ratelimit-reset-requests: 2ms\r\n"
    "x-request-id: req_2c8b5d8f5a2d4a0d9a5b2f0f7a9f4b1e\r\n"
)
_STREAMED = re.compile(rb'"stream": ?true')
_SHAPE = re.compile(rb"chunks=(\d+) pause=(\d+)")


def whole() -> bytes:
    """A whole answer of about a kilobyte, with its head."""
    message = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps({**HEAD, "choices": [choice], "usage": USAGE}).encode()
    length = f"content-length: {len(body)}\r\n\r\n"
    return f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{VENDOR}{length}".encode() + body


def word(number: int) -> str:
    return f" word{number}"


@functools.cache
def streamed(count: int) -> list[bytes]:
    """The pieces of a streamed answer of `count` words: its head, and each event in a chunk of its own."""
    head = {**HEAD, "object": "chat.completion.chunk"}

    def event(delta: dict[str, Any], end: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}
        return {**head, "choices": [choice], "usage": None}

    events = [event({"role": "assistant", "content": word(0), "refusal": None})]
    events += [event({"content": word(number)}) for number in range(1, count)]
    events += [event({}, "stop"), {**head, "choices": [], "usage": USAGE}]
    lines = [f"data: {json.dumps(each)}\n\n".encode() for each in events] + [b"data: [DONE]\n\n"]
    kind = "content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
    pieces = [f"HTTP/1.1 200 OK\r\n{kind}{VENDOR}\r\n".encode()]
    pieces += [b"%x\r\n%s\r\n" % (len(line), line) for line in lines]
    pieces[-1] += b"0\r\n\r\n"
    pieces[1] = pieces[0] + pieces[1]
    return pieces[1:]


class Vendor(asyncio.Protocol):
    """One connection; a request is answered when it is there whole."""

    WHOLE = whole()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._loop = asyncio.get_running_loop()
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        end = self._received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        body = _body(self._received[:end].lower(), self._received[end:])
        if body is not None:
            self._received = b""
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        if not _STREAMED.search(body):
            self._transport.write(self.WHOLE)
            return
        shape = _SHAPE.search(body)
        count, pause = (int(shape[1]), int(shape[2]) / 1000) if shape else (100, 0.0)
        self._write(streamed(count), 0, pause, self._loop.time())

    def _write(self, pieces: list[bytes], at: int, pause: float, begun: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(pieces[at])
        at += 1
        if at == len(pieces):
            return
        if pause:
            self._loop.call_at(begun + at * pause, self._write, pieces, at, pause, begun)
        else:
            self._loop.call_soon(self._write, pieces, at, pause, begun)


def _body(head: bytes, rest: bytes) -> bytes | None:
    """The body of a request, once it is whole."""
    at = head.find(b"content-length: ")
    if at >= 0:
        length = int(head[at + 16 : head.index(b"\r\n", at)])
        return rest if len(rest) >= length else None
    if b"transfer-encoding: chunked" in head:
        return rest if rest.endswith(b"0\r\n\r\n") else None
    return rest


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Vendor, "127.0.0.1", port, backlog=1024)
    async with server:
        print("ready", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1])))
