"""Anthropic's Messages API: its request to ours, our answer to its own. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import orjson
from msgspec import Meta, Struct

from nexusai.providers.types import ChatRequest, ChatResponse, FinishReason, StreamChunk, Usage
from nexusai.server.gateway.bodies import LONGEST
from nexusai.server.http import Problem

__all__ = ["CountBody", "EventWriter", "MessagesBody", "answer_of", "prompt_of", "request_of"]

Block = dict[str, Any]


class Said(Struct, kw_only=True):
    role: Literal["user", "assistant"]
    content: str | list[Block]


class CountBody(Struct, kw_only=True):
    """The body of `POST /v1/messages/count_tokens`."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[Said], Meta(min_length=1)]
    system: str | list[Block] | None = None
    tools: list[Block] | None = None
    tool_choice: Block | None = None


class MessagesBody(CountBody, kw_only=True):
    """The body of `POST /v1/messages`."""

    max_tokens: Annotated[int, Meta(ge=1, le=LONGEST)]
    stream: bool = False
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop_sequences: list[str] | None = None


_ANTHROPIC_ALONE: Final = frozenset(
    {"container", "context_management", "inference_geo", "mcp_servers", "metadata", "output_config"}
    | {"service_tier", "speed", "thinking", "top_k", "cache_control"}
    | {"n", "max_completion_tokens", "max_output_tokens", "generationConfig", "response_format"}
)
"""Fields that other protocols have no word for, or have words for that are not this one's."""
_CHOICES: Final[Mapping[str, str]] = {"auto": "auto", "any": "required", "none": "none"}
_STOPPED: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_THOUGHTS: Final = ("thinking", "redacted_thinking")


def request_of(body: MessagesBody, extra: Mapping[str, Any], model: str) -> ChatRequest:
    """For a provider that speaks another language. Raises a 400 `Problem`."""
    extra = {name: value for name, value in extra.items() if name not in _ANTHROPIC_ALONE}
    if (body.tool_choice or {}).get("disable_parallel_tool_use"):
        extra = {**extra, "parallel_tool_calls": False}
    return ChatRequest(
        model=model,
        messages=prompt_of(body),
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_tokens,
        stop=body.stop_sequences or None,
        tools=[_function(tool, place) for place, tool in enumerate(body.tools or ())] or None,
        tool_choice=_choice(body.tool_choice),
        extra=extra,
    )


def prompt_of(body: CountBody) -> list[dict[str, Any]]:
    """The messages as in OpenAI's API, the system prompt first."""
    messages: list[dict[str, Any]] = []
    if isinstance(body.system, str) and body.system:
        messages.append({"role": "system", "content": body.system})
    elif body.system:
        parts = [_part(block, ["system", place]) for place, block in enumerate(body.system)]
        messages.append({"role": "system", "content": parts})
    for place, message in enumerate(body.messages):
        if isinstance(message.content, str):
            messages.append({"role": message.role, "content": message.content})
        elif message.role == "assistant":
            messages.append(_assistant(message.content, ["messages", place, "content"]))
        else:
            messages += _user(message.content, ["messages", place, "content"])
    return messages


def _assistant(blocks: Sequence[Block], loc: Sequence[str | int]) -> dict[str, Any]:
    """An assistant's turn; its blocks go along as they are, for a provider that wants them back in order."""
    text, calls = "", []
    for place, block in enumerate(blocks):
        if block.get("type") == "text":
            text += _text_of(block, "text", [*loc, place])
        elif block.get("type") == "tool_use":
            calls.append(_call(block, [*loc, place]))
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
    if any(block.get("type") in _THOUGHTS for block in blocks):
        message["reasoning_blocks"] = [{"type": "content", "content": list(blocks)}]
    return message


def _call(block: Block, loc: Sequence[str | int]) -> Block:
    name, asked = _text_of(block, "name", loc), block.get("input") or {}
    if not isinstance(asked, dict):
        raise Problem.field([*loc, "input"], "is an object")
    function = {"name": name, "arguments": json.dumps(asked, ensure_ascii=False)}
    return {"id": _text_of(block, "id", loc), "type": "function", "function": function}


def _text_of(block: Mapping[str, Any], name: str, loc: Sequence[str | int]) -> str:
    """Raises a 400 `Problem` where it is no text."""
    text = block.get(name)
    if not isinstance(text, str):
        raise Problem.field([*loc, name], "is a text")
    return text


def _user(blocks: Sequence[Block], loc: Sequence[str | int]) -> Iterator[dict[str, Any]]:
    """The results of tools each as a message of its own, then the rest."""
    rest: list[Block] = []
    for place, block in enumerate(blocks):
        if block.get("type") == "tool_result":
            content = block.get("content") or ""
            if isinstance(content, list):
                content = [_part(part, [*loc, place]) for part in content]
            elif not isinstance(content, str):
                raise Problem.field([*loc, place, "content"], "is a text or a list of blocks")
            elif block.get("is_error"):
                content = f"Error: {content}"
            name = _text_of(block, "tool_use_id", [*loc, place])
            yield {"role": "tool", "tool_call_id": name, "content": content}
        else:
            rest.append(_part(block, [*loc, place]))
    if rest:
        yield {"role": "user", "content": rest}


