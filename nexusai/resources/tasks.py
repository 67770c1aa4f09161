"""Tasks of any type: submitted, looked at, waited for, cancelled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import aclosing, closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

from nexusai._internal._flow import Call, Flow, Reply, at
from nexusai._internal._invoke import invoke_body
from nexusai._internal._poller import TaskPoller
from nexusai.error import TaskError
from nexusai.models import Task, TaskPage
from nexusai.resources._handle import AnyHandle, AsyncTaskHandle, TaskHandle, task_of
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import InvokeOptions

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
    if isinstance(created_after, datetime):
        created_after = created_after.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    wanted = {
        "status": status,
        "task_type": task_type,
        "created_after": created_after,
        "limit": limit,
        "cursor": cursor,
        **{f"metadata[{name}]": value for name, value in (metadata or {}).items()},
    }
    reply: Reply = yield Call(
        "GET", "/tasks", params={name: value for name, value in wanted.items() if value is not None}
    )
    return reply.parse(TaskPage)


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
        return self._submit(invoke_body(task_type, input, options), timeout)

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

    def wait(self, task: AnyTask, timeout: float | None = None) -> Task:
        """The task once it is completed. Waits `timeout` seconds (the client's `poll_timeout` by default).

        Raises `TaskFailedError`, `TaskCancelledError`, `TaskTimeoutError`.
        """
        return self._wait(self._poller.wait(task_of(task)), timeout)

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
        handles = {handle.id: handle for handle in map(self._handle, tasks)}
        limit = self._driver.config.poll_timeout if timeout is None else timeout
        flows = _watch(self._poller, [handle.task for handle in handles.values()])
        with closing(self._driver.run_all(flows, limit)) as finished:
            for task in finished:
                yield handles[task.task_id]._seen(task)

    def wait_all(
        self, tasks: Iterable[AnyTask], *, timeout: float | None = None, return_exceptions: bool = False
    ) -> Sequence[Any]:
        """The results in the order of the tasks, once all are final.

        A task without a result raises its error, or gives it as its result with `return_exceptions`.
        """
        handles = [self._handle(task) for task in tasks]
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
        return await self._submit(invoke_body(task_type, input, options), timeout)

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

    async def wait(self, task: AnyTask, timeout: float | None = None) -> Task:
        """The task once it is completed. Waits `timeout` seconds (the client's `poll_timeout` by default).

        Raises `TaskFailedError`, `TaskCancelledError`, `TaskTimeoutError`.
        """
        return await self._wait(self._poller.wait(task_of(task)), timeout)

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
        handles = {handle.id: handle for handle in map(self._handle, tasks)}
        limit = self._driver.config.poll_timeout if timeout is None else timeout
        flows = _watch(self._poller, [handle.task for handle in handles.values()])
        async with aclosing(self._driver.run_all(flows, limit)) as finished:
            async for task in finished:
                yield handles[task.task_id]._seen(task)

    async def wait_all(
        self, tasks: Iterable[AnyTask], *, timeout: float | None = None, return_exceptions: bool = False
    ) -> Sequence[Any]:
        """The results in the order of the tasks, once all are final.

        A task without a result raises its error, or gives it as its result with `return_exceptions`.
        """
        handles = [self._handle(task) for task in tasks]
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
