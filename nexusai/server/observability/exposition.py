"""The metrics in Prometheus' words, made when it asks: counting costs no more than a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from nexusai.__version__ import __version__
from nexusai.server.observability.metrics import Counter, Histogram, Labels, Reading

__all__ = ["MEDIA_TYPE", "READINGS", "Exposition"]

MEDIA_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

READINGS: Final[dict[str, tuple[str, Labels, str]]] = {
    "nexus_build_info": ("gauge", ("version",), "The version that runs."),
    "nexus_requests_under_way": ("gauge", (), "Requests that are being answered."),
    "nexus_tasks_open": ("gauge", ("status",), "Tasks that are queued, and that run."),
    "nexus_oldest_queued_task_seconds": ("gauge", (), "How long the oldest queued task waits."),
    "nexus_breaker_state": ("gauge", ("provider", "model"), "0 closed, 1 half open, 2 open."),
    "nexus_upstream_connections": ("gauge", ("state",), "Connections to providers: in use, and idle."),
    "nexus_usage_rows_waiting": ("gauge", (), "Rows of usage that are not written yet."),
    "nexus_usage_rows_dropped": ("counter", (), "Rows of usage that were lost."),
    "nexus_conversations_waiting": ("gauge", (), "Logged conversations that are not written yet."),
    "nexus_conversations_dropped": ("counter", (), "Logged conversations that were lost."),
    "nexus_log_lines_dropped": ("counter", (), "Lines of the log that nobody read in time."),
}
"""What is looked up when it is asked for: its type, its labels, and what it is."""


class Exposition:
    """The registry of one platform. `process_…` comes from the operating system, where that is Linux."""

    def __init__(self, counted: Sequence[Counter | Histogram]) -> None:
        self._counted = counted
        self._readings: Sequence[Reading] = ()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self, readings: Sequence[Reading]) -> bytes:
        """Everything, in the text format, which all scrapers read."""
        self._readings = [Reading("nexus_build_info", 1, (__version__,)), *readings]
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing: what is registered is not to be collected for its names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        for each in self._counted:
            yield _histogram(each) if isinstance(each, Histogram) else _counter(each)
        yield from _looked_up(self._readings)


def _counter(counter: Counter) -> Metric:
    family = CounterMetricFamily(counter.name, counter.help, labels=counter.labels)
    for labels, value in counter.values.items():
        family.add_metric(labels, value)
    return family


def _histogram(histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(histogram.name, histogram.help, labels=histogram.labels)
    bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
    for labels, values in histogram.values.items():
        buckets = list(zip(bounds, accumulate(values[:-1]), strict=True))
        family.add_metric(labels, buckets, sum_value=values[-1])
    return family


def _looked_up(readings: Sequence[Reading]) -> Iterator[Metric]:
    for name, (kind, labels, help) in READINGS.items():
        make = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
        family = make(name, help, labels=labels)
        for reading in readings:
            if reading.name == name:
                family.add_metric(reading.labels, reading.value)
        yield family
