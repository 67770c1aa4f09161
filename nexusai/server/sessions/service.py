"""Sessions as the API offers them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import UNSET

from nexusai.server.clock import now_ms
from nexusai.server.http import KEY_LIFETIME, MALFORMED, Problem, invalid
from nexusai.server.ids import new_id
from nexusai.server.sessions.configs import AgentConfigs, merged
from nexusai.server.sessions.context import pending_calls
from nexusai.server.sessions.models import (
    CreateSession,
    ForkSession,
    Labels,
    MessageRow,
    RegenerateTurn,
    SessionRow,
    TurnInput,
    TurnRequest,
    UpdateSession,
    parse_config,
)
from nexusai.server.sessions.store import SessionStore
from nexusai.server.sessions.turn import MOST_MESSAGES, SESSION_TURN
from nexusai.server.tasks.models import Filter, InvokeRequest, TaskRow
from nexusai.server.tasks.service import TaskService
from nexusai.server.tasks.states import FINAL

__all__ = ["SessionService"]

CLOCK_MAY_BE_OFF: Final = 86_400_000
"""Milliseconds that a turn may seem older than its session, on a clock that was set back."""

ACCEPTING: Final = 5_000
"""Milliseconds that a turn may take from holding its session to being a task."""


@dataclass(frozen=True, slots=True)
class SessionService:
    """Every call names the project that asks: what belongs to another does not exist for it."""

    store: SessionStore
    tasks: TaskService
    configs: AgentConfigs

    async def create(self, project: str, wanted: CreateSession, key: str | None) -> SessionRow:
        """Begin a session. The same key with the same request gives the session that is there already."""
        config = self.configs.over({}, wanted.agent_config or {})
        await self.configs.check(project, wanted.agent_type, config)
        session = _new(project, wanted.agent_type, config, wanted.name, wanted.metadata)
        return await self._add(session, [], wanted, key)

    async def get(self, project: str, session_id: str) -> SessionRow:
        session = await self.store.find(project, session_id)
        if session is None:
            raise _missing(session_id)
        return session

    async def show(self, *sessions: SessionRow) -> list[dict[str, Any]]:
        """The sessions as the API answers them."""
        counts = await self.store.count([session.id for session in sessions])
        return [session.show(counts.get(session.id, 0)) for session in sessions]

    async def page(self, project: str, page: int, per_page: int) -> tuple[list[SessionRow], int]:
        return await self.store.page(project, (page - 1) * per_page, per_page)

    async def update(self, project: str, session_id: str, wanted: UpdateSession) -> SessionRow:
        """Change what is given; a turn that runs goes on as it began."""
        session = await self.get(project, session_id)
        while not await self.store.update(session, await self._changes(session, wanted)):
            session = await self.get(project, session_id)  # somebody else was faster
        return await self.get(project, session_id)

    async def _changes(self, session: SessionRow, wanted: UpdateSession) -> dict[str, Any]:
        fields: dict[str, Any] = {"updated_at": now_ms()}
        if wanted.agent_config is not UNSET:
            config = self.configs.over(session.config, wanted.agent_config) if wanted.agent_config else {}
            await self.configs.check(session.project, session.agent_type, config)
            fields["config_json"] = _json(config)
        if wanted.metadata is not UNSET:
            labels = merged(msgspec.json.decode(session.metadata_json or "{}"), wanted.metadata or {})
            fields["metadata_json"] = _json(_labels(labels)) if wanted.metadata else None
        if wanted.name is not UNSET:
            fields["name"] = wanted.name
        if wanted.is_active is not UNSET:
            fields["is_active"] = wanted.is_active
        return fields

    async def delete(self, project: str, session_id: str) -> None:
        """Delete the session, its messages and its turns' tasks; a turn that runs is cancelled.

        The tasks go first, so that a deletion that a crash cuts short can be asked for again; then those of
        turns that began meanwhile.
        """
        session = await self.get(project, session_id)
        await self._forget_turns(session)
        if not await self.store.delete(project, session_id):
            raise _missing(session_id)
        await self._forget_turns(session)

    async def _forget_turns(self, session: SessionRow) -> None:
        cursor: str | None = None
        wanted = Filter(
            task_type=SESSION_TURN,
            created_after=session.created_at - CLOCK_MAY_BE_OFF,  # older tasks need not be read
            metadata={"session_id": session.id},
            limit=100,
        )
        while rows := await self.tasks.select(session.project, wanted._replace(cursor=cursor)):
            for row in rows:
                await self._forget(row)
            cursor = rows[-1].id

    async def _forget(self, row: TaskRow) -> None:
        """Delete the task; one that runs is cancelled. Raises a 409 `Problem` when it does not let go."""
        if row.status not in FINAL:
            with suppress(Problem):  # it ended, or was deleted, in this very moment
                await self.tasks.cancel(row.project, row.id)
        try:
            await self.tasks.delete(row.project, row.id)
        except Problem as problem:
            if problem.code != "NOT_FOUND":
                raise _busy(row.id) from None

    async def history(
        self, project: str, session_id: str, offset: int, limit: int
    ) -> tuple[list[MessageRow], int]:
        await self.get(project, session_id)
        return await self.store.history(session_id, offset, limit)

    async def fork(self, project: str, session_id: str, wanted: ForkSession, key: str | None) -> SessionRow:
        """A new session with the messages up to one of them. A turn that runs is no part of it."""
        origin = await self.get(project, session_id)
        rows, _ = await self.store.history(session_id, 0, None)
        if wanted.message_id is not None:
            ids = [row.id for row in rows]
            if wanted.message_id not in ids:
                raise Problem.field(
                    ["message_id"], f"the session has no message {wanted.message_id[:100]!r}", "not_found"
                )
            rows = rows[: ids.index(wanted.message_id) + 1]
        metadata = (
            msgspec.json.decode(origin.metadata_json or "null")
            if wanted.metadata is None
            else wanted.metadata
        )
        name = origin.name if wanted.name is None else wanted.name
        session = _new(project, origin.agent_type, origin.config, name, metadata)
        if rows and rows[-1].position > origin.summary_until:
            session = session._replace(summary=origin.summary, summary_until=origin.summary_until)
        copies = [row._replace(id=new_id("msg"), session_id=session.id) for row in rows]
        return await self._add(session, copies, (session_id, wanted), key)

    async def invoke(
        self, project: str, session_id: str, wanted: TurnRequest, *, key: str | None, request_id: str
    ) -> TaskRow:
        """Begin a turn: its task. Raises a 409 `Problem` while another turn runs."""
        session = await self.get(project, session_id)
        asked = TurnInput(
            session_id=session_id,
            agent_type=session.agent_type,
            prompt=wanted.prompt,
            tool_results=wanted.tool_results,
        )
        return await self._begin(session, asked, wanted, key, request_id)

    async def regenerate(
        self, project: str, session_id: str, wanted: RegenerateTurn, *, key: str | None, request_id: str
    ) -> TaskRow:
        """Begin a turn that gives the last answer anew, in its place."""
        session = await self.get(project, session_id)
        asked = TurnInput(session_id=session_id, agent_type=session.agent_type, regenerate=True)
        return await self._begin(session, asked, wanted, key, request_id)

    async def _begin(
        self,
        session: SessionRow,
        asked: TurnInput,
        wanted: RegenerateTurn,
        key: str | None,
        request_id: str,
    ) -> TaskRow:
        said = (asked, wanted)  # what a key stands for: the agent may have changed since
        earlier = await self.tasks.replay(session.project, said, key) if key else None
        if earlier is not None:
            return earlier
        request = await self._request(session, asked, wanted)
        if not session.is_active:
            raise Problem("CONFLICT", "The session is closed; set is_active to true to go on with it.")
        task_id = new_id("task")
        await self._reserve(session, task_id)
        row: TaskRow | None = None
        try:
            await self._check_turn(asked)
            row = await self.tasks.submit(
                session.project,
                request,
                idempotency_key=key,
                request_id=request_id,
                internal=True,
                task_id=task_id,
                asked=said,
            )
        finally:
            if row is None or row.id != task_id:
                await self.store.release(session.id, task_id)
        if await self.store.find(session.project, session.id) is None:  # deleted after it was held
            await self._forget(row)
            raise _missing(session.id)
        return row

    async def _request(self, session: SessionRow, asked: TurnInput, wanted: RegenerateTurn) -> InvokeRequest:
        override = wanted.config or {}
        parse_config(override, "config")
        config = self.configs.over(session.config, override)
        await self.configs.check(session.project, session.agent_type, config, "config")
        return InvokeRequest(
            task_type=SESSION_TURN,
            input=msgspec.Raw(msgspec.json.encode(asked)),
            provider=config.get("provider"),
            model=config.get("model"),
            config=config,
            stream=wanted.stream,
            metadata={"session_id": session.id},
        )

    async def _reserve(self, session: SessionRow, task_id: str) -> None:
        holder = session.busy_task
        if holder is not None and not await self._is_over(session, holder):
            raise _busy(holder)
        if not await self.store.reserve(session.id, task_id, holder, now_ms()):
            await self.get(session.project, session.id)
            raise _busy(None)

    async def _is_over(self, session: SessionRow, task_id: str) -> bool:
        """Whether a turn that holds its session does so in vain: it failed, or never became a task."""
        try:
            row = await self.tasks.get(session.project, task_id)
        except Problem:
            return session.busy_at < now_ms() - ACCEPTING
        return row.status in FINAL

    async def _check_turn(self, asked: TurnInput) -> None:
        """Raises a `Problem` for a turn that does not go on from the last message."""
        if asked.tool_results is None and not asked.regenerate:
            return
        rows = await self.store.newest(asked.session_id, 0, MOST_MESSAGES)
        if asked.regenerate and not rows:
            raise Problem("CONFLICT", "The session has no answer yet that could be given anew.")
        if asked.tool_results is None:
            return
        pending = pending_calls([row.message for row in rows])
        given = [result.tool_call_id for result in asked.tool_results]
        for number, call in enumerate(given):
            if call not in pending or call in given[:number]:
                found = f"no tool call {call[:100]!r} waits for a result"
                raise Problem.field(["tool_results", number, "tool_call_id"], found)
        if missing := [call for call in pending if call not in given]:
            raise Problem.field(
                ["tool_results"], f"these calls have no result: {', '.join(missing)}", "missing"
            )

    async def _add(
        self, session: SessionRow, messages: list[MessageRow], request: Any, key: str | None
    ) -> SessionRow:
        if key is not None:
            digest = hashlib.sha256(msgspec.json.encode(request, order="sorted")).digest()
            session = session._replace(idempotency_key=key, request_hash=digest)
        if await self.store.add(session, messages):
            return session
        earlier = await self.store.find_by_key(session.project, key or "")
        if earlier is not None and earlier.created_at < now_ms() - KEY_LIFETIME:
            await self.store.free_key(earlier.id)
            if await self.store.add(session, messages):
                return session
        if earlier is None or earlier.request_hash != session.request_hash:
            raise Problem("CONFLICT", "This Idempotency-Key was used for another request; use a new key.")
        return earlier


def _labels(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return msgspec.convert(metadata, Labels)
    except MALFORMED as error:
        raise invalid(error, ["metadata"]) from None


def _new(
    project: str, agent_type: str, config: Mapping[str, Any], name: str | None, metadata: Any
) -> SessionRow:
    at = now_ms()
    return SessionRow(
        id=new_id("sess"),
        project=project,
        agent_type=agent_type,
        name=name,
        config_json=_json(config),
        metadata_json=_json(metadata) if metadata else None,
        is_active=True,
        busy_task=None,
        busy_at=0,
        summary=None,
        summary_until=0,
        idempotency_key=None,
        request_hash=None,
        created_at=at,
        updated_at=at,
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _missing(session_id: str) -> Problem:
    return Problem("NOT_FOUND", f"There is no session {session_id!r}.")


def _busy(task_id: str | None) -> Problem:
    """`task_id` in the answer says which turn it is, where that is known."""
    detail = "Another turn of this session runs; wait for its end, or cancel it."
    return Problem("SESSION_BUSY", detail, task_id=task_id) if task_id else Problem("SESSION_BUSY", detail)
