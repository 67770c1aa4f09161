"""A platform that answers constants at once: what the SDK, httpx and openai are measured against.

    python benchmarks/answers.py PORT

A path that begins with `/40` streams 40 events to a chunk.
"""

from __future__ import annotations

import asyncio
import json
import sys

EVENTS = 2000
TASK_ID = "task_0660c4ed4bd79ca8ef2ff6eaef2c128d"

TASK = {
    "task_id": TASK_ID,
    "task_type": "text_generation",
    "status": "completed",
    "progress": 100,
    "created_at": "2025-01-01T00:00:00.000Z",
    "started_at": "2025-01-01T00:00:00.001Z",
    "finished_at": "2025-01-01T00:00:00.301Z",
    "output": {"text": "A sentence of some twenty words, as a model would write it. " * 5},
    "attempts": 1,
    "provider": "local",
    "model": "simulate",
    "usage": {"prompt_tokens": 12, "completion_tokens": 65, "total_tokens": 77},
    "cost": {"amount": 0.0, "currency": "USD"},
    "metadata": {},
    "request_id": "req_0660c4ed4bd79ca8ef2ff6eaef2c128d",
}
MODEL = {"id": "simulate", "object": "model", "created": 1735689600, "owned_by": "local"}
FILE = {"file_id": "file_1", "filename": "zeros", "size": 0}


def _event(data: object, id: int | None = None) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"id: {id}\n" if id is not None else "").encode() + f"data: {text}\n\n".encode()


def our_events() -> list[bytes]:
    """A stream as the contract has it."""
    parts: list[object] = [{"task_id": TASK_ID, "model": "simulate", "provider": "local"}]
    parts += [{"delta": {"content": f"word{number} "}} for number in range(EVENTS)]
    parts += [{"finish_reason": "stop", "usage": TASK["usage"], "cost": TASK["cost"]}, "[DONE]"]
    return [_event(part, id) for id, part in enumerate(parts)]


def openai_events() -> list[bytes]:
    """The same words in chunks of chat completions."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1735689600, "model": "simulate"}
    deltas: list[object] = [{"content": f"word{number} "} for number in range(EVENTS)]
    parts = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    last = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return [*map(_event, parts), _event(last), _event("[DONE]")]


CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1735689600,
    "model": "simulate",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": TASK["output"]["text"]},  # type: ignore[index]
            "finish_reason": "stop",
        }
    ],
    "usage": TASK["usage"],
}


def _whole(status: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
    return head.encode() + b"x-request-id: req_1\r\n\r\n" + content


def _chunked(events: list[bytes], together: int) -> bytes:
    groups = [b"".join(events[at : at + together]) for at in range(0, len(events), together)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(group), group) for group in [*groups, b""])
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + chunks
    )


ANSWERS = {
    "/tasks/": _whole("200 OK", TASK),
    "/models/": _whole("200 OK", MODEL),
    "/files": _whole("201 Created", FILE),
    "/1/invoke": _chunked(our_events(), 1),
    "/40/invoke": _chunked(our_events(), 40),
    "/whole/chat/": _whole("200 OK", CHAT),
    "/1/chat/": _chunked(openai_events(), 1),
    "/40/chat/": _chunked(openai_events(), 40),
}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            await _drain(reader, head)
            path = head.split(" ", 2)[1]
            writer.write(next(bytes for part, bytes in ANSWERS.items() if part in path))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _drain(reader: asyncio.StreamReader, head: str) -> None:
    """Read a body and forget it."""
    if "transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    elif "content-length: " in head:
        left = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        while left:
            left -= len(await reader.read(min(left, 1 << 20)))


async def main(port: int) -> None:
    async with await asyncio.start_server(answer, "127.0.0.1", port, limit=1 << 20) as server:
        print("ready", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
