"""Answers and errors of Coze's chat API, read purely."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nexusai._internal._streaming import ServerSentEvent
from nexusai.providers.adapters.openai_errors import error_from
from nexusai.providers.adapters.openai_stream import estimated_usage, loads
from nexusai.providers.adapters.openai_wire import failure
from nexusai.providers.adapters.reading import count_of
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError
from nexusai.providers.tokens import TokenTally
from nexusai.providers.transport import HttpResponse
from nexusai.providers.types import ChatRequest, StreamChunk, Usage

__all__ = [
    "UNREADABLE",
    "ChatStream",
    "calls_of",
    "data_of",
    "error_of",
    "is_answer",
    "parse_error",
    "usage_of",
]

UNREADABLE: Final = (KeyError, IndexError, TypeError, AttributeError, ValueError)
"""What reading an answer of another shape than the API promises ends in."""

_CODES: Final[Mapping[str, tuple[int, str]]] = {
    "4009": (503, ""),
    "4010": (400, "context_length_exceeded"),
    "4100": (401, ""),
    "700012006": (401, ""),
    "4302": (413, ""),
    **dict.fromkeys(("4101", "4102"), (403, "")),
    **dict.fromkeys(("4006", "4012", "4015", "4200"), (404, "")),  # bot, model, publication, resource
    **dict.fromkeys(("4013", "4016", "4020"), (429, "")),
    **dict.fromkeys(("4008", "4011", "4019", "4022", "4027", "4028"), (429, "insufficient_quota")),
    **dict.fromkeys(("4014", "4105"), (400, "content_filter")),
}
"""The status that a code stands for, by Coze's list of them, and a type where that says more.

4013 is a model that failed, in the list, and too many requests, on the wire: later, either way. 4016 is a
conversation that is busy with another chat. What is not here is a refusal (4xxx) or a failure of Coze's.
"""

_BETWEEN_ANSWERS: Final = "\n\n"


class ChatStream:
    """`done` once the vendor said so; a bot may give several answers, which are told one after the other."""

    def __init__(self, config: ProviderConfig, request: ChatRequest) -> None:
        self.done: bool = False
        self._config = config
        self._request = request
        self._model = request.model
        self._usage: Usage | None = None
        self._finished = False
        self._told: list[str] = []
        """The ids of the answers so far."""
        self._text = TokenTally()
        self._spoken = False
        self._follow_up: list[str] = []

    def feed(self, event: ServerSentEvent) -> Sequence[StreamChunk]:
        """The chunks of one event. Raises the `AdapterError` that an error inside the stream stands for."""
        kind = event.event.removeprefix("conversation.")
        if kind == "done":
            self.done = True
            return ()
        if kind not in _EVENTS:
            return ()
        try:
            body = loads(event.data)
        except ValueError:
            raise failure(self._config, self._request.model, "sent a chunk that is not JSON") from None
        try:
            return self._read(kind, body)
        except UNREADABLE:
            raise failure(self._config, self._request.model, "sent a chunk of an unknown shape") from None

    def end(self) -> Sequence[StreamChunk]:
        """The last chunks. Raises `RetryableError` when the vendor stopped in the middle."""
        if not self._finished:
            said = "ended the stream early, before the chat was completed"
            raise failure(self._config, self._request.model, said)
        usage = self._usage or estimated_usage(self._request, self._text.tokens)
        return [StreamChunk(usage=usage, model=self._model)]

    def _read(self, kind: str, body: Any) -> Sequence[StreamChunk]:
        if kind == "error":
            raise error_of(self._config, self._request.model, 200, {}, body)
        self._model = _text(body.get("bot_id")) or self._model
        if kind == "message.delta":
            return self._tell(body)
        if kind == "message.completed":
            return self._complete(body)
        if kind in ("chat.failed", "chat.canceled"):
            raise error_of(self._config, self._request.model, 200, {}, body.get("last_error") or {})
        self._usage = usage_of(body)
        self._finished = True
        calls = calls_of(body) if kind == "chat.requires_action" else None
        found = {"conversation_id": body.get("conversation_id"), "follow_up": self._follow_up}
        return [
            StreamChunk(
                tool_calls=calls and [{"index": at, **call} for at, call in enumerate(calls)],
                finish_reason="tool_calls" if calls else "stop",
                extra={name: value for name, value in found.items() if value},
                model=self._model,
            )
        ]

    def _complete(self, message: Mapping[str, Any]) -> Sequence[StreamChunk]:
        """A message that is whole: most were told in pieces before."""
        if message.get("type") == "follow_up":
            self._follow_up.append(_text(message["content"]))
        return () if message.get("id") in self._told else self._tell(message)

    def _tell(self, message: Mapping[str, Any]) -> Sequence[StreamChunk]:
        if not is_answer(message):
            return ()
        text, thought = _text(message.get("content")), _text(message.get("reasoning_content"))
        if not text and not thought:
            return ()
        if message.get("id") not in self._told:
            text = _BETWEEN_ANSWERS + text if self._spoken and text else text
            self._told.append(message.get("id") or "")
        if text:
            self._text.add(text)
            self._spoken = True
        return [StreamChunk(delta=text, reasoning=thought or None, model=self._model)]


_EVENTS: Final = frozenset(
    {
        *("message.delta", "message.completed", "chat.completed", "chat.failed", "chat.canceled"),
        *("chat.requires_action", "error"),
    }
)


def is_answer(message: Mapping[str, Any]) -> bool:
    return message.get("type") == "answer" and message.get("role", "assistant") == "assistant"


def calls_of(chat: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the caller has to do before the chat goes on, which `coze` in each call says how to."""
    where = {"conversation_id": str(chat["conversation_id"]), "chat_id": str(chat["id"])}
    return [
        {
            "id": _text(call["id"]),
            "type": "function",
            "function": {
                "name": _text(call["function"]["name"]),
                "arguments": _text(call["function"].get("arguments")),
            },
            "coze": where,
        }
        for call in chat["required_action"]["submit_tool_outputs"]["tool_calls"]
    ]


