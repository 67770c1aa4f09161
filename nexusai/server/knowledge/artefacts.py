"""What a stage of indexing leaves on disk for the next: an interrupted document goes on from there."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from nexusai.server.knowledge.index import NewChunk
from nexusai.server.knowledge.parsing import Parsed

__all__ = ["Artefacts"]

T = TypeVar("T")


class Artefacts:
    """Files named by document and stage. One that is there is whole; a damaged one is as good as none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def parsed(self, doc_id: str) -> Parsed | None:
        return await self._load(f"{doc_id}.blocks", Parsed.from_lines)

    async def keep_parsed(self, doc_id: str, parsed: Parsed) -> None:
        await self._store(f"{doc_id}.blocks", parsed.lines())

    async def chunks(self, doc_id: str, name: str) -> list[NewChunk] | None:
        """Those that were kept under the same name, which says how they were made."""
        return await self._load(f"{doc_id}.{name}.chunks", _chunks)

    async def keep_chunks(self, doc_id: str, name: str, chunks: Sequence[NewChunk]) -> None:
        lines = (json.dumps(list(chunk), ensure_ascii=False) for chunk in chunks)
        await self._store(f"{doc_id}.{name}.chunks", [*lines, _END])

    async def remove(self, doc_ids: Collection[str]) -> None:
        await asyncio.to_thread(self._remove, lambda doc_id: doc_id in doc_ids)

    async def keep_only(self, doc_ids: Collection[str]) -> None:
        """Remove those of all other documents."""
        await asyncio.to_thread(self._remove, lambda doc_id: doc_id not in doc_ids)

    def _remove(self, is_one: Callable[[str], bool]) -> None:
        for path in self._folder.iterdir():
            if is_one(path.name.partition(".")[0]):
                path.unlink(missing_ok=True)

    async def _load(self, name: str, read: Callable[[Iterable[bytes]], T]) -> T | None:
        def load() -> T | None:
            try:
                with (self._folder / name).open("rb") as lines:
                    return read(lines)
            except (FileNotFoundError, ValueError, TypeError):
                return None

        return await asyncio.to_thread(load)

    async def _store(self, name: str, lines: Iterable[str]) -> None:
        def store() -> None:
            part = self._folder / f"{name}.part"
            with part.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
                file.writelines(f"{line}\n" for line in lines)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._folder / name)

        await asyncio.to_thread(store)


_END = '"end"'


def _chunks(lines: Iterable[bytes]) -> list[NewChunk]:
    *chunks, end = map(json.loads, lines)
    if end != "end":
        raise ValueError("the chunks break off before their last line")
    return list(_made(chunks))


def _made(chunks: Iterable[list[object]]) -> Iterator[NewChunk]:
    for content, position, start, end, page, headings in chunks:
        yield NewChunk(content, position, start, end, page, tuple(headings))  # type: ignore[arg-type]
