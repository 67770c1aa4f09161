"""OpenTelemetry: a span for each call that has a model work, and `traceparent` on every request.

By the semantic conventions for generative AI, client spans. A prompt or an answer is never in it, nor a
message, which could quote one. Nothing is imported or recorded unless the application itself has imported
`opentelemetry.trace`: whoever records spans has.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nexusai.__version__ import __version__
from nexusai._internal._flow import Call, Flow
from nexusai.config import origin
from nexusai.error import APIError

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from nexusai._internal._events import EventState

__all__ = ["Inference", "inference", "streamed", "trace_headers", "traced"]

T = TypeVar("T")

_OPERATIONS = {
    "text_generation": ("chat", "text"),
    "image_generation": ("generate_content", "image"),
    "text_to_speech": ("generate_content", "speech"),
    "speech_to_text": ("generate_content", "text"),
}
_SETTINGS: Mapping[str, tuple[str, type | tuple[type, ...]]] = {
    "temperature": ("gen_ai.request.temperature", (int, float)),
    "top_p": ("gen_ai.request.top_p", (int, float)),
    "max_tokens": ("gen_ai.request.max_tokens", int),
    "seed": ("gen_ai.request.seed", int),
    "presence_penalty": ("gen_ai.request.presence_penalty", (int, float)),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", (int, float)),
    "num_images": ("gen_ai.request.choice.count", int),
}
_USAGE = {
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
}


def _absent() -> bool:
    return "opentelemetry.trace" not in sys.modules


def trace_headers() -> dict[str, str]:
    """The headers that put a request under the current span, by W3C Trace Context."""
    if _absent():
        return {}
    from opentelemetry.trace import get_current_span

    return _headers(get_current_span())


def traced(flow: Flow[T], base_url: str) -> Flow[T]:
    """The flow itself, as a span from the call by which it has a model work, if it has one."""
    return flow if _absent() else _traced(flow, base_url)


@contextmanager
def inference(call: Call, base_url: str) -> Iterator[Inference | None]:
    """The span of a call, when it has a model work and spans are recorded. To leave early is no error."""
    span = None if _absent() else _begin(call, base_url)
    try:
        yield span
    except BaseException as error:
        if span is not None and not isinstance(error, GeneratorExit):
            span.failed(error)
        raise
    finally:
        if span is not None:
            span.end()


@contextmanager
def streamed(state: EventState[Any], base_url: str) -> Iterator[None]:
    """The span of a stream, when it shows a model's work: from its first request to its end."""
    with inference(state.opening, base_url) as span:
        if span is not None:
            state.opening = span.carried_by(state.opening)
        try:
            yield
        finally:
            if span is not None:
                span.answered(state)


class Inference:
    """A span of a model's work."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.end = span.end

    def carried_by(self, call: Call) -> Call:
        """The call under this span, wherever it is sent from."""
        return replace(call, headers={**call.headers, **_headers(self._span)})

    @contextmanager
    def current(self) -> Iterator[None]:
        from opentelemetry.trace import use_span

        with use_span(self._span, record_exception=False, set_status_on_exception=False):
            yield

    def answered(self, answer: Any) -> None:
        """Note who answered, and for how much: of a `Task`, or of anything that tells the like."""
        self._span.set_attributes(_told(answer))

    def failed(self, error: BaseException) -> None:
        from opentelemetry.trace import StatusCode

        code = error.error_code if isinstance(error, APIError) else None
        self._span.set_attribute("error.type", code or type(error).__qualname__)
        self.answered(getattr(error, "task", None))
        self._span.set_status(StatusCode.ERROR)


def _traced(flow: Flow[T], base_url: str) -> Flow[T]:
    span: Inference | None = None
    answer: Any = None
    thrown: BaseException | None = None
    with ExitStack() as ending:
        while True:
            try:
                step = flow.send(answer) if thrown is None else flow.throw(thrown)
            except StopIteration as done:
                if span is not None:
                    span.answered(done.value)
                return cast(T, done.value)
            if span is None and isinstance(step, Call):
                span = ending.enter_context(inference(step, base_url))
            answer = thrown = None
            with nullcontext() if span is None else span.current():
                try:
                    answer = yield step
                except BaseException as error:
                    thrown = error


def _begin(call: Call, base_url: str) -> Inference | None:
    asked = _asked(call)
    if asked is None:
        return None
    from opentelemetry.trace import SpanKind, get_tracer

    _, host, port = origin(base_url)
    name = " ".join(filter(None, (asked["gen_ai.operation.name"], asked.get("gen_ai.request.model"))))
    attributes = {**asked, "server.address": host, "server.port": port}
    tracer = get_tracer("nexusai", __version__)
    return Inference(tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes))


def _asked(call: Call) -> dict[str, Any] | None:
    """What is told of a call that has a model work; None for any other."""
    top, _, rest = call.path.lstrip("/").partition("/")
    session, _, verb = rest.partition("/")
    if call.method != "POST" or not isinstance(call.json, Mapping):
        return None
    if top != "invoke" and (top, verb) != ("sessions", "invoke"):
        return None
    task_type = call.json.get("task_type", "text_generation")
    operation, kind = _OPERATIONS.get(task_type, (task_type, None))
    given = call.json.get("config")
    config = given if isinstance(given, Mapping) else {}
    told = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": call.json.get("provider") or "nexusai",
        "gen_ai.request.model": call.json.get("model"),
        "gen_ai.conversation.id": session or None,
        "gen_ai.output.type": "json" if config.get("response_format") else kind,
        **_settings(config),
    }
    return {name: value for name, value in told.items() if value is not None}


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Those that the conventions name, as far as they are of the type that these give them."""
    stop = config.get("stop")
    known = {
        name: config[option]
        for option, (name, kind) in _SETTINGS.items()
        if isinstance(config.get(option), kind) and not isinstance(config[option], bool)
    }
    if stop and isinstance(stop, (str, list, tuple)):
        known["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else list(map(str, stop))
    return known


def _told(answer: Any) -> dict[str, Any]:
    output = getattr(answer, "output", None)
    of_output = output.get("finish_reason") if isinstance(output, Mapping) else None
    reason = getattr(answer, "finish_reason", of_output)
    usage = getattr(answer, "usage", None)
    told = {
        "gen_ai.provider.name": getattr(answer, "provider", None),
        "gen_ai.response.model": getattr(answer, "model", None),
        "gen_ai.response.id": getattr(answer, "task_id", None),
        "gen_ai.response.finish_reasons": [reason] if isinstance(reason, str) else None,
        **{name: getattr(usage, field, None) for field, name in _USAGE.items()},
    }
    return {name: value for name, value in told.items() if value is not None}


def _headers(span: Span) -> dict[str, str]:
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    state = context.trace_state.to_header()
    return {"traceparent": parent, "tracestate": state} if state else {"traceparent": parent}
