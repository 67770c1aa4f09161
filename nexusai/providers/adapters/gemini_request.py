"""A chat as the body of Gemini's `generateContent`. Written from the Gemini API reference (v1beta)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from nexusai.providers.errors import ValidationError
from nexusai.providers.messages import Audio, Image, Part, Text, ToolCall, Turn, conversation
from nexusai.providers.types import ChatRequest

__all__ = ["chat_body", "inline", "merged"]

_BEFORE_3: Final = re.compile(r"gemini-(1|2|1\.\d|2\.\d)-")
_HAS_MINIMAL: Final = re.compile(r"gemini-3(\.[1-5])?-flash")
_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""Tokens to think with, as Google's own OpenAI-compatible endpoint has them for the models before 3."""
_LEAST_OF_PRO: Final = 128
_LEVELS: Final = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_TYPES: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
}
UNSIGNED: Final = "skip_thought_signature_validator"
"""What Gemini 3 wants on a call that it did not make itself, as after a change of models."""


def chat_body(request: ChatRequest) -> dict[str, Any]:
    """`request.extra` goes into the body as it is, objects merged, under what the request itself says."""
    system, turns = conversation(request.messages)
    contents = list(_contents(turns, signed="gemini" in request.model and not _before_3(request.model)))
    if not contents and system:  # the API wants somebody to say something
        contents, system = [_content("user", [{"text": system}])], None
    body = {
        "contents": contents,
        "systemInstruction": {"parts": [{"text": system}]} if system else None,
        "tools": _tools(request.tools or ()) or None,
        "toolConfig": _tool_config(request.tool_choice),
        "generationConfig": _generation_config(request) or None,
    }
    return merged(request.extra, body)


