"""The items of OpenAI's Responses API: what they are to a chat, and a chat's answer as items. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from nexusai.server.http import Problem
from nexusai.server.ids import new_id
from nexusai.server.responses.models import Item

__all__ = [
    "file_ids",
    "for_openai",
    "inlined",
    "items_of",
    "messages_of",
    "named",
    "sealed",
    "without_names",
]

Loc = Sequence[str | int]

_CONTENTS: Final = ("content", "output")
_FILE: Final = "file_"
"""What the ids of our files begin with; OpenAI's have a dash."""
_SEAL: Final = "nexus-"
"""What the secret part of a thought begins with that another provider than OpenAI had."""
_PREFIXES: Final[Mapping[str, str]] = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}
_OURS: Final = frozenset(
    {"id", "type", "call_id", "name", "arguments", "status", "namespace", "parsed_arguments"}
)
"""Fields of a call; what else it carries is its provider's, such as a signature."""
_DONE_AT_OPENAI: Final = frozenset(
    {
        *("code_interpreter_call", "compaction", "computer_call", "computer_call_output", "file_search_call"),
        *("image_generation_call", "mcp_approval_request", "mcp_approval_response", "mcp_call"),
        *("mcp_list_tools", "tool_search_call", "tool_search_output", "web_search_call"),
    }
)
"""Items of OpenAI's own tools: another provider learns what came of them from the answer."""


def kind_of(item: Mapping[str, Any]) -> str:
    kind = item.get("type")
    return kind if isinstance(kind, str) else "message" if "role" in item else str(kind)


def items_of(asked: str | Sequence[Item] | None) -> list[Item]:
    """The items of a request as they came; a text is what the user says."""
    if isinstance(asked, str):
        return [{"role": "user", "content": [{"type": "input_text", "text": asked}]}]
    return list(asked or ())


def named(items: Sequence[Item]) -> list[Item]:
    """The items as they are kept: each with its type and an id."""
    return [_named(item) for item in items]


def _named(item: Item) -> Item:
    kind, name = kind_of(item), item.get("id")
    if not isinstance(name, str):
        name = new_id(_PREFIXES.get(kind, "item"))
    return {**item, "id": name, "type": kind}


def for_openai(items: Sequence[Item]) -> list[Item]:
    """The items as OpenAI takes them: without what other providers said for themselves alone."""
    return [_for_openai(item) for item in items if not _is_foreign(item)]


def _for_openai(item: Item) -> Item:
    if "extra_content" not in item:
        return item
    return {name: value for name, value in item.items() if name != "extra_content"}


def _is_foreign(item: Item) -> bool:
    """Whether an item is a thought that OpenAI cannot read: another's, or one of which nothing is there."""
    secret = item.get("encrypted_content")
    return item.get("type") == "reasoning" and (not secret or str(secret).startswith(_SEAL))


def without_names(items: Sequence[Item]) -> list[Item]:
    """Items that were kept, without the ids that a client's side of it was given: only we know them."""
    return [
        {name: value for name, value in item.items() if name != "id"} if _is_asked(item) else item
        for item in items
    ]


def _is_asked(item: Item) -> bool:
    return kind_of(item) == "function_call_output" or item.get("role") not in (None, "assistant")


def file_ids(items: Sequence[Item]) -> list[str]:
    """The files of the platform that items speak of, as often as they do."""
    return [name for item in items for part in _parts_in(item) if (name := _file_in(part))]


def _file_in(part: Item) -> str:
    name = part.get("file_id")
    return name if isinstance(name, str) and name.startswith(_FILE) else ""


def inlined(items: Sequence[Item], files: Mapping[str, tuple[str, str]]) -> list[Item]:
    """The items with the files that they speak of in them: `files` has their names and their data URIs."""
    return [_with_files(item, files) if file_ids([item]) else item for item in items]


def _with_files(item: Item, files: Mapping[str, tuple[str, str]]) -> Item:
    filled = {
        name: [_with_file(part, files) for part in item[name]]
        for name in _CONTENTS
        if isinstance(item.get(name), list)
    }
    return {**item, **filled}


def _with_file(part: Any, files: Mapping[str, tuple[str, str]]) -> Any:
    if not (isinstance(part, dict) and (file_id := _file_in(part))):
        return part
    name, data = files[file_id]
    rest = {name: value for name, value in part.items() if name != "file_id"}
    if part.get("type") == "input_image":
        return {**rest, "image_url": data}
    return {"filename": name, **rest, "file_data": data}


def _parts_in(item: Item) -> list[Item]:
    contents = [item.get(name) for name in _CONTENTS]
    return [
        part
        for content in contents
        if isinstance(content, list)
        for part in content
        if isinstance(part, dict)
    ]


def sealed(provider: str, blocks: Sequence[Mapping[str, Any]]) -> str:
    """Reasoning blocks as the `encrypted_content` of an item, into which clients do not look."""
    return _SEAL + base64.b64encode(orjson.dumps({"provider": provider, "blocks": blocks})).decode()


def _unsealed(content: str, provider: str | None) -> list[dict[str, Any]]:
    """The blocks, if it was this provider that gave them: another could do nothing with them.

    None is a route, of which nobody knows yet who will answer: each takes what is its own.
    """
    try:
        found = orjson.loads(base64.b64decode(content[len(_SEAL) :], validate=True))
        blocks = found["blocks"] if provider in (None, found["provider"]) else []
        return [block for block in blocks if isinstance(block, dict)]
    except (ValueError, KeyError, TypeError):
        return []


