from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nexusai.providers.errors import RateLimitError
from nexusai.providers.record import CallRecord
from nexusai.providers.setup import load_setup
from nexusai.providers.types import Cost, Usage
from nexusai.server.observability.exposition import Exposition
from nexusai.server.observability.labels import KnownModels
from nexusai.server.observability.metrics import Metrics, Reading
from nexusai.server.providers.opening import Providers
from nexusai.server.traffic import ROUTE, Exchange, TaskRun
from nexusai.server.usage.models import Rates
from tests.fixtures.server import metering

Value = Callable[..., float | None]


@pytest.fixture
async def metrics():
    catalogue = Providers(load_setup(None, {"OPENAI_API_KEY": "sk-x"}), *metering()).catalogue
    yield Metrics(Rates({"CNY": 0.5}), KnownModels(catalogue))
    await catalogue.aclose()


def scraped(metrics: Metrics, readings: Iterable[Reading] = ()) -> Value:
    """What Prometheus' own parser reads: the value of a sample by its name and labels."""
    text = Exposition(metrics.families).text(list(readings)).decode()
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float | None:
        return samples.get((name, tuple(sorted(labels.items()))))

    return value


def exchange(path: str, status: int = 200, route: str | None = None, method: str = "POST") -> Exchange:
    one = Exchange("req_1", {"method": method, "path": path, ROUTE: route})
    one.status = status
    return one


def call(model: str = "gpt-4o", **facts: object) -> CallRecord:
    return CallRecord("chat", "openai", model, **{"attempts": 1, "seconds": 0.3, **facts})  # type: ignore[arg-type]


def test_requests_are_counted_by_route_and_status(metrics: Metrics):
    for status in (200, 200, 429):
        metrics.request(exchange("/api/v1/tasks/task_1", status, "/api/v1/tasks/{task_id}", "GET"))

    value = scraped(metrics)
    labels = {"method": "GET", "route": "/api/v1/tasks/{task_id}"}
    assert value("nexus_requests_total", status="200", **labels) == 2
    assert value("nexus_requests_total", status="429", **labels) == 1
    assert value("nexus_request_seconds_count", route=labels["route"]) == 3


def test_errors_are_counted_by_code(metrics: Metrics):
    one = exchange("/api/v1/invoke", 429, "/api/v1/invoke")
    one.failed("RATE_LIMIT_EXCEEDED")
    metrics.request(one)

    value = scraped(metrics)
    assert value("nexus_errors_total", route="/api/v1/invoke", code="RATE_LIMIT_EXCEEDED") == 1


def test_a_call_is_counted_with_its_tokens_and_its_cost_in_dollars(metrics: Metrics):
    usage = Usage(100, 20, cached_tokens=80, source="provider")
    metrics.heard(call(usage=usage, cost=Cost(2.0, "CNY"), first_chunk=0.1, attempts=3, tried=("azure/x",)))

    value, model = scraped(metrics), {"provider": "openai", "model": "gpt-4o"}
    assert value("nexus_calls_total", operation="chat", outcome="completed", **model) == 1
    assert value("nexus_call_seconds_sum", operation="chat", **model) == 0.3
    assert value("nexus_call_seconds_bucket", operation="chat", le="0.25", **model) == 0
    assert value("nexus_call_seconds_bucket", operation="chat", le="0.5", **model) == 1
    assert value("nexus_first_chunk_seconds_count", **model) == 1
    assert value("nexus_tokens_total", kind="prompt", **model) == 100
    assert value("nexus_tokens_total", kind="completion", **model) == 20
    assert value("nexus_tokens_total", kind="cached", **model) == 80
    assert value("nexus_cost_dollars_total", **model) == 1.0
    assert value("nexus_retries_total", provider="openai") == 2
    assert value("nexus_fallbacks_total", **model) == 1


def test_a_call_that_fails_is_counted_by_the_class_of_its_error(metrics: Metrics):
    metrics.heard(call(error=RateLimitError("no", code="something that the vendor made up")))

    value = scraped(metrics)
    assert value("nexus_call_failures_total", provider="openai", error="RateLimitError") == 1


def test_tasks_are_counted_by_how_they_ended(metrics: Metrics):
    for attempt, status in ((1, "released"), (2, "completed")):
        run = TaskRun("req_1", "task_1", "text_generation", attempt, 1.0)
        run.status = status
        metrics.task(run)

    value = scraped(metrics)
    assert value("nexus_tasks_total", task_type="text_generation", status="completed") == 1
    assert value("nexus_task_seconds_count", task_type="text_generation") == 2
    assert value("nexus_task_wait_seconds_count", task_type="text_generation") == 1


def test_what_is_looked_up_is_among_them(metrics: Metrics):
    value = scraped(
        metrics, [Reading("nexus_tasks_open", 7, ("queued",)), Reading("nexus_usage_rows_dropped", 3)]
    )

    assert value("nexus_tasks_open", status="queued") == 7
    assert value("nexus_usage_rows_dropped_total") == 3


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("GPT-4o", "gpt-4o"),
        ("somebody's own", "other"),
        pytest.param("gpt-4o" * 1_000_000, "other", id="megabytes"),
    ],
)
async def test_a_model_is_told_by_the_name_that_the_catalogue_has(metrics: Metrics, model: str, label: str):
    metrics.heard(call(model))

    assert scraped(metrics)("nexus_call_seconds_count", provider="openai", model=label, operation="chat") == 1


def test_what_callers_choose_makes_no_series(metrics: Metrics):
    """10,000 models, users, paths, methods and statuses of tasks later there are as many as before."""
    dice = random.Random(7)

    def anything() -> str:
        return "".join(dice.choices(string.printable, k=24))

    for _ in range(10_000):
        one = exchange(f"/v1/{anything()}", 404, None, anything())
        one.project, one.key_id, one.request_id = anything(), anything(), anything()
        one.failed("NOT_FOUND", ValueError(anything()))
        metrics.request(one)
        error = RateLimitError(anything(), code=anything(), status=dice.randrange(400, 600))
        metrics.heard(call(anything(), error=error, tags=(anything(),), session=anything()))
        metrics.heard(call(f"gpt-4o-2024-{dice.randrange(10, 13)}-{dice.randrange(10, 29)}"))

    assert sum(len(family.values) for family in metrics.families) < 15
