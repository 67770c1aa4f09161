"""Spans and `traceparent`, with OpenTelemetry's own SDK to record them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pytest_httpx import HTTPXMock

from nexusai._internal._flow import Call, create
from nexusai.error import APIConnectionError, StreamError, TaskFailedError
from tests.fixtures.sdk import EVENTS, Both

Spans = Callable[[], list[ReadableSpan]]

TASK = {
    "task_id": "task_1",
    "status": "completed",
    "provider": "openai",
    "model": "gpt-9-0101",
    "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8, "cached_tokens": 2},
    "output": {"text": "an answer", "finish_reason": "stop"},
}


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    """A provider can be set once in a process: this one records nothing any more when the module is done."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Spans:
    """Our spans, of which each is over."""
    exporter.clear()
    return lambda: [span for span in exporter.get_finished_spans() if span.name != "mine"]


@pytest.fixture
def mine(spans: Spans) -> Iterator[Any]:
    """A span of the application's own, in which it calls us."""
    with trace.get_tracer("application").start_as_current_span("mine") as span:
        yield span.get_span_context()


def run(sdk: Both, call: Call) -> Any:
    def ask() -> Any:
        return (yield call)

    return sdk(lambda client: client._driver.run(ask()))


def carried(request: httpx.Request) -> tuple[int, int] | None:
    """The trace and the span that a request is under."""
    parts = request.headers.get("traceparent", "").split("-")
    return (int(parts[1], 16), int(parts[2], 16)) if len(parts) == 4 else None


def only(spans: Spans) -> tuple[str, dict[str, Any]]:
    (span,) = spans()
    return span.name, dict(span.attributes or {})


def events(*data: Any) -> bytes:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in data]
    return "".join(f"id: {number}\ndata: {text}\n\n" for number, text in enumerate(texts, 1)).encode()


FIRST = {"task_id": "task_1", "model": "gpt-9-0101", "provider": "openai"}
WORD = {"delta": {"content": "an answer"}}
LAST = {"finish_reason": "stop", "usage": {"prompt_tokens": 3, "completion_tokens": 5}}


def read(sdk: Both, most: int = 99, **options: Any) -> None:
    """Read so many chunks of a stream, and close it."""

    async def later(client: Any) -> None:
        async with client.text.stream("my prompt", **options) as stream:
            for _ in range(most):
                if await anext(stream, None) is None:
                    break

    def now(client: Any) -> None:
        with client.text.stream("my prompt", **options) as stream:
            for _ in range(most):
                if next(stream, None) is None:
                    break

    sdk(later if sdk.asynchronous else now)


# A span for each call that has a model work


def test_a_text_is_a_span_by_the_conventions(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response(method="POST", status_code=202, json={"task_id": "task_1", "status": "queued"})
    httpx_mock.add_response(method="GET", json=TASK)
    options = {"temperature": 0.5, "max_tokens": 9, "seed": 7, "stop": "END", "top_p": 1, "other": "x"}
    sdk(lambda client: client.text.generate("my prompt", provider="openai", model="gpt-9", **options))

    assert spans()[0].kind is SpanKind.CLIENT
    assert spans()[0].status.status_code is StatusCode.UNSET
    assert only(spans) == (
        "chat gpt-9",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-9",
            "gen_ai.output.type": "text",
            "gen_ai.request.temperature": 0.5,
            "gen_ai.request.max_tokens": 9,
            "gen_ai.request.seed": 7,
            "gen_ai.request.top_p": 1,
            "gen_ai.request.stop_sequences": ("END",),
            "gen_ai.response.id": "task_1",
            "gen_ai.response.model": "gpt-9-0101",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.cache_read.input_tokens": 2,
            "server.address": "platform.test",
            "server.port": 80,
        },
    )


