"""A conversation as adapters read it, whichever way its caller wrote it.

Callers write messages as in OpenAI's Chat Completions API, whose parts are `text`, `image_url` (an http URL
or a data URI), `input_audio` and `file` (`file_data` as a data URI), and may also give bytes:
`{"type": "image", "data": b"…"}`, `{"type": "file", "data": b"…", "filename": "report.pdf"}`, both with a
`media_type` where the bytes do not tell it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from nexusai.providers.errors import ValidationError
from nexusai.providers.media import image_type
from nexusai.providers.types import Message

__all__ = [
    "Audio",
    "Document",
    "Image",
    "Part",
    "Text",
    "ToolCall",
    "Turn",
    "conversation",
    "data_uri",
    "plain",
]


@dataclass(frozen=True, slots=True)
class Text:
    """`extra`, here as below, is what else the part came with, such as `cache_control`."""

    text: str
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: its bytes, or the http URL where it is. `detail` is `low`, `high` or `auto`."""

    media_type: str = ""
    data: bytes | None = field(default=None, repr=False)
    url: str | None = None
    detail: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A file: its bytes, or the http URL where it is."""

    media_type: str = ""
    data: bytes | None = field(default=None, repr=False)
    url: str | None = None
    filename: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Audio:
    """Sound; `format` names the container (`wav`, `mp3`)."""

    data: bytes = field(repr=False)
    format: str = "wav"


Part: TypeAlias = Text | Image | Document | Audio


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asked for; `arguments` as it wrote them, JSON most of the time."""

    id: str
    name: str
    arguments: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else the call came with and the vendor wants back."""

    def parsed(self) -> dict[str, Any]:
        """The arguments as an object; what is none stands under `arguments`."""
        try:
            value = json.loads(self.arguments or "{}")
        except ValueError:
            value = self.arguments
        return value if isinstance(value, dict) else {"arguments": value}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. A `tool` turn is the result of the call `tool_call_id`, made by the tool `name`."""

    role: Literal["user", "assistant", "tool"]
    parts: Sequence[Part] = ()
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning_blocks: Sequence[Mapping[str, Any]] = ()
    """The vendor's own reasoning blocks of an assistant's turn, to be given back as they came."""

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))


def conversation(messages: Sequence[Message]) -> tuple[str | None, list[Turn]]:
    """The system prompt (all system and developer messages, a blank line between) and the turns.

    Raises `ValidationError` for a role or a part that nobody knows.
    """
    system: list[str] = []
    turns: list[Turn] = []
    names: dict[str, str] = {}
    for message in messages:
        role, parts = message.get("role"), parts_of(message.get("content"))
        if role in ("system", "developer"):
            system.append("".join(part.text for part in parts if isinstance(part, Text)))
        elif role == "user":
            turns.append(Turn("user", parts, name=message.get("name")))
        elif role == "assistant":
            calls = [_call(call) for call in _listed(message.get("tool_calls"))]
            names.update({call.id: call.name for call in calls})
            turns.append(
                Turn(
                    "assistant",
                    parts,
                    calls,
                    reasoning_blocks=message.get("reasoning_blocks") or (),
                )
            )
        elif role in ("tool", "function"):
            call_id = str(message.get("tool_call_id") or "")
            turns.append(
                Turn("tool", parts, tool_call_id=call_id, name=message.get("name") or names.get(call_id))
            )
        else:
            raise ValidationError(
                f"a message has role {str(role)[:40]!r}: it is system, developer, user, assistant or tool"
            )
    return "\n\n".join(system) or None, turns


def _listed(calls: Any) -> Sequence[Any]:
    if calls is not None and (not isinstance(calls, Sequence) or isinstance(calls, str)):
        raise ValidationError(f"tool_calls is a list, not {type(calls).__name__}")
    return calls or ()


def parts_of(content: Any) -> tuple[Part, ...]:
    """Raises `ValidationError` for content that is neither text nor known parts."""
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),) if content else ()
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        raise ValidationError(f"content is text or a list of parts, not {type(content).__name__}")
    return tuple(_part(part) for part in content)


