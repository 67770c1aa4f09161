"""The table of tasks: the only record of a task, and the conditions under which it may change."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from nexusai.server.db.group_commit import GroupCommit, Write, batches, connect, values_of
from nexusai.server.tasks.models import Filter, TaskRow, lanes_of
from nexusai.server.tasks.states import FINAL

__all__ = ["Claim", "Ending", "SqliteTaskStore", "TaskStore"]

T = TypeVar("T")


class Claim(NamedTuple):
    """A worker's wish to run a task until `lease_until` (ms), or longer if it renews."""

    task_id: str
    worker: str
    now: int
    lease_until: int


class Ending(NamedTuple):
    """How an attempt ended."""

    task_id: str
    attempt: int
    status: str
    output_json: str | None
    error_json: str | None
    at: int


class TaskStore(Protocol):
    """Tasks in a database. What is answered is committed."""

    async def accept(self, task: TaskRow) -> bool:
        """Store a task; False when its project already has one with its idempotency key."""

    async def find(self, project: str, task_id: str) -> TaskRow | None: ...

    async def find_by_key(self, project: str, idempotency_key: str) -> TaskRow | None: ...

    async def free_keys(self, before: int) -> None:
        """Forget the idempotency keys of tasks made before a time (ms): they may be used again."""

    async def select(self, project: str, wanted: Filter) -> list[TaskRow]: ...

    async def claim(self, claim: Claim) -> TaskRow | None:
        """Begin an attempt; None when the task is final, exhausted, cancelled or held by a live worker."""

    async def renew(self, worker: str, task_ids: Sequence[str], lease_until: int) -> None:
        """Keep those of these tasks that the worker holds."""

    async def report(self, task_id: str, attempt: int, progress: float) -> None:
        """Note progress (0 to 100) of the attempt; nothing when it is not the running one."""

    async def finish(self, ending: Ending) -> bool:
        """End the attempt; False, and no change, when it is not the running one."""

    async def release(self, task_id: str, attempt: int) -> bool:
        """Hand back an attempt that was not the task's fault: it is queued again and not counted."""

    async def request_cancel(self, task_id: str, at: int) -> str | None:
        """Cancel a queued task, mark a running one; the status after it, None when there is no task."""

    async def delete(self, project: str, task_id: str) -> str | None:
        """Delete a final task; the status it had, None when there is no such task."""

    async def void_leases(self) -> None:
        """End every lease: only for the one owner of the data, when it starts."""

    async def end_lost(self, now: int, error_json: str) -> dict[str, str]:
        """Fail the tasks that lost their last attempt, cancel the lost ones that should be: id → status."""

    async def undelivered(self, now: int) -> list[tuple[str, int, int, tuple[str, ...]]]:
        """`(id, priority, not_before, lanes)` of the tasks that nobody is running, oldest first."""

    async def open_tasks(self) -> tuple[int, int, int | None]:
        """How many are queued, how many run, and when (ms) the oldest that is queued was made."""


_COLUMNS = ", ".join(TaskRow.__struct_fields__)
_NEW = (
    *(column.name for column in msgspec.structs.fields(TaskRow) if column.required),
    "webhook_json",
    "notify",
    "key_id",
)
_new_values = attrgetter(*_NEW)


def _accept(connection: sqlite3.Connection, tasks: Sequence[TaskRow]) -> list[bool]:
    stored: list[bool] = []
    for batch in batches(tasks):
        values, parameters = values_of([_new_values(task) for task in batch])
        sql = f"INSERT INTO tasks ({', '.join(_NEW)}) SELECT * FROM {values} WHERE column1 IS NOT NULL"
        count = connection.execute(f"{sql} ON CONFLICT DO NOTHING", parameters).rowcount
        stored += [True] * len(batch) if count == len(batch) else _present(connection, batch)
    return stored


def _present(connection: sqlite3.Connection, tasks: Sequence[TaskRow]) -> list[bool]:
    values, parameters = values_of([(task.id,) for task in tasks])
    sql = f"SELECT json_group_array(id) FROM tasks JOIN {values} AS new ON id = new.column1"
    ids = _one_json(connection, sql, parameters, list[str])
    return [task.id in ids for task in tasks]


_CLAIMED = ", ".join(
    "NULL" if name == "request_hash" else f"tasks.{name}" for name in TaskRow.__struct_fields__
)


