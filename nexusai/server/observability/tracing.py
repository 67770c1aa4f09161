"""Traces by OpenTelemetry, where an endpoint is set: nothing is loaded and nothing spent without one.

A request is a span under its caller's, a task one under its request's, and each call to a model one under
either (the hook of the model layer). Needs the extra `otel`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from nexusai.__version__ import __version__
from nexusai.error import ConfigurationError
from nexusai.providers.trace import upstream_headers
from nexusai.server.observability.logs import QUIET
from nexusai.server.traffic import Exchange, TaskRun, Work, current_work

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

__all__ = ["Tracing", "open_tracing"]

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def open_tracing(environ: Mapping[str, str]) -> Tracing | None:
    """None where no endpoint is set. Raises `ConfigurationError` for one that cannot be served."""
    endpoint = next((name for name in ENDPOINTS if environ.get(name)), None)
    if endpoint is None or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    protocol = next((environ[name] for name in PROTOCOLS if environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        raise ConfigurationError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol[:50]!r}: traces are sent by http/protobuf, which "
            "collectors take on port 4318."
        )
    for name, value in environ.items():
        if name.startswith("OTEL_"):
            os.environ.setdefault(name, value)  # of .env: its libraries read the environment alone
    try:
        return Tracing()
    except ImportError:
        raise ConfigurationError(
            f"{endpoint} is set, which needs the extra otel: pip install 'nexusai[server,otel]'"
        ) from None


class Tracing:
    """Spans of requests, tasks and calls, sent in batches by a thread to where `OTEL_…` says."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        from nexusai.providers.telemetry import OpenTelemetryHook

        told = {"service.version": __version__}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            told["service.name"] = "nexusai"
        self._provider = TracerProvider(resource=Resource.create(told))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("nexusai.server", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self.hook: OpenTelemetryHook = OpenTelemetryHook(tracer_provider=self._provider)
        """Makes the spans of calls to models."""

    async def aclose(self) -> None:
        """Send what is left."""
        await asyncio.to_thread(self._provider.shutdown)

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application with a span for each request; `ended` ends it."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            exchange = current_work.get()
            if isinstance(exchange, Exchange) and exchange.path not in QUIET:
                self._begin(exchange, scope)
            await app(scope, receive, send)

        return traced

    def _begin(self, exchange: Exchange, scope: Scope) -> None:
        from opentelemetry.context import attach
        from opentelemetry.trace import SpanKind, set_span_in_context

        host, port = scope.get("server") or (None, None)
        told = {
            "http.request.method": exchange.method,
            "url.path": exchange.path,
            "url.scheme": scope.get("scheme"),
            "server.address": host,
            "server.port": port,
            "nexusai.request_id": exchange.request_id,
        }
        before = self._before(upstream_headers.get())
        span = self._tracer.start_span(exchange.method, before, SpanKind.SERVER, _given(told))
        within = set_span_in_context(span, before)
        attach(within)  # for good: the request has an asyncio task, and so a context, of its own
        upstream_headers.set(self._headers(within))
        exchange.span = span

    def ended(self, exchange: Exchange) -> None:
        """A request is answered."""
        span: Span | None = exchange.span
        if span is None:
            return
        if exchange.route is not None:
            span.update_name(f"{exchange.method} {exchange.route}")
        span.set_attributes(
            _given({"http.route": exchange.route, "http.response.status_code": exchange.status})
            | _whose(exchange)
        )
        if exchange.status >= 500:
            self._failed(span, exchange)
        span.end()

    def task(self, run: TaskRun, trace: Mapping[str, str]) -> AbstractContextManager[Mapping[str, str]]:
        """Around an attempt at a task, under the request that asked for it."""
        return self._task(run, trace)

    @contextmanager
    def _task(self, run: TaskRun, trace: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
        from opentelemetry.context import get_current

        told: dict[str, Any] = {
            "nexusai.request_id": run.request_id,
            "nexusai.task.id": run.task_id,
            "nexusai.task.type": run.task_type,
            "nexusai.task.attempt": run.attempt,
        }
        with self._tracer.start_as_current_span(
            f"task {run.task_type}", self._before(trace), attributes=told, record_exception=False
        ) as span:
            try:
                yield self._headers(get_current())
            finally:
                span.set_attributes({"nexusai.task.status": run.status} | _whose(run))
                if run.status == "failed":
                    self._failed(span, run)

    def _before(self, headers: Mapping[str, str]) -> Context:
        """The caller's span, or nothing: never that of another request on the same connection."""
        from opentelemetry.context import Context

        return self._propagator.extract(headers, Context())

    def _headers(self, context: Context) -> dict[str, str]:
        headers: dict[str, str] = {}
        self._propagator.inject(headers, context)
        return headers

    def _failed(self, span: Span, work: Work) -> None:
        from opentelemetry.trace import StatusCode

        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", work.error or work.code or "_OTHER")


def _whose(work: Work) -> dict[str, Any]:
    return _given({"nexusai.project": work.project, "nexusai.key_id": work.key_id})


def _given(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
