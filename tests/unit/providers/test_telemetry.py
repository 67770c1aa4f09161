"""The hooks, with OpenTelemetry's own SDK to record what they tell."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from nexusai.error import ConfigurationError
from nexusai.providers import (
    CallRecord,
    ChatRequest,
    Client,
    Cost,
    Deployment,
    EmbeddingRequest,
    ImageRequest,
    LogHook,
    OpenTelemetryHook,
    Prices,
    RateLimitError,
    Route,
    Router,
    SpeechRequest,
    Usage,
    ValidationError,
)
from tests.fixtures.vendor import Vendor, answered, refused, sse

PROMPT, ANSWER = "my own prompt", "an answer"
CHAT = ChatRequest("m", [{"role": "user", "content": PROMPT}])
PRICES = Prices.load({"openai_compatible/m": {"price": {"input": 1e6, "output": 1e6, "currency": "USD"}}})


class Observed:
    """An OpenTelemetry of one's own, and the hook that tells it."""

    def __init__(self):
        self._spans, self._metrics = InMemorySpanExporter(), InMemoryMetricReader()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._metrics])
        self.hook = OpenTelemetryHook(self.provider, self.meters)

    def spans(self):
        return self._spans.get_finished_spans()

    @property
    def span(self):
        [span] = self.spans()
        return span

    def points(self, name):
        """What was measured under a name: pairs of the sum and the attributes."""
        data = self._metrics.get_metrics_data()
        found = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]
        return [(point.sum, dict(point.attributes)) for metric in found for point in metric.data.data_points]

    def instrument(self, name):
        [scope] = self._metrics.get_metrics_data().resource_metrics[0].scope_metrics
        return next(metric for metric in scope.metrics if metric.name == name)

    def call(self, *script, operation="chat", request=CHAT, took=0.0, **options):
        vendor = Vendor(*script, took=took)
        return vendor.run(vendor.calls(hooks=[self.hook], prices=PRICES).call(operation, request, **options))


@pytest.fixture
def observed():
    observed = Observed()
    yield observed
    observed.provider.shutdown()
    observed.meters.shutdown()


def attributes(span):
    return dict(span.attributes)


# Spans


def test_a_chat_is_a_span_by_the_conventions(observed):
    request = ChatRequest("m", CHAT.messages, temperature=0.5, top_p=1.0, max_tokens=9, seed=7, stop="END")
    observed.call(answered(ANSWER), request=request, session="user-7", tags=("search",))
    assert observed.span.name == "chat m"
    assert observed.span.kind is SpanKind.CLIENT
    assert observed.span.status.status_code is StatusCode.UNSET
    assert attributes(observed.span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.conversation.id": "user-7",
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "server.address": "vendor.example",
        "server.port": 443,
        "nexusai.attempts": 1,
        "nexusai.cost.amount": 15.0,
        "nexusai.cost.currency": "USD",
        "nexusai.tags": ("search",),
    }


def test_a_span_is_as_long_as_its_call(observed):
    observed.call(answered(), took=3.0)
    assert observed.span.end_time - observed.span.start_time == 3_000_000_000


def test_a_stream_says_so_and_when_its_first_chunk_came(observed):
    observed.call(sse("one", "two"), operation="stream", took=2.0)
    told = attributes(observed.span)
    assert (observed.span.name, told["gen_ai.request.stream"]) == ("chat m", True)
    assert told["gen_ai.response.time_to_first_chunk"] == 2.0


@pytest.mark.parametrize(
    ("operation", "request_", "name", "told"),
    [
        ("images", ImageRequest("m", "a cat"), "generate_content m", {"gen_ai.output.type": "image"}),
        ("images", ImageRequest("m", "a cat", n=3), "generate_content m", {"gen_ai.request.choice.count": 3}),
        ("speech", SpeechRequest("m", "a cat"), "generate_content m", {"gen_ai.output.type": "speech"}),
        (
            "embeddings",
            EmbeddingRequest("m", ["a cat"], dimensions=8),
            "embeddings m",
            {"gen_ai.embeddings.dimension.count": 8},
        ),
        (
            "chat",
            ChatRequest("m", CHAT.messages, response_format={"type": "json_schema", "json_schema": {}}),
            "chat m",
            {"gen_ai.output.type": "json"},
        ),
    ],
)
def test_each_operation_has_its_name_and_kind(observed, operation, request_, name, told):
    with pytest.raises(ValidationError):
        observed.call(refused(400), operation=operation, request=request_)
    assert observed.span.name == name
    assert told.items() <= attributes(observed.span).items()