def _claim(connection: sqlite3.Connection, claims: Sequence[Claim]) -> list[TaskRow | None]:
    """Who may claim is looked up, then changed: nobody else writes within the transaction."""
    found: dict[str, TaskRow] = {}
    first = {claim.task_id: claim for claim in reversed(claims)}
    for batch in batches(list(first.values())):
        values, parameters = values_of(batch)
        sql = (
            f"SELECT json_group_array(json_array({_CLAIMED})) FROM {values} AS claim "
            "CROSS JOIN tasks ON tasks.id = claim.column1 "  # in this order: by the primary key, no scan
            "WHERE attempt < max_attempts AND NOT cancel_requested "
            "AND (status = 'queued' OR status = 'running' AND lease_until <= claim.column3)"
        )
        rows = [TaskRow(*row) for row in _one_json(connection, sql, parameters, list[list[Any]])]
        found |= {row.id: row for row in rows}
    granted = [claim for task_id, claim in first.items() if task_id in found]
    for batch in batches(granted):
        values, parameters = values_of(batch)
        connection.execute(
            "UPDATE tasks SET status = 'running', attempt = attempt + 1, progress = 0, "
            "worker = claim.column2, started_at = coalesce(started_at, claim.column3), "
            "lease_until = claim.column4 "
            f"FROM {values} AS claim WHERE tasks.id = claim.column1",
            parameters,
        )
    return [_begun(found.pop(claim.task_id), claim) if claim.task_id in found else None for claim in claims]


def _begun(row: TaskRow, claim: Claim) -> TaskRow:
    started = row.started_at or claim.now
    return msgspec.structs.replace(
        row, status="running", attempt=row.attempt + 1, progress=0, started_at=started
    )


def _finish(connection: sqlite3.Connection, endings: Sequence[Ending]) -> list[bool]:
    first = {(ending.task_id, ending.attempt): ending for ending in reversed(endings)}
    valid: dict[tuple[str, int], Ending] = {}
    for keys in batches(list(first)):
        values, parameters = values_of(keys)
        sql = (
            f"SELECT json_group_array(json_array(id, attempt)) FROM tasks JOIN {values} AS ending "
            "ON id = ending.column1 AND attempt = ending.column2 WHERE status = 'running'"
        )
        running = _one_json(connection, sql, parameters, list[tuple[str, int]])
        valid |= {key: first[key] for key in running}
    for batch in batches(list(valid.values())):
        values, parameters = values_of(batch)
        connection.execute(
            "UPDATE tasks SET status = ending.column3, output_json = ending.column4, "
            "error_json = ending.column5, finished_at = ending.column6, lease_until = 0 "
            f"FROM {values} AS ending WHERE tasks.id = ending.column1 AND tasks.attempt = ending.column2",
            parameters,
        )
    return [valid.pop((ending.task_id, ending.attempt), None) is ending for ending in endings]


def _one_json(connection: sqlite3.Connection, sql: str, parameters: list[Any], type: type[T]) -> T:
    return msgspec.json.decode(connection.execute(sql, parameters).fetchone()[0], type=type)


_OPEN = "status IN ('queued', 'running')"
"""The very words of the index `tasks_open`: a condition without them reads the whole table."""


class _Statement(NamedTuple):
    sql: str
    parameters: tuple[Any, ...]


def _execute(connection: sqlite3.Connection, statements: Sequence[_Statement]) -> list[list[tuple[Any, ...]]]:
    return [connection.execute(*statement).fetchall() for statement in statements]


ACCEPT: Write[TaskRow, bool] = Write(_accept)
CLAIM: Write[Claim, TaskRow | None] = Write(_claim, durable=False)
FINISH: Write[Ending, bool] = Write(_finish)
CHANGE: Write[_Statement, list[tuple[Any, ...]]] = Write(_execute)
NOTE: Write[_Statement, list[tuple[Any, ...]]] = Write(_execute, durable=False)


