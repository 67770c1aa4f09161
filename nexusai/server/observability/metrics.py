"""What is counted of requests, calls and tasks: plain numbers, put into Prometheus' words when it asks.

A label has one of few values, whatever callers send: a route's template, a provider that is configured, a
model that is known here. Everything else is `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from nexusai.providers.record import CallRecord
from nexusai.server.traffic import Exchange, TaskRun, current_work
from nexusai.server.usage.models import Rates

__all__ = ["Counter", "Histogram", "Labels", "Metrics", "Reading"]

Labels = tuple[str, ...]
ModelLabel = Callable[[str, str], str]

OTHER: Final = "other"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS: Final = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
)


class Reading(NamedTuple):
    """One value that is looked up when somebody asks."""

    name: str
    value: float
    labels: Labels = ()


class Counter:
    """A number that only grows, for each set of labels."""

    def __init__(self, name: str, labels: Labels, help: str) -> None:
        self.name: str = name
        self.labels: Labels = labels
        self.help: str = help
        self.values: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1) -> None:
        values = self.values
        values[labels] = values.get(labels, 0) + amount


class Histogram:
    """How many values were up to each bound, for each set of labels."""

    def __init__(self, name: str, labels: Labels, help: str, bounds: Sequence[float] = SECONDS) -> None:
        self.name: str = name
        self.labels: Labels = labels
        self.help: str = help
        self.bounds: Sequence[float] = bounds
        self.values: dict[Labels, list[float]] = {}
        """The count of each bucket by itself, that above the last bound, and the sum of all values."""

    def observe(self, labels: Labels, value: float) -> None:
        found = self.values.get(labels)
        if found is None:
            found = self.values[labels] = [0] * (len(self.bounds) + 2)
        found[bisect_left(self.bounds, value)] += 1
        found[-1] += value


class Metrics:
    """Listens to calls, requests and tasks. Times in seconds, money in US dollars."""

    def __init__(self, rates: Rates, model_label: ModelLabel) -> None:
        self._rates = rates
        self._label = model_label
        route = ("route",)
        at, model = ("provider", "model", "operation"), ("provider", "model")
        self._requests = Counter(
            "nexus_requests", ("method", *route, "status"), "Requests that were answered."
        )
        self._seconds = Histogram("nexus_request_seconds", route, "From a request to the end of its answer.")
        self._errors = Counter("nexus_errors", (*route, "code"), "Requests that were answered by an error.")
        self._gone = Counter("nexus_clients_gone", route, "Requests whose client left before the end.")
        self._calls = Counter("nexus_calls", (*at, "outcome"), "Calls to models: completed, failed, cut.")
        self._failures = Counter("nexus_call_failures", ("provider", "error"), "Calls that failed, by class.")
        self._upstream = Histogram("nexus_call_seconds", at, "From a call to the end of its answer.")
        self._first = Histogram(
            "nexus_first_chunk_seconds", model, "From a call to its stream's first chunk."
        )
        self._tokens = Counter("nexus_tokens", (*model, "kind"), "Tokens of prompts and answers.")
        self._cost = Counter("nexus_cost_dollars", model, "What calls cost, where the price is known.")
        self._retries = Counter("nexus_retries", ("provider",), "Attempts at calls after the first.")
        self._fallbacks = Counter("nexus_fallbacks", model, "Calls in the place of one that failed.")
        self._tasks = Counter("nexus_tasks", ("task_type", "status"), "Attempts at tasks that have ended.")
        self._running = Histogram("nexus_task_seconds", ("task_type",), "How long attempts at tasks ran.")
        self._waited = Histogram("nexus_task_wait_seconds", ("task_type",), "From accepted to first begun.")

    @property
    def families(self) -> list[Counter | Histogram]:
        """All that is counted."""
        return [each for each in vars(self).values() if isinstance(each, (Counter, Histogram))]

    def heard(self, record: CallRecord) -> None:
        """A hook of the model layer."""
        dollars = self._rates.dollars(record.cost)
        work = record.context.get(current_work) if record.context is not None else None
        if work is not None:
            work.heard(record, dollars)
        provider, operation = record.provider, record.operation
        label = self._label(provider, record.model)
        model, at = (provider, label), (provider, label, operation)
        outcome = "cut" if record.cut else "completed" if record.error is None else "failed"
        self._calls.add((provider, label, operation, outcome))
        self._upstream.observe(at, record.seconds)
        if record.first_chunk is not None:
            self._first.observe(model, record.first_chunk)
        if record.error is not None:
            self._failures.add((provider, type(record.error).__name__))
        if record.attempts > 1:
            self._retries.add((provider,), record.attempts - 1)
        if record.tried:
            self._fallbacks.add(model)
        if dollars:
            self._cost.add(model, dollars)
        usage, count = record.usage, self._tokens.add
        if usage is None:
            return
        if usage.prompt_tokens:
            count((provider, label, "prompt"), usage.prompt_tokens)
        if usage.completion_tokens:
            count((provider, label, "completion"), usage.completion_tokens)
        if usage.cached_tokens:
            count((provider, label, "cached"), usage.cached_tokens)
        if usage.cache_write_tokens:
            count((provider, label, "cache_write"), usage.cache_write_tokens)
        if usage.reasoning_tokens:
            count((provider, label, "reasoning"), usage.reasoning_tokens)

    def request(self, exchange: Exchange) -> None:
        """A request has ended."""
        route = exchange.route or OTHER
        method = exchange.method
        self._requests.add((method if method in METHODS else OTHER, route, str(exchange.status)))
        self._seconds.observe((route,), exchange.seconds)
        if exchange.code is not None:
            self._errors.add((route, exchange.code))
        if exchange.gone:
            self._gone.add((route,))

    def task(self, run: TaskRun) -> None:
        """An attempt at a task has ended."""
        self._tasks.add((run.task_type, run.status))
        self._running.observe((run.task_type,), run.seconds)
        if run.attempt == 1:
            self._waited.observe((run.task_type,), run.waited)
