"""What a document is once it is read, what reading may cost, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["Block", "BlockKind", "DocumentError", "ErrorCode", "Limits", "Parsed"]

BlockKind = Literal["heading", "paragraph", "table", "code", "list"]
ErrorCode = Literal["encrypted", "broken", "unsupported", "too_large", "empty", "bomb", "timeout", "memory"]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document as its author made it. Pages and levels count from 1.

    A table is rows of Markdown, `| a | b |`, its first line the header and its second a rule; a list has a
    line for each item. The text is never empty.
    """

    kind: BlockKind
    text: str
    page: int | None = None
    level: int | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document's blocks in reading order. `pages` is None where a format has none.

    `lines` writes it as JSON lines without line ends, `from_lines` reads them; a text that breaks off
    before its last line raises `ValueError`.
    """

    blocks: list[Block]
    file_type: str
    pages: int | None = None
    title: str | None = None
    language: str | None = None

    def lines(self) -> Iterator[str]:
        for block in self.blocks:
            yield _dump([block.kind, block.text, block.page, block.level])
        about = {"pages": self.pages, "title": self.title, "language": self.language}
        yield _dump({"file_type": self.file_type, **about})

    @classmethod
    def from_lines(cls, lines: Iterable[str | bytes]) -> Parsed:
        blocks: list[Block] = []
        for line in lines:
            value = json.loads(line)
            if isinstance(value, dict):
                return cls(blocks, **value)
            blocks.append(Block(*value))
        raise ValueError("the document breaks off before its last line")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may cost. `seconds` is wall time; `archive_bytes` is of what an archive unpacks to.

    `memory_bytes` is address space, of which Python and the parsers take up to 250 MB before the first page.
    """

    seconds: float = 60
    cpu_seconds: int = 60
    memory_bytes: int = 1024**3
    file_bytes: int = 256 * 1024**2
    characters: int = 10_000_000
    pages: int = 10_000
    cells: int = 1_000_000
    archive_entries: int = 10_000
    archive_bytes: int = 512 * 1024**2
    archive_ratio: int = 200

    def arguments(self) -> dict[str, float]:
        return asdict(self)


class DocumentError(Exception):
    """This document cannot be read; `code` says why in a word, the message in a sentence for its owner."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message

    @property
    def retryable(self) -> bool:
        """Whether the same bytes may fare better another time: the machine was too busy or too full."""
        return self.code in ("timeout", "memory")


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
