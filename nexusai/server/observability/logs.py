"""The log: one JSON object a line, or for reading on a terminal; ours, the libraries', and one a request."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Literal, TextIO

import orjson
import structlog

from nexusai.server.clock import now_ms, rfc3339
from nexusai.server.http import request_id
from nexusai.server.observability.secrets import Redactor, stack, told
from nexusai.server.observability.writer import LineWriter
from nexusai.server.traffic import Exchange, TaskRun, Work

__all__ = ["Format", "Log", "unhandled"]

Format = Literal["auto", "json", "pretty"]
Facts = dict[str, Any]
Renderer = Callable[[Any, str, Facts], "str | bytes"]

QUIET: Final = frozenset({"/health", "/health/live", "/health/ready", "/api/v1/health", "/metrics"})
"""Routes that machines ask all day: at `debug`, unless something is wrong with them."""
LONGEST: Final = 200
"""Characters of what a client chose, a path or a model."""
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
"""What a terminal may obey, written out: a client chooses its path. Ends of lines are quoted anyway."""


class Log:
    """Everything that is written down. `start` makes it the log of the process, until `stop`."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str], level: str, form: Format = "auto") -> None:
        self.writer: LineWriter = LineWriter(stream)
        self._level = logging.getLevelName(level.upper())
        self.redact: Redactor = Redactor(environ)
        self.handler: logging.Handler = _Lines(self)
        pretty = form == "pretty" or (form == "auto" and stream.isatty())
        self._render: Renderer = _for_reading(colors=stream.isatty()) if pretty else _JSON

    def start(self) -> None:
        """Take over what the platform and its libraries log; of the libraries, warnings."""
        self.writer.start()
        logging.basicConfig(level=logging.WARNING, handlers=[self.handler], force=True)
        logging.captureWarnings(True)
        logging.getLogger("nexusai").setLevel(self._level)

    def stop(self) -> None:
        logging.getLogger().removeHandler(self.handler)
        logging.getLogger("nexusai").setLevel(logging.NOTSET)
        logging.captureWarnings(False)
        self.writer.stop()

    # What has ended

    def request(self, exchange: Exchange) -> None:
        """The line of a request."""
        level = _level_of(exchange)
        if level < self._level:
            return
        path = exchange.path[:LONGEST]
        line = _begun(level, "request")
        line["method"] = exchange.method[:20]
        line["path"] = path if exchange.route is not None else self.redact(path)
        line["status"] = exchange.status
        line["request_id"] = exchange.request_id
        if exchange.gone:
            line["client_gone"] = True
        if exchange.task_id is not None:
            line["task_id"] = exchange.task_id
        _add(line, exchange)
        self.writer.write(self._written(line), now=level >= logging.WARNING)

    def task(self, run: TaskRun) -> None:
        """The line of an attempt at a task."""
        level = logging.WARNING if run.code == "INTERNAL_ERROR" else logging.INFO
        if level < self._level:
            return
        line = _begun(level, "task")
        line["request_id"] = run.request_id
        line["task_id"] = run.task_id
        line["task_type"] = run.task_type
        line["status"] = run.status
        line["attempt"] = run.attempt
        line["waited_ms"] = _ms(run.waited)
        _add(line, run)
        self.writer.write(self._written(line), now=level >= logging.WARNING)

    def _written(self, line: Facts) -> str:
        return str(self._render(None, line["level"], line))

    # What is told on the way

    def record(self, record: logging.LogRecord) -> None:
        """A line of the standard library's logging: without secrets, and without what errors may quote."""
        whole = self._level <= logging.DEBUG
        line = _begun(record.levelno, _plain(_message(record, whole)))
        line["logger"] = record.name
        line["request_id"] = getattr(record, "request_id", request_id.get())
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["exception"] = _plain(stack(record.exc_info[1], whole=whole))
        self.writer.write(self.redact(self._written(line)), now=record.levelno >= logging.WARNING)


def unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What an event loop does with an error that nobody waits for; its own way would quote the error."""
    error = context.get("exception")
    logging.getLogger("asyncio").error(context["message"], exc_info=error)


class _Lines(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._log.record(record)
        except Exception as error:  # the usual way would print what the line was about
            self._log.writer.write(f"a line of {record.name} cannot be written: {type(error).__name__}")


def _message(record: logging.LogRecord, whole: bool) -> str:
    """What was said; of an error among its arguments as much as is told of errors."""
    if not isinstance(record.args, tuple) or not any(isinstance(arg, BaseException) for arg in record.args):
        return record.getMessage()
    record = copy.copy(record)
    record.args = tuple(
        _Told(told(arg, whole=whole)) if isinstance(arg, BaseException) else arg for arg in record.args or ()
    )
    return record.getMessage()


def _plain(text: str) -> str:
    """Text that JSON can hold: names of files may be no Unicode."""
    return text.encode("utf-8", "backslashreplace").decode()


class _Told(str):
    """The same for `%s` and for `%r`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _begun(level: int, event: str) -> Facts:
    return {"timestamp": rfc3339(now_ms()), "level": _level_name(level), "event": event}


@cache
def _level_name(level: int) -> str:
    return logging.getLevelName(level).lower()


def _level_of(exchange: Exchange) -> int:
    if exchange.status >= 500:
        return logging.WARNING
    return logging.DEBUG if exchange.path in QUIET else logging.INFO


def _add(line: Facts, work: Work) -> None:
    """What is told of requests and tasks alike, as far as it is known."""
    line["ms"] = _ms(work.seconds)
    if work.project is not None:
        line["project"] = work.project
    if work.key_id is not None:
        line["key_id"] = work.key_id
    if work.code is not None:
        line["code"] = work.code
        if work.error is not None:
            line["error"] = work.error
    if work.calls:
        _add_calls(line, work)


def _add_calls(line: Facts, work: Work) -> None:
    line["provider"], line["model"] = work.provider, (work.model or "")[:LONGEST]
    line["upstream_ms"] = _ms(work.upstream)
    if work.first_chunk is not None:
        line["first_chunk_ms"] = _ms(work.first_chunk)
    if work.tokens is not None:
        line["prompt_tokens"], line["completion_tokens"] = work.tokens
        if work.priced:
            line["cost_usd"] = round(work.dollars, 10)
    if work.calls > 1:
        line["calls"] = work.calls
    if work.attempts > work.calls:
        line["attempts"] = work.attempts
    if work.fallback is not None:
        line["fallback_from"] = work.fallback[:LONGEST]
    if work.cut:
        line["cut"] = True


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _dumps(facts: Any, **_: Any) -> str:
    return orjson.dumps(facts, default=str).decode()


def _for_reading(*, colors: bool) -> Renderer:
    plain = structlog.dev.plain_traceback  # the other ways show local variables, prompts among them
    render = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, exception_formatter=plain)

    def harmless(logger: Any, name: str, facts: Facts) -> str:
        told = {
            key: fact.translate(_CONTROLS) if isinstance(fact, str) else fact for key, fact in facts.items()
        }
        return render(logger, name, told)

    return harmless


_JSON: Final = structlog.processors.JSONRenderer(serializer=_dumps)