@pytest.mark.parametrize(
    ("vendor", "name"),
    [
        ("openai", "openai"),
        ("azure", "azure.ai.openai"),
        ("gemini", "gcp.gemini"),
        ("mistral", "mistral_ai"),
        ("moonshot", "moonshot_ai"),
        ("xai", "x_ai"),
        ("zhipu", "zhipu"),
    ],
)
def test_vendors_have_their_names_in_the_conventions(observed, vendor, name):
    observed.hook(CallRecord("chat", "eu", "m", vendor=vendor))
    assert attributes(observed.span)["gen_ai.provider.name"] == name


def test_every_kind_of_token_is_told(observed):
    usage = Usage(100, 50, cached_tokens=40, reasoning_tokens=20, cache_write_tokens=10)
    observed.hook(CallRecord("chat", "anthropic", "m", usage=usage))
    told = {name: value for name, value in attributes(observed.span).items() if "usage" in name}
    assert told == {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 20,
    }


def test_what_was_not_counted_is_not_told(observed):
    observed.hook(CallRecord("chat", "p", "m", usage=Usage(100, 50, source="estimate")))
    assert not [name for name in attributes(observed.span) if "usage" in name]
    assert observed.points("gen_ai.client.token.usage") == []


def test_a_failure_is_named_by_its_class(observed):
    with pytest.raises(ValidationError):
        observed.call(refused(400, f"we do not like {PROMPT!r}"))
    assert attributes(observed.span)["error.type"] == "ValidationError"
    assert observed.span.status.status_code is StatusCode.ERROR
    assert observed.span.status.description is None
    assert observed.span.events == ()


def test_leaving_a_stream_early_is_no_error(observed):
    observed.hook(CallRecord("stream", "p", "m", cut=True))
    assert observed.span.status.status_code is StatusCode.UNSET
    assert attributes(observed.span)["nexusai.cut"] is True


def test_a_call_is_under_the_span_in_which_it_was_made(observed):
    tracer = observed.provider.get_tracer("application")
    with tracer.start_as_current_span("mine") as mine:
        vendor = Vendor(sse("one", "two"))
        flow = vendor.calls(hooks=[observed.hook]).call("stream", CHAT)
        step = next(flow)
    with tracer.start_as_current_span("another"):
        while not vendor.emitted:
            step = flow.send(vendor._take(step))
        flow.close()
    ours = next(span for span in observed.spans() if span.name == "chat m")
    assert ours.parent.span_id == mine.get_span_context().span_id


def test_a_call_under_no_span_begins_a_trace(observed):
    observed.call(answered())
    assert observed.span.parent is None


def test_every_deployment_that_was_tried_is_a_span(observed):
    vendor = Vendor(refused(401), answered())
    router = Router([Route("fast", [Deployment("a", "m"), Deployment("b", "m")])])
    calls = vendor.calls("a", "b", router=router, hooks=[observed.hook])
    vendor.run(calls.call("chat", ChatRequest("fast", CHAT.messages)))
    assert [attributes(span).get("error.type") for span in observed.spans()] == ["AuthenticationError", None]


def test_neither_prompt_nor_answer_nor_key_is_in_what_is_told(observed):
    observed.call(answered(ANSWER))
    with pytest.raises(ValidationError):
        observed.call(refused(400, f"bad: {PROMPT}"))
    shown = "".join(span.to_json() for span in observed.spans())
    shown += observed._metrics.get_metrics_data().to_json()
    assert PROMPT not in shown
    assert ANSWER not in shown


def test_the_embedded_provider_is_inside_of_the_process(observed):
    with Client("local", hooks=[observed.hook]) as client:
        client.chat(messages=PROMPT)
    assert observed.span.kind is SpanKind.INTERNAL
    assert "server.address" not in attributes(observed.span)


# Metrics

TOKENS = "gen_ai.client.token.usage"
LABELS = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai_compatible",
    "gen_ai.request.model": "m",
    "gen_ai.response.model": "m",
    "server.address": "vendor.example",
    "server.port": 443,
}


def test_durations_are_measured(observed):
    observed.call(answered(), took=3.0)
    observed.call(answered(), took=1.0)
    assert observed.points("gen_ai.client.operation.duration") == [(4.0, LABELS)]


def test_failures_are_measured_apart(observed):
    with pytest.raises(ValidationError):
        observed.call(refused(400), took=3.0)
    [(seconds, labels)] = observed.points("gen_ai.client.operation.duration")
    assert (seconds, labels["error.type"]) == (3.0, "ValidationError")


