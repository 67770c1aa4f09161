"""A conversation in the form of Anthropic's Messages API: system apart, user and assistant in turn."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nexusai.providers.errors import CapabilityError, ValidationError
from nexusai.providers.messages import (
    Audio,
    Document,
    Image,
    Part,
    Text,
    ToolCall,
    Turn,
    conversation,
    parts_of,
)
from nexusai.providers.types import Message

__all__ = ["CONTENT", "THOUGHTS", "prompt_of"]

Block = dict[str, Any]

THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})
CONTENT: Final = "content"
"""A reasoning block of ours: all blocks of an answer, where more than thoughts has to go back in order."""

_KEPT: Final = ("cache_control", "citations", "title", "context")
"""What a part may carry for this API beside itself."""
_NO_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")


def prompt_of(messages: Sequence[Message]) -> tuple[str | list[Block] | None, list[Block]]:
    """The system prompt, as blocks where one has something of its own such as `cache_control`; the messages.

    Neighbours of one role are one message: the results of parallel calls, and what the user adds.
    """
    system, turns = conversation(messages)
    sent: list[Block] = []
    for turn in turns:
        blocks = _assistant(turn) if turn.role == "assistant" else _user(turn)
        role = "assistant" if turn.role == "assistant" else "user"
        if blocks and sent and sent[-1]["role"] == role:
            sent[-1]["content"].extend(blocks)
        elif blocks:
            sent.append({"role": role, "content": blocks})
    short = [{**message, "content": _short(message["content"])} for message in sent]
    return _system_blocks(messages) or system, short


def _system_blocks(messages: Sequence[Message]) -> list[Block] | None:
    contents = [item.get("content") for item in messages if item.get("role") in ("system", "developer")]
    if all(isinstance(content, str) for content in contents):
        return None
    parts = [part for content in contents for part in parts_of(content) if not _is_empty(part)]
    blocks = [_block(part) for part in parts if isinstance(part, Text)]
    return blocks if any(len(block) > 2 for block in blocks) else None


def _short(blocks: list[Block]) -> str | list[Block]:
    alone = len(blocks) == 1 and blocks[0].keys() == {"type", "text"}
    return blocks[0]["text"] if alone else blocks


def _user(turn: Turn) -> list[Block]:
    blocks = [_block(part) for part in turn.parts if not _is_empty(part)]
    if turn.role == "user":
        return blocks
    result: Block = {"type": "tool_result", "tool_use_id": _id(turn.tool_call_id or "")}
    return [result | ({"content": _short(blocks)} if blocks else {})]


def _assistant(turn: Turn) -> list[Block]:
    calls = [_tool_use(call) for call in turn.tool_calls]
    thoughts: list[Block] = []
    for block in turn.reasoning_blocks:
        if block.get("type") in THOUGHTS:
            thoughts.append(dict(block))
        elif block.get("type") == CONTENT:
            whole = [item for item in block.get("content") or () if isinstance(item, Mapping)]
            if _ids(whole) == _ids(calls):
                return [dict(item) for item in whole]
            thoughts += [dict(item) for item in whole if item.get("type") in THOUGHTS]
    return [*thoughts, *(_block(part) for part in turn.parts if not _is_empty(part)), *calls]


def _tool_use(call: ToolCall) -> Block:
    return {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": call.parsed()}


def _ids(blocks: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [block.get("id") for block in blocks if block.get("type") == "tool_use"]


def _id(text: str) -> str:
    """Other vendors' ids have letters that are refused here."""
    return _NO_ID.sub("_", text)


def _is_empty(part: Part) -> bool:
    return isinstance(part, Text) and not part.text


def _kept(part: Text | Image | Document) -> Block:
    return {name: part.extra[name] for name in _KEPT if part.extra.get(name) is not None}


def _block(part: Part) -> Block:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text, **_kept(part)}
    if isinstance(part, Audio):
        raise CapabilityError("Claude does not hear: have the sound transcribed first")
    if isinstance(part, Document):
        return _document(part)
    return {"type": "image", "source": _source(part), **_kept(part)}


def _document(part: Document) -> Block:
    if part.media_type.startswith("image/"):
        return {"type": "image", "source": _source(part), **_kept(part)}
    title = {"title": part.filename} if part.filename else {}
    return {"type": "document", "source": _text(part) or _source(part), **title, **_kept(part)}


def _source(part: Image | Document) -> Block:
    if part.data is None:
        return {"type": "url", "url": part.url}
    if not part.media_type.startswith(("image/", "application/pdf")):
        raise ValidationError(
            f"Claude reads PDF and plain text, not {part.media_type[:60]!r}: give it the text of the file"
        )
    data = base64.b64encode(part.data).decode()
    return {"type": "base64", "media_type": part.media_type, "data": data}


def _text(part: Document) -> Block | None:
    if part.data is None or not part.media_type.startswith("text/"):
        return None
    return {"type": "text", "media_type": "text/plain", "data": part.data.decode("utf-8", "replace")}