def _part(block: Any, loc: Sequence[str | int]) -> Block:
    """Raises a 400 `Problem` for a block that cannot be told to other providers."""
    if not isinstance(block, dict):
        raise Problem.field(loc, "is a block: an object with a `type`")
    kind, source = block.get("type"), block.get("source")
    origin = source.get("type") if isinstance(source, dict) else None
    kept = {"cache_control": block["cache_control"]} if block.get("cache_control") else {}
    if kind == "text":
        return {"type": "text", "text": _text_of(block, "text", loc), **kept}
    if kind == "image" and origin in ("base64", "url"):
        return {"type": "image_url", "image_url": {"url": _link(block["source"], loc)}, **kept}
    if kind == "document" and origin in ("base64", "text", "url"):
        name = {"filename": str(block["title"])} if block.get("title") else {}
        field = "file_url" if origin == "url" else "file_data"
        return {"type": "file", "file": {field: _link(block["source"], loc), **name}, **kept}
    raise Problem.field(loc, f"a block of type {str(kind)[:40]!r} cannot be taken here")


def _link(source: Mapping[str, Any], loc: Sequence[str | int]) -> str:
    if source["type"] == "url":
        return _text_of(source, "url", [*loc, "source"])
    data = _text_of(source, "data", [*loc, "source"])
    if source["type"] == "text":
        return f"data:text/plain;base64,{base64.b64encode(data.encode()).decode()}"
    return f"data:{_text_of(source, 'media_type', [*loc, 'source'])};base64,{data}"


def _function(tool: Block, place: int) -> Block:
    if tool.get("type", "custom") != "custom" or not tool.get("name"):
        raise Problem.field(["tools", place], "only tools of your own are taken, with `name`, `input_schema`")
    schema = tool.get("input_schema") or {"type": "object"}
    if not isinstance(schema, dict):
        raise Problem.field(["tools", place, "input_schema"], "is an object")
    function = {"name": _text_of(tool, "name", ["tools", place]), "parameters": schema}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _choice(choice: Block | None) -> str | Block | None:
    if choice is None:
        return None
    if choice.get("type") == "tool":
        return {"type": "function", "function": {"name": _text_of(choice, "name", ["tool_choice"])}}
    return _CHOICES.get(str(choice.get("type")), "auto")


def answer_of(answer: ChatResponse, message_id: str) -> dict[str, Any]:
    """The answer as a message; one that a provider of this protocol gave is given on as it came."""
    if isinstance(answer.raw, dict) and answer.raw.get("type") == "message":
        return dict(answer.raw)
    blocks: list[Block] = []
    if answer.reasoning:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": ""})
    if answer.content:
        blocks.append({"type": "text", "text": answer.content, "citations": None})
    for call in answer.tool_calls or ():
        function = call["function"]
        blocks.append(
            {
                "type": "tool_use",
                "id": call["id"],
                "name": function["name"],
                "input": _input(function["arguments"]),
            }
        )
    return {
        **_head(message_id, answer.model),
        "content": blocks,
        "stop_reason": _STOPPED[answer.finish_reason],
        "usage": _used(answer.usage),
    }


def _head(message_id: str, model: str) -> dict[str, Any]:
    empty: Block = {"content": [], "stop_reason": None, "stop_sequence": None}
    return {"id": message_id, "type": "message", "role": "assistant", "model": model, **empty}


def _input(arguments: str) -> Any:
    try:
        found = orjson.loads(arguments or "{}")
    except ValueError:
        found = arguments
    return found if isinstance(found, dict) else {"arguments": found}


def _used(usage: Usage) -> dict[str, Any]:
    """Anthropic counts what came from a cache, and what went into one, apart from the rest of the prompt."""
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    return {
        "input_tokens": max(0, usage.prompt_tokens - cached - written),
        "output_tokens": usage.completion_tokens,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
    }


class EventWriter:
    """The events of one streamed message: blocks one after the other, each begun, continued and ended."""

    def __init__(self, message_id: str, model: str) -> None:
        self._id = message_id
        self._model = model
        self._begun = False
        self._index = -1
        self._open: tuple[str, int] | None = None
        """What kind of block is open, and for a tool which call of the answer it is."""
        self._reason: FinishReason = "stop"
        self._usage: Usage | None = None

    def write(self, chunk: StreamChunk) -> Iterator[dict[str, Any]]:
        self._model = chunk.model or self._model
        self._usage = chunk.usage or self._usage
        self._reason = chunk.finish_reason or self._reason
        if not self._begun:
            self._begun = True
            usage = _used(Usage(0, 0))
            yield {"type": "message_start", "message": {**_head(self._id, self._model), "usage": usage}}
        if chunk.reasoning:
            empty: Block = {"type": "thinking", "thinking": "", "signature": ""}
            yield from self._in_block(("thinking", 0), empty)
            yield self._delta({"type": "thinking_delta", "thinking": chunk.reasoning})
        if chunk.delta:
            yield from self._in_block(("text", 0), {"type": "text", "text": "", "citations": None})
            yield self._delta({"type": "text_delta", "text": chunk.delta})
        for call in chunk.tool_calls or ():
            function = call.get("function") or {}
            empty = {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": {}}
            yield from self._in_block(("tool_use", call.get("index") or 0), empty)
            if function.get("arguments"):
                yield self._delta({"type": "input_json_delta", "partial_json": function["arguments"]})

    def end(self) -> Iterator[dict[str, Any]]:
        yield from self._closed()
        delta = {"stop_reason": _STOPPED[self._reason], "stop_sequence": None}
        usage = _used(self._usage or Usage(0, 0))
        yield {"type": "message_delta", "delta": delta, "usage": usage}
        yield {"type": "message_stop"}

    def _in_block(self, block: tuple[str, int], empty: Block) -> Iterator[dict[str, Any]]:
        if self._open == block:
            return
        yield from self._closed()
        self._open = block
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": empty}

    def _closed(self) -> Iterator[dict[str, Any]]:
        if self._open is not None:
            self._open = None
            yield {"type": "content_block_stop", "index": self._index}

    def _delta(self, delta: Block) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}
