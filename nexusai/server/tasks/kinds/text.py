"""`text_generation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from nexusai.providers.types import ChatRequest, ChatResponse, Cost, FinishReason, StreamChunk, Usage
from nexusai.server.http import Problem
from nexusai.server.tasks.kinds.kind import Job, Kind, NonEmpty, Output, origin, usage

__all__ = ["TEXT_GENERATION", "Message", "TextConfig", "TextInput", "complete"]


MOST_ATTACHED: Final = 48 * 1024 * 1024
"""Characters of the files in a prompt: a short one can name a large file many times."""


class Message(Struct, forbid_unknown_fields=True, kw_only=True):
    """One message of a chat; content is text or parts (`text`, `image_url`, `file_id`)."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    name: str | UnsetType = UNSET
    tool_calls: list[dict[str, Any]] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET


class TextInput(Struct, forbid_unknown_fields=True, kw_only=True):
    """`prompt` or `messages`, and what goes before them as `system`."""

    prompt: NonEmpty | None = None
    messages: Annotated[list[Message], Meta(min_length=1)] | None = None
    system: str | None = None

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either `prompt` or `messages`")


class TextConfig(Struct, kw_only=True):
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    cancel_on_disconnect: bool = False


async def generate_text(job: Job) -> Output:
    options = msgspec.structs.asdict(job.config)
    del options["cancel_on_disconnect"]
    request = ChatRequest(model=job.model, messages=await _messages(job), extra=job.extra, **options)
    response = await complete(job, request)
    output: Output = {
        "text": response.content,
        "finish_reason": response.finish_reason,
        "usage": usage(response.usage),
    }
    if response.tool_calls:
        output["tool_calls"] = response.tool_calls
    if response.reasoning:
        output["reasoning"] = response.reasoning
    return output | origin(job, response)


async def _messages(job: Job) -> list[dict[str, Any]]:
    input: TextInput = job.input
    given = input.messages or [Message(role="user", content=input.prompt)]
    messages = [msgspec.to_builtins(message) for message in given]
    if input.system is not None:
        messages.insert(0, {"role": "system", "content": input.system})
    room = MOST_ATTACHED
    for content in [message["content"] for message in messages if isinstance(message["content"], list)]:
        for place, part in enumerate(content):
            if "file_id" in part:
                uri = await job.media.data_uri(job.project, str(part["file_id"]))
                room -= len(uri)
                if room < 0:
                    raise Problem.field(["input", "messages"], "name files that are too large together")
                content[place] = {"type": "image_url", "image_url": {"url": uri}}
    return messages


async def complete(job: Job, request: ChatRequest) -> ChatResponse:
    """The provider's whole answer, told in deltas on the way when the task streams."""
    return await _streamed(job, request) if job.stream else await job.provider.chat(request)


async def _streamed(job: Job, request: ChatRequest) -> ChatResponse:
    gathered = _Gathered(job.model)
    chunks = job.provider.stream(request)
    try:
        async for chunk in chunks:
            gathered.add(chunk)
            delta = _delta(chunk)
            if delta:
                job.emit({"delta": delta})
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
    return gathered.response()


def _delta(chunk: StreamChunk) -> dict[str, Any]:
    delta: dict[str, Any] = {}
    if chunk.delta:
        delta["content"] = chunk.delta
    if chunk.reasoning:
        delta["reasoning_content"] = chunk.reasoning
    if chunk.tool_calls:
        delta["tool_calls"] = chunk.tool_calls
    return delta


class _Gathered:
    """A whole answer out of its pieces."""

    def __init__(self, model: str) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.tool_calls: dict[int, dict[str, Any]] = {}
        self.reasoning_blocks: list[Mapping[str, Any]] = []
        self.model = model
        self.finish_reason: FinishReason = "stop"
        self.usage = Usage(0, 0, source="estimate")
        self.cost: Cost | None = None
        self.provider: str | None = None
        self.extra: dict[str, Any] = {}

    def add(self, chunk: StreamChunk) -> None:
        self.text.append(chunk.delta)
        self.reasoning.append(chunk.reasoning or "")
        for fragment in chunk.tool_calls or ():
            _merge_tool_call(self.tool_calls, fragment)
        self.reasoning_blocks.extend(chunk.reasoning_blocks or ())
        self.model = chunk.model or self.model
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.usage = chunk.usage or self.usage
        self.cost = chunk.cost or self.cost
        self.provider = chunk.provider or self.provider
        self.extra.update(chunk.extra)

    def response(self) -> ChatResponse:
        return ChatResponse(
            content="".join(self.text),
            reasoning="".join(self.reasoning) or None,
            tool_calls=[self.tool_calls[index] for index in sorted(self.tool_calls)] or None,
            reasoning_blocks=self.reasoning_blocks or None,
            model=self.model,
            finish_reason=self.finish_reason,
            usage=self.usage,
            cost=self.cost,
            extra=self.extra,
            provider=self.provider,
        )


def _merge_tool_call(calls: dict[int, dict[str, Any]], fragment: Mapping[str, Any]) -> None:
    """Fragments of one call share an `index`; the name comes once, the arguments in pieces."""
    call = calls.setdefault(
        fragment.get("index") or 0, {"type": "function", "function": {"name": "", "arguments": ""}}
    )
    if fragment.get("id"):
        call["id"] = fragment["id"]
    function = fragment.get("function") or {}
    call["function"]["name"] += function.get("name") or ""
    call["function"]["arguments"] += function.get("arguments") or ""


TEXT_GENERATION = Kind("text_generation", "chat", TextInput, TextConfig, generate_text)