class SqliteTaskStore:
    """Tasks in one SQLite file: writes through the group commit, reads on a connection of their own.

    A read by id takes 20 µs, less than handing it to a thread, so it runs where it is asked for.
    """

    def __init__(self, path: Path) -> None:
        self.commits: GroupCommit = GroupCommit(path)
        self._path = path

    def start(self) -> None:
        self._reader = connect(self._path)
        self.commits.start()

    async def stop(self) -> None:
        await self.commits.stop()
        self._reader.close()

    async def accept(self, task: TaskRow) -> bool:
        return await self.commits.submit(ACCEPT, task)

    async def find(self, project: str, task_id: str) -> TaskRow | None:
        return self._row("id = ? AND project = ?", (task_id, project))

    async def find_by_key(self, project: str, idempotency_key: str) -> TaskRow | None:
        return self._row("project = ? AND idempotency_key = ?", (project, idempotency_key))

    def _row(self, where: str, parameters: tuple[Any, ...]) -> TaskRow | None:
        row = self._reader.execute(f"SELECT {_COLUMNS} FROM tasks WHERE {where}", parameters).fetchone()
        return TaskRow(*row) if row else None

    async def free_keys(self, before: int) -> None:
        await self._note(
            "UPDATE tasks SET idempotency_key = NULL WHERE idempotency_key IS NOT NULL AND created_at < ?",
            before,
        )

    async def select(self, project: str, wanted: Filter) -> list[TaskRow]:
        clauses, parameters = ["project = ?"], [project]
        for clause, value in (
            ("status = ?", wanted.status),
            ("task_type = ?", wanted.task_type),
            ("created_at > ?", wanted.created_after),
            ("id < ?", wanted.cursor),
        ):
            if value is not None:
                clauses.append(clause)
                parameters.append(value)  # type: ignore[arg-type]
        for name, text in wanted.metadata.items():
            clauses.append(
                "EXISTS (SELECT 1 FROM json_each(metadata_json) WHERE key = ? "
                "AND iif(type IN ('true', 'false', 'null'), type, CAST(value AS TEXT)) = ?)"
            )
            parameters += [name, text]
        sql = f"SELECT {_COLUMNS} FROM tasks WHERE {' AND '.join(clauses)} ORDER BY id DESC LIMIT ?"
        rows = await asyncio.to_thread(self._scan, sql, (*parameters, wanted.limit))
        return [TaskRow(*row) for row in rows]

    def _scan(self, sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with closing(connect(self._path)) as connection:
            return connection.execute(sql, parameters).fetchall()

    async def claim(self, claim: Claim) -> TaskRow | None:
        return await self.commits.submit(CLAIM, claim)

    async def renew(self, worker: str, task_ids: Sequence[str], lease_until: int) -> None:
        await self._note(
            "UPDATE tasks SET lease_until = ? WHERE status = 'running' AND worker = ? "
            "AND id IN (SELECT value FROM json_each(?))",
            lease_until,
            worker,
            msgspec.json.encode(task_ids).decode(),
        )

    async def report(self, task_id: str, attempt: int, progress: float) -> None:
        await self._note(
            "UPDATE tasks SET progress = ? WHERE id = ? AND attempt = ? AND status = 'running'",
            progress,
            task_id,
            attempt,
        )

    async def finish(self, ending: Ending) -> bool:
        return await self.commits.submit(FINISH, ending)

    async def release(self, task_id: str, attempt: int) -> bool:
        rows = await self._change(
            "UPDATE tasks SET status = 'queued', max_attempts = max_attempts + 1, lease_until = 0 "
            "WHERE id = ? AND attempt = ? AND status = 'running' RETURNING id",
            task_id,
            attempt,
        )
        return bool(rows)

    async def request_cancel(self, task_id: str, at: int) -> str | None:
        rows = await self._change(
            "UPDATE tasks SET cancel_requested = status IN ('queued', 'running'), "
            "finished_at = CASE status WHEN 'queued' THEN ? ELSE finished_at END, "
            "status = CASE status WHEN 'queued' THEN 'cancelled' ELSE status END "
            "WHERE id = ? RETURNING status",
            at,
            task_id,
        )
        return str(rows[0][0]) if rows else None

    async def delete(self, project: str, task_id: str) -> str | None:
        rows = await self._change(
            f"DELETE FROM tasks WHERE id = ? AND project = ? AND status IN {FINAL} RETURNING status",
            task_id,
            project,
        )
        if rows:
            return str(rows[0][0])
        row = await self.find(project, task_id)
        return row.status if row else None

    async def void_leases(self) -> None:
        await self._change(f"UPDATE tasks SET lease_until = 0 WHERE {_OPEN} AND status = 'running'")

    async def end_lost(self, now: int, error_json: str) -> dict[str, str]:
        cancelled = await self._change(
            f"UPDATE tasks SET status = 'cancelled', finished_at = ? WHERE {_OPEN} "
            "AND cancel_requested AND (status = 'queued' OR lease_until <= ?) RETURNING id, status",
            now,
            now,
        )
        failed = await self._change(
            f"UPDATE tasks SET status = 'failed', error_json = ?, finished_at = ? WHERE {_OPEN} "
            "AND status = 'running' AND attempt >= max_attempts AND lease_until <= ? RETURNING id, status",
            error_json,
            now,
            now,
        )
        return dict(cancelled + failed)

    async def undelivered(self, now: int) -> list[tuple[str, int, int, tuple[str, ...]]]:
        sql = (
            f"SELECT id, priority, not_before, project, key_id FROM tasks WHERE {_OPEN} "
            "AND (status = 'queued' OR lease_until <= ?) ORDER BY id"
        )
        rows = await asyncio.to_thread(self._scan, sql, (now,))
        return [(row[0], row[1], row[2], lanes_of(row[3], row[4])) for row in rows]

    async def open_tasks(self) -> tuple[int, int, int | None]:
        sql = (
            "SELECT coalesce(sum(status = 'queued'), 0), coalesce(sum(status = 'running'), 0), "
            f"min(CASE status WHEN 'queued' THEN created_at END) FROM tasks WHERE {_OPEN}"
        )
        [(queued, running, oldest)] = await asyncio.to_thread(self._scan, sql, ())
        return queued, running, oldest

    async def _change(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return await self.commits.submit(CHANGE, _Statement(sql, parameters))

    async def _note(self, sql: str, *parameters: Any) -> None:
        await self.commits.submit(NOTE, _Statement(sql, parameters))
