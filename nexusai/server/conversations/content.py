"""What is kept of a request and its answer: readable, without pictures and sound, of bounded length. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

__all__ = ["LONGEST", "answer_in", "redacted", "said_in", "shortened"]

LONGEST: Final = 100_000
"""Characters that are kept of a request, and of an answer."""

_DATA: Final = re.compile(r"data:([^,:\"\s]{0,200});base64,([A-Za-z0-9+/=_-]*)")
"""These look at no character many times, whatever callers send: meanwhile nothing else runs."""
_NAMED: Final = re.compile(
    r'"(b64_json|data|file_data|audio|image|partial_image_b64|encrypted_content|embedding)"'
    r'\s*:\s*"([A-Za-z0-9+/=_-]{64,})"'
)
_LONG: Final = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{512,}")
_NUMBERS: Final = re.compile(r'(?<!\\)("\s*:\s*(?:\[\s*)?)\[([-\d\s.eE+,]{62,})\]')
"""Under a member: a list that somebody wrote in a text stays, since quotes in it would end the text."""
_MANY: Final = 32
_SAID: Final = frozenset(
    {
        *("content", "text", "input", "prompt", "instructions", "system", "arguments", "output", "refusal"),
        *("reasoning", "reasoning_content", "thinking", "revised_prompt", "message", "name", "filename"),
    }
)
"""Members of all the APIs under which there is what somebody said."""


def redacted(raw: bytes) -> str:
    """A text whose pictures, sounds, files and vectors are only told the size of."""
    text = raw.decode("utf-8", "replace")
    text = _DATA.sub(
        lambda found: f"[{found[1].partition(';')[0] or 'data'}, {_bytes_of(found[2])} bytes]", text
    )
    text = _NAMED.sub(lambda found: f'"{found[1]}":"[{_bytes_of(found[2])} bytes]"', text)
    text = _LONG.sub(lambda found: f"[{_bytes_of(found[0])} bytes]", text)
    return _NUMBERS.sub(_counted, text)


def _counted(found: re.Match[str]) -> str:
    many = found[2].count(",") + 1
    return f'{found[1]}"[{many} numbers]"' if many >= _MANY else found[0]


def shortened(text: str, most: int = LONGEST) -> tuple[str, bool]:
    """Of a longer text its beginning and its end, where a chat has its newest; and whether it was longer."""
    if len(text) <= most:
        return text, False
    half = most // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}", True


def said_in(text: str) -> str:
    """What people and models said in a JSON text, for its words to be found; any other text is that."""
    try:
        return "\n".join(_said(orjson.loads(text)))
    except orjson.JSONDecodeError:
        return text


def _said(value: Any) -> Iterator[str]:
    """Every text that stands under a member of `_SAID`, or in a list there."""
    waiting = [(value, False)]
    while waiting:
        part, said = waiting.pop()
        if isinstance(part, str):
            if said:
                yield part
        elif isinstance(part, list):
            waiting += [(each, said) for each in reversed(part)]
        elif isinstance(part, dict):
            waiting += [(each, name in _SAID) for name, each in reversed(part.items())]


def answer_in(events: str) -> str:
    """The answer that a stream of server-sent events told piece by piece, as JSON."""
    told: defaultdict[str, str] = defaultdict(str)
    for line in re.split(r"\r\n|\r|\n", events):  # and no more: JSON may hold other ends of lines
        if not line.startswith("data:"):
            continue
        try:
            event = orjson.loads(line[5:])
        except orjson.JSONDecodeError:  # [DONE], or one that was cut
            continue
        if not isinstance(event, dict):
            continue
        if isinstance(whole := event.get("response"), dict) and whole.get("output"):
            return orjson.dumps(whole).decode()  # the Responses API repeats all of it at its end
        for name, piece in _pieces(event):
            told[name] += piece
    return orjson.dumps(dict(told)).decode()


def _pieces(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What one event of any of the APIs adds, and to what."""
    if isinstance(event.get("error"), dict):
        yield "error", str(event["error"].get("message"))
    for choice in _dicts(event.get("choices")):
        delta = choice.get("delta")
        at = f" {choice['index']}" if choice.get("index") else ""
        for name, piece in {**choice, **(delta if isinstance(delta, dict) else {})}.items():
            if isinstance(piece, str) and name not in ("role", "finish_reason"):
                yield f"{name}{at}", piece
            elif name == "tool_calls":
                yield from _called(piece, at)
    for name, piece in _block(event).items():
        yield name, piece
    if isinstance(event.get("delta"), str):  # Responses: its last event may be missing
        yield str(event.get("type", "text")).removeprefix("response.").removesuffix(".delta"), event["delta"]


def _called(calls: Any, at: str) -> Iterator[tuple[str, str]]:
    for call in _dicts(calls):
        function, name = call.get("function"), f"tool_call {call.get('index', 0)}{at}"
        if isinstance(function, dict):
            yield name, f"{function.get('name') or ''}{function.get('arguments') or ''}"


def _block(event: Mapping[str, Any]) -> dict[str, str]:
    """Of Anthropic's events, a block that begins or goes on."""
    block, at = event.get("content_block"), event.get("index")
    if isinstance(block, dict) and isinstance(block.get("name"), str):
        return {f"tool_use {at}": block["name"]}
    delta = event.get("delta")
    if not isinstance(delta, dict) or "choices" in event:
        return {}
    names = {"text": "text", "thinking": "thinking", "partial_json": f"tool_use {at}"}
    return {names[name]: piece for name, piece in delta.items() if name in names and isinstance(piece, str)}


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _bytes_of(base64: str) -> int:
    return len(base64.rstrip("=")) * 3 // 4
