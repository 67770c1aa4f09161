"""Exact search among vectors: blobs of float32, matrices of them, and a cache of those."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexusai.server.knowledge.index import Vector

__all__ = ["Block", "Entry", "VectorCache", "blocks_of", "nearest", "pack", "refreshed"]

BLOCK_ROWS = 4096
Rows = Iterable[tuple[int, str, bytes]]
"""Number of the chunk, id of its document, blob."""


class Block(NamedTuple):
    """Some chunks' vectors, of length 1, a row each, in the order of the chunks' numbers."""

    numbers: NDArray[np.int64]
    documents: NDArray[np.object_]
    matrix: NDArray[np.float32]

    @property
    def newest(self) -> int:
        return int(self.numbers[-1])

    @property
    def nbytes(self) -> int:
        return self.numbers.nbytes + self.documents.nbytes + self.matrix.nbytes


def pack(vector: Vector) -> bytes:
    """A vector as little-endian float32, of length 1 (or 0). Raises `ValueError` for NaN and infinity."""
    row = np.asarray(vector, dtype=np.float64)
    if row.ndim != 1 or not row.size or not np.isfinite(row).all():
        raise ValueError("an embedding must be a list of finite numbers")
    return (row / (np.linalg.norm(row) or 1.0)).astype("<f4").tobytes()


def blocks_of(rows: Rows, size: int = BLOCK_ROWS) -> Iterator[Block]:
    """Rows, all of one width, as blocks of at most `size`."""
    pending: list[tuple[int, str, bytes]] = []
    for row in rows:
        pending.append(row)
        if len(pending) == size:
            yield _block(pending)
            pending = []
    if pending:
        yield _block(pending)


def _block(rows: Sequence[tuple[int, str, bytes]]) -> Block:
    numbers, documents, blobs = zip(*rows, strict=True)
    matrix = np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(rows), -1)
    return Block(np.array(numbers, dtype=np.int64), np.array(documents, dtype=object), matrix)


def refreshed(block: Block | None, there: Sequence[int], new: Rows) -> Block | None:
    """A block without the chunks that are not `there` any more, and with new ones; None for nothing."""
    parts = list(blocks_of(new))
    if block is not None:
        keep = np.isin(block.numbers, np.array(there, dtype=np.int64))
        parts = [_kept(block, keep), *parts] if keep.any() else parts
    if len(parts) < 2:
        return parts[0] if parts else None
    return Block(
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.documents for part in parts]),
        np.concatenate([part.matrix for part in parts]),
    )


def _kept(block: Block, keep: NDArray[np.bool_]) -> Block:
    return block if keep.all() else Block(block.numbers[keep], block.documents[keep], block.matrix[keep])


def nearest(
    blocks: Iterable[Block], vector: Vector, limit: int, allowed: Collection[str] | None = None
) -> list[tuple[int, float]]:
    """Numbers and cosines of the nearest chunks, best first; of `allowed` documents, if that is given.

    Raises `ValueError` for a vector that has not as many dimensions as the rows.
    """
    query = np.frombuffer(pack(vector), dtype="<f4")
    best: list[tuple[int, float]] = []
    for block in blocks:
        best = sorted(best + _of(block, query, limit, allowed), key=lambda hit: (-hit[1], hit[0]))[:limit]
    return best


def _of(
    block: Block, query: NDArray[np.float32], limit: int, allowed: Collection[str] | None
) -> list[tuple[int, float]]:
    if block.matrix.shape[1] != query.size:
        raise ValueError(f"the vector has {query.size} dimensions, the index {block.matrix.shape[1]}")
    numbers, matrix = block.numbers, block.matrix
    if allowed is not None:
        keep = np.fromiter((doc_id in allowed for doc_id in block.documents), dtype=bool, count=len(numbers))
        numbers, matrix = numbers[keep], matrix[keep]
    scores = np.einsum("ij,j->i", matrix, query)  # as fast as @, whose threads stall on a busy machine
    top = np.argpartition(-scores, limit - 1)[:limit] if len(scores) > limit else np.arange(len(scores))
    return list(zip(numbers[top].tolist(), scores[top].tolist(), strict=True))


class Entry(NamedTuple):
    revision: int
    block: Block | None


class VectorCache:
    """Matrices by knowledge base and version, the least recently used leaving first above `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[tuple[str, int], Entry] = OrderedDict()
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        return sum(entry.block.nbytes for entry in self._entries.values() if entry.block)

    def get(self, key: tuple[str, int]) -> Entry | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: tuple[str, int], entry: Entry) -> None:
        """Keep it, unless it alone is too large; what is older than what is there does not replace it."""
        with self._lock:
            there = self._entries.pop(key, None)
            self._entries[key] = there if there and there.revision > entry.revision else entry
            for old in [other for other in self._entries if other[0] == key[0] and other[1] < key[1]]:
                del self._entries[old]
            while self._entries and self.nbytes > self.limit:
                self._entries.popitem(last=False)
