"""The index of knowledge bases: how fast documents go in, how fast queries come out. Prints a table.

    python benchmarks/knowledge.py [--sizes 10000,100000] [--queries 300]

Chunks are made of Chinese and English words, as rare as words are, about 400 characters each, with vectors
of 384 dimensions, 20 chunks to a document. Queries are questions with four such words of one language, and a
vector. Everything runs on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nexusai.server.db.engine import Database, migrate
from nexusai.server.knowledge.index import NewChunk
from nexusai.server.knowledge.rows import BaseRow, DocumentRow
from nexusai.server.knowledge.search import Mode, Search
from nexusai.server.knowledge.sqlite_index import SqliteIndex
from nexusai.server.knowledge.store import KnowledgeStore

DIMENSIONS = 384
CHUNKS = 20
BARS = {10_000: 25.0, 100_000: 100.0}


class Figure(NamedTuple):
    what: str
    value: str
    bar: str = ""
    met: bool = True


class Words:
    """Words of two languages with Zipf's frequencies; the English ones begin with those of every sentence."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        common = ["the", "of", "and", "to", "in", "a", "is", "for", "on", "that", "by", "with", "as", "it"]
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.english = common + ["".join(self.chance.choices(letters, k=7)) for _ in range(20_000)]
        characters = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]
        self.chinese = ["".join(self.chance.choices(characters, k=2)) for _ in range(20_000)]
        self.weights = list(accumulate(1 / rank for rank in range(1, len(self.english) + 1)))

    def chunk(self) -> str:
        if self.chance.random() < 0.5:
            return " ".join(self.pick(self.english, 55))
        return "，".join("".join(self.pick(self.chinese, 8)) for _ in range(24))

    def query(self) -> str:
        if self.chance.random() < 0.5:
            return "what is " + " ".join(self.pick(self.english, 4))
        return "".join(self.pick(self.chinese, 4)) + "是什么"

    def pick(self, words: list[str], count: int) -> list[str]:
        return self.chance.choices(words, cum_weights=self.weights[: len(words)], k=count)


class Bench:
    def __init__(self, folder: Path) -> None:
        migrate(folder / "nexus.db")
        self.path = folder / "nexus.db"
        self.database = Database(self.path)
        self.index = SqliteIndex(self.database)
        self.store = KnowledgeStore(self.database, self.index)
        self.search = Search(self.index)
        self.words = Words(7)
        self.vectors = np.random.default_rng(7)
        self.chunks = 0

    async def fill(self, size: int) -> list[Figure]:
        """Bring the knowledge base to so many chunks; how fast that went."""
        spent, begun = 0.0, self.chunks
        while self.chunks < size:
            pieces = [NewChunk(self.words.chunk(), position) for position in range(CHUNKS)]
            embeddings = self.vectors.normal(size=(CHUNKS, DIMENSIONS)).tolist()
            started = time.perf_counter()
            await self.add(pieces, embeddings)
            spent += time.perf_counter() - started
            self.chunks += CHUNKS
        documents = (self.chunks - begun) / CHUNKS
        return [
            Figure("documents/s in, of 20 chunks with vectors", f"{documents / spent:,.0f}"),
            Figure("the database", f"{self.path.stat().st_size / 1024**2:,.0f} MiB"),
        ]

    async def add(self, pieces: list[NewChunk], embeddings: list[list[float]]) -> None:
        name = f"doc_{self.chunks:032x}"
        row = DocumentRow(name, "kb_1", "project", "file", f"{name}.txt", "txt", 1, name, 1)
        await self.store.add_document(row)
        await self.store.index_document(row, 1, pieces, embeddings, chunk_count=len(pieces))

    async def queries(self, mode: Mode, count: int, bar: float | None) -> list[Figure]:
        took, worked = [], []
        for _ in range(count):
            query = self.words.query()
            vector = self.vectors.normal(size=DIMENSIONS).tolist()
            started, working = time.perf_counter(), time.process_time()
            await self.search.search(["kb_1"], query, {"kb_1": vector}, mode=mode)
            took.append((time.perf_counter() - started) * 1000)
            worked.append((time.process_time() - working) * 1000)
        asked = f"p99 <= {bar:.0f} ms" if bar else ""
        return [
            Figure(f"{mode}, p50 / p99", shown(took), asked, bar is None or percentiles(took)[1] <= bar),
            Figure("  of it on a processor", shown(worked)),
        ]

    async def first_query(self) -> list[Figure]:
        """The one that reads the vectors into memory."""
        started = time.perf_counter()
        await self.search.search(["kb_1"], "", {"kb_1": [1.0] * DIMENSIONS}, mode="semantic")
        return [
            Figure("the first by meaning, which loads the vectors", f"{time.perf_counter() - started:.2f} s")
        ]


async def measure(sizes: list[int], queries: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        await bench.store.add_base(BaseRow("kb_1", "project", "kb", None, None, 1000, 200, 1, 1))
        figures: list[Figure] = []
        for size in sizes:
            figures.append(Figure(f"{size:,} chunks", ""))
            steps: list[Callable[[], Awaitable[list[Figure]]]] = [
                lambda size=size: bench.fill(size),
                bench.first_query,
                *(
                    lambda mode=mode, size=size: bench.queries(mode, queries, BARS.get(size))
                    for mode in ("keyword", "semantic", "hybrid")
                ),
            ]
            for step in steps:
                figures += [figure._replace(what=f"  {figure.what}") for figure in await step()]
            figures.append(Figure("  peak memory (resident)", f"{_peak() / 1024:.0f} MiB"))
            print(f"{size:,} chunks: done", file=sys.stderr)
        bench.database.close()
        return figures


def percentiles(values: list[float]) -> tuple[float, float]:
    """The 50th and the 99th."""
    values = sorted(values)
    return values[len(values) // 2], values[len(values) * 99 // 100]


def shown(milliseconds: list[float]) -> str:
    return "{:.1f} / {:.1f} ms".format(*percentiles(milliseconds))


def _peak() -> int:
    """KiB, from /proc (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise RuntimeError("no VmHWM")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", default="10000,100000", help="chunks, ascending")
    parser.add_argument("--queries", type=int, default=300, help="of each mode")
    options = parser.parse_args()
    figures = asyncio.run(measure([int(size) for size in options.sizes.split(",")], options.queries))
    print(f"{'':52}{'measured':>24}   bar")
    for figure in figures:
        verdict = f"{figure.bar:<16}{'met' if figure.met else 'MISSED'}" if figure.bar else ""
        print(f"{figure.what:<52}{figure.value:>24}   {verdict}".rstrip())
    if not all(figure.met for figure in figures):
        print("A bar was missed: is the machine busy?", file=sys.stderr)


if __name__ == "__main__":
    main()
