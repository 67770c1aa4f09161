"""The user's own words for `local/rules`, in a file that is read again when it changes.

# a comment
foolish
[products]            the words that follow are the category words/products
project nightingale
夜莺计划
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from unicodedata import normalize

from nexusai.providers.adapters.local.prompt import HAN
from nexusai.providers.errors import AdapterError

__all__ = ["Words", "word_lists"]

_CATEGORY: Final = re.compile(r"\[([\w-]{1,64})\]")
_USUAL: Final = "listed"
_LETTER: Final = re.compile(rf"[^\W_{HAN}]")


class Words:
    """Words and phrases of one category, looked for without regard to case.

    One that begins or ends with a letter is found only where a word does: `ass` is not in `class`. Chinese
    has no such ends.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(" ".join(normalize("NFKC", word).casefold().split()) for word in words)
        self._lengths = sorted(set(map(len, self._words)))
        self._beginnings = frozenset(word[:1] for word in self._words)

    def __len__(self) -> int:
        return len(self._words)

    def are_in(self, folded: str) -> bool:
        """Whether any of them is in a text that is in NFKC and case-folded; their number costs no time."""
        text = " ".join(folded.split())
        return any(
            text[at : at + length] in self._words and _stands_alone(text, at, at + length)
            for at, sign in enumerate(text)
            if sign in self._beginnings
            for length in self._lengths
        )


def _stands_alone(text: str, start: int, end: int) -> bool:
    return not (_joined(text[start - 1 : start + 1]) or _joined(text[end - 1 : end + 1]))


def _joined(pair: str) -> bool:
    return len(pair) == 2 and all(map(_LETTER.match, pair))


def word_lists(path: str | None) -> Mapping[str, Words]:
    """The words of a file by category; none without a file. Raises `AdapterError`."""
    if not path:
        return {}
    try:
        return _read(path, os.stat(path).st_mtime_ns)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise AdapterError(
            f"the word list {path} (NEXUS_MODERATION_WORDS) cannot be read: {reason}", provider="local"
        ) from None


@lru_cache(maxsize=8)
def _read(path: str, _changed: int) -> Mapping[str, Words]:
    lists: dict[str, list[str]] = {}
    category = _USUAL
    with open(path, encoding="utf-8-sig") as file:
        for line in map(str.strip, file):
            if heading := _CATEGORY.fullmatch(line):
                category = heading[1]
            elif line and not line.startswith("#"):
                lists.setdefault(category, []).append(line)
    return {name: Words(words) for name, words in lists.items()}
