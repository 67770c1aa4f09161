"""Finding, in a chat, what is asked and the text it is asked about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from nexusai.providers.adapters.local.prompt import HAN, text_of
from nexusai.providers.types import Message

__all__ = ["Asked", "Sentence", "is_summary_wanted", "read", "sentences"]

_MARK: Final = re.compile(
    r"^[ \t#*]*(?:"
    r"(?P<context>(?:the )?(?:context|documents?|passage|text|article|sources?|excerpts?)(?: \d+)?[ *]*:"
    r"|(?:上下文|背景|资料|参考资料|参考内容|材料|文章|原文|文档|段落|内容|已知信息)[ *]*[:：]"
    r"|<(?:context|documents?|passage|text|article|source)\b[^>\n]{0,200}>)"
    r"|(?P<question>(?:(?:the )?question|query|task|instruction|q|问题|提问|问|任务)[ *]*[:：])"
    r"|(?P<answer>(?:answer|a|回答|答案|答)[ *]*[:：])"
    r")[ *]*|</(?:context|documents?|passage|text|article|source)>",
    re.IGNORECASE | re.MULTILINE,
)
"""`Context: …`, `Question: …`, `Answer: …` and `<context> … </context>`, as prompt templates have them."""

_SUMMARY: Final = re.compile(r"\b(?:summari[sz]e|summary)\b|\btl;?dr\b|总结|摘要|概括", re.IGNORECASE)
_OPENING: Final = re.compile(r"[^\n:：]{1,160}(?::(?=\s)|：)\s*")
# bounded repeats: a run of dots that ends no sentence must not cost its length squared
_BOUNDARY: Final = re.compile(
    r"[。！？；]+[”’」』）》]*|[.!?]{1,8}[\"'”’)\]*_]{0,8}(?=\s|$)|\n[ \t]*\n|\n(?![ \t]*[a-z])", re.MULTILINE
)
_ABBREVIATION: Final = re.compile(r"(?:^|[\s(])(?:Mr|Mrs|Ms|Dr|Prof|St|vs|e\.g|i\.e|No|Fig|[A-Z])\.$")
_HAN_CHARACTER: Final = re.compile(f"[{HAN}]")

_LONG_ENOUGH: Final = 60.0
"""Letters that a text must have to be taken for a passage when nothing labels it as one."""


class Sentence(NamedTuple):
    """`text` stands at `start:end` of message number `message`."""

    text: str
    message: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Asked:
    """The request in the user's own words, and the sentences it is about: none when no passage is given."""

    request: str
    passage: Sequence[Sentence]


def is_summary_wanted(request: str) -> bool:
    return _SUMMARY.search(request) is not None


def sentences(text: str, message: int, start: int = 0, end: int | None = None) -> list[Sentence]:
    """The sentences of `text[start:end]` in order, without the white space around them."""
    end = len(text) if end is None else end
    found, begin = [], start
    for boundary in _BOUNDARY.finditer(text, start, end):
        before = max(begin, boundary.end() - 8)
        if boundary.group()[0] == "." and _ABBREVIATION.search(text, before, boundary.end()):
            continue
        found.append(_trimmed(text, message, begin, boundary.end()))
        begin = boundary.end()
    found.append(_trimmed(text, message, begin, end))
    return [sentence for sentence in found if any(map(str.isalnum, sentence.text))]


def _trimmed(text: str, message: int, start: int, end: int) -> Sentence:
    inner = text[start:end]
    start += len(inner) - len(inner.lstrip())
    return Sentence(inner.strip(), message, start, start + len(inner.strip()))


def read(messages: Sequence[Message]) -> Asked:
    """What the last user message asks, about itself or about what was said before it."""
    last = max((n for n, message in enumerate(messages) if message.get("role") == "user"), default=None)
    if last is None:
        return Asked("", [])
    asked = _read_message(text_of(messages[last]), last)
    if asked.passage:
        return asked
    given = [s for n, message in enumerate(messages) if n != last for s in _given(message, n)]
    return Asked(asked.request, given)


def _given(message: Message, number: int) -> list[Sentence]:
    """The passage of an earlier message: of instructions to the model only what is labelled as one."""
    role, text = message.get("role"), text_of(message)
    if role == "assistant":
        return []
    context = _inside(_regions(text), "context", text, number)
    if context or role != "user":
        return context
    found = sentences(text, number)
    return found if _is_passage(found) else []


def _read_message(text: str, number: int) -> Asked:
    regions = _regions(text)
    context, around = (_inside(regions, kind, text, number) for kind in ("context", "around"))
    if "question" in regions:
        start, end = regions["question"][-1]
        return Asked(text[start:end].strip(), context or around)
    if context and any(_is_request(sentence.text) for sentence in around):
        return Asked(" ".join(sentence.text for sentence in around), context)
    if context:
        return _split(text, context, certain=True)
    opening = _OPENING.match(text)
    if opening and is_summary_wanted(opening.group()):
        return Asked(opening.group().strip(), sentences(text, number, opening.end()))
    return _split(text, around, certain=False)


def _regions(text: str) -> dict[str, list[tuple[int, int]]]:
    """Where each kind of labelled text stands; what no label covers is `around`."""
    regions: dict[str, list[tuple[int, int]]] = {}
    kind, start = "around", 0
    for mark in _MARK.finditer(text):
        regions.setdefault(kind, []).append((start, mark.start()))
        kind, start = mark.lastgroup or "around", mark.end()
    regions.setdefault(kind, []).append((start, len(text)))
    return regions


def _inside(regions: dict[str, list[tuple[int, int]]], kind: str, text: str, number: int) -> list[Sentence]:
    return [s for start, end in regions.get(kind, ()) for s in sentences(text, number, start, end)]


def _split(text: str, found: list[Sentence], *, certain: bool) -> Asked:
    """Take the sentence at an edge that asks; the rest is the passage, if it is `certain` or long enough."""
    if not found:
        return Asked(text, [])
    first, last = (found[0], found[1:]), (found[-1], found[:-1])
    wishes = (
        (first, is_summary_wanted),
        (last, is_summary_wanted),
        (last, _is_question),
        (first, _is_question),
    )
    for (request, rest), asks in wishes:
        if asks(request.text) and (certain or _is_passage(rest)):
            return Asked(request.text, rest)
    return Asked(text, [])


def _is_question(text: str) -> bool:
    return text.endswith(("?", "？"))


def _is_request(text: str) -> bool:
    return _is_question(text) or is_summary_wanted(text)


def _is_passage(found: Sequence[Sentence]) -> bool:
    letters = sum(len(s.text) + 1.5 * len(_HAN_CHARACTER.findall(s.text)) for s in found)
    return len(found) >= 2 and letters >= _LONG_ENOUGH