def test_neither_prompt_nor_answer_is_in_a_span(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response(json=TASK)
    sdk(lambda client: client.text.generate("my prompt", system="my prompt"))
    shown = spans()[0].to_json()
    assert "my prompt" not in shown
    assert "an answer" not in shown


def test_easy_mode_names_no_model_and_learns_the_provider(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response(json=TASK)
    sdk(lambda client: client.text.generate("my prompt"))
    name, attributes = only(spans)
    assert name == "chat"
    assert attributes["gen_ai.provider.name"] == "openai"


def test_a_provider_that_is_not_known_is_the_platform(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response(json={"task_id": "task_1", "status": "queued"})
    sdk(lambda client: client.text.generate_async("my prompt"))
    assert only(spans)[1]["gen_ai.provider.name"] == "nexusai"


@pytest.mark.parametrize(
    ("body", "name", "kind"),
    [
        ({"task_type": "image_generation", "model": "m"}, "generate_content m", "image"),
        ({"task_type": "text_to_speech", "model": "m"}, "generate_content m", "speech"),
        ({"task_type": "speech_to_text", "model": "m"}, "generate_content m", "text"),
        ({"task_type": "embeddings", "model": "m"}, "embeddings m", None),
        ({"task_type": "moderation"}, "moderation", None),
        ({"task_type": "text_generation", "config": {"response_format": {"type": "json"}}}, "chat", "json"),
    ],
)
def test_each_kind_of_task_has_its_operation(
    body: dict[str, Any], name: str, kind: str | None, sdk: Both, httpx_mock: HTTPXMock, spans: Spans
):
    httpx_mock.add_response(json=TASK)
    run(sdk, create("/invoke", json=body))
    assert only(spans)[0] == name
    assert only(spans)[1].get("gen_ai.output.type") == kind


def test_a_turn_of_a_session_names_the_conversation(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response(json=TASK)
    run(sdk, create("/sessions/sess_1/invoke", json={"prompt": "my prompt"}))
    name, attributes = only(spans)
    assert name == "chat"
    assert attributes["gen_ai.conversation.id"] == "sess_1"


def test_a_setting_of_another_type_is_left_out(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response(json=TASK, is_reusable=True)
    run(sdk, create("/invoke", json={"config": {"temperature": "hot", "seed": True, "stop": 3}}))
    run(sdk, create("/invoke", json={"config": "none"}))
    assert not [name for span in spans() for name in span.attributes or () if "gen_ai.request" in name]


@pytest.mark.parametrize(
    "call",
    [
        Call("GET", "/tasks/task_1"),
        create("/files"),
        create("/sessions", json={}),
        create("/batches", json={}),
    ],
)
def test_what_has_no_model_work_is_no_span(call: Call, sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response()
    run(sdk, call)
    assert spans() == []


def test_a_failed_task_is_named_by_its_code_alone(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    failure = {"code": "CONTENT_FILTERED", "message": "quotes my prompt"}
    httpx_mock.add_response(json={"task_id": "task_1", "status": "failed", "error": failure})
    with pytest.raises(TaskFailedError):
        sdk(lambda client: client.text.generate("my prompt"))

    assert only(spans)[1]["error.type"] == "CONTENT_FILTERED"
    assert only(spans)[1]["gen_ai.response.id"] == "task_1"
    assert spans()[0].status.status_code is StatusCode.ERROR
    assert spans()[0].events == ()
    assert "my prompt" not in spans()[0].to_json()


def test_an_error_without_a_code_is_named_by_its_class(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_exception(httpx.ConnectError("refused"))
    with pytest.raises(APIConnectionError):
        sdk(lambda client: client.text.generate("my prompt"), max_retries=0)
    assert only(spans)[1]["error.type"] == "APIConnectionError"


def test_an_interrupt_ends_the_span(httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_exception(KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        Both(asynchronous=False)(lambda client: client.text.generate("my prompt"))
    assert only(spans)[1]["error.type"] == "KeyboardInterrupt"


# Streams


def test_a_stream_is_a_span_until_its_end(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response(content=events(FIRST, WORD, LAST, "[DONE]"), headers=EVENTS)
    read(sdk, model="gpt-9")

    name, attributes = only(spans)
    assert name == "chat gpt-9"
    assert attributes["gen_ai.provider.name"] == "openai"
    assert attributes["gen_ai.response.id"] == "task_1"
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert attributes["gen_ai.usage.output_tokens"] == 5
    assert "an answer" not in spans()[0].to_json()


def test_a_stream_that_is_left_early_is_no_error(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response(content=events(FIRST, WORD, LAST, "[DONE]"), headers=EVENTS)
    read(sdk, 1)
    assert "error.type" not in only(spans)[1]
    assert only(spans)[1]["gen_ai.response.model"] == "gpt-9-0101"


def test_a_stream_that_ends_too_early_is_an_error(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response(content=events(WORD), headers=EVENTS)
    with pytest.raises(StreamError):
        read(sdk)
    assert only(spans)[1]["error.type"] == "StreamError"


def test_a_stream_is_carried_by_its_span(sdk: Both, httpx_mock: HTTPXMock, mine: Any, spans: Spans):
    httpx_mock.add_response(content=events(FIRST, WORD, LAST, "[DONE]"), headers=EVENTS)
    read(sdk)
    context = spans()[0].get_span_context()
    assert context is not None
    assert carried(httpx_mock.get_requests()[0]) == (mine.trace_id, context.span_id)


# traceparent


def test_requests_are_carried_by_the_span_of_their_call(
    sdk: Both, httpx_mock: HTTPXMock, mine: Any, spans: Spans
):
    httpx_mock.add_response(method="POST", status_code=202, json={"task_id": "task_1", "status": "queued"})
    httpx_mock.add_response(method="GET", json=TASK)
    sdk(lambda client: client.text.generate("my prompt"))

    (span,) = spans()
    context = span.get_span_context()
    assert context is not None
    assert span.parent is not None
    assert span.parent.span_id == mine.span_id
    assert {carried(request) for request in httpx_mock.get_requests()} == {(mine.trace_id, context.span_id)}


def test_any_request_is_carried_by_the_current_span(sdk: Both, httpx_mock: HTTPXMock, mine: Any):
    httpx_mock.add_response()
    run(sdk, Call("GET", "/tasks/task_1"))
    sent = httpx_mock.get_requests()[0]
    assert carried(sent) == (mine.trace_id, mine.span_id)
    assert sent.headers["traceparent"].endswith(f"-{mine.trace_flags:02x}")


def test_the_state_of_a_trace_goes_with_it(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response()
    state = trace.TraceState([("vendor", "x")])
    context = trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(0), trace_state=state)
    with trace.use_span(trace.NonRecordingSpan(context)):
        run(sdk, Call("GET", "/tasks/task_1"))
    sent = httpx_mock.get_requests()[0].headers
    assert sent["traceparent"] == f"00-{1:032x}-{2:016x}-00"
    assert sent["tracestate"] == "vendor=x"


def test_without_a_span_there_is_no_traceparent(sdk: Both, httpx_mock: HTTPXMock, spans: Spans):
    httpx_mock.add_response()
    run(sdk, Call("GET", "/tasks/task_1"))
    assert "traceparent" not in httpx_mock.get_requests()[0].headers


def test_no_other_origin_learns_of_the_trace(sdk: Both, httpx_mock: HTTPXMock, mine: Any):
    httpx_mock.add_response()
    run(sdk, Call("GET", "http://elsewhere.test/f"))
    assert "traceparent" not in httpx_mock.get_requests()[0].headers


def test_the_span_is_current_no_longer_than_its_call(sdk: Both, httpx_mock: HTTPXMock, mine: Any):
    httpx_mock.add_response(json=TASK)
    sdk(lambda client: client.text.generate("my prompt"))
    assert trace.get_current_span().get_span_context() == mine


# Without it

UNUSED = """
import httpx, nexusai, sys
answer = {"task_id": "task_1", "status": "completed", "output": {"text": "Hi!"}}
transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answer))
with httpx.Client(transport=transport) as http:
    client = nexusai.NexusAIClient("nxs_1", "http://platform.test", http_client=http)
    assert client.text.generate("hi").text == "Hi!"
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_it_is_not_loaded_for_whoever_does_not_use_it(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", UNUSED],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "NEXUS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
