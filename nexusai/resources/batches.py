"""Batches: many tasks handed in as one."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import aclosing, closing
from functools import partial
from typing import TYPE_CHECKING, Any

from nexusai._internal._budget import seconds_of
from nexusai._internal._flow import Call, Emit, Flow, OutOfTime, Reply, Sleep, ask, at, create, given
from nexusai._internal._invoke import listed
from nexusai._internal._lines import Lines
from nexusai._internal._poller import FIRST_PAUSE, GROWTH, within_bounds
from nexusai._internal._wait import check_callback
from nexusai.error import APIError, APITimeoutError, InvalidRequestError, StreamError
from nexusai.models import Batch, BatchPage, BatchResult, File
from nexusai.resources._resource import AsyncResource, Slice, SyncResource, by_cursor
from nexusai.resources.files import upload_of

if TYPE_CHECKING:
    from nexusai.types import FileInput

__all__ = ["AsyncBatches", "Batches"]


def _create(
    requests: Sequence[Mapping[str, Any]] | None,
    input_file: FileInput | None,
    input_file_id: str | None,
    metadata: Mapping[str, Any] | None,
    webhook: Mapping[str, Any] | None,
) -> Flow[Batch]:
    sources = given(requests=requests, input_file=input_file, input_file_id=input_file_id)
    if len(sources) != 1:
        found = " and ".join(sources) or "none"
        raise InvalidRequestError(f"Give one of requests, input_file and input_file_id: there is {found}.")
    if requests is not None:
        requests = listed("requests", requests)
        if not requests:
            raise InvalidRequestError("requests is empty: a batch has at least one.")
    if input_file is not None:
        stored: Reply = yield create("/files", upload=upload_of(input_file))
        input_file_id = stored.parse(File).file_id
    fields = given(requests=requests, input_file_id=input_file_id, metadata=metadata, webhook=webhook)
    return (yield from ask(create("/batches", json=fields), Batch))


def _get(batch_id: str, *, retry: bool = True) -> Flow[Batch]:
    return ask(Call("GET", at("batches", batch_id), retry=retry), Batch)


def _list(limit: int | None, cursor: str | None) -> Flow[BatchPage]:
    return ask(Call("GET", "/batches", params=given(limit=limit, cursor=cursor)), BatchPage)


def _slice(limit: int | None, cursor: str | None) -> Flow[Slice[Batch]]:
    return by_cursor(_list(limit, cursor))


def _settle(batch_id: str, interval: float) -> Flow[Batch]:
    """The batch once all of its tasks are final; emitted whenever more of them are."""
    pause, ended = FIRST_PAUSE, -1
    try:
        while True:
            asked = min(pause, interval) * random.uniform(0.75, 1.0)
            try:
                batch = yield from _get(batch_id, retry=False)
            except APIError as error:
                if not error.retryable:
                    raise
                asked = asked if error.retry_after is None else within_bounds(error.retry_after)
            else:
                if batch.counts.finished != ended:
                    ended = batch.counts.finished
                    yield Emit(batch)
                if batch.finished:
                    return batch
            yield Sleep(asked)
            pause *= GROWTH
    except OutOfTime as over:
        raise APITimeoutError(
            f"Batch {batch_id} is not finished after {over.waited:g} s. It goes on: "
            f"client.batches.wait({batch_id!r}) waits again.",
            retryable=True,
        ) from None


def _results(batch_id: str) -> Call:
    return Call("GET", at("batches", batch_id, "results"), headers={"Accept": "application/jsonl"})


def _rows(lines: Iterable[bytes]) -> list[BatchResult]:
    try:
        return [BatchResult.model_validate_json(line) for line in lines]
    except ValueError:
        raise StreamError("A line of the batch's results is no result.") from None


def _cancel(batch_id: str) -> Flow[Batch]:
    return ask(Call("POST", at("batches", batch_id, "cancel")), Batch)


class Batches(SyncResource):
    """Many tasks handed in as one."""

    def create(
        self,
        requests: Sequence[Mapping[str, Any]] | None = None,
        *,
        input_file: FileInput | None = None,
        input_file_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        webhook: Mapping[str, Any] | None = None,
    ) -> Batch:
        """Hand in many tasks: up to 10,000 `requests`, or a file with one in each line (JSONL).

        Each is `{"task_type": …, "input": {…}}` with what else a task takes. An `input_file` is uploaded
        first; `input_file_id` is one that is there. `webhook` is called as for a task.
        """
        return self._driver.run(_create(requests, input_file, input_file_id, metadata, webhook))

    def get(self, batch_id: str) -> Batch:
        """How far a batch is. Raises `NotFoundError`."""
        return self._driver.run(_get(batch_id))

    def list(self, *, limit: int | None = None, cursor: str | None = None) -> BatchPage:
        """A page of batches, newest first; `page.next_cursor` goes into `cursor` for the next."""
        return self._driver.run(_list(limit, cursor))

    def iter(self, *, limit: int | None = None) -> Generator[Batch, None, None]:
        """All batches, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice, limit))

    def wait(
        self,
        batch_id: str,
        timeout: float | None = None,
        *,
        on_progress: Callable[[Batch], Any] | None = None,
    ) -> Batch:
        """The batch once all of its tasks are final, however they ended.

        Waits `timeout` seconds (the client's `poll_timeout` by default); `on_progress` is called with the
        batch whenever more of its tasks are. Raises `APITimeoutError`; the batch goes on.
        """
        check_callback(on_progress)
        config = self._driver.config
        limit = config.poll_timeout if timeout is None else seconds_of(timeout)
        return self._driver.run(_settle(batch_id, config.poll_interval), limit, on_progress)

    def results(self, batch_id: str) -> Generator[BatchResult, None, None]:
        """What became of each request, row by row as it arrives: a large batch needs no more memory.

        Raises `StreamError` for a row that is no result, and `APIConnectionError` when the rest is lost.
        """
        lines = Lines()
        with closing(self._driver.stream(_results(batch_id))) as body:
            for data in body:
                yield from _rows(lines.feed(data))
            yield from _rows(lines.rest())

    def cancel(self, batch_id: str) -> Batch:
        """Cancel what has not ended yet. Raises `ConflictError` when all of it has."""
        return self._driver.run(_cancel(batch_id))


