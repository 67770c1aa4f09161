"""Traces, as a collector gets them over a socket."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from nexusai.testing import Platform
from tests.fixtures.collector import Collector, running_collector
from tests.fixtures.openai_upstream import Upstream
from tests.integration.conftest import of_upstream

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
PROMPT = "a sentence that only its writer and the model read"
CHAT = {"model": "echo", "messages": [{"role": "user", "content": PROMPT}]}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


def asked(collector: Collector, upstream: Upstream, path: str, body: dict[str, object]) -> httpx.Response:
    """The answer of a platform that has sent all of its spans."""
    settings = of_upstream(upstream, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    with Platform(settings) as platform:
        headers = {"Authorization": f"Bearer {platform.api_key}", **TRACEPARENT}
        return httpx.post(f"{platform.url}{path}", json=body, headers=headers, timeout=20)


def test_a_request_and_its_call_are_spans_of_the_callers_trace(
    collector: Collector, upstream: Upstream
) -> None:
    answer = asked(collector, upstream, "/v1/chat/completions", {**CHAT, "temperature": 0.5})

    request, call = collector.named("POST"), collector.named("chat")
    assert {span.trace_id for span in collector.spans} == {TRACE}
    assert (request.parent_id, call.parent_id) == (PARENT, request.span_id)
    assert (request.kind, call.kind) == ("SERVER", "CLIENT")
    assert request.name == "POST /v1/chat/completions"
    assert request.service == "nexusai"
    assert (
        request.attributes.items()
        >= {
            "http.request.method": "POST",
            "http.route": "/v1/chat/completions",
            "http.response.status_code": 200,
            "nexusai.request_id": answer.headers["x-request-id"],
            "nexusai.project": "proj_default",
        }.items()
    )
    assert call.name == "chat echo"
    assert (
        call.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "echo",
            "gen_ai.usage.input_tokens": answer.json()["usage"]["prompt_tokens"],
            "gen_ai.usage.output_tokens": answer.json()["usage"]["completion_tokens"],
        }.items()
    )
    assert PROMPT not in str(collector.spans)


def test_a_task_is_a_span_under_its_request(collector: Collector, upstream: Upstream) -> None:
    body = {"task_type": "text_generation", "input": {"prompt": PROMPT}}
    task = asked(collector, upstream, "/api/v1/invoke", body).json()

    request, run, call = collector.named("POST"), collector.named("task"), collector.named("chat")
    assert (request.parent_id, run.parent_id, call.parent_id) == (PARENT, request.span_id, run.span_id)
    assert run.name == "task text_generation"
    assert (
        run.attributes.items()
        >= {
            "nexusai.task.id": task["task_id"],
            "nexusai.task.attempt": 1,
            "nexusai.task.status": "completed",
        }.items()
    )
    assert PROMPT not in str(collector.spans)


def test_what_fails_upstream_is_an_error_in_all_of_its_spans(
    collector: Collector, upstream: Upstream
) -> None:
    failing = {"role": "user", "content": f"{PROMPT} [[status=500]]"}
    answer = asked(collector, upstream, "/v1/chat/completions", {**CHAT, "messages": [failing]})

    assert answer.status_code == 502
    assert [span.failed for span in collector.spans] == [True, True]
    assert {span.attributes["error.type"] for span in collector.spans} == {"RetryableError"}
    assert PROMPT not in str(collector.spans)


def test_without_an_endpoint_nothing_of_it_is_loaded() -> None:
    """But for OpenTelemetry's API, which FastAPI loads where it is installed."""
    code = (
        "import sys, nexusai.server.serve; print([m for m in sys.modules if m.startswith('opentelemetry.')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "opentelemetry.sdk" not in told
    assert "opentelemetry.exporter" not in told
