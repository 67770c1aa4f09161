"""Handles: a task that was submitted, to be looked at now and waited for later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

from typing_extensions import Self

from nexusai._internal._client import AsyncDriver, SyncDriver
from nexusai._internal._poller import TaskPoller
from nexusai.error import ConfigurationError, TaskError
from nexusai.models import Task, result_of

__all__ = ["AnyHandle", "AsyncTaskHandle", "TaskHandle", "task_of"]

R = TypeVar("R")


class AnyHandle(Generic[R]):
    """What is known of a task. Its id is enough to go on in another process: see `to_dict`."""

    def __init__(self, task: Task) -> None:
        self._task = task

    @property
    def task(self) -> Task:
        """All that is known of it."""
        return self._task

    @property
    def id(self) -> str:
        return self.task.task_id

    @property
    def status(self) -> str:
        """As it was when last looked at: by `refresh`, `wait` or `cancel`."""
        return self.task.status

    @property
    def progress(self) -> float:
        """0 to 100, as it was when last looked at."""
        return self.task.progress or 0

    def _seen(self, task: Task) -> Self:
        self._task = task
        return self

    def to_dict(self) -> dict[str, Any]:
        """What `tasks.attach` needs, here or anywhere; fit for JSON."""
        return self.task.model_dump(include={"task_id", "task_type"}, exclude_none=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, status={self.status!r}, progress={self.progress:g})"

    def __getstate__(self) -> dict[str, Any]:
        return {"_task": self._task, "_driver": None}


class TaskHandle(AnyHandle[R]):
    """A task of the sync client. A pickled one is attached again with `client.tasks.attach(handle)`."""

    def __init__(self, task: Task, driver: SyncDriver) -> None:
        super().__init__(task)
        self._driver: SyncDriver | None = driver

    def wait(self, timeout: float | None = None) -> R:
        """The result in its own type, once the task is completed.

        Waits `timeout` seconds (the client's `poll_timeout` by default). Raises `TaskFailedError`,
        `TaskCancelledError`, `TaskTimeoutError`.
        """
        driver = _attached(self._driver)
        limit = driver.config.poll_timeout if timeout is None else timeout
        try:
            self._seen(driver.run(TaskPoller(driver.config.poll_interval).wait(self.task), limit))
        except TaskError as error:
            self._seen(error.task)
            raise
        return cast(R, result_of(self.task, driver.fetch))

    def refresh(self) -> Self:
        """Look at the task now."""
        return self._seen(_attached(self._driver).run(TaskPoller().look(self.task)))

    def cancel(self) -> Self:
        """Ask for it to be cancelled. Raises `ConflictError` when it is final already."""
        return self._seen(_attached(self._driver).run(TaskPoller().cancel(self.task)))


class AsyncTaskHandle(AnyHandle[R]):
    """A task of the async client. A pickled one is attached again with `client.tasks.attach(handle)`."""

    def __init__(self, task: Task, driver: AsyncDriver) -> None:
        super().__init__(task)
        self._driver: AsyncDriver | None = driver

    async def wait(self, timeout: float | None = None) -> R:
        """The result in its own type, once the task is completed.

        Waits `timeout` seconds (the client's `poll_timeout` by default). Raises `TaskFailedError`,
        `TaskCancelledError`, `TaskTimeoutError`.
        """
        driver = _attached(self._driver)
        limit = driver.config.poll_timeout if timeout is None else timeout
        try:
            self._seen(await driver.run(TaskPoller(driver.config.poll_interval).wait(self.task), limit))
        except TaskError as error:
            self._seen(error.task)
            raise
        return cast(R, result_of(self.task, driver.fetch, asynchronous=True))

    async def refresh(self) -> Self:
        """Look at the task now."""
        return self._seen(await _attached(self._driver).run(TaskPoller().look(self.task)))

    async def cancel(self) -> Self:
        """Ask for it to be cancelled. Raises `ConflictError` when it is final already."""
        return self._seen(await _attached(self._driver).run(TaskPoller().cancel(self.task)))


def task_of(given: str | Mapping[str, Any] | Task | AnyHandle[Any]) -> Task:
    """The task that an id, a handle, or what `to_dict` made of one stands for."""
    if isinstance(given, AnyHandle):
        return given.task
    if isinstance(given, Task):
        return given
    if isinstance(given, str):
        return Task(task_id=given)
    if isinstance(given, Mapping):
        return Task.model_validate(given)
    raise TypeError(f"a task is its id, a Task, a handle or a handle's dict, not {type(given).__name__}")


D = TypeVar("D")


def _attached(driver: D | None) -> D:
    if driver is None:
        raise ConfigurationError(
            "This handle came out of a pickle: client.tasks.attach(handle) gives a live one."
        )
    return driver