def usage_of(chat: Mapping[str, Any]) -> Usage | None:
    """None where nothing was counted."""
    usage = chat.get("usage")
    if not isinstance(usage, Mapping):
        return None
    total, answered = count_of(usage.get("token_count")), count_of(usage.get("output_count"))
    if not total or answered is None:
        return None
    asked = count_of(usage.get("input_count"))
    return Usage(max(0, total - answered) if asked is None else asked, answered)


def data_of(config: ProviderConfig, model: str, response: HttpResponse) -> Any:
    """What an answer holds. Raises the error that stands in its place, with status 200 most of the time."""
    try:
        body = loads(response.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        message = f"{config.provider} answered with something else than a JSON object: check the base URL"
        raise AdapterError(message, provider=config.provider, model=model, status=response.status)
    if body.get("code"):
        raise error_of(config, model, response.status, response.headers, body)
    if not isinstance(body.get("data"), dict | list):
        raise failure(config, model, "answered without data")
    return body["data"]


def parse_error(config: ProviderConfig, model: str, response: HttpResponse) -> AdapterError:
    try:
        body = loads(response.body)
    except ValueError:
        body = response.body.decode("utf-8", "replace")
    return error_of(config, model, response.status, response.headers, body)


def error_of(
    config: ProviderConfig, model: str, status: int, headers: Mapping[str, str], body: Any
) -> AdapterError:
    """A code says more than a status, and the only thing where the status is 200."""
    if not isinstance(body, Mapping) or "code" not in body:
        return error_from(config, model, status if status >= 300 else 500, headers, body)
    code = str(body["code"])
    told = status if status >= 300 else 400 if re.fullmatch(r"4\d{3}", code) else 500
    found, type = _CODES.get(code, (told, ""))
    detail = body.get("detail")
    logid = detail.get("logid") if isinstance(detail, Mapping) else None
    request_id = headers.get("x-tt-logid") or (logid if isinstance(logid, str) else None)
    if request_id:
        headers = {**headers, "x-request-id": request_id}
    said = body.get("msg") or body.get("message") or "the chat failed and did not say why"
    return error_from(
        config, model, found, headers, {"error": {"message": str(said), "code": code, "type": type}}
    )


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError("no text")
    return value or ""
