"""What passes through the platform: requests and tasks, as those who watch them are told of each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from nexusai.providers.record import CallRecord

__all__ = ["ROUTE", "Exchange", "TaskRun", "Traffic", "Work", "current_work"]

logger: logging.Logger = logging.getLogger("nexusai.server")

ROUTE: Final = "nexusai.route"
"""Where a request says which route it took, when no router did."""
GONE: Final = 499
"""The status of a request whose client did not wait for one."""


class Work:
    """A request or a task: who it is done for, and the sum of its calls to models. Times in seconds."""

    seconds: float = 0.0
    project: str | None = None
    key_id: str | None = None
    code: str | None = None
    """What went wrong, in the contract's codes."""
    error: str | None = None
    """The class of what was raised, where it says more."""
    calls: int = 0
    provider: str | None = None
    model: str | None = None
    tokens: tuple[int, int] | None = None
    dollars: float = 0.0
    priced: bool = True
    """Whether each call has a price that is known."""
    attempts: int = 0
    cut: bool = False
    fallback: str | None = None
    """The deployments that failed before the one that answered."""
    first_chunk: float | None = None
    upstream_since: float = 0.0
    upstream_until: float = 0.0

    def __init__(self, request_id: str) -> None:
        self.request_id: str = request_id
        self.begun: float = time.perf_counter()

    def heard(self, record: CallRecord, dollars: float | None) -> None:
        """Add a call that is over."""
        now = time.perf_counter()
        begun = now - record.seconds
        if not self.calls or begun < self.upstream_since:
            self.upstream_since = begun
        self.upstream_until = now
        self.calls += 1
        self.provider, self.model = record.provider, record.model
        self.attempts += record.attempts
        usage = record.usage
        if usage is not None:
            sent, received = self.tokens or (0, 0)
            self.tokens = sent + usage.prompt_tokens, received + usage.completion_tokens
            if dollars is None:
                self.priced = False
        if dollars:
            self.dollars += dollars
        if record.cut:
            self.cut = True
        if record.tried:
            self.fallback = ",".join(record.tried)
        if self.first_chunk is None and record.first_chunk is not None:
            self.first_chunk = record.first_chunk

    def failed(self, code: str, error: BaseException | None = None) -> None:
        """Note what is answered in its place."""
        self.code = code
        if error is not None:
            self.error = type(error).__name__

    @property
    def upstream(self) -> float:
        """From the first call to the end of the last."""
        return self.upstream_until - self.upstream_since


class Exchange(Work):
    """A request and its answer."""

    status: int = 0
    gone: bool = False
    """Whether the client went away before the end."""
    task_id: str | None = None
    span: Any = None
    """Where requests are traced."""

    def __init__(self, request_id: str, scope: Mapping[str, Any]) -> None:
        super().__init__(request_id)
        self._scope = scope

    @property
    def method(self) -> str:
        return str(self._scope["method"])

    @property
    def path(self) -> str:
        return str(self._scope["path"])

    @property
    def route(self) -> str | None:
        """The template of its path; None for one that there is nothing at."""
        taken = self._scope.get(ROUTE)
        return taken or getattr(self._scope.get("route"), "path", None)


class TaskRun(Work):
    """One attempt at a task."""

    status: str = "released"
    """`completed`, `failed` or `cancelled`; `released` where the platform stopped before."""

    def __init__(self, request_id: str, task_id: str, task_type: str, attempt: int, waited: float) -> None:
        super().__init__(request_id)
        self.task_id: str = task_id
        self.task_type: str = task_type
        self.attempt: int = attempt
        self.waited: float = waited
        """From when it was accepted until this attempt began."""


current_work: ContextVar[Work | None] = ContextVar("current_work", default=None)
"""The request or the task that something is done for."""

Watcher = Callable[[Any], object]


class Traffic:
    """All of it: how much is under way, whether more is taken, and who is told of what has ended."""

    def __init__(self) -> None:
        self.under_way: int = 0
        """Requests that are not answered to their end yet."""
        self.closing: bool = False
        """Whether the platform is about to stop: nothing new is begun."""
        self.requests: list[Callable[[Exchange], object]] = []
        self.tasks: list[Callable[[TaskRun], object]] = []

    def request_ended(self, exchange: Exchange, status: int) -> None:
        exchange.status = status or GONE
        self._tell(self.requests, exchange)

    def task_ended(self, run: TaskRun) -> None:
        self._tell(self.tasks, run)

    def _tell(self, watchers: list[Any], work: Work) -> None:
        work.seconds = time.perf_counter() - work.begun
        for watcher in watchers:
            try:
                watcher(work)
            except Exception:
                logger.exception("what watches requests and tasks failed")
