"""OpenAI's Responses API: its request to a chat, and what of it the response tells again. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from nexusai.providers.types import ChatRequest
from nexusai.server.gateway.bodies import LONGEST, NonEmpty
from nexusai.server.http import Problem
from nexusai.server.responses.models import Item

__all__ = ["ResponsesBody", "StateBody", "head_of", "refuse", "request_of"]

Object = dict[str, Any]


class StateBody(Struct, kw_only=True):
    """What of the body of `POST /v1/responses` is about the conversation, and is the platform's to know."""

    model: NonEmpty
    input: str | list[Item] | None = None
    previous_response_id: NonEmpty | None = None
    store: bool | None = None
    stream: bool | None = None
    background: bool | None = None
    conversation: str | Object | None = None


class ResponsesBody(StateBody, kw_only=True):
    """The rest of it, for a provider to whom it has to be translated."""

    instructions: str | None = None
    stream_options: Object | None = None
    prompt: Object | None = None
    include: list[str] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=LONGEST)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=1, le=LONGEST)] | None = None
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    reasoning: Object | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    text: Object | None = None
    tool_choice: str | Object | None = None
    tools: list[Object] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None


_BY_CHAT: Final = ("prompt_cache_key", "safety_identifier", "service_tier", "user")
"""Fields that Chat Completions has as well, under the same name."""
_CHATTING: Final = ("openai", "openai_compatible", "azure")
_NEVER: Final = frozenset(
    {"access_programs", "background_options", "context_management", "image", "moderation"}
    | {"prompt_cache_options", "prompt_cache_retention"}
)
"""Fields of this API that others have no word for."""


def refuse(body: StateBody) -> None:
    """Raises a 400 `Problem` for what is not kept for anybody."""
    if body.background:
        raise Problem.field(["background"], "is not to be had: a response is made while its caller waits")
    if body.conversation is not None:
        raise Problem.field(["conversation"], "is not to be had: go on by `previous_response_id`")


def request_of(
    body: ResponsesBody,
    extra: Mapping[str, Any],
    model: str,
    messages: Sequence[Mapping[str, Any]],
    protocol: str,
) -> ChatRequest:
    """A chat of what was said so far; `protocol` is what the provider speaks. Raises a 400 `Problem`."""
    if body.prompt is not None:
        raise Problem.field(["prompt"], "templates are kept at OpenAI: give `input` and `instructions`")
    said = [{"role": "system", "content": body.instructions}] if body.instructions else []
    if not (said or messages):
        raise Problem.field(["input"], "required", "missing")
    offered = [_function(tool, ["tools", place]) for place, tool in enumerate(body.tools or ())]
    tools, choice = _chosen(offered, body.tool_choice)
    return ChatRequest(
        model=model,
        messages=[*said, *messages],
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_output_tokens,
        tools=tools or None,
        tool_choice=choice,
        response_format=_format(body.text),
        reasoning_effort=_effort(body.reasoning),
        extra=_extra(body, extra, protocol),
    )


def _extra(body: ResponsesBody, extra: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    others = {name: value for name, value in extra.items() if name not in _NEVER}
    if body.parallel_tool_calls is not None and body.tools:
        others["parallel_tool_calls"] = body.parallel_tool_calls
    if protocol in _CHATTING:
        told = {"verbosity": (body.text or {}).get("verbosity")}
        told |= {name: getattr(body, name) for name in _BY_CHAT}
        others |= {name: value for name, value in told.items() if value is not None}
    return others


def _function(tool: Object, loc: Sequence[str | int]) -> Object:
    """A function as in Chat Completions. Raises a 400 `Problem` for the tools that OpenAI runs itself."""
    if tool.get("type") != "function":
        raise Problem.field(
            [*loc, "type"],
            f"{str(tool.get('type'))[:40]!r} is a tool that OpenAI runs: take a model of the provider "
            "`openai`, or a function of your own",
        )
    if not isinstance(tool.get("name"), str):
        raise Problem.field([*loc, "name"], "is a text")
    if not isinstance(tool.get("parameters") or {}, dict):
        raise Problem.field([*loc, "parameters"], "is a JSON schema")
    function = {name: value for name, value in tool.items() if name != "type" and value is not None}
    return {"type": "function", "function": {"parameters": {"type": "object"}, **function}}


def _chosen(tools: list[Object], choice: str | Object | None) -> tuple[list[Object], str | Object | None]:
    """The tools that may be called, and which of them has to be."""
    if not isinstance(choice, dict):
        return tools, choice if tools else None
    if choice.get("type") == "function":
        return tools, {"type": "function", "function": {"name": choice.get("name")}}
    if choice.get("type") == "allowed_tools":
        named = choice.get("tools")
        if not isinstance(named, list):
            raise Problem.field(["tool_choice", "tools"], "is a list of tools")
        allowed = [tool.get("name") for tool in named if isinstance(tool, dict)]
        kept = [tool for tool in tools if (tool.get("function") or {}).get("name") in allowed]
        return kept, "required" if choice.get("mode") == "required" else "auto"
    raise Problem.field(["tool_choice"], "is auto, none, required, a function or allowed_tools")


def _format(text: Object | None) -> Object | None:
    form = (text or {}).get("format")
    if not isinstance(form, dict) or form.get("type") in (None, "text"):
        return None
    if form["type"] != "json_schema":
        return form
    schema = {name: value for name, value in form.items() if name != "type" and value is not None}
    if not isinstance(schema.get("schema"), dict):
        raise Problem.field(["text", "format", "schema"], "is a JSON schema")
    return {"type": "json_schema", "json_schema": schema}


def _effort(reasoning: Object | None) -> str | None:
    effort = (reasoning or {}).get("effort")
    if effort is not None and not isinstance(effort, str):
        raise Problem.field(["reasoning", "effort"], "is a text")
    return effort


def head_of(body: ResponsesBody, created: int, model: str, ours: Mapping[str, Any]) -> Object:
    """A response of which nothing is there yet: what was asked for, as OpenAI tells it again.

    `ours` is its id, what it goes on from, and whether it is kept.
    """
    return {
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": body.metadata or {},
        "model": model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": None, "summary": None, **(body.reasoning or {})},
        "safety_identifier": body.safety_identifier,
        "service_tier": body.service_tier or "default",
        "temperature": body.temperature,
        "text": {"format": {"type": "text"}, **(body.text or {})},
        "tool_choice": body.tool_choice or "auto",
        "tools": body.tools or [],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": body.top_p,
        "truncation": body.truncation or "disabled",
        "usage": None,
        "user": body.user,
        **ours,
    }