def merged(extra: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Both, objects in them merged; `body` wins, except where it is None."""
    result = dict(extra)
    for name, value in body.items():
        below = result.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[name] = merged(below, value)
        elif value is not None:
            result[name] = value
    return result


def inline(media_type: str, data: bytes) -> dict[str, Any]:
    """A part that holds bytes."""
    return {"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode()}}


def _contents(turns: Sequence[Turn], *, signed: bool) -> Iterator[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role == "tool":  # the results of parallel calls go back together
            results.append(_function_response(turn))
            continue
        if results:
            yield _content("user", results)
            results = []
        parts = _model_parts(turn, signed) if turn.role == "assistant" else [_part(p) for p in turn.parts]
        if parts or turn.role == "user":
            yield _content("model" if turn.role == "assistant" else "user", parts or [{"text": ""}])
    if results:
        yield _content("user", results)


def _content(role: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": role, "parts": parts}


def _model_parts(turn: Turn, signed: bool) -> list[dict[str, Any]]:
    blocks = [dict(block) for block in turn.reasoning_blocks if "thoughtSignature" in block]
    thoughts = [block for block in blocks if block.get("thought")]
    said = [block for block in blocks if not block.get("thought")]
    calls = [_function_call(call) for call in turn.tool_calls]
    if signed and calls and not any("thoughtSignature" in call for call in calls):
        calls[0]["thoughtSignature"] = UNSIGNED
    return [*thoughts, *_said(turn, said), *calls]


def _said(turn: Turn, signed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The text, the part of it that a signature belongs to apart from the rest."""
    parts = [_part(part) for part in turn.parts]
    if not signed or any("text" not in part for part in parts):
        return parts
    last, text = signed[-1], turn.text
    own = str(last.get("text") or "")
    if not text.endswith(own):  # it has been rewritten: the signature is of something else
        return parts
    before = text.removesuffix(own)
    return [*([{"text": before}] if before else ()), {**last, "text": own}]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    if isinstance(part, Audio):
        return inline(f"audio/{part.format}", part.data)
    if part.data is not None:
        return inline(part.media_type, part.data)
    return {"fileData": _file(part.media_type, part.url or "", isinstance(part, Image))}


def _file(media_type: str, url: str, is_image: bool) -> dict[str, Any]:
    """The type is what the name tells; a picture of no known name is taken for a JPEG."""
    ending = urlsplit(url).path.rpartition(".")[2].lower()
    guessed = media_type or _TYPES.get(ending) or ("image/jpeg" if is_image else None)
    return {**({"mimeType": guessed} if guessed else {}), "fileUri": url}


def _function_call(call: ToolCall) -> dict[str, Any]:
    signature = _signature(call)
    own_id = {"id": call.id} if call.id else {}
    part: dict[str, Any] = {"functionCall": {**own_id, "name": call.name, "args": call.parsed()}}
    return {**part, "thoughtSignature": signature} if signature else part


def _signature(call: ToolCall) -> str | None:
    """Where Google's own OpenAI-compatible endpoint puts it, so that it comes through gateways."""
    found: Any = call.extra
    for name in ("extra_content", "google", "thought_signature"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else None


def _function_response(turn: Turn) -> dict[str, Any]:
    media = [_part(part) for part in turn.parts if not isinstance(part, Text)]
    own_id = {"id": turn.tool_call_id} if turn.tool_call_id else {}
    name = turn.name or turn.tool_call_id or "tool"
    result = {**own_id, "name": name, "response": _result(turn.text)}
    return {"functionResponse": {**result, "parts": media} if media else result}


def _result(text: str) -> dict[str, Any]:
    """The API wants an object; what is none stands under `output`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    return value if isinstance(value, dict) else {"output": value}


def _tools(tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Functions declared; whatever else there is, such as `{"googleSearch": {}}`, as it is."""
    functions = [tool["function"] for tool in tools if isinstance(tool.get("function"), Mapping)]
    others = [tool for tool in tools if not isinstance(tool.get("function"), Mapping)]
    declared = [{"functionDeclarations": [_declaration(function) for function in functions]}]
    return [*(declared if functions else ()), *others]


def _declaration(function: Mapping[str, Any]) -> dict[str, Any]:
    # `parametersJsonSchema` takes JSON Schema as it is; `parameters` only a part of OpenAPI's
    facts = {
        "name": function.get("name"),
        "description": function.get("description"),
        "parametersJsonSchema": function.get("parameters"),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _tool_config(choice: str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        if choice not in _MODES:
            raise ValidationError(f"tool_choice {choice[:40]!r}: it is auto, none, required or a function")
        return {"functionCallingConfig": {"mode": _MODES[choice]}}
    name = (choice.get("function") or choice).get("name")
    return {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [name]}}


def _generation_config(request: ChatRequest) -> dict[str, Any]:
    stop = [request.stop] if isinstance(request.stop, str) else request.stop
    facts = {
        "temperature": request.temperature,
        "topP": request.top_p,
        "maxOutputTokens": request.max_tokens,
        "stopSequences": list(stop) if stop else None,
        "seed": request.seed,
        "presencePenalty": request.presence_penalty,
        "frequencyPenalty": request.frequency_penalty,
        "thinkingConfig": _thinking_config(request.model, request.reasoning_effort),
        **_response_form(request.response_format or {}),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _response_form(form: Mapping[str, Any]) -> dict[str, Any]:
    # `responseJsonSchema` takes JSON Schema as it is; `responseSchema` only a part of OpenAPI's
    if form.get("type") not in ("json_object", "json_schema"):
        return {}
    schema = (form.get("json_schema") or {}).get("schema")
    return {"responseMimeType": "application/json", "responseJsonSchema": schema}


def _thinking_config(model: str, effort: str | None) -> dict[str, Any] | None:
    """Thoughts are asked for where an effort is; nothing is said of them to models that may not think."""
    if effort is None:
        return None
    effort = "high" if effort in ("xhigh", "max") else effort
    if effort not in _LEVELS:
        raise ValidationError(f"reasoning_effort {effort[:40]!r}: it is none, minimal, low, medium or high")
    thoughts = {"includeThoughts": effort != "none"}
    if _before_3(model):
        return {**thoughts, "thinkingBudget": max(_BUDGETS[effort], _LEAST_OF_PRO * ("-pro" in model))}
    level = _LEVELS[effort]
    return {**thoughts, "thinkingLevel": "LOW" if level == "MINIMAL" and not _has_minimal(model) else level}


def _before_3(model: str) -> bool:
    return bool(_BEFORE_3.search(model))


def _has_minimal(model: str) -> bool:
    return bool(_HAS_MINIMAL.search(model))
