"""One thread that owns the writing connection to SQLite.

Whoever writes at the same moment shares one transaction, so one flush to disk serves many callers: with a
commit each, a disk that flushes in 0.4 ms would bound the whole platform.

Each step of a statement, and so each row that it returns, gives up the interpreter lock and must win it back
from the busy event loop, which takes longer than the step: so a batch is one statement, and what it has to
return is one row of JSON.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

__all__ = ["GroupCommit", "Write", "batches", "connect", "values_of"]

LARGEST_BATCH = 1024

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Write(Generic[Item, Result]):
    """A kind of write: does a batch of items in one transaction, and gives a result for each, in order.

    `durable` writes survive a power cut once answered; others survive a killed process.
    """

    run: Callable[[sqlite3.Connection, Sequence[Item]], Sequence[Result]]
    durable: bool = True


_Entry = tuple[Write[Any, Any], Any, "asyncio.Future[Any]"]


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode, in WAL, that waits for other writers."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=10000")
    return connection


class GroupCommit:
    """The writer. `submit` from the event loop that `start` was called in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="nexusai-writer", daemon=True)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Write what is queued, then end the thread."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def submit(self, write: Write[Item, Result], item: Item) -> asyncio.Future[Result]:
        """Resolves once the item's transaction is committed."""
        future: asyncio.Future[Result] = self._loop.create_future()
        self._queue.put((write, item, future))
        return future

    def _work(self) -> None:
        connection = connect(self._path)
        self._durable: bool | None = None
        stopping = False
        while not stopping:
            entries = [self._queue.get()]
            while not self._queue.empty():
                entries.append(self._queue.get())
            stopping = None in entries
            by_write: dict[Write[Any, Any], list[_Entry]] = {}
            for entry in entries:
                if entry is not None:
                    by_write.setdefault(entry[0], []).append(entry)
            if by_write:
                self._commit(connection, by_write)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, by_write: dict[Write[Any, Any], list[_Entry]]) -> None:
        try:
            self._flush_on_commit(connection, any(write.durable for write in by_write))
            results = _transact(connection, by_write)
        except Exception as error:
            if len(by_write) > 1:  # one kind of write must not fail the others
                for write, entries in by_write.items():
                    self._commit(connection, {write: entries})
                return
            entries = next(iter(by_write.values()))
            self._answer([(future, error) for _, _, future in entries], failed=True)
        else:
            self._answer(results, failed=False)

    def _flush_on_commit(self, connection: sqlite3.Connection, durable: bool) -> None:
        if durable is not self._durable:
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def _answer(self, results: list[tuple[asyncio.Future[Any], Any]], failed: bool) -> None:
        self._loop.call_soon_threadsafe(_resolve, results, failed)


def _transact(
    connection: sqlite3.Connection, by_write: dict[Write[Any, Any], list[_Entry]]
) -> list[tuple[asyncio.Future[Any], Any]]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        results: list[tuple[asyncio.Future[Any], Any]] = []
        for write, entries in by_write.items():
            answers = write.run(connection, [item for _, item, _ in entries])
            results.extend((entry[2], answer) for entry, answer in zip(entries, answers, strict=True))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return results


def _resolve(results: list[tuple[asyncio.Future[Any], Any]], failed: bool) -> None:
    for future, result in results:
        if future.done():  # its caller went away; what was written stays written
            continue
        if failed:
            future.set_exception(result)
        else:
            future.set_result(result)


def values_of(rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    """Rows of parameters as the text `(VALUES …)`, columns `column1 …`, and the parameters themselves.

    Filled up with rows of NULLs to one of few lengths, so that there are few statements to prepare.
    """
    width, length = len(rows[0]), 1
    while length < len(rows):
        length *= 4
    flat = [value for row in rows for value in row]
    flat += [None] * (width * (length - len(rows)))
    return _values(width, length), flat


@cache
def _values(width: int, length: int) -> str:
    row = f"({','.join('?' * width)})"
    return f"(VALUES {','.join([row] * length)})"


def batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Pieces that fit into one statement (SQLite takes 32,766 parameters)."""
    for start in range(0, len(items), LARGEST_BATCH):
        yield items[start : start + LARGEST_BATCH]
