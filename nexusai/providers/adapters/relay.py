"""Requests and answers that pass as they are, because the caller speaks the vendor's own language.

What a call used, and whether its answer is whole, is read on the way: a stream goes on event by event, and of
what is gone nothing is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, Protocol

from nexusai._internal._streaming import MAX_EVENT_BYTES
from nexusai.providers.adapters.openai_stream import loads
from nexusai.providers.adapters.openai_wire import failure
from nexusai.providers.adapters.reading import text_of
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError, ValidationError
from nexusai.providers.flow import READ, Emit, Flow, Open, Operation
from nexusai.providers.tokens import estimate_message_tokens, estimate_tokens
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import FinishReason, RelayChunk, RelayRequest, RelayResponse, Usage

__all__ = [
    "DONE",
    "Events",
    "Facts",
    "Tap",
    "body_of",
    "carried",
    "estimated",
    "field_of",
    "prompt_tokens",
    "relaying",
]

DONE: Final = "[DONE]"
"""The only member of what is read for the event by which OpenAI's streams end."""
_BLANK_LINE: Final = re.compile(rb"\n\r?\n|\r\r")
_SHORT: Final = 128
"""Characters of a name that is worth to be kept: callers may make up others, of megabytes."""
_KEYS: Final = {
    name: f'"{name}":'.encode()
    for name in (
        *(
            "model",
            "messages",
            "input",
            "max_tokens",
            "max_completion_tokens",
            "temperature",
            "top_p",
            "stream",
        ),
        *("stream_options", "tools", "tool_choice", "response_format", "stop", "user", "system", "metadata"),
    )
}
"""Those that nearly all requests have, as they are written."""
_UNREADABLE: Final = (KeyError, IndexError, TypeError, AttributeError, ValueError)
_PROMPTS: Final = ("messages", "system", "input", "prompt", "instructions", "tools")

Facts = Callable[[ProviderConfig, RelayRequest, Mapping[str, Any]], "tuple[Usage, FinishReason | None]"]
"""Reads what a whole answer used and how it ended. It may raise what reading foreign JSON raises."""


class Tap(Protocol):
    """Reads a stream that passes."""

    done: bool
    """Whether the vendor said that this was all."""
    model: str | None
    id: str | None
    finish_reason: FinishReason | None

    def read(self, event: Mapping[str, Any]) -> str | None:
        """What one event says; None for one that the caller did not ask for.

        Raises the `AdapterError` that an error inside the stream stands for.
        """

    def end(self) -> tuple[Usage | None, bytes]:
        """What the call used, where the vendor said it, and what the stream still lacks.

        Raises `RetryableError` when the vendor stopped in the middle.
        """


def body_of(request: RelayRequest, **put: Any) -> bytes:
    """The request's JSON object with the name of its model, and with what else is `put` in it."""
    members = {**request.fields, "model": _text(request.model)}
    for name, value in put.items():
        members[name] = json.dumps(value).encode()
    written = [(_KEYS.get(name) or _text(name) + b":") + raw for name, raw in members.items()]
    return b"{" + b",".join(written) + b"}"


def field_of(request: RelayRequest, name: str) -> Any:
    """A field of the request, None where there is none. Raises `ValidationError` for what cannot be read."""
    try:
        return loads(request.fields.get(name, b"null"))
    except ValueError:
        raise ValidationError(f"{name} holds what cannot be read") from None


def _text(text: str) -> bytes:
    return _short_text(text) if len(text) <= _SHORT else json.dumps(text).encode()


@lru_cache(4096)
def _short_text(text: str) -> bytes:
    return json.dumps(text).encode()


def estimated(request: RelayRequest, answer: str) -> Usage:
    """What the call would have counted, near enough, for a vendor that does not count."""
    return Usage(prompt_tokens(request), estimate_tokens(answer), source="estimate")


def prompt_tokens(request: RelayRequest) -> int:
    """About how many, in a prompt of whatever form."""
    try:
        said = {name: loads(request.fields[name]) for name in _PROMPTS if name in request.fields}
    except ValueError:  # what one reader takes for JSON may be none to another
        return sum(len(request.fields.get(name, b"")) for name in _PROMPTS) // 4
    messages = said.pop("messages", [])
    readable = isinstance(messages, list) and all(isinstance(message, dict) for message in messages)
    rest = estimate_tokens(" ".join(map(str, said.values()))) if said else 0
    return rest + (estimate_message_tokens(messages) if readable else 0)


