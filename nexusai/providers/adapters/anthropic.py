"""Anthropic's Messages API, and the gateways and vendors that speak it.

Pure: requests are built and answers are read here, sent and awaited elsewhere. What differs between models is
data in `anthropic_models.py`. Written from Anthropic's API reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from nexusai.providers.adapters import openai_wire
from nexusai.providers.adapters.adapter import Adapter
from nexusai.providers.adapters.anthropic_errors import error_of, parse_error
from nexusai.providers.adapters.anthropic_messages import prompt_of
from nexusai.providers.adapters.anthropic_models import claude, thinking_of
from nexusai.providers.adapters.anthropic_relay import MessageTap, message_facts
from nexusai.providers.adapters.anthropic_schemas import native_schema
from nexusai.providers.adapters.anthropic_stream import (
    JSON_TOOL,
    UNREADABLE,
    ChatStream,
    arguments_of,
    blocks_to_return,
    finish_reason,
    usage_of,
)
from nexusai.providers.adapters.openai_stream import estimated_usage, loads
from nexusai.providers.adapters.openai_wire import failure
from nexusai.providers.adapters.reading import count_of, text_of
from nexusai.providers.adapters.relay import body_of, relaying
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError, ValidationError
from nexusai.providers.flow import exchange, streaming
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import ChatRequest, ChatResponse, RelayRequest

__all__ = ["ADAPTER", "build_chat", "build_count", "build_stream", "chat_stream", "parse_chat", "parse_count"]

_VERSION: Final = "2023-06-01"
"""`2026-10-21` takes no temperature from any model, and few gateways know it."""
_OPEN_SCHEMA: Final[Mapping[str, Any]] = {"type": "object", "additionalProperties": True}
_ONLY_JSON: Final = "Answer with a single JSON object and nothing else: no fence, no words around it."
_OURS: Final = frozenset({"betas", "parallel_tool_calls", "output_config"})
"""Names in `extra` that do not go into the body as they are."""


def build_chat(config: ProviderConfig, request: ChatRequest, *, stream: bool = False) -> HttpRequest:
    """`request.extra` goes into the body as it is, under what the request itself says; `betas` in it are
    named in a header. `seed` and penalties have no counterpart.
    """
    body = {
        **_prompt(request),
        "max_tokens": _max_tokens(request),
        "stop_sequences": [request.stop] if isinstance(request.stop, str) else request.stop,
        "stream": True if stream else None,
    }
    return _post(config, request, "/v1/messages", {**body, **_sampling(request, body)})


def build_stream(config: ProviderConfig, request: ChatRequest) -> HttpRequest:
    return build_chat(config, request, stream=True)


def parse_chat(config: ProviderConfig, request: ChatRequest, response: HttpResponse) -> ChatResponse:
    """Raises `RetryableError` when the answer is not what the API promises."""
    body = _object(config, request.model, response)
    try:
        return _answer(request, body)
    except UNREADABLE:
        raise failure(config, request.model, "answered without readable content") from None


def chat_stream(config: ProviderConfig, request: ChatRequest) -> ChatStream:
    """What reads the events of a streamed answer."""
    return ChatStream(config, request, by_tool=_answer_schema(request) is not None)


def build_count(config: ProviderConfig, request: ChatRequest) -> HttpRequest:
    return _post(config, request, "/v1/messages/count_tokens", _prompt(request))


def parse_count(config: ProviderConfig, request: ChatRequest, response: HttpResponse) -> int:
    count = count_of(_object(config, request.model, response).get("input_tokens"))
    if count is None:
        raise failure(config, request.model, "answered without a number of tokens")
    return count


def _prompt(request: ChatRequest) -> dict[str, Any]:
    """What the model is given and told; all that counting tokens takes, too."""
    try:
        tools, choice, native = _tools(request), _tool_choice(request), _native_schema(request)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValidationError(
            f"tools, tool_choice or response_format is not in OpenAI's form: {type(error).__name__} {error}"
        ) from None
    forced = choice.get("type") in ("any", "tool")
    thinking, effort = thinking_of(
        request.model, request.reasoning_effort, _max_tokens(request), forced=forced
    )
    output = {
        **(request.extra.get("output_config") or {}),
        **({"format": {"type": "json_schema", "schema": native}} if native else {}),
        **({"effort": effort} if effort else {}),
    }
    system, messages = prompt_of(request.messages)
    return {
        "model": request.model,
        "system": _system(request, system),
        "messages": messages,
        "tools": tools or None,
        "tool_choice": choice or None,
        "thinking": thinking,
        "output_config": output or None,
    }


def _max_tokens(request: ChatRequest) -> int:
    return claude(request.model).max_tokens if request.max_tokens is None else request.max_tokens


def _sampling(request: ChatRequest, body: Mapping[str, Any]) -> dict[str, Any]:
    """Temperature (0 to 1 here) or top_p, where the model takes them and does not think."""
    facts, thinking = claude(request.model), body["thinking"] or request.extra.get("thinking")
    if thinking or not facts.samples:
        return {}
    temperature = None if request.temperature is None else min(request.temperature, 1)
    both = facts.samples_by_both or temperature is None
    return {"temperature": temperature, "top_p": request.top_p if both else None}


def _system(
    request: ChatRequest, system: str | list[dict[str, Any]] | None
) -> str | list[dict[str, Any]] | None:
    is_json = (request.response_format or {}).get("type") == "json_object"
    if not is_json or claude(request.model).forced:
        return system
    if isinstance(system, list):
        return [*system, {"type": "text", "text": _ONLY_JSON}]
    return f"{system}\n\n{_ONLY_JSON}" if system else _ONLY_JSON


def _native_schema(request: ChatRequest) -> dict[str, Any] | None:
    form = request.response_format or {}
    if form.get("type") != "json_schema" or not claude(request.model).schemas:
        return None
    return native_schema(_schema_in(form))


def _answer_schema(request: ChatRequest) -> Mapping[str, Any] | None:
    """What `JSON_TOOL` takes, when the model has to answer by it."""
    form, facts = request.response_format or {}, claude(request.model)
    if form.get("type") == "json_schema" and not facts.schemas:
        return _schema_in(form)
    return _OPEN_SCHEMA if form.get("type") == "json_object" and facts.forced else None


def _schema_in(form: Mapping[str, Any]) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = (form.get("json_schema") or {}).get("schema") or _OPEN_SCHEMA
    return schema


def _tools(request: ChatRequest) -> list[Mapping[str, Any]]:
    tools = [_tool(request.model, tool) for tool in request.tools or ()]
    schema = _answer_schema(request)
    if schema is None:
        return tools
    told = "Give the answer to the user. Its arguments are the whole answer."
    return [*tools, {"name": JSON_TOOL, "description": told, "input_schema": schema}]


def _tool(model: str, tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A function in this API's words; the vendor's own tools go as they are."""
    if tool.get("type") != "function":
        return tool
    function = tool["function"]
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    strict = bool(function.get("strict")) and claude(model).schemas
    facts = {
        "name": function["name"],
        "description": function.get("description"),
        "input_schema": native_schema(schema) if strict else schema,
        "strict": strict or None,
        "cache_control": tool.get("cache_control") or function.get("cache_control"),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _tool_choice(request: ChatRequest) -> dict[str, Any]:
    """Nothing where the model decides itself, as one does that cannot be made to call a tool."""
    choice = request.tool_choice
    sent: dict[str, Any] = {}
    if _answer_schema(request) is not None:
        is_free = request.tools and choice != "none"
        return {"type": "any"} if is_free else {"type": "tool", "name": JSON_TOOL}
    if not request.tools:
        return {}
    if isinstance(choice, str):
        sent = {"type": "any" if choice == "required" else choice}
    elif choice is not None:
        sent = dict(choice)
        if choice.get("type") == "function":
            sent = {"type": "tool", "name": choice["function"]["name"]}
    if sent.get("type") in ("any", "tool") and not claude(request.model).forced:
        sent = {"type": "auto"}
    if request.extra.get("parallel_tool_calls") is False and choice != "none":
        sent = {"type": "auto", **sent, "disable_parallel_tool_use": True}
    return sent


def _answer(request: ChatRequest, body: Mapping[str, Any]) -> ChatResponse:
    content: Sequence[dict[str, Any]] = body["content"]
    by_tool = _answer_schema(request) is not None
    uses = [block for block in content if block["type"] == "tool_use"]
    answers = [block for block in uses if by_tool and block["name"] == JSON_TOOL]
    calls = [_call(block) for block in uses if block not in answers]
    text = "".join(block["text"] for block in content if block["type"] == "text")
    if answers:
        text = "".join(arguments_of(block["input"]) for block in answers)
    thought = "".join(block["thinking"] for block in content if block["type"] == "thinking")
    return ChatResponse(
        content=text,
        model=text_of(body.get("model")) or request.model,
        finish_reason=finish_reason(body.get("stop_reason"), called=bool(calls), answered=bool(answers)),
        usage=usage_of(body.get("usage")) or estimated_usage(request, text + thought),
        id=text_of(body.get("id")),
        reasoning=thought or None,
        tool_calls=calls or None,
        reasoning_blocks=blocks_to_return(content),
        raw=body,
    )


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    if not (isinstance(block["id"], str) and isinstance(block["name"], str)):
        raise TypeError("a call without id and name")
    function = {"name": block["name"], "arguments": arguments_of(block["input"])}
    return {"id": block["id"], "type": "function", "function": function}


def _object(config: ProviderConfig, model: str, response: HttpResponse) -> dict[str, Any]:
    """The JSON object that an answer is. Raises the error that stands in its place."""
    try:
        body = loads(response.body)
    except ValueError:
        body = None
    if isinstance(body, dict) and body.get("error"):
        raise error_of(config, model, response.status, response.headers, body)
    if not isinstance(body, dict):
        message = f"{config.provider} answered with something else than a JSON object: check the base URL"
        raise AdapterError(message, provider=config.provider, model=model, status=response.status)
    return body


def _post(config: ProviderConfig, request: ChatRequest, path: str, body: Mapping[str, Any]) -> HttpRequest:
    """The key goes by the header that every gateway reads. A base URL may end in `/v1` or not."""
    extra = {name: value for name, value in request.extra.items() if name not in _OURS}
    sent = openai_wire.post(_base(config), request.model, path, body, extra)
    headers = _headers(config)
    if betas := request.extra.get("betas"):
        headers["anthropic-beta"] = betas if isinstance(betas, str) else ",".join(map(str, betas))
    return replace(sent, headers=headers)


def _base(config: ProviderConfig) -> ProviderConfig:
    return replace(config, base_url=(config.base_url or "").removesuffix("/v1"))


def _headers(config: ProviderConfig) -> dict[str, str]:
    headers = {"content-type": "application/json", "anthropic-version": _VERSION}
    return {**headers, "x-api-key": config.api_key} if config.api_key else headers


def build_relay(config: ProviderConfig, request: RelayRequest) -> HttpRequest:
    """A request to the Messages API in its own words."""
    sent = openai_wire.post_bytes(_base(config), request.model, "/v1/messages", body_of(request))
    return replace(sent, headers=_headers(config))


ADAPTER: Final = Adapter(
    chat=exchange(build_chat, parse_chat),
    stream=streaming(build_stream, chat_stream, parse_chat),
    count_tokens=exchange(build_count, parse_count),
    relays={"messages": relaying(build_relay, _object, message_facts, MessageTap)},
    parse_error=parse_error,
)
