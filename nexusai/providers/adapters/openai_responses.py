"""OpenAI's Responses API: chats built and whole answers read. Written from OpenAI's API reference.

Nothing is kept at OpenAI (`store` false): the conversation is sent whole each time, and so is the model's
reasoning, encrypted, as `reasoning_blocks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from nexusai.providers.adapters.openai_errors import error_from
from nexusai.providers.adapters.openai_stream import estimated_usage, loads
from nexusai.providers.adapters.openai_wire import failure, object_of, post
from nexusai.providers.adapters.reading import count_of, text_of
from nexusai.providers.adapters.vendors import is_reasoning
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError, ValidationError
from nexusai.providers.messages import Audio, Image, Part, Text, Turn, conversation, data_uri
from nexusai.providers.transport import HttpRequest, HttpResponse
from nexusai.providers.types import ChatRequest, ChatResponse, FinishReason, Usage

__all__ = [
    "CHAT_ONLY",
    "ENCRYPTED",
    "UNREADABLE",
    "block_of",
    "build_count",
    "build_responses",
    "build_responses_stream",
    "call_of",
    "error_in",
    "finish_of",
    "parse_count",
    "parse_responses",
    "response_of",
    "usage_of",
]

CHAT_ONLY: Final = ("stop", "seed", "presence_penalty", "frequency_penalty")
"""What a request may ask for that Chat Completions alone has."""
UNREADABLE: Final = (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError)
"""What reading an answer of another shape than the API promises ends in."""

ENCRYPTED: Final = "reasoning.encrypted_content"
"""What is asked for with an answer that is not kept: thoughts that can be given back."""
_COUNTED: Final = ("input", "instructions", "tools", "tool_choice", "text", "reasoning")
_BEFORE: Final = "calls_before"
"""Our own note on a reasoning block: how many calls of its answer it came after."""
_RETRYABLE: Final = frozenset({"server_error", "vector_store_timeout"})
_QUOTA: Final = frozenset({"rate_limit_exceeded", "insufficient_quota"})


def build_responses(config: ProviderConfig, request: ChatRequest, *, stream: bool = False) -> HttpRequest:
    """`request.extra` goes into the body as it is, `reasoning` and `text` merged, under what we say."""
    body = {**_body(request), "stream": True if stream else None}
    extra: dict[str, Any] = {"store": False, **request.extra}
    if is_reasoning(request.model):
        extra["include"] = sorted({ENCRYPTED, *(request.extra.get("include") or ())})
    return post(config, request.model, "/responses", body, extra)


def build_responses_stream(config: ProviderConfig, request: ChatRequest) -> HttpRequest:
    return build_responses(config, request, stream=True)


def build_count(config: ProviderConfig, request: ChatRequest) -> HttpRequest:
    body = _body(request)
    counted = {"model": request.model, **{name: body[name] for name in _COUNTED}}
    return post(config, request.model, "/responses/input_tokens", counted)


def parse_count(config: ProviderConfig, request: ChatRequest, response: HttpResponse) -> int:
    tokens = object_of(config, request.model, response).get("input_tokens")
    if not isinstance(tokens, int):
        raise failure(config, request.model, "answered without a count of tokens")
    return tokens


def parse_responses(config: ProviderConfig, request: ChatRequest, response: HttpResponse) -> ChatResponse:
    """Raises the error that a failed response stands for, `RetryableError` for one that cannot be read."""
    body = response_of(config, request.model, response)
    try:
        items = body["output"]
        text = "".join(_texts(items))
        thought = "\n\n".join(_thoughts(items)) or None
        calls = [call_of(item) for item in items if item.get("type") == "function_call"]
        return ChatResponse(
            content=text,
            model=text_of(body.get("model")) or request.model,
            finish_reason=finish_of(config, request.model, body, called=bool(calls)),
            usage=usage_of(body) or estimated_usage(request, text + (thought or "")),
            id=text_of(body.get("id")),
            created=count_of(body.get("created_at")),
            reasoning=thought,
            tool_calls=calls or None,
            reasoning_blocks=list(_blocks(items)) or None,
            raw=body,
        )
    except UNREADABLE:
        raise failure(config, request.model, "answered without an output that can be read") from None


def finish_of(config: ProviderConfig, model: str, body: Mapping[str, Any], *, called: bool) -> FinishReason:
    """Why a response is over. Raises the error that it stands for when it is none."""
    status = body.get("status") or "completed"
    if status == "incomplete":
        reason = (body.get("incomplete_details") or {}).get("reason")
        return "content_filter" if reason == "content_filter" else "length"
    if status == "completed":
        return "tool_calls" if called else "stop"
    if status == "failed":
        raise error_in(config, model, body.get("error"))
    raise failure(config, model, f"answered with a response that is {str(status)[:40]}, not complete")


def error_in(config: ProviderConfig, model: str, error: Any) -> AdapterError:
    """The error inside a response or a stream that began well."""
    facts = error if isinstance(error, Mapping) else {"message": error}
    code = str(facts.get("code") or "")
    status = 500 if code in _RETRYABLE else 429 if code in _QUOTA else 400 if code else 200
    refused = "policy" in code  # `bio_policy`, `image_content_policy_violation` and their likes
    shown = {**facts, "code": "content_filter"} if refused else facts
    found = error_from(config, model, status, {}, {"error": shown})
    found.code = code or found.code
    return found


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """The tokens, where they were counted."""
    usage = body.get("usage")
    if not isinstance(usage, Mapping) or (prompt := count_of(usage.get("input_tokens"))) is None:
        return None
    asked, answered = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=_count(usage, "output_tokens") or 0,
        cached_tokens=_count(asked, "cached_tokens"),
        reasoning_tokens=_count(answered, "reasoning_tokens"),
        cache_write_tokens=_count(asked, "cache_write_tokens"),
    )


def _count(counts: Any, name: str) -> int | None:
    return count_of(counts.get(name)) if isinstance(counts, Mapping) else None


def call_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """Raises one of `UNREADABLE` when it is no call."""
    name, arguments, call_id = item["name"], item.get("arguments") or "", item["call_id"]
    if not all(isinstance(fact, str) for fact in (name, arguments, call_id)):
        raise TypeError("no function call")
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def block_of(item: Mapping[str, Any], calls_before: int) -> dict[str, Any] | None:
    """What is to be given back of a piece of reasoning: nothing unless it says all, encrypted."""
    if not item.get("encrypted_content"):
        return None
    facts = {name: item[name] for name in ("type", "id", "encrypted_content") if name in item}
    summary = [{"type": "summary_text", "text": str(part["text"])} for part in item.get("summary") or ()]
    return {**facts, "summary": summary, **({_BEFORE: calls_before} if calls_before else {})}


def response_of(config: ProviderConfig, model: str, response: HttpResponse) -> dict[str, Any]:
    try:
        body = loads(response.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return object_of(config, model, response)
    if body.get("error"):
        raise error_in(config, model, body["error"])
    return body


def _blocks(items: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    calls = 0
    for item in items:
        calls += item.get("type") == "function_call"
        if item.get("type") == "reasoning" and (block := block_of(item, calls)):
            yield block


def _texts(items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for item in items:
        if item.get("type") == "message":
            for part in item.get("content") or ():
                yield part.get("text") or part.get("refusal") or ""


def _thoughts(items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for item in items:
        if item.get("type") == "reasoning":
            yield from (part["text"] for part in item.get("summary") or item.get("content") or ())


def _body(request: ChatRequest) -> dict[str, Any]:
    asked = [name for name in CHAT_ONLY if getattr(request, name) is not None]
    if asked:
        raise ValidationError(f"the Responses API has no {asked[0]}: leave it out, or give api='chat'")
    instructions, turns = conversation(request.messages)
    thinks = is_reasoning(request.model) and request.reasoning_effort != "none"
    return {
        "model": request.model,
        "input": [item for turn in turns for item in _items(turn)],
        "instructions": instructions,
        "tools": [_tool(tool) for tool in request.tools or ()] or None,
        "tool_choice": _tool_choice(request.tool_choice),
        "text": _merged(request.extra.get("text"), _format(request.response_format)),
        "reasoning": _merged(request.extra.get("reasoning"), _reasoning(request.reasoning_effort)),
        "max_output_tokens": request.max_tokens,
        "temperature": None if thinks else request.temperature,
        "top_p": None if thinks else request.top_p,
    }


def _merged(extra: Any, ours: Mapping[str, Any]) -> dict[str, Any] | None:
    return {**(extra if isinstance(extra, Mapping) else {}), **ours} or None


def _reasoning(effort: str | None) -> dict[str, Any]:
    # summaries are not asked for: organizations that are not verified would be refused
    return {} if effort is None else {"effort": effort}


def _format(form: Mapping[str, Any] | None) -> dict[str, Any]:
    if form is None:
        return {}
    schema = form.get("json_schema")
    flat = {"type": "json_schema", **schema} if isinstance(schema, Mapping) else dict(form)
    return {"format": flat}


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A function flattened; whatever else there is, such as `{"type": "web_search"}`, as it is."""
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    # functions are strict here unless told otherwise; in Chat Completions it is the other way round
    defaults = {"type": "function", "parameters": {"type": "object", "properties": {}}, "strict": False}
    return {**defaults, **{name: value for name, value in function.items() if value is not None}}


