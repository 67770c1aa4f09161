"""Streamed answers as OpenAI's clients read them: an event for each chunk, and one that says it is all."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

import orjson

from nexusai.providers.types import StreamChunk
from nexusai.server.gateway.calls import Stream
from nexusai.server.gateway.errors import error_body, problem_of

__all__ = ["ChunkForm", "broken", "events_of"]


class ChunkForm(Protocol):
    """How one API writes the chunks of an answer; None is a chunk that it has no word for."""

    def write(self, chunk: StreamChunk) -> dict[str, Any] | None: ...

    def end(self) -> dict[str, Any] | None: ...


async def events_of(
    stream: Stream[StreamChunk], form: ChunkForm, first: Mapping[str, Any] | None = None
) -> AsyncGenerator[bytes, None]:
    """The answer's events, after one that stands before them; what breaks ends them without `[DONE]`."""
    try:
        if first is not None:
            yield _event(first)
        async for chunk in stream:
            if (shown := form.write(chunk)) is not None:
                yield _event(shown)
        if (shown := form.end()) is not None:
            yield _event(shown)
        yield b"data: [DONE]\n\n"
    except Exception as error:
        yield broken(error)


def broken(error: Exception) -> bytes:
    """The event by which a stream ends that broke: no client takes what came before it for a whole answer."""
    return _event(error_body(problem_of(error)))


def _event(shown: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(shown) + b"\n\n"
