"""Streams: two short iterators over one pure state, of the chunks of a text or of the events of a task."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

from typing_extensions import Self

from nexusai._internal._client import AsyncDriver, SyncDriver
from nexusai._internal._events import EventState
from nexusai._internal._stream_state import StreamState
from nexusai._internal._tracing import streamed
from nexusai.error import APIError, TaskTimeoutError
from nexusai.models import StreamChunk, Task, TaskEvent, TextResponse

__all__ = ["AsyncTaskEventStream", "AsyncTextStream", "TaskEventStream", "TextStream"]

E = TypeVar("E")
ToHandle: TypeAlias = Callable[[Task], Any]
"""Makes the handle that a `TaskTimeoutError` carries."""


class _Broken(Generic[E]):
    """What becomes of a stream that breaks off."""

    def __init__(self, state: EventState[E], handle: ToHandle) -> None:
        self._state = state
        self._handle = handle

    def _pause(self, error: APIError | None) -> float:
        """Seconds until it is opened again. Raises when there is no going on."""
        try:
            return self._state.broke(error)
        except TaskTimeoutError as late:
            late.handle = self._handle(late.task)
            raise


class _SyncStream(_Broken[E]):
    def __init__(self, driver: SyncDriver, state: EventState[E], handle: ToHandle) -> None:
        super().__init__(state, handle)
        self._driver = driver
        self._chunks = self._run()

    def __iter__(self) -> Iterator[E]:
        try:
            yield from self._chunks
        finally:
            self.close()

    def __next__(self) -> E:
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

    def _run(self) -> Generator[E, None, None]:
        state = self._state
        with streamed(state, self._driver.config.base_url):
            while True:
                try:
                    with closing(self._driver.stream(state.connect(time.monotonic()))) as body:
                        for data in body:
                            yield from state.read(data, time.monotonic())
                            if state.finished:
                                return
                    pause = self._pause(None)
                except APIError as error:
                    pause = self._pause(error)
                self._driver.pause(pause)


class _AsyncStream(_Broken[E]):
    def __init__(self, driver: AsyncDriver, state: EventState[E], handle: ToHandle) -> None:
        super().__init__(state, handle)
        self._driver = driver
        self._chunks = self._run()

    async def __aiter__(self) -> AsyncIterator[E]:
        try:
            async for chunk in self._chunks:
                yield chunk
        finally:
            await self.close()

    async def __anext__(self) -> E:
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

    async def _run(self) -> AsyncGenerator[E, None]:
        state = self._state
        with streamed(state, self._driver.config.base_url):
            while True:
                try:
                    async with aclosing(self._driver.stream(state.connect(time.monotonic()))) as body:
                        async for data in body:
                            for chunk in state.read(data, time.monotonic()):
                                yield chunk
                            if state.finished:
                                return
                    pause = self._pause(None)
                except APIError as error:
                    pause = self._pause(error)
                await self._driver.pause(pause)


class _Told:
    """What a stream of text has told so far."""

    _state: StreamState

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
        """The model that writes it, from the first event on."""
        return self._state.model

    @property
    def provider(self) -> str | None:
        """Who runs the model, from the first event on."""
        return self._state.provider

    def __repr__(self) -> str:
        length = len(self._state.text)
        return f"<{type(self).__name__} of {self.task_id or 'no task yet'}, {length} characters so far>"


class TextStream(_Told, _SyncStream[StreamChunk]):
    """A text as it is written. To leave the loop or the `with` block closes the connection.

    Iterating raises `TaskFailedError` when the task fails and `StreamError` when the stream ends too early.
    """

    _state: StreamState

    def final(self) -> TextResponse:
        """The whole answer with its usage, once the rest has arrived."""
        for _ in self._chunks:
            pass
        return self._state.response()


class AsyncTextStream(_Told, _AsyncStream[StreamChunk]):
    """A text as it is written. To leave the loop or the `async with` block closes the connection.

    Iterating raises `TaskFailedError` when the task fails and `StreamError` when the stream ends too early.
    """

    _state: StreamState

    async def final(self) -> TextResponse:
        """The whole answer with its usage, once the rest has arrived."""
        async for _ in self._chunks:
            pass
        return self._state.response()


class TaskEventStream(_SyncStream[TaskEvent]):
    """What happens to a task, until it is final. To leave the loop or the `with` block closes the connection.

    A task that fails is the last event; a stream that cannot go on raises `StreamError`.
    """


class AsyncTaskEventStream(_AsyncStream[TaskEvent]):
    """What happens to a task, until it is final. To leave the loop or the `async with` block closes the
    connection.

    A task that fails is the last event; a stream that cannot go on raises `StreamError`.
    """
