"""Streams of text: two short iterators over one pure state."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing
from types import TracebackType

from typing_extensions import Self

from nexusai._internal._client import AsyncDriver, SyncDriver
from nexusai._internal._stream_state import StreamState
from nexusai.error import APIError
from nexusai.models import StreamChunk, TextResponse

__all__ = ["AsyncTextStream", "TextStream"]


class _Told:
    """What a stream has told so far."""

    def __init__(self, state: StreamState) -> None:
        self._state = state

    @property
    def text(self) -> str:
        """The text so far."""
        return self._state.text

    @property
    def task_id(self) -> str | None:
        """The task behind it, from the first event on."""
        return self._state.task_id

    @property
    def model(self) -> str | None:
        return self._state.model

    @property
    def provider(self) -> str | None:
        return self._state.provider

    def __repr__(self) -> str:
        length = len(self._state.text)
        return f"<{type(self).__name__} of {self.task_id or 'no task yet'}, {length} characters so far>"


class TextStream(_Told):
    """A text as it is written. To leave the loop or the `with` block closes the connection.

    Iterating raises `TaskFailedError` when the task fails and `StreamError` when the stream ends too early.
    """

    def __init__(self, driver: SyncDriver, state: StreamState) -> None:
        super().__init__(state)
        self._driver = driver
        self._chunks = self._run()

    def __iter__(self) -> Iterator[StreamChunk]:
        try:
            yield from self._chunks
        finally:
            self.close()

    def __next__(self) -> StreamChunk:
        return next(self._chunks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the task goes on."""
        self._chunks.close()

    def final(self) -> TextResponse:
        """The whole answer with its usage, once the rest has arrived."""
        for _ in self._chunks:
            pass
        return self._state.response()

    def _run(self) -> Generator[StreamChunk, None, None]:
        state = self._state
        while True:
            try:
                with closing(self._driver.stream(state.connect(time.monotonic()))) as body:
                    for data in body:
                        yield from state.read(data, time.monotonic())
                        if state.finished:
                            return
                pause = state.broke(None)
            except APIError as error:
                pause = state.broke(error)
            self._driver.pause(pause)


class AsyncTextStream(_Told):
    """A text as it is written. To leave the loop or the `async with` block closes the connection.

    Iterating raises `TaskFailedError` when the task fails and `StreamError` when the stream ends too early.
    """

    def __init__(self, driver: AsyncDriver, state: StreamState) -> None:
        super().__init__(state)
        self._driver = driver
        self._chunks = self._run()

    async def __aiter__(self) -> AsyncIterator[StreamChunk]:
        try:
            async for chunk in self._chunks:
                yield chunk
        finally:
            await self.close()

    async def __anext__(self) -> StreamChunk:
        return await anext(self._chunks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; the task goes on."""
        await self._chunks.aclose()

    async def final(self) -> TextResponse:
        """The whole answer with its usage, once the rest has arrived."""
        async for _ in self._chunks:
            pass
        return self._state.response()

    async def _run(self) -> AsyncGenerator[StreamChunk, None]:
        state = self._state
        while True:
            try:
                async with aclosing(self._driver.stream(state.connect(time.monotonic()))) as body:
                    async for data in body:
                        for chunk in state.read(data, time.monotonic()):
                            yield chunk
                        if state.finished:
                            return
                pause = state.broke(None)
            except APIError as error:
                pause = state.broke(error)
            await self._driver.pause(pause)
