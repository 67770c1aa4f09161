"""Coze's chat API (v3): a chat is begun, asked after until it is over, then its messages are listed; or it is
streamed.

Pure: requests are built and answers are read here, sent and awaited elsewhere. Written from Coze's API
reference. The model is a bot's id: what it is told, its tools and its temperature are set where it was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from nexusai.providers.adapters.adapter import Adapter
from nexusai.providers.adapters.coze_stream import (
    UNREADABLE,
    ChatStream,
    calls_of,
    data_of,
    error_of,
    is_answer,
    parse_error,
    usage_of,
)
from nexusai.providers.adapters.openai_stream import estimated_usage
from nexusai.providers.adapters.openai_wire import File, failure, post, post_form
from nexusai.providers.adapters.reading import count_of, text_of
from nexusai.providers.adapters.vendors import vendors_with
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError, CapabilityError, TimeoutError
from nexusai.providers.flow import Flow, Sleep, streaming
from nexusai.providers.messages import Audio, Document, Image, Part, Text, Turn, conversation
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import Capability, ChatRequest, ChatResponse

__all__ = ["ADAPTER", "chat", "stream"]

_PATIENCE: Final = 600.0
"""Seconds after which a chat that is not over is given up."""
_PAUSE: Final = 1.0
"""Seconds between the first polls."""
_USER: Final = "nexusai"
"""Whose chat it is when the caller does not say; the vendor keeps what it remembers apart by it."""
_UNDER_WAY: Final = ("created", "in_progress")


def chat(config: ProviderConfig, request: ChatRequest) -> Flow[ChatResponse]:
    """Raises `TimeoutError` when the bot takes longer than ten minutes."""
    files = yield from _uploaded(config, request)
    answer = yield _begun(config, request, files, stream=False)
    begun = _object(config, request.model, answer)
    over = yield from _over(config, request, begun)
    if over["status"] == "requires_action":
        return _response(config, request, over, [])
    listed = data_of(config, request.model, (yield _get(config, request.model, "/message/list", over)))
    return _response(config, request, over, listed)


def stream(config: ProviderConfig, request: ChatRequest) -> Flow[None]:
    files = yield from _uploaded(config, request)

    def build(config: ProviderConfig, request: ChatRequest) -> HttpRequest:
        return _begun(config, request, files, stream=True)

    yield from streaming(build, ChatStream, _no_stream)(config, request)


def _uploaded(config: ProviderConfig, request: ChatRequest) -> Flow[list[str]]:
    """The ids of the parts that are bytes, in order: the vendor takes them only as files of its own."""
    _refuse(config, request)
    turns = conversation(request.messages)[1]
    ids: list[str] = []
    for turn in () if _waiting(turns) else turns:
        for file in filter(None, map(_file, turn.parts)):
            answer = yield post_form(config, request.model, "/v1/files/upload", {}, {}, [file])
            ids.append(str(_object(config, request.model, answer).get("id")))
    return ids


def _refuse(config: ProviderConfig, request: ChatRequest) -> None:
    form = (request.response_format or {}).get("type", "text")
    needs: dict[Capability, bool] = {"tools": bool(request.tools), "json_schema": form != "text"}
    for capability, is_asked in needs.items():
        if is_asked:
            able = ", ".join(vendors_with(capability))
            raise CapabilityError(
                f"{config.provider} takes no {capability} from a request, its bots have their own; "
                f"these can: {able}",
                provider=config.provider,
                model=request.model,
            )


def _begun(
    config: ProviderConfig, request: ChatRequest, files: Sequence[str], *, stream: bool
) -> HttpRequest:
    system, turns = conversation(request.messages)
    if waiting := _waiting(turns):
        return _continued(config, request, turns, waiting, stream=stream)
    extra = {name: value for name, value in request.extra.items() if name != "conversation_id"}
    known = request.extra.get("conversation_id")
    body = {
        "bot_id": _bot(config, request.model),
        "user_id": extra.get("user_id") or config.options.get("user_id") or _USER,
        "additional_messages": list(_messages(system, turns, iter(files))),
        "stream": stream,
        # only what is saved can be asked after; else the history is the caller's, who sends it with each chat
        "auto_save_history": extra.get("auto_save_history", False) if stream else True,
    }
    where = f"?{urlencode({'conversation_id': known})}" if known else ""
    return post(config, request.model, f"/v3/chat{where}", body, extra)


def _bot(config: ProviderConfig, model: str) -> str:
    """A bot's id is a number; under any other name the configured bot answers."""
    return model if model.isdigit() else config.options.get("bot_id") or model


def _waiting(turns: Sequence[Turn]) -> Mapping[str, str] | None:
    """The chat that waits for the results with which the turns end."""
    before = next((turn for turn in reversed(turns) if turn.role != "tool"), None)
    if not turns or turns[-1].role != "tool" or before is None:
        return None
    found = next((call.extra["coze"] for call in before.tool_calls if "coze" in call.extra), None)
    return found if isinstance(found, Mapping) else None


def _continued(
    config: ProviderConfig,
    request: ChatRequest,
    turns: Sequence[Turn],
    waiting: Mapping[str, str],
    *,
    stream: bool,
) -> HttpRequest:
    last = max(at for at, turn in enumerate(turns) if turn.role != "tool")
    outputs = [{"tool_call_id": turn.tool_call_id, "output": turn.text} for turn in turns[last + 1 :]]
    path = f"/v3/chat/submit_tool_outputs?{urlencode(waiting)}"
    return post(config, request.model, path, {"tool_outputs": outputs, "stream": stream})


