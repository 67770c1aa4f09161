"""Blocks to chunks, by structure: sections, then blocks, then sentences, clauses and words.

Pure. Every character of a document but white space is in at least one chunk, whose text is
`full_text(blocks)[start:end]`, save that a part of a table is preceded by the table's header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nexusai.server.knowledge.parsing.models import Block

__all__ = ["Chunk", "chunk", "full_text"]

_BETWEEN = "\n\n"
_LINES = re.compile(r"\n+")
_GAPS = re.compile(r"\n\s*\n")
_SENTENCES = re.compile(
    r"[。！？；…]+[”’」』）》】\"')\]]*\s*"
    r"|(?<!\b[A-Z])(?<!\b(?:Mr|Ms|Dr|St|No|vs))(?<!\b(?:Mrs|Inc|Ltd|Fig|e\.g|i\.e))(?<!\bProf)"
    r"[.!?]+[”’\"')\]]*\s+(?=[^\sa-z])"
    r"|\n+"
)
_CLAUSES = re.compile(r"[，、：]\s*|[,;:—–]\s+")
_WORDS = re.compile(r"\s+")
_PROSE = (_SENTENCES, _CLAUSES, _WORDS)
_LONGEST_END = 8
"""Characters of a full stop, quotation marks and space: a sentence may begin right where one looks."""

_FLOWING = {"paragraph", "list"}
_FULL_STOPS = tuple('.!?。！？…”’」』")）')
_BREAKS = {"code": (_GAPS, _LINES, _WORDS), "table": (_LINES, *_PROSE), "list": (_LINES, *_PROSE)}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage to be found. `start` and `end` are characters of `full_text`; `page` is its only one."""

    text: str
    index: int
    start: int
    end: int
    page: int | None
    heading_path: tuple[str, ...]


class _Piece(NamedTuple):
    """What is not divided any further; `header` goes before it when it begins a chunk."""

    start: int
    end: int
    block: Block
    path: tuple[str, ...]
    whole: bool
    header: str


def full_text(blocks: Sequence[Block]) -> str:
    """The whole document as one text, an empty line between blocks."""
    return _BETWEEN.join(block.text for block in blocks)


def chunk(blocks: Sequence[Block], size: int = 1000, overlap: int = 200) -> list[Chunk]:
    """Chunks of at most `size` characters; one that goes on with a text repeats up to `overlap` of them.

    A heading begins a chunk, a table or code that fits is not divided, and a chunk never spans two sections
    or two pages, so that it stands on the page that it is cited by; of the page before it repeats only a
    sentence that goes on.
    Raises `ValueError` for a size below 1 or an overlap that is not below it.
    """
    if size < 1 or not 0 <= overlap < size:
        raise ValueError(f"size must be at least 1 and overlap below it, not {size} and {overlap}")
    text = full_text(blocks)
    chunks: list[Chunk] = []
    for group, start in _groups(text, list(_pieces(blocks, size)), size, overlap):
        if body := text[start : group[-1].end].rstrip():
            end, page = start + len(body), group[-1].block.page
            chunks.append(Chunk(group[0].header + body, len(chunks), start, end, page, group[-1].path))
    return chunks


def _groups(
    text: str, pieces: Sequence[_Piece], size: int, overlap: int
) -> Iterator[tuple[list[_Piece], int]]:
    """Pieces that make a chunk, and where its text starts: before them, by what it repeats."""
    group: list[_Piece] = []
    start = 0
    for piece in pieces:
        if group and _belongs(group, piece) and len(group[0].header) + piece.end - start <= size:
            group.append(piece)
            continue
        if group:
            start = _past_newlines(text, start)
            yield group, start
        earliest, start = start, piece.start
        if group and _goes_on(group[-1], piece):
            room = min(overlap, size - (piece.end - group[-1].end))
            start = _tail(text, earliest, group[-1].end, room) or start
        group = [piece]
    if group:
        yield group, _past_newlines(text, start)


def _past_newlines(text: str, start: int) -> int:
    while text.startswith("\n", start):
        start += 1
    return start


def _belongs(group: list[_Piece], piece: _Piece) -> bool:
    """Whether a piece may stand with those before it: a heading only with headings that lead to it."""
    after_headings = all(other.block.kind == "heading" for other in group)
    if piece.block.kind == "heading":
        return after_headings and _is_under(piece, group[-1])
    if piece.path != group[-1].path:
        return False
    if after_headings:
        return True
    fits = piece.whole or piece.block is group[-1].block or piece.block.kind in _FLOWING
    return fits and piece.block.page == group[-1].block.page


def _is_under(piece: _Piece, other: _Piece) -> bool:
    return piece.path[: len(other.path)] == other.path


def _goes_on(last: _Piece, piece: _Piece) -> bool:
    """Whether the reader of a chunk misses what came before: not after a table, nor in another section.

    On another page only when the sentence goes on there.
    """
    if last.path != piece.path or not {last.block.kind, piece.block.kind} <= _FLOWING:
        return False
    return last.block.page == piece.block.page or not last.block.text.endswith(_FULL_STOPS)


def _tail(text: str, earliest: int, end: int, room: int) -> int | None:
    """Where at most `room` characters before `end` may begin: at a sentence, else a clause, else a word."""
    begin = max(end - room, earliest + 1)
    for pattern in _PROSE:
        for match in pattern.finditer(text, max(begin - _LONGEST_END, 0), end):
            if begin <= match.end() < end:
                return match.end()
    return None


def _pieces(blocks: Sequence[Block], size: int) -> Iterator[_Piece]:
    path: list[tuple[int, str]] = []
    start = headed = 0
    for block in blocks:
        length = len(block.text)
        if block.kind == "heading":
            level = block.level or 1
            path = [*(above for above in path if above[0] < level), (level, block.text)]
        names = tuple(name for _, name in path)
        room = size - headed if headed < size // 2 else size  # no heading is left alone
        for begin, end, header in _parts(block, room):
            yield _Piece(start + begin, start + end, block, names, end - begin == length, header)
        headed = headed + length + len(_BETWEEN) if block.kind == "heading" else 0
        start += length + len(_BETWEEN)


def _parts(block: Block, size: int) -> Iterator[tuple[int, int, str]]:
    """Ranges of a block, each with the header that goes before it when it begins a chunk."""
    length, breaks = len(block.text), _BREAKS.get(block.kind, _PROSE)
    header = _header(block, size)
    ranges = list(_divide(block.text, len(header), length, size - len(header), breaks))
    yield 0, ranges[0][1], ""
    for begin, end in ranges[1:]:
        yield begin, end, header


def _header(block: Block, size: int) -> str:
    """What each part of a table repeats: nothing when it is whole, or its header more than half a chunk."""
    if block.kind != "table" or len(block.text) <= size:
        return ""
    header = "".join(line + "\n" for line in block.text.split("\n", 2)[:2])
    return header if len(header) <= size // 2 else ""


def _divide(
    text: str, start: int, end: int, size: int, breaks: Sequence[re.Pattern[str]]
) -> Iterator[tuple[int, int]]:
    """Ranges that follow each other, none longer than `size`, divided at the first pattern that does it."""
    if end - start <= size:
        yield start, end
    elif not breaks:
        for begin in range(start, end, size):
            yield begin, min(begin + size, end)
    else:
        begin = start
        for match in breaks[0].finditer(text, start, end):
            yield from _divide(text, begin, match.end(), size, breaks[1:])
            begin = match.end()
        if begin < end:
            yield from _divide(text, begin, end, size, breaks[1:])
