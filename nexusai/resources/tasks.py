"""Tasks of any type: submitted, looked at, waited for, cancelled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import aclosing, closing
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from nexusai._internal._dates import moment
from nexusai._internal._flow import Call, Flow, ask, at
from nexusai._internal._invoke import invoke_body, listed, mapping
from nexusai._internal._poller import TaskPoller
from nexusai._internal._several import run_all, run_all_async
from nexusai._internal._wait import apart
from nexusai.error import TaskError, TaskTimeoutError
from nexusai.models import Task, TaskPage
from nexusai.resources._handle import AnyHandle, AsyncTaskHandle, TaskHandle, task_of
from nexusai.resources._resource import AsyncResource, SyncResource, by_cursor

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import InvokeOptions, WatchOptions

__all__ = ["AsyncTasks", "Tasks"]

AnyTask: TypeAlias = str | Mapping[str, Any] | Task | AnyHandle[Any]

_CONNECTIONS = 16


def _list(
    status: str | None,
    task_type: str | None,
    created_after: datetime | str | None,
    metadata: Mapping[str, str] | None,
    limit: int | None,
    cursor: str | None,
) -> Flow[TaskPage]:
    wanted = {
        "status": status,
        "task_type": task_type,
        "created_after": moment(created_after),
        "limit": limit,
        "cursor": cursor,
        **{f"metadata[{name}]": value for name, value in mapping("metadata", metadata or {}).items()},
    }
    return ask(
        Call("GET", "/tasks", params={name: value for name, value in wanted.items() if value is not None}),
        TaskPage,
    )


def _delete(task_id: str) -> Flow[None]:
    yield Call("DELETE", at("tasks", task_id))


def _watch(poller: TaskPoller, tasks: list[Task]) -> list[Flow[None]]:
    """One flow for each connection, each with its share of the tasks."""
    shares = [tasks[first::_CONNECTIONS] for first in range(min(_CONNECTIONS, len(tasks)))]
    return [poller.watch(share) for share in shares]


class Tasks(SyncResource):
    """Tasks of any type."""

    def submit(
        self,
        task_type: str,
        input: Mapping[str, Any],
        *,
        timeout: float | None = None,
        **options: Unpack[InvokeOptions],
    ) -> TaskHandle[Any]:
        """Hand in a task of any type, with the contract's `input`; other options become its `config`."""
        call, config = apart(options, waits=False)
        return self._submit(invoke_body(task_type, input, config), timeout, **call)

    def attach(self, task: AnyTask) -> TaskHandle[Any]:
        """A handle on a task that was submitted here or elsewhere. Nothing is sent."""
        return TaskHandle(task_of(task), self._driver)

    def get(self, task_id: str) -> Task:
        """The task as it stands now. Raises `NotFoundError`."""
        return self._driver.run(self._poller.look(task_of(task_id)))

    def list(
        self,
        *,
        status: str | None = None,
        task_type: str | None = None,
        created_after: datetime | str | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> TaskPage:
        """A page of tasks, newest first; `page.next_cursor` goes into `cursor` for the next."""
        return self._driver.run(_list(status, task_type, created_after, metadata, limit, cursor))

    def iter(
        self,
        *,
        status: str | None = None,
        task_type: str | None = None,
        created_after: datetime | str | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> Generator[Task, None, None]:
        """All tasks, newest first, page after page of `limit` tasks as they are wanted."""
        return self._iterate(
            lambda cursor: by_cursor(_list(status, task_type, created_after, metadata, limit, cursor))
        )

    def wait(self, task: AnyTask, timeout: float | None = None, **options: Unpack[WatchOptions]) -> Task:
        """The task once it is completed. Waits `timeout` seconds (the client's `poll_timeout` by default).

        Raises `TaskFailedError`, `TaskCancelledError`, `TaskTimeoutError`.
        """
        known = task_of(task)
        return self._attend(lambda poller: poller.wait(known), timeout, **options)

    def cancel(self, task_id: str) -> Task:
        """Ask for a task to be cancelled. Raises `ConflictError` when it is final already."""
        return self._driver.run(self._poller.cancel(task_of(task_id)))

    def delete(self, task_id: str) -> None:
        """Delete a final task. Raises `ConflictError` when it is not final."""
        self._driver.run(_delete(task_id))

    def as_completed(
        self, tasks: Iterable[AnyTask], *, timeout: float | None = None
    ) -> Generator[TaskHandle[Any], None, None]:
        """Handles in the order in which their tasks become final, failed ones too; at most 16 connections.

        Raises `TaskTimeoutError` when not all are within `timeout` seconds (the client's `poll_timeout`).
        """
        handles = {handle.id: handle for handle in map(self._handle, listed("tasks", tasks))}
        limit = self._driver.config.poll_timeout if timeout is None else timeout
        flows = _watch(self._poller, [handle.task for handle in handles.values()])
        try:
            with closing(run_all(self._driver, flows, limit)) as finished:
                for task in finished:
                    yield handles[task.task_id]._seen(task)
        except TaskTimeoutError as late:
            late.handle = handles[late.task.task_id]._seen(late.task)
            raise

    def wait_all(
        self, tasks: Iterable[AnyTask], *, timeout: float | None = None, return_exceptions: bool = False
    ) -> Sequence[Any]:
        """The results in the order of the tasks, once all are final.

        A task without a result raises its error, or gives it as its result with `return_exceptions`.
        """
        handles = [self._handle(task) for task in listed("tasks", tasks)]
        for _ in self.as_completed(handles, timeout=timeout):
            pass
        return [self._outcome(handle, return_exceptions) for handle in handles]

    def _handle(self, task: AnyTask) -> TaskHandle[Any]:
        return task if isinstance(task, TaskHandle) else self.attach(task)

    def _outcome(self, handle: TaskHandle[Any], as_result: bool) -> Any:
        try:
            return handle.wait()
        except TaskError as error:
            if not as_result:
                raise
            return error


class AsyncTasks(AsyncResource):
    """Tasks of any type."""

    async def submit(
        self,
        task_type: str,
        input: Mapping[str, Any],
        *,
        timeout: float | None = None,
        **options: Unpack[InvokeOptions],
    ) -> AsyncTaskHandle[Any]:
        """Hand in a task of any type, with the contract's `input`; other options become its `config`."""
        call, config = apart(options, waits=False)
        return await self._submit(invoke_body(task_type, input, config), timeout, **call)

    def attach(self, task: AnyTask) -> AsyncTaskHandle[Any]:
        """A handle on a task that was submitted here or elsewhere. Nothing is sent."""
        return AsyncTaskHandle(task_of(task), self._driver)

    async def get(self, task_id: str) -> Task:
        """The task as it stands now. Raises `NotFoundError`."""
        return await self._driver.run(self._poller.look(task_of(task_id)))

    async def list(
        self,
        *,
        status: str | None = None,
        task_type: str | None = None,
        created_after: datetime | str | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> TaskPage:
        """A page of tasks, newest first; `page.next_cursor` goes into `cursor` for the next."""
        return await self._driver.run(_list(status, task_type, created_after, metadata, limit, cursor))

    def iter(
        self,
        *,
        status: str | None = None,
        task_type: str | None = None,
        created_after: datetime | str | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Task, None]:
        """All tasks, newest first, page after page of `limit` tasks as they are wanted."""
        return self._iterate(
            lambda cursor: by_cursor(_list(status, task_type, created_after, metadata, limit, cursor))
        )

    async def wait(
        self, task: AnyTask, timeout: float | None = None, **options: Unpack[WatchOptions]
    ) -> Task:
        """The task once it is completed. Waits `timeout` seconds (the client's `poll_timeout` by default).

        Raises `TaskFailedError`, `TaskCancelledError`, `TaskTimeoutError`.
        """
        known = task_of(task)
        return await self._attend(lambda poller: poller.wait(known), timeout, **options)

    async def cancel(self, task_id: str) -> Task:
        """Ask for a task to be cancelled. Raises `ConflictError` when it is final already."""
        return await self._driver.run(self._poller.cancel(task_of(task_id)))

    async def delete(self, task_id: str) -> None:
        """Delete a final task. Raises `ConflictError` when it is not final."""
        await self._driver.run(_delete(task_id))

    async def as_completed(
        self, tasks: Iterable[AnyTask], *, timeout: float | None = None
    ) -> AsyncGenerator[AsyncTaskHandle[Any], None]:
        """Handles in the order in which their tasks become final, failed ones too; at most 16 connections.

        Raises `TaskTimeoutError` when not all are within `timeout` seconds (the client's `poll_timeout`).
        """
        handles = {handle.id: handle for handle in map(self._handle, listed("tasks", tasks))}
        limit = self._driver.config.poll_timeout if timeout is None else timeout
        flows = _watch(self._poller, [handle.task for handle in handles.values()])
        try:
            async with aclosing(run_all_async(self._driver, flows, limit)) as finished:
                async for task in finished:
                    yield handles[task.task_id]._seen(task)
        except TaskTimeoutError as late:
            late.handle = handles[late.task.task_id]._seen(late.task)
            raise

    async def wait_all(
        self, tasks: Iterable[AnyTask], *, timeout: float | None = None, return_exceptions: bool = False
    ) -> Sequence[Any]:
        """The results in the order of the tasks, once all are final.

        A task without a result raises its error, or gives it as its result with `return_exceptions`.
        """
        handles = [self._handle(task) for task in listed("tasks", tasks)]
        async for _ in self.as_completed(handles, timeout=timeout):
            pass
        return [await self._outcome(handle, return_exceptions) for handle in handles]

    def _handle(self, task: AnyTask) -> AsyncTaskHandle[Any]:
        return task if isinstance(task, AsyncTaskHandle) else self.attach(task)

    async def _outcome(self, handle: AsyncTaskHandle[Any], as_result: bool) -> Any:
        try:
            return await handle.wait()
        except TaskError as error:
            if not as_result:
                raise
            return error