def _messages(system: str | None, turns: Sequence[Turn], files: Iterator[str]) -> Iterator[dict[str, Any]]:
    """There is no system message: the first user message begins with it."""
    for turn in turns:
        is_user = turn.role != "assistant"
        if system and is_user:
            turn = replace(turn, parts=(Text(f"{system}\n\n"), *turn.parts))
            system = None
        if all(isinstance(part, Text) for part in turn.parts):
            content, kind = turn.text, "text"
        else:
            objects = [_part(part, files) for part in turn.parts]
            content, kind = json.dumps(objects, ensure_ascii=False), "object_string"
        if content:
            role, type = ("user", "question") if is_user else ("assistant", "answer")
            yield {"role": role, "type": type, "content": content, "content_type": kind}
    if system:
        yield {"role": "user", "type": "question", "content": system, "content_type": "text"}


def _part(part: Part, files: Iterator[str]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    kind = "image" if isinstance(part, Image) else "audio" if isinstance(part, Audio) else "file"
    if _file(part) is None and isinstance(part, Image | Document):
        return {"type": kind, "file_url": part.url}
    return {"type": kind, "file_id": next(files)}


def _file(part: Part) -> File | None:
    if isinstance(part, Text) or part.data is None:
        return None
    if isinstance(part, Audio):
        return File("file", f"sound.{part.format}", f"audio/{part.format}", part.data)
    ending = part.media_type.rpartition("/")[2]
    name = (part.filename if isinstance(part, Document) else None) or f"file.{ending}"
    return File("file", name, part.media_type, part.data)


def _over(config: ProviderConfig, request: ChatRequest, chat: Mapping[str, Any]) -> Flow[Mapping[str, Any]]:
    """The chat once it is over, asked after every second at first, as the vendor advises."""
    waited = 0.0
    while chat.get("status") in _UNDER_WAY:
        if waited >= _PATIENCE:
            yield from _cancelled(config, request, chat)
            message = f"{config.provider} did not finish the chat in {_PATIENCE:g} s"
            raise TimeoutError(message, code="timeout")
        pause = min(_PAUSE + waited // 30, 5)
        yield Sleep(pause)
        waited += pause
        answer = yield _get(config, request.model, "/retrieve", chat)
        try:
            chat = _object(config, request.model, answer)
        except AdapterError as error:
            if not error.retryable:
                raise
    if chat.get("status") in ("completed", "requires_action"):
        return chat
    told = chat.get("last_error")
    if chat.get("status") in ("failed", "canceled"):
        raise error_of(config, request.model, 200, {}, told or {"code": chat["status"]})
    raise failure(config, request.model, f"answered with status {str(chat.get('status'))[:40]!r}")


def _cancelled(config: ProviderConfig, request: ChatRequest, chat: Mapping[str, Any]) -> Flow[None]:
    """So that nobody pays for more of it; what comes of this is of no interest."""
    try:
        yield post(config, request.model, "/v3/chat/cancel", _where(chat))
    except AdapterError:
        return


def _get(config: ProviderConfig, model: str, path: str, chat: Mapping[str, Any]) -> HttpRequest:
    sent = post(config, model, f"/v3/chat{path}?{urlencode(_where(chat))}", {})
    return replace(sent, method="GET", body=None)


def _where(chat: Mapping[str, Any]) -> dict[str, str]:
    return {"conversation_id": str(chat.get("conversation_id")), "chat_id": str(chat.get("id"))}


def _response(
    config: ProviderConfig, request: ChatRequest, chat: Mapping[str, Any], messages: Any
) -> ChatResponse:
    try:
        answers = [message for message in messages if is_answer(message)]
        text = "\n\n".join(message["content"] for message in answers if message["content"])
        thought = "".join(message.get("reasoning_content") or "" for message in answers)
        follow_up = [message["content"] for message in messages if message.get("type") == "follow_up"]
        calls = calls_of(chat) if chat["status"] == "requires_action" else None
    except UNREADABLE:
        raise failure(config, request.model, "answered with messages of an unknown shape") from None
    found = {"conversation_id": chat.get("conversation_id"), "follow_up": follow_up}
    return ChatResponse(
        content=text,
        model=text_of(chat.get("bot_id")) or request.model,
        finish_reason="tool_calls" if calls else "stop",
        usage=usage_of(chat) or estimated_usage(request, text + thought),
        id=text_of(chat.get("id")),
        created=count_of(chat.get("created_at")),
        reasoning=thought or None,
        tool_calls=calls,
        extra={name: value for name, value in found.items() if value},
        raw={"chat": chat, "messages": messages},
    )


def _object(config: ProviderConfig, model: str, response: HttpResponse) -> Mapping[str, Any]:
    data = data_of(config, model, response)
    if not isinstance(data, Mapping):
        raise failure(config, model, "answered without data")
    return data


def _no_stream(config: ProviderConfig, request: ChatRequest, response: HttpResponse) -> ChatResponse:
    """An answer that should have been a stream is an error."""
    data_of(config, request.model, response)
    raise failure(config, request.model, "answered without a stream")


ADAPTER: Final = Adapter(chat=chat, stream=stream, parse_error=parse_error)
