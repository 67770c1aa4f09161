"""What a model call does, step by step, without doing any of it.

A flow is a generator that yields steps and returns its result; a driver takes the steps and sends back what
came of them, or throws an `AdapterError`. The flow touches no clock, socket or thread.

    HttpRequest   a whole exchange; answered with an `HttpResponse` whose status is 2xx
    Open          an exchange whose answer is read in pieces; answered with an `HttpResponse` without a body
    Read          the next piece of what was opened; answered with bytes, empty at the end
    Work          something that keeps a processor busy; answered with what it returns
    Emit          chunks for whoever reads the stream
    Sleep         a pause in seconds
    Now           what the clock says: seconds, from no certain moment on
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from nexusai._internal._flow import Emit, Sleep
from nexusai._internal._streaming import ServerSentEvent, SSEDecoder
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError
from nexusai.providers.transport import MAX_ANSWER_BYTES, HttpRequest, HttpResponse, too_large
from nexusai.providers.types import ChatRequest, ChatResponse, StreamChunk

__all__ = [
    "Emit",
    "Flow",
    "Now",
    "Open",
    "Operation",
    "Read",
    "Sleep",
    "StreamParser",
    "Work",
    "exchange",
    "rest",
    "streaming",
]

T = TypeVar("T")
Request = TypeVar("Request")
Response = TypeVar("Response")


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request whose answer is read in pieces, with `Read`."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class Read:
    """The next piece of the body of what was opened last."""


@dataclass(frozen=True, slots=True)
class Now:
    """What the clock says."""


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """A function to call where it holds nobody up; `stop` is called when nobody wants the result any more."""

    run: Callable[[], T]
    stop: Callable[[], object] | None = None


Step: TypeAlias = "HttpRequest | Open | Read | Work[Any] | Emit | Sleep | Now"
Flow: TypeAlias = Generator[Step, Any, T]
Operation: TypeAlias = Callable[[ProviderConfig, Request], Flow[Response]]

READ: Final = Read()


class StreamParser(Protocol):
    """Reads one streamed answer, event by event."""

    @property
    def done(self) -> bool:
        """Whether the vendor said that this was all."""

    def feed(self, event: ServerSentEvent) -> Sequence[StreamChunk]:
        """The chunks of one event. Raises the `AdapterError` that an error inside the stream stands for."""

    def end(self) -> Sequence[StreamChunk]:
        """The last chunks. Raises `RetryableError` when the vendor stopped in the middle."""


def exchange(
    build: Callable[[ProviderConfig, Request], HttpRequest],
    parse: Callable[[ProviderConfig, Request, HttpResponse], Response],
) -> Operation[Request, Response]:
    """The flow of an operation that is one request and one answer."""

    def operation(config: ProviderConfig, request: Request) -> Flow[Response]:
        response: HttpResponse = yield build(config, request)
        return parse(config, request, response)

    return operation


def streaming(
    build: Callable[[ProviderConfig, ChatRequest], HttpRequest],
    parser: Callable[[ProviderConfig, ChatRequest], StreamParser],
    parse: Callable[[ProviderConfig, ChatRequest, HttpResponse], ChatResponse],
) -> Operation[ChatRequest, None]:
    """The flow of an answer in server-sent events; `parse` reads one that comes whole all the same."""

    def operation(config: ProviderConfig, request: ChatRequest) -> Flow[None]:
        sent = build(config, request)
        head: HttpResponse = yield Open(sent)
        if "json" in head.headers.get("content-type", ""):
            body = yield from rest(sent)
            yield Emit(_chunks_of(parse(config, request, HttpResponse(head.status, head.headers, body))))
            return
        reader, decoder = parser(config, request), SSEDecoder()
        while not reader.done and (data := (yield READ)):
            chunks: list[StreamChunk] = []
            try:
                for event in _events(decoder, data):
                    chunks += reader.feed(event)
            except AdapterError:
                if chunks:  # what came before the error is part of the answer
                    yield Emit(chunks)
                raise
            if chunks:
                yield Emit(chunks)
        yield Emit(reader.end())

    return operation


def rest(request: HttpRequest) -> Flow[bytes]:
    """What is still to be read. Raises `AdapterError` when it is too much."""
    body = bytearray()
    while data := (yield READ):
        body += data
        if len(body) > MAX_ANSWER_BYTES:
            raise too_large(request, MAX_ANSWER_BYTES)
    return bytes(body)


def _events(decoder: SSEDecoder, data: bytes) -> list[ServerSentEvent]:
    try:
        return decoder.feed(data)
    except ValueError as error:
        raise AdapterError(str(error)) from None


def _chunks_of(answer: ChatResponse) -> list[StreamChunk]:
    calls = [{"index": index, **call} for index, call in enumerate(answer.tool_calls or ())]
    text = StreamChunk(
        delta=answer.content,
        reasoning=answer.reasoning,
        tool_calls=calls or None,
        reasoning_blocks=answer.reasoning_blocks,
        finish_reason=answer.finish_reason,
        model=answer.model,
    )
    return [text, StreamChunk(usage=answer.usage, model=answer.model)]