class AsyncBatches(AsyncResource):
    """Many tasks handed in as one."""

    async def create(
        self,
        requests: Sequence[Mapping[str, Any]] | None = None,
        *,
        input_file: FileInput | None = None,
        input_file_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        webhook: Mapping[str, Any] | None = None,
    ) -> Batch:
        """Hand in many tasks: up to 10,000 `requests`, or a file with one in each line (JSONL).

        Each is `{"task_type": …, "input": {…}}` with what else a task takes. An `input_file` is uploaded
        first; `input_file_id` is one that is there. `webhook` is called as for a task.
        """
        return await self._driver.run(_create(requests, input_file, input_file_id, metadata, webhook))

    async def get(self, batch_id: str) -> Batch:
        """How far a batch is. Raises `NotFoundError`."""
        return await self._driver.run(_get(batch_id))

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> BatchPage:
        """A page of batches, newest first; `page.next_cursor` goes into `cursor` for the next."""
        return await self._driver.run(_list(limit, cursor))

    def iter(self, *, limit: int | None = None) -> AsyncGenerator[Batch, None]:
        """All batches, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice, limit))

    async def wait(
        self,
        batch_id: str,
        timeout: float | None = None,
        *,
        on_progress: Callable[[Batch], Any] | None = None,
    ) -> Batch:
        """The batch once all of its tasks are final, however they ended.

        Waits `timeout` seconds (the client's `poll_timeout` by default); `on_progress` is called with the
        batch whenever more of its tasks are. Raises `APITimeoutError`; the batch goes on.
        """
        check_callback(on_progress, awaited=True)
        config = self._driver.config
        limit = config.poll_timeout if timeout is None else seconds_of(timeout)
        return await self._driver.run(_settle(batch_id, config.poll_interval), limit, on_progress)

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        """What became of each request, row by row as it arrives: a large batch needs no more memory.

        Raises `StreamError` for a row that is no result, and `APIConnectionError` when the rest is lost.
        """
        lines = Lines()
        async with aclosing(self._driver.stream(_results(batch_id))) as body:
            async for data in body:
                for row in _rows(lines.feed(data)):
                    yield row
            for row in _rows(lines.rest()):
                yield row

    async def cancel(self, batch_id: str) -> Batch:
        """Cancel what has not ended yet. Raises `ConflictError` when all of it has."""
        return await self._driver.run(_cancel(batch_id))