def plain(messages: Sequence[Message]) -> list[Message]:
    """The messages in OpenAI's own form: parts that hold bytes hold data URIs now."""
    return [_plain(message) for message in messages]


def data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _part(part: Any) -> Part:
    kind = part.get("type") if isinstance(part, Mapping) else None
    try:
        if isinstance(part, str):
            return Text(part)
        if kind in ("text", "input_text", "output_text"):
            return Text(str(part["text"]), _others(part, "type", "text"))
        if kind in ("image_url", "image", "input_image"):
            return _image(part)
        if kind in ("file", "input_file"):
            return _document(part)
        if kind == "input_audio":
            audio = part["input_audio"]
            return Audio(base64.b64decode(audio["data"], validate=True), audio.get("format") or "wav")
        if kind == "refusal":
            return Text(str(part["refusal"]))
    except (KeyError, TypeError, AttributeError, binascii.Error, ValueError):
        raise ValidationError(
            f"a part of type {str(kind)[:40]!r} cannot be read: see `messages.py`"
        ) from None
    raise ValidationError(
        f"a message has a part of type {str(kind)[:40]!r}: it is text, image_url, image, file or input_audio"
    )


def _image(part: Mapping[str, Any]) -> Image:
    extra = _others(part, "type", "data", "media_type", "detail", "image_url")
    if "data" in part:
        data = _bytes(part["data"])
        kind = part.get("media_type") or image_type(data) or "image/png"
        return Image(kind, data, detail=part.get("detail"), extra=extra)
    link = part["image_url"]
    url, detail = (link, part.get("detail")) if isinstance(link, str) else (link["url"], link.get("detail"))
    if url.startswith("data:"):
        media_type, data = _of_uri(url)
        return Image(media_type or image_type(data) or "image/png", data, detail=detail, extra=extra)
    return Image(url=url, detail=detail, extra=extra)


def _document(part: Mapping[str, Any]) -> Document:
    facts = part.get("file") or part
    name, kind = facts.get("filename"), facts.get("media_type")
    extra = _others(part, "type", "file", "data", "media_type", "filename", "file_url", "file_data")
    if "data" in facts:
        return Document(kind or "application/pdf", _bytes(facts["data"]), filename=name, extra=extra)
    if facts.get("file_url"):
        return Document(kind or "", url=facts["file_url"], filename=name, extra=extra)
    media_type, data = _of_uri(facts["file_data"])
    return Document(media_type or "application/pdf", data, filename=name, extra=extra)


def _others(part: Mapping[str, Any], *read: str) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in read}


def _bytes(data: bytes | str) -> bytes:
    return base64.b64decode(data, validate=True) if isinstance(data, str) else bytes(data)


def _of_uri(uri: str) -> tuple[str, bytes]:
    head, _, data = uri.partition(",")
    return head.removeprefix("data:").partition(";")[0], base64.b64decode(
        "".join(data.split()), validate=True
    )


def _call(call: Any) -> ToolCall:
    function = (call.get("function") or {}) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise ValidationError('a tool call cannot be read: it is {"id", "type", "function": {"name", …}}')
    arguments = function.get("arguments") or ""
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    extra = {name: value for name, value in call.items() if name not in ("id", "type", "index", "function")}
    return ToolCall(str(call.get("id") or ""), str(function.get("name") or ""), arguments, extra)


def _plain(message: Message) -> Message:
    content = message.get("content")
    if not isinstance(content, Sequence) or isinstance(content, str):
        return message
    if not any(isinstance(part, Mapping) and "data" in part for part in content):
        return message
    return {**message, "content": [_plain_part(part) for part in content]}


def _plain_part(part: Any) -> Any:
    if not isinstance(part, Mapping) or "data" not in part:
        return part
    read = _part(part)
    if isinstance(read, Image) and read.data is not None:
        link = {"url": data_uri(read.media_type, read.data)}
        return {"type": "image_url", "image_url": link | ({"detail": read.detail} if read.detail else {})}
    if isinstance(read, Document) and read.data is not None:
        name = {"filename": read.filename} if read.filename else {}
        return {"type": "file", "file": {**name, "file_data": data_uri(read.media_type, read.data)}}
    return part
