"""How many tokens a text has: counted by a tokenizer where there is one, else estimated by character class.

The tokenizer is tiktoken, for OpenAI's models (extra `tokens`). Its tables are files, and nothing here
fetches them: they are read from the folder `TIKTOKEN_CACHE_DIR`, where tiktoken keeps what it has fetched, or
where a copy is called `o200k_base.tiktoken`. Without one the answer is an estimate, and says so.

The estimate is fitted to o200k_base: within 10 % on a page of Chinese, English, Japanese, Korean, Russian or
code, though a single literary paragraph may be 20 % off. Four characters to a token, the usual rule,
undercounts Chinese by more than half.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from nexusai.providers.models import Models, default_models

__all__ = [
    "TokenCount",
    "TokenTally",
    "count_tokens",
    "estimate_message_tokens",
    "estimate_tokens",
    "fit_max_tokens",
]

_TOKENS_PER_MATCH: Final = tuple(
    (re.compile(pattern), tokens)
    for pattern, tokens in (
        (r"[A-Za-z]+", 1.0),
        (r"(?<=[A-Za-z]{8})[A-Za-z]{1,5}", 0.7),  # what a long word has beyond its first piece
        (r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]", 0.72),
        (r"[\uac00-\ud7af]", 0.73),
        (r"(?:(?![A-Za-z\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff])[^\W\d_]){1,5}", 0.9),
        (r"[0-9]{1,3}", 1.0),
        (r"[!-/:-@\[-`{-~]{1,4}", 0.98),
        (r"[\u2010-\u205e\u3000-\u303f\uff00-\uffef]{1,2}", 0.95),
        (r"[^\w\s!-~\u2010-\u205e\u3000-\u303f\uff00-\uffef]", 1.5),
        (r"\n\s*", 0.75),
        (r"(?<=\S)[^\S\n]{2,}", 1.0),
    )
)
_SAMPLES: Final = 40
_SAMPLE_LENGTH: Final = 500
_PAGE: Final = 64 * 1024
"""Characters: most answers are shorter, and where the vendor counts are never looked at."""
_PER_MESSAGE: Final = 4
_PER_FRAME: Final = 3
"""What frames a message besides its role."""
_PER_REPLY: Final = 3
_TABLES: Final = "https://openaipublic.blob.core.windows.net/encodings/"
"""Where tiktoken has its tables from; the digest of the address is the name under which it keeps one."""
_WORD: Final = r"[^\r\n\p{L}\p{N}]?"
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDING: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_PATTERNS: Final = {
    "o200k_base": rf"{_WORD}{_UPPER}*{_LOWER}+{_ENDING}?|{_WORD}{_UPPER}+{_LOWER}*{_ENDING}?|\p{{N}}{{1,3}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "cl100k_base": rf"{_ENDING}|{_WORD}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
}
"""How the encodings split a text into the words that their tables then join."""


def estimate_tokens(text: str) -> int:
    """Above 20,000 characters, 40 evenly spaced pieces of 500 stand for the whole, to be quick."""
    seen = _sample(text)
    tokens = sum(tokens * len(pattern.findall(seen)) for pattern, tokens in _TOKENS_PER_MATCH)
    return round(tokens * len(text) / len(seen)) if seen else 0


def _sample(text: str) -> str:
    rest = len(text) - _SAMPLES * _SAMPLE_LENGTH
    if rest <= 0:
        return text
    starts = (_SAMPLE_LENGTH * n + rest * n // (_SAMPLES - 1) for n in range(_SAMPLES))
    return "".join(text[start : start + _SAMPLE_LENGTH] for start in starts)


def estimate_message_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """The prompt tokens of a chat: its texts, its tool calls and what frames each message; no pictures."""
    texts = "\n".join(text for message in messages for text in _texts(message))
    return estimate_tokens(texts) + _PER_MESSAGE * len(messages) + _PER_REPLY


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    parts = [{"text": content}] if isinstance(content, str) else content
    for part in parts if isinstance(parts, Sequence) else ():
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield part["text"]
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, Sequence) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield from (value for value in function.values() if isinstance(value, str))


class TokenTally:
    """An estimate of a text that comes in pieces, of which no more is kept than some pages."""

    def __init__(self) -> None:
        self._counted = 0
        self._pieces: list[str] = []
        self._length = 0

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        self._length += len(piece)
        if self._length > _PAGE:
            self._counted, self._pieces, self._length = self.tokens, [], 0

    @property
    def tokens(self) -> int:
        return self._counted + estimate_tokens("".join(self._pieces))


class TokenCount(NamedTuple):
    """How many, and who counted."""

    tokens: int
    source: Literal["provider", "tokenizer", "estimate"]


def count_tokens(messages: Sequence[Mapping[str, Any]], model: str) -> TokenCount:
    """The prompt tokens of a chat without pictures, files and tools.

    The first call for a model may read a table, some 0.2 s. Messages that hold more than text are estimated.
    """
    count = _counter(model)
    if count is None or not all(map(_is_plain, messages)):
        return TokenCount(estimate_message_tokens(messages), "estimate")
    texts = [text for message in messages for text in (str(message["role"]), *_texts(message))]
    return TokenCount(sum(map(count, texts)) + _PER_FRAME * len(messages) + _PER_REPLY, "tokenizer")


def fit_max_tokens(
    messages: Sequence[Mapping[str, Any]], model: str, wanted: int | None = None, models: Models | None = None
) -> int | None:
    """The longest answer, up to `wanted`, for which the model has room after the prompt; at least 1.

    `wanted` itself for a model whose limits nobody knows. An estimated prompt is taken for a tenth longer.
    """
    table = models or default_models()
    found = table.find(None, model) or table.find(None, model.rpartition("/")[2])
    if found is None:
        return wanted
    room = None
    if found.model.context_window is not None:
        tokens, source = count_tokens(messages, model)
        room = found.model.context_window - (tokens if source == "tokenizer" else tokens * 11 // 10)
    limits = [limit for limit in (wanted, found.model.max_output_tokens, room) if limit is not None]
    return max(1, min(limits)) if limits else None


def _is_plain(message: Mapping[str, Any]) -> bool:
    return message.keys() == {"role", "content"} and isinstance(message["content"], str)


def _counter(model: str) -> Callable[[str], int] | None:
    """What counts the tokens of a text for a model; None without tokenizer or table."""
    try:
        from tiktoken.model import encoding_name_for_model

        name = encoding_name_for_model(model.rpartition("/")[2]).replace("o200k_harmony", "o200k_base")
    except (ImportError, KeyError):
        return None
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", "")
    return _encoding(name, folder) if folder and name in _PATTERNS else None


@cache
def _encoding(name: str, folder: str) -> Callable[[str], int] | None:
    import tiktoken

    kept = hashlib.sha1(f"{_TABLES}{name}.tiktoken".encode(), usedforsecurity=False).hexdigest()
    paths = [path for path in (Path(folder, kept), Path(folder, f"{name}.tiktoken")) if path.is_file()]
    if not paths:
        return None
    try:
        lines = (line.split() for line in paths[0].read_bytes().splitlines() if line)
        ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    except (OSError, ValueError):
        return None
    if not all(bytes((byte,)) in ranks for byte in range(256)):  # tiktoken would panic
        return None
    encoding = tiktoken.Encoding(name, pat_str=_PATTERNS[name], mergeable_ranks=ranks, special_tokens={})
    return lambda text: len(encoding.encode_ordinary(text))