def relaying(
    build: Callable[[ProviderConfig, RelayRequest], HttpRequest],
    object_of: Callable[[ProviderConfig, str, HttpResponse], dict[str, Any]],
    facts: Facts,
    tap: Callable[[ProviderConfig, RelayRequest], Tap] | None = None,
) -> Operation[RelayRequest, RelayResponse | None]:
    """The flow of a request that passes; streamed, it emits what comes in `RelayChunk`s."""

    def operation(config: ProviderConfig, request: RelayRequest) -> Flow[RelayResponse | None]:
        sent = build(config, request)
        if request.headers:
            sent = replace(sent, headers={**sent.headers, **request.headers})
        if request.stream and tap is not None:
            yield from _streamed(config, request, sent, tap(config, request))
            return None
        response: HttpResponse = yield sent
        body = object_of(config, request.model, response)
        try:
            usage, reason = facts(config, request, body)
        except _UNREADABLE:
            raise failure(config, request.model, "answered something else than its API promises") from None
        return RelayResponse(
            response.body, text_of(body.get("model")) or request.model, text_of(body.get("id")), reason, usage
        )

    return operation


def _streamed(config: ProviderConfig, request: RelayRequest, sent: HttpRequest, tap: Tap) -> Flow[None]:
    head: HttpResponse = yield Open(sent)
    if "json" in head.headers.get("content-type", ""):
        raise failure(config, request.model, "answered whole what was to be a stream")
    events = Events()
    while not tap.done and (data := (yield READ)):
        passed, said, trouble = [], [], None
        try:
            for raw in events.feed(data):
                event = carried(raw)
                text = tap.read(event) if event is not None else ""
                if text is not None:
                    passed.append(raw)
                    said.append(text)
        except AdapterError as error:
            trouble = error
        except _UNREADABLE:
            trouble = failure(config, request.model, "sent a chunk of an unknown shape")
        if passed:  # what came before an error is part of the answer
            chunk = RelayChunk(b"".join(passed), "".join(said), tap.model, tap.id, tap.finish_reason)
            yield Emit([chunk])
        if trouble is not None:
            try:
                raise trouble
            finally:
                del trouble  # else it would hold this frame, and this frame it
    usage, lacking = tap.end()
    yield Emit([RelayChunk(lacking, "", tap.model, tap.id, None, usage)])


class Events:
    """Cuts a stream of server-sent events where events end; what its end cuts off is none."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The events that have ended, each as it came. Raises `ValueError` for one that does not end."""
        if self._rest:
            if not _BLANK_LINE.search(bytes(self._rest[-3:]) + data):
                return self._kept(data)
            data, self._rest = bytes(self._rest) + data, bytearray()
        if b"\r" not in data:  # by far the most, and a third of the time that the expression takes
            *events, rest = data.split(b"\n\n")
            return [event + b"\n\n" for event in events] + self._kept(rest)
        begin, found = 0, []
        for end in _BLANK_LINE.finditer(data):
            found.append(data[begin : (begin := end.end())])
        return found + self._kept(data[begin:])

    def _kept(self, data: bytes) -> list[bytes]:
        self._rest += data
        if len(self._rest) > MAX_EVENT_BYTES:
            raise ValueError("an event does not end")
        return []


def carried(raw: bytes) -> Any:
    """The JSON that an event carries, None where it carries none. Raises `ValueError` for what is no JSON."""
    if raw.startswith(b"data: {") and raw.count(b"\n") == 2:
        return loads(raw[6:])
    lines = raw.splitlines()
    payload = b"\n".join([line[5:] for line in lines if line.startswith(b"data:")]).strip()
    if not payload:
        return None
    if payload == b"[DONE]":
        return {DONE: True}
    told = loads(payload)
    if b"event: error" in lines and "error" not in told:
        return {"type": "error", "error": told}
    return told
