"""Handles: a task that was submitted, to be looked at now and waited for later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from typing_extensions import Self

from nexusai._internal._budget import seconds_of
from nexusai._internal._client import AsyncDriver, SyncDriver
from nexusai._internal._flow import Flow
from nexusai._internal._poller import TaskPoller
from nexusai._internal._stream import AsyncTaskEventStream, TaskEventStream
from nexusai._internal._task_events import TaskEventState
from nexusai._internal._wait import Wait
from nexusai.config import Config
from nexusai.error import ConfigurationError, InvalidRequestError, TaskError, TaskTimeoutError
from nexusai.models import Task, result_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import WatchOptions

__all__ = ["AnyHandle", "AsyncTaskHandle", "TaskHandle", "attend", "attend_async", "task_of"]

R = TypeVar("R")
T = TypeVar("T")


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
        """As it was when last heard of: by `refresh`, `wait`, `events` or `cancel`."""
        return self.task.status

    @property
    def progress(self) -> float:
        """0 to 100, as it was when last heard of."""
        return self.task.progress or 0

    def _seen(self, task: Task) -> Self:
        self._task = task
        return self

    def _follow(self, config: Config, timeout: float | None) -> TaskEventState:
        """The state of a stream of events, which keeps a copy of the task up to date: ours from now on."""
        idle = config.poll_timeout if timeout is None else seconds_of(timeout)
        self._seen(self.task.model_copy())
        return TaskEventState(self.task, retries=config.max_retries, idle=idle)

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

    def wait(self, timeout: float | None = None, **options: Unpack[WatchOptions]) -> R:
        """The result in its own type, once the task is completed.

        Waits `timeout` seconds (the client's `poll_timeout` by default). Raises `TaskFailedError`,
        `TaskCancelledError`, `TaskTimeoutError`.
        """
        driver = _attached(self._driver)
        try:
            self._seen(attend(driver, lambda poller: poller.wait(self.task), timeout, **options))
        except TaskError as error:
            self._seen(error.task)
            if isinstance(error, TaskTimeoutError):
                error.handle = self
            raise
        return cast(R, result_of(self.task, driver.fetch))

    def events(self, timeout: float | None = None) -> TaskEventStream:
        """What happens to the task, as it happens; the iteration ends with the task, failed or not.

        `timeout` is the longest silence in seconds (the client's `poll_timeout` by default).
        """
        driver = _attached(self._driver)
        return TaskEventStream(driver, self._follow(driver.config, timeout), self._seen)

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

    async def wait(self, timeout: float | None = None, **options: Unpack[WatchOptions]) -> R:
        """The result in its own type, once the task is completed.

        Waits `timeout` seconds (the client's `poll_timeout` by default). Raises `TaskFailedError`,
        `TaskCancelledError`, `TaskTimeoutError`.
        """
        driver = _attached(self._driver)
        try:
            self._seen(await attend_async(driver, lambda poller: poller.wait(self.task), timeout, **options))
        except TaskError as error:
            self._seen(error.task)
            if isinstance(error, TaskTimeoutError):
                error.handle = self
            raise
        return cast(R, result_of(self.task, driver.fetch, asynchronous=True))

    def events(self, timeout: float | None = None) -> AsyncTaskEventStream:
        """What happens to the task, as it happens; the iteration ends with the task, failed or not.

        `timeout` is the longest silence in seconds (the client's `poll_timeout` by default).
        """
        driver = _attached(self._driver)
        return AsyncTaskEventStream(driver, self._follow(driver.config, timeout), self._seen)

    async def refresh(self) -> Self:
        """Look at the task now."""
        return self._seen(await _attached(self._driver).run(TaskPoller().look(self.task)))

    async def cancel(self) -> Self:
        """Ask for it to be cancelled. Raises `ConflictError` when it is final already."""
        return self._seen(await _attached(self._driver).run(TaskPoller().cancel(self.task)))


def attend(
    driver: SyncDriver,
    work: Callable[[TaskPoller], Flow[T]],
    timeout: float | None = None,
    **options: Unpack[WatchOptions],
) -> T:
    """What a flow of waiting returns; `work` makes it of the poller that the options are for.

    `timeout` is in seconds, the client's `poll_timeout` by default. A `TaskTimeoutError` gets its handle.
    """
    wait = Wait.of(driver.config, timeout, **options)
    try:
        with wait.hearing() as hear:
            return driver.run(work(wait.poller), wait.timeout, hear)
    except TaskTimeoutError as late:
        late.handle = TaskHandle(late.task, driver)
        raise


async def attend_async(
    driver: AsyncDriver,
    work: Callable[[TaskPoller], Flow[T]],
    timeout: float | None = None,
    **options: Unpack[WatchOptions],
) -> T:
    """What a flow of waiting returns; `work` makes it of the poller that the options are for.

    `timeout` is in seconds, the client's `poll_timeout` by default. A `TaskTimeoutError` gets its handle.
    """
    wait = Wait.of(driver.config, timeout, awaited=True, **options)
    try:
        with wait.hearing() as hear:
            return await driver.run(work(wait.poller), wait.timeout, hear)
    except TaskTimeoutError as late:
        late.handle = AsyncTaskHandle(late.task, driver)
        raise


def task_of(given: str | Mapping[str, Any] | Task | AnyHandle[Any]) -> Task:
    """The task that an id, a handle, or what `to_dict` made of one stands for."""
    if isinstance(given, AnyHandle):
        return given.task
    if isinstance(given, Task):
        return given
    if isinstance(given, str):
        return Task(task_id=given)
    if isinstance(given, Mapping):
        try:
            return Task.model_validate(given)
        except ValueError:
            raise InvalidRequestError("This is no handle's dict: that has at least a task_id.") from None
    raise TypeError(f"a task is its id, a Task, a handle or a handle's dict, not {type(given).__name__}")


D = TypeVar("D")


def _attached(driver: D | None) -> D:
    if driver is None:
        raise ConfigurationError(
            "This handle came out of a pickle: client.tasks.attach(handle) gives a live one."
        )
    return driver
