"""Hooks that tell of every call: a line in the log, a span and measurements by OpenTelemetry.

    client = Client("openai", hooks=[LogHook(), OpenTelemetryHook()])

Neither tells a prompt, an answer, a key, or a vendor's message, which could quote one. Spans and metrics
follow the semantic conventions for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from nexusai.__version__ import __version__
from nexusai.error import ConfigurationError
from nexusai.providers.record import CallRecord

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["LogHook", "OpenTelemetryHook"]

_SCOPE: Final = "nexusai.providers"
_SECONDS: Final = [0.01 * 2**power for power in range(14)]
_TOKENS: Final = [4**power for power in range(14)]
_OPERATIONS: Final = {
    "chat": ("chat", None),
    "stream": ("chat", None),
    "images": ("generate_content", "image"),
    "speech": ("generate_content", "speech"),
    "speech_stream": ("generate_content", "speech"),
    "transcription": ("generate_content", "text"),
}
_VENDORS: Final = {
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "xai": "x_ai",
}
"""Those whose name in the conventions is another than ours."""
_SETTINGS: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "dimensions": "gen_ai.embeddings.dimension.count",
}


class LogHook:
    """One line to the logger `nexusai.providers` for each call: INFO, or WARNING when it failed."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger(_SCOPE)

    def __call__(self, record: CallRecord) -> None:
        level = logging.INFO if record.error is None else logging.WARNING
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", _line(record))


class OpenTelemetryHook:
    """A span for each call, under the one in which it was made, and the client's histograms.

    Goes to the providers that the application has set, unless others are given. Raises `ConfigurationError`
    when OpenTelemetry is not installed.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError:
            message = "OpenTelemetry is not installed: pip install 'nexusai[otel]'"
            raise ConfigurationError(message) from None
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider)

        def seconds(name: str, description: str) -> Any:
            options = {"unit": "s", "description": description}
            return meter.create_histogram(name, **options, explicit_bucket_boundaries_advisory=_SECONDS)

        self._duration = seconds("gen_ai.client.operation.duration", "GenAI operation duration.")
        self._first_chunk = seconds(
            "gen_ai.client.operation.time_to_first_chunk", "Time to receive the first chunk."
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )

    def __call__(self, record: CallRecord) -> None:
        told = _known(record)
        context = self._span(record, told)
        self._measure(record, told, context)

    def _span(self, record: CallRecord, told: dict[str, Any]) -> Context:
        """Record the span; its context."""
        from opentelemetry.context import get_current
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        around = record.context.run(get_current) if record.context is not None else get_current()
        end = time.time_ns()
        span = self._tracer.start_span(
            f"{told['gen_ai.operation.name']} {record.model}",
            around,
            SpanKind.INTERNAL if record.vendor == "local" else SpanKind.CLIENT,
            {**told, **_more(record)},
            start_time=end - int(record.seconds * 1e9),
        )
        if record.error is not None:
            span.set_status(StatusCode.ERROR)
        span.end(end)
        return set_span_in_context(span, around)

    def _measure(self, record: CallRecord, told: dict[str, Any], context: Context) -> None:
        self._duration.record(record.seconds, told, context)
        told = {name: value for name, value in told.items() if name != "error.type"}
        if record.first_chunk is not None:
            self._first_chunk.record(record.first_chunk, told, context)
        if record.usage is not None and record.usage.source != "estimate":
            counted = {"input": record.usage.prompt_tokens, "output": record.usage.completion_tokens}
            for kind, tokens in counted.items():
                if tokens:
                    self._tokens.record(tokens, {**told, "gen_ai.token.type": kind}, context)


def _known(record: CallRecord) -> dict[str, Any]:
    """What spans and metrics tell alike: of each of these there are few."""
    operation, _ = _OPERATIONS.get(record.operation, (record.operation, None))
    host, port = record.server or (None, None)
    return _given(
        {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": _VENDORS.get(record.vendor, record.vendor or record.provider),
            "gen_ai.request.model": record.model,
            "gen_ai.response.model": record.response_model,
            "server.address": host,
            "server.port": port,
            "error.type": None if record.error is None else type(record.error).__name__,
        }
    )


def _more(record: CallRecord) -> dict[str, Any]:
    """What spans tell besides."""
    _, kind = _OPERATIONS.get(record.operation, (None, None))
    settings, cost = record.settings, record.cost
    stop, count = settings.get("stop"), settings.get("n")
    return _given(
        {
            **{name: settings.get(setting) for setting, name in _SETTINGS.items()},
            "gen_ai.request.stop_sequences": [stop] if isinstance(stop, str) else stop,
            "gen_ai.request.choice.count": count if count != 1 else None,
            "gen_ai.request.stream": True if record.operation == "stream" else None,
            "gen_ai.output.type": "json" if str(settings.get("response_format")).startswith("json") else kind,
            "gen_ai.conversation.id": record.session,
            "gen_ai.response.id": record.response_id,
            "gen_ai.response.finish_reasons": record.finish_reason and [record.finish_reason],
            "gen_ai.response.time_to_first_chunk": record.first_chunk,
            **_usage(record),
            "nexusai.attempts": record.attempts,
            "nexusai.cost.amount": cost and cost.amount,
            "nexusai.cost.currency": cost and cost.currency,
            "nexusai.tags": list(record.tags) or None,
            "nexusai.cut": record.cut or None,
        }
    )


def _usage(record: CallRecord) -> dict[str, Any]:
    """What was counted; an estimate would pass for that."""
    usage = record.usage
    if usage is None or usage.source == "estimate":
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }


def _given(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _line(record: CallRecord) -> str:
    parts = [f"{record.operation} {record.provider}/{record.model}"]
    error = record.error
    if error is not None:
        parts.append(f"failed: {type(error).__name__}")
        parts += [str(part) for part in (error.status, error.code) if part is not None]
        parts += [f"request {error.request_id}"] if error.request_id else []
    parts += ["cut short"] if record.cut else []
    parts.append(f"in {record.seconds:.3f} s")
    if record.first_chunk is not None:
        parts.append(f"(first chunk {record.first_chunk:.3f} s)")
    if record.attempts > 1:
        parts.append(f"after {record.attempts} attempts")
    if record.usage is not None:
        about = "about " if record.usage.source == "estimate" else ""
        parts.append(f"{about}{record.usage.prompt_tokens} + {record.usage.completion_tokens} tokens")
    if record.cost is not None:
        parts.append(f"{record.cost.amount:.6f} {record.cost.currency}")
    if record.tags:
        parts.append(f"[{', '.join(record.tags)}]")
    line = " ".join(parts)
    return line if line.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in line)