def test_tokens_are_measured_by_their_kind(observed):
    observed.call(answered(prompt=100, completion=50))
    points = {labels.pop("gen_ai.token.type"): tokens for tokens, labels in observed.points(TOKENS)}
    assert points == {"input": 100, "output": 50}


def test_what_has_no_output_tokens_measures_none(observed):
    observed.hook(CallRecord("embeddings", "p", "m", usage=Usage(100, 0)))
    assert [labels["gen_ai.token.type"] for _, labels in observed.points(TOKENS)] == ["input"]


def test_the_first_chunk_of_a_stream_is_measured(observed):
    observed.call(sse("one"), operation="stream", took=2.0)
    observed.call(answered(), took=2.0)
    [(seconds, labels)] = observed.points("gen_ai.client.operation.time_to_first_chunk")
    assert seconds == 2.0
    assert labels.items() <= LABELS.items()


def test_instruments_have_the_units_and_buckets_of_the_conventions(observed):
    observed.call(answered(), took=3.0)
    duration, tokens = (
        observed.instrument("gen_ai.client.operation.duration"),
        observed.instrument("gen_ai.client.token.usage"),
    )
    assert (duration.unit, tokens.unit) == ("s", "{token}")
    assert duration.data.data_points[0].explicit_bounds[:3] == (0.01, 0.02, 0.04)
    assert duration.data.data_points[0].explicit_bounds[-1] == 81.92
    assert tokens.data.data_points[0].explicit_bounds[:4] == (1, 4, 16, 64)
    assert tokens.data.data_points[0].explicit_bounds[-1] == 67108864


# The log


def logged(caplog, record):
    caplog.clear()
    with caplog.at_level(logging.INFO, "nexusai.providers"):
        LogHook()(record)
    [line] = caplog.records
    return line.levelname, line.getMessage()


def test_a_call_is_a_line(caplog):
    record = CallRecord(
        "chat",
        "eu",
        "gpt-4o",
        seconds=1.25,
        attempts=1,
        usage=Usage(12, 40),
        cost=Cost(0.0012),
        tags=("search",),
    )
    line = "chat eu/gpt-4o in 1.250 s 12 + 40 tokens 0.001200 USD [search]"
    assert logged(caplog, record) == ("INFO", line)


def test_a_stream_has_its_first_chunk_in_the_line(caplog):
    record = CallRecord("stream", "p", "m", seconds=2.0, first_chunk=0.5, cut=True, attempts=3)
    line = "stream p/m cut short in 2.000 s (first chunk 0.500 s) after 3 attempts"
    assert logged(caplog, record) == ("INFO", line)


def test_an_estimate_is_called_one(caplog):
    record = CallRecord("chat", "p", "m", usage=Usage(12, 40, source="estimate"))
    assert "about 12 + 40 tokens" in logged(caplog, record)[1]


def test_a_failure_is_a_warning_without_the_vendors_words(caplog):
    error = RateLimitError(f"no: {PROMPT}", status=429, code="rate_limit_exceeded", request_id="req_1")
    level, line = logged(caplog, CallRecord("chat", "p", "m", seconds=0.5, error=error))
    assert level == "WARNING"
    assert line == "chat p/m failed: RateLimitError 429 rate_limit_exceeded request req_1 in 0.500 s"


def test_a_line_stays_one(caplog):
    error = ValidationError("no", code="bad\nINFO forged", request_id="\x1b[31m")
    line = logged(caplog, CallRecord("chat", "p", "m\r\nx", error=error))[1]
    assert line.isprintable()


def test_a_log_that_nobody_reads_costs_no_line(caplog):
    with caplog.at_level(logging.ERROR, "nexusai.providers"):
        LogHook()(CallRecord("chat", "p", "m"))
    assert caplog.records == []


def test_the_log_may_be_another(caplog):
    with caplog.at_level(logging.INFO, "mine"):
        LogHook(logging.getLogger("mine"))(CallRecord("chat", "p", "m"))
    assert [line.name for line in caplog.records] == ["mine"]


# Without it

UNUSED = """
import sys
from nexusai.providers import Client, LogHook
Client("local", hooks=[LogHook()]).chat(messages="hi")
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_opentelemetry_is_not_loaded_for_whoever_does_not_use_it():
    done = subprocess.run([sys.executable, "-c", UNUSED], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_without_opentelemetry_the_error_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'nexusai\[otel\]'"):
        OpenTelemetryHook()
