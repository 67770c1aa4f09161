"""Text as the tokens that keyword search indexes and asks for. Pure.

Chinese, Japanese and Korean are written without spaces: each run of their characters is indexed as its
characters and its pairs, and asked for by its pairs (a character that stands alone by itself). That finds
words of two characters, needs no dictionary, and is the same for every full-text engine behind it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import pairwise

__all__ = ["count", "index_tokens", "query_tokens"]

LONGEST_WORD = 64

_CJK = (
    "\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUNS = re.compile(rf"([{_CJK}]+)|((?:(?![{_CJK}])[^\W_])+)")
_ASCII_WORD = re.compile("[a-z0-9]+")
_ACCENTED = re.compile("[\u00c0-\u024f\u1e00-\u1eff]")
_NOT_PLAIN = re.compile("[\x00-\x7f]?[^\x00-\x7f\u4e00-\u9fff]+")
"""What NFKC may change, with the letter that a mark stands on: most of Chinese it leaves, and takes long."""
_HAS_CJK = re.compile(rf"[{_CJK}]")
# What makes a sentence a question says nothing of its answer, and is rare where answers are written.
_ASKING = re.compile(
    "an?|and|are|be|can|could|did|does?|for|from|ha[ds]|have|how|i[ns]?|it|my|o[fnr]|should|so|that|the|their|"
    "there|these|this?|to|was|were|what|when|where|which|who|why|will|with|would|you|your"
)
_ASKING_CJK = re.compile(
    "请问|为什么|什么|怎么样|怎么|怎样|如何|哪里|哪些|哪个|多少|有没有|是不是|是否|[吗呢]"
)
# Latin letters without their accents: Café is cafe. Kana and Hangul keep their marks, which are no accents.
_PLAIN = {
    code: _letters[0]
    for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))
    if len(_letters := unicodedata.normalize("NFD", chr(code))) > 1 and _letters[0].isalpha()
}


def index_tokens(text: str) -> list[str]:
    """All tokens of a text, as often as they are in it."""
    return list(_tokens(text, alone=True))


def query_tokens(text: str) -> list[str]:
    """What to ask for, each once, in the text's order: all but question words, if there are others."""
    told = dict.fromkeys(_tokens(_ASKING_CJK.sub(" ", text), alone=False))
    return [token for token in told if not _ASKING.fullmatch(token)] or list(
        dict.fromkeys(_tokens(text, alone=False))
    )


def count(text: str, tokens: Collection[str]) -> dict[str, int]:
    """How often each of `query_tokens` is in a text: those that are, of them."""
    text = _normal(text)
    cjk = [token for token in tokens if _HAS_CJK.match(token)]
    found = {token: text.count(token) for token in cjk}
    if len(cjk) < len(tokens):
        words = _count_words(text)
        found |= {token: _times(token, words) for token in tokens if token not in found}
    return {token: times for token, times in found.items() if times}


def _count_words(text: str) -> Counter[str]:
    """How often each word is in a text, as it is written there."""
    return Counter(_ASCII_WORD.findall(text) if text.isascii() else [run[1] for run in _RUNS.findall(text)])


@lru_cache(4096)
def _forms(token: str) -> tuple[str, ...]:
    """The words whose stem it is."""
    return tuple(form for form in (token, f"{token}s", f"{token[:-1]}ies") if _stem(form) == token)


def _times(token: str, words: Counter[str]) -> int:
    if len(token) == LONGEST_WORD:
        return sum(times for word, times in words.items() if word.startswith(token))
    return sum(words[form] for form in _forms(token))


def _tokens(text: str, alone: bool) -> Iterator[str]:
    for run in _RUNS.finditer(_normal(text)):
        characters, word = run.groups()
        if word:
            yield _stem(word)
            continue
        if alone or len(characters) == 1:
            yield from characters
        yield from map("".join, pairwise(characters))


def _normal(text: str) -> str:
    if text.isascii():
        return text.lower()
    folded = _NOT_PLAIN.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text).casefold()
    return _ACCENTED.sub(lambda found: found[0].translate(_PLAIN), folded)


def _stem(word: str) -> str:
    """A word without its plural (Harman's S stemmer, which joins little that differs in meaning)."""
    if len(word) > 3 and word[-1] == "s":
        if word.endswith("ies") and word[-4] not in "ae":
            word = word[:-3] + "y"
        elif word[-2] not in "us":
            word = word[:-1]
    return word[:LONGEST_WORD]
