"""`local/text`: sentences quoted from the text in the prompt, or a word on how to get a language model."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from nexusai.providers.adapters.local.passage import Asked, Sentence, is_summary_wanted, read
from nexusai.providers.adapters.local.prompt import (
    HAN,
    is_text_only,
    mostly_chinese,
    pieces,
    text_of,
)
from nexusai.providers.adapters.local.reply import Reply
from nexusai.providers.errors import CapabilityError, ContextWindowError
from nexusai.providers.tokens import estimate_message_tokens, estimate_tokens
from nexusai.providers.types import ChatRequest, Usage

__all__ = ["MODEL", "MOST_CHARACTERS", "reply"]

MODEL: Final = "local/text"

MOST_CHARACTERS: Final = 1_000_000
"""A longer prompt is a `ContextWindowError`."""

_HOW: Final = (
    "set OPENAI_API_KEY, DEEPSEEK_API_KEY or another vendor's key, or NEXUS_PROVIDER_BASE_URL for any "
    "OpenAI-compatible server (Ollama, vLLM, LM Studio)"
)
_NOTICE: Final = """\
No language model is configured: this answer comes from the embedded demo of Nexus AI.

To talk to a model, set one of these environment variables and start again:
- OPENAI_API_KEY, DEEPSEEK_API_KEY or another vendor's key
- NEXUS_PROVIDER_BASE_URL for any OpenAI-compatible server: vLLM, LM Studio, Ollama (http://localhost:11434/v1)

Until then the demo can quote an answer from a text that you send with your question, or summarize a text."""
_NOTICE_ZH: Final = """\
尚未配置语言模型：本回答来自 Nexus AI 的内置演示。

要与模型对话，请设置以下任一环境变量后重新启动：
- OPENAI_API_KEY、DEEPSEEK_API_KEY 或其他厂商的密钥
- NEXUS_PROVIDER_BASE_URL：任何兼容 OpenAI 的服务，如 vLLM、LM Studio、Ollama（http://localhost:11434/v1）

在此之前，演示可以从您随问题附上的文本中摘录答案，或为一段文本做摘要。"""
_QUOTED: Final = "(Quoted word for word by the embedded demo of Nexus AI; no language model is configured.)"
_QUOTED_ZH: Final = "（由 Nexus AI 的内置演示逐字摘录；尚未配置语言模型。）"

_SMALL_WORDS: Final = """
a about all also an and any are as at be been but by can could did do does for from had has have he her
his how i if in into is it its may me more most my no not of on or our she should so some such than that the
their them then there these they this those to was we were what when where which who whom whose why will with
would you your
"""
_EMPTY_WORDS: Final = frozenset(_SMALL_WORDS.split())
_TERM: Final = re.compile(rf"[^\W_{HAN}]+|[{HAN}]+")
_HAN_RUN: Final = re.compile(f"[{HAN}]+")
_EMPTY_HAN: Final = frozenset("的了是在和与吗呢什么哪谁怎如何这那有为及或被把")
_MOST_SENTENCES: Final = 5
_ENOUGH: Final = 0.3


def reply(request: ChatRequest) -> Reply:
    """Raises `CapabilityError` for what only a model can do, `ContextWindowError` for too long a prompt."""
    _refuse_what_needs_a_model(request)
    length = sum(len(text_of(message)) for message in request.messages)
    if length > MOST_CHARACTERS:
        raise ContextWindowError(
            f"{MODEL} reads up to {MOST_CHARACTERS} characters; the prompt has {length}",
            provider="local",
            model=MODEL,
        )
    whole, extra = _answer(read(request.messages))
    content = _cut(whole, request.max_tokens)
    return Reply(
        content=content,
        finish_reason="stop" if len(content) == len(whole) else "length",
        usage=Usage(estimate_message_tokens(request.messages), estimate_tokens(content), source="estimate"),
        extra=extra,
    )


def _refuse_what_needs_a_model(request: ChatRequest) -> None:
    wanted = None
    if request.tools:
        wanted = "tools"
    elif request.response_format and request.response_format.get("type") != "text":
        wanted = "JSON output (response_format)"
    elif not all(map(is_text_only, request.messages)):
        wanted = "images, sounds or files in messages"
    if wanted:
        raise CapabilityError(
            f"{MODEL} is an embedded demo without {wanted}: configure a provider ({_HOW})",
            provider="local",
            model=MODEL,
        )


def _answer(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    chinese = mostly_chinese(asked.request)
    wants_summary = is_summary_wanted(asked.request)
    chosen = _summary(asked.passage) if wants_summary else _evidence(asked.request, asked.passage)
    if not chosen:
        return _NOTICE_ZH if chinese else _NOTICE, {"demo": True}
    text = _told(chosen) if wants_summary else _quoted(chosen, chinese=chinese)
    return f"{text}\n\n{_QUOTED_ZH if chinese else _QUOTED}", {"demo": True, "citations": _citations(chosen)}


def _told(chosen: Sequence[Sentence]) -> str:
    lines = [" ".join(sentence.text.split()) for sentence in chosen]
    return ("" if mostly_chinese(lines[0]) else " ").join(lines)


def _quoted(chosen: Sequence[Sentence], *, chinese: bool) -> str:
    quotes = [f"“{' '.join(sentence.text.split())}”" for sentence in chosen]
    return f"原文写道：{''.join(quotes)}" if chinese else f"The passage says: {' '.join(quotes)}"


def _citations(chosen: Sequence[Sentence]) -> list[dict[str, Any]]:
    """`start` and `end` count the characters of the text of message number `message`."""
    return [{"quote": s.text, "message": s.message, "start": s.start, "end": s.end} for s in chosen]


def _terms(text: str) -> list[str]:
    """Words by their first six letters, which is stemming enough, and pairs of Chinese characters."""
    return [term for run in _TERM.findall(text.lower()) for term in _terms_of_run(run)]


def _terms_of_run(run: str) -> Iterable[str]:
    if not _HAN_RUN.match(run):
        return () if run in _EMPTY_WORDS else (run[:6],)
    pairs = [run[n : n + 2] for n in range(len(run) - 1)] or [run]
    return [pair for pair in pairs if _EMPTY_HAN.isdisjoint(pair)]


def _evidence(question: str, passage: Sequence[Sentence]) -> list[Sentence]:
    """The one or two sentences that share the most, and the rarest, words with the question; in order."""
    asked = set(_terms(question))
    shared = [asked.intersection(_terms(sentence.text)) for sentence in passage]
    spread = Counter(term for terms in shared for term in terms)
    scores = [sum(math.log(1 + len(passage) / spread[term]) for term in terms) for terms in shared]
    best = max(range(len(passage)), key=scores.__getitem__, default=None)
    if best is None or len(shared[best]) < _ENOUGH * len(asked) or not shared[best]:
        return []
    close = [n for n, score in enumerate(scores) if score >= 0.7 * scores[best] and n != best]
    return [passage[n] for n in sorted([best, *close[:1]])]


def _summary(passage: Sequence[Sentence]) -> list[Sentence]:
    """A third of the sentences at most, those of the commonest words; in order.

    A word that is told loses weight (the SumBasic rule), so that nothing is told twice.
    """
    terms = [_terms(sentence.text) for sentence in passage]
    counts = Counter(term for sentence in terms for term in sentence)
    weights = {term: count / counts.total() for term, count in counts.items()}
    left = {n for n, sentence in enumerate(terms) if sentence}
    chosen: list[int] = []
    for _ in range(min(len(left), _MOST_SENTENCES, max(1, round(len(passage) / 3)))):
        # ties go to the earlier sentence, and the first sentence of a text mostly says what it is about
        best = max(left, key=lambda n: (_mean(terms[n], weights) * (1.25 if n == 0 else 1), -n))
        left.remove(best)
        chosen.append(best)
        for term in set(terms[best]):
            weights[term] **= 2
    return [passage[n] for n in sorted(chosen)]


def _mean(terms: Sequence[str], weights: Mapping[str, float]) -> float:
    # a very short sentence would win with one common word
    return sum(weights[term] for term in terms) / max(len(terms), 6)


def _cut(text: str, max_tokens: int | None) -> str:
    """The longest beginning of whole pieces that `max_tokens` allows."""
    if max_tokens is None or estimate_tokens(text) <= max_tokens:
        return text
    ends = list(accumulate(map(len, pieces(text))))
    fitting = bisect_right(ends, max_tokens, key=lambda end: estimate_tokens(text[:end]))
    return text[: ends[fitting - 1]] if fitting else ""