@dataclass(slots=True)
class _Turn:
    """What an assistant said and did in one go: a message of a chat."""

    texts: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    blocks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_text_alone(self) -> bool:
        return bool(self.texts) and not self.calls and not self.blocks

    def messages(self) -> Iterator[dict[str, Any]]:
        if not (self.texts or self.calls):
            return  # thoughts of which nothing came
        calls = {"tool_calls": self.calls} if self.calls else {}
        blocks = {"reasoning_blocks": self.blocks} if self.blocks else {}
        text = "".join(self.texts)
        yield {"role": "assistant", "content": text or (None if self.calls else ""), **calls, **blocks}


def messages_of(items: Sequence[Item], provider: str | None, past: int = 0) -> list[dict[str, Any]]:
    """The messages of a chat; the first `past` items were said before. Raises a 400 `Problem`."""
    messages: list[dict[str, Any]] = []
    turn, waiting = _Turn(), dict[str, int]()
    for place, item in enumerate(items):
        loc: Loc = ["input", place - past] if place >= past else ["previous_response_id"]
        kind = kind_of(item)
        if kind in _DONE_AT_OPENAI:
            continue
        if kind == "function_call_output":
            messages += turn.messages()
            turn = _Turn()
            messages.append(_result(item, waiting, loc))
        elif kind == "message" and item.get("role") != "assistant":
            messages += turn.messages()
            turn = _Turn()
            _answered(waiting, loc)
            messages.append(_said(item, loc))
        elif kind == "message":
            if turn.is_text_alone:
                messages += turn.messages()
                turn = _Turn()
            turn.texts.append(_answer(item, loc))
        elif kind == "function_call":
            turn.calls.append(call := _call(item, loc))
            waiting[call["id"]] = place
        elif kind == "reasoning":
            turn.blocks += _blocks(item, provider, len(turn.calls))
        else:
            raise Problem.field([*loc, "type"], f"an item of type {kind[:40]!r} is for OpenAI's models alone")
    messages += turn.messages()
    _answered(waiting, ["input"])
    return messages


def _answered(waiting: Mapping[str, int], loc: Loc) -> None:
    for call_id in waiting:
        raise Problem.field(loc, f"No tool output found for function call {call_id[:100]}.")


def _text(item: Mapping[str, Any], name: str, loc: Loc) -> str:
    """Raises a 400 `Problem` where it is no text."""
    text = item.get(name)
    if not isinstance(text, str):
        raise Problem.field([*loc, name], "is a text")
    return text


def _call(item: Item, loc: Loc) -> dict[str, Any]:
    function = {"name": _text(item, "name", loc), "arguments": _text(item, "arguments", loc)}
    own = {name: value for name, value in item.items() if name not in _OURS}
    return {"id": _text(item, "call_id", loc), "type": "function", "function": function, **own}


def _result(item: Item, waiting: dict[str, int], loc: Loc) -> dict[str, Any]:
    call_id = _text(item, "call_id", loc)
    if waiting.pop(call_id, None) is None:
        raise Problem.field(loc, f"No tool call found for function call output with call_id {call_id[:100]}.")
    content = _content(item.get("output"), [*loc, "output"])
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _said(item: Item, loc: Loc) -> dict[str, Any]:
    role = item.get("role")
    if role not in ("user", "system", "developer"):
        raise Problem.field([*loc, "role"], "is user, assistant, system or developer")
    content = _content(item.get("content"), [*loc, "content"])
    return {"role": "user" if role == "user" else "system", "content": content}


def _answer(item: Item, loc: Loc) -> str:
    content = item.get("content")
    if isinstance(content, str):
        return content
    parts = _parts(content, [*loc, "content"])
    return "".join(
        _text(part, "refusal" if part.get("type") == "refusal" else "text", [*loc, "content", place])
        for place, part in enumerate(parts)
    )


def _blocks(item: Item, provider: str | None, calls_before: int) -> list[dict[str, Any]]:
    """What a provider wants back of its thoughts; OpenAI its own items, with their place among the calls."""
    secret = item.get("encrypted_content")
    if not isinstance(secret, str) or not secret:
        return []
    if secret.startswith(_SEAL):
        return _unsealed(secret, provider)
    block: Item = {name: item[name] for name in ("type", "id", "encrypted_content") if name in item}
    return [block | {"summary": item.get("summary") or [], "calls_before": calls_before}]


def _parts(content: Any, loc: Loc) -> list[Item]:
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise Problem.field(loc, "is a text or a list of parts")
    return content


def _content(content: Any, loc: Loc) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    parts = [_part(part, [*loc, place]) for place, part in enumerate(_parts(content, loc))]
    alone = len(parts) == 1 and parts[0].keys() == {"type", "text"}
    return parts[0]["text"] if alone else parts


def _part(part: Item, loc: Loc) -> dict[str, Any]:
    """Raises a 400 `Problem` for a part that nobody knows."""
    kind = part.get("type")
    kept = {"cache_control": part["cache_control"]} if part.get("cache_control") else {}
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": _text(part, "text", loc), **kept}
    if kind == "input_image":
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        link = {"url": _text(part, "image_url", loc), **detail}
        return {"type": "image_url", "image_url": link, **kept}
    if kind == "input_file":
        name = {"filename": part["filename"]} if part.get("filename") else {}
        if part.get("file_url"):
            return {"type": "file", "file": {"file_url": _text(part, "file_url", loc), **name}, **kept}
        return {"type": "file", "file": {"file_data": _text(part, "file_data", loc), **name}, **kept}
    if kind == "input_audio" and isinstance(part.get("input_audio"), dict):
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    raise Problem.field(loc, f"a part of type {str(kind)[:40]!r} cannot be taken here")