def _tool_choice(choice: str | Mapping[str, Any] | None) -> Any:
    if isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        return {"type": "function", "name": choice["function"].get("name")}
    return choice


def _items(turn: Turn) -> Iterator[dict[str, Any]]:
    """One turn as the items that it is of; reasoning stands before what came of it."""
    if turn.role == "tool":
        output = [_part(part) for part in turn.parts]
        said = turn.text if all(isinstance(part, Text) for part in turn.parts) else output
        yield {"type": "function_call_output", "call_id": turn.tool_call_id, "output": said}
        return
    if turn.role == "user":
        yield {"role": "user", "content": [_part(part) for part in turn.parts] or ""}
        return
    for at in range(len(turn.tool_calls) + 1):
        yield from _given_back(turn, at)
        if at == 0 and turn.text:
            yield {"role": "assistant", "content": turn.text}
        for call in turn.tool_calls[at : at + 1]:
            made = {"type": "function_call", "call_id": call.id}
            yield {**made, "name": call.name, "arguments": call.arguments or "{}"}


def _given_back(turn: Turn, at: int) -> Iterator[dict[str, Any]]:
    for block in turn.reasoning_blocks:
        if block.get("type") == "reasoning" and (block.get(_BEFORE) or 0) == at:
            yield {name: value for name, value in block.items() if name != _BEFORE}


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, Audio):
        raise ValidationError("the Responses API takes no sound: give api='chat' and a model that listens")
    uri = part.url if part.data is None else data_uri(part.media_type, part.data)
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": uri, "detail": part.detail or "auto"}
    if part.data is None:
        return {"type": "input_file", "file_url": uri}
    return {"type": "input_file", "filename": part.filename or "file.pdf", "file_data": uri}
