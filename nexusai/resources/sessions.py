"""Sessions: conversations that the platform remembers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from nexusai._internal._flow import Call, Flow, ask, at, create, given
from nexusai._internal._invoke import mapping
from nexusai.resources._resource import AsyncResource, Slice, SyncResource
from nexusai.resources._session import AnySession, AsyncSession, Session, SessionPage, delete, update

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import AgentOptions

__all__ = ["AsyncSessions", "Sessions"]

S = TypeVar("S", bound=AnySession)


def _fields(
    agent_config: Mapping[str, Any] | None, agent: Mapping[str, Any], **others: Any
) -> dict[str, Any]:
    """What to send of a session: the options of the agent go over its `agent_config`."""
    config = {
        **mapping("agent_config", agent_config or {}),
        **{name: agent[name] for name in agent if agent[name] is not None},
    }
    return given(**others, agent_config=config or None)


def _create(kind: type[S], fields: Mapping[str, Any]) -> Flow[S]:
    return ask(create("/sessions", json=fields), kind)


def _get(kind: type[S], session_id: str) -> Flow[S]:
    return ask(Call("GET", at("sessions", session_id)), kind)


def _list(kind: type[S], page: int | None, per_page: int | None) -> Flow[SessionPage[S]]:
    return ask(Call("GET", "/sessions", params=given(page=page, per_page=per_page)), SessionPage[kind])  # type: ignore[valid-type]


def _slice(kind: type[S], resource: Any, per_page: int | None, page: int | None) -> Flow[Slice[S]]:
    listed = yield from _list(kind, page, per_page)
    return [session._of(resource) for session in listed], listed.next_page


class Sessions(SyncResource):
    """Conversations that the platform remembers."""

    def create(
        self,
        agent_type: str = "assistant",
        *,
        name: str | None = None,
        agent_config: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **agent: Unpack[AgentOptions],
    ) -> Session:
        """Begin a session. `AgentOptions` are the fields of its `agent_config`, and go over it.

        Options beyond those go to the provider as they are.
        """
        fields = _fields(agent_config, agent, agent_type=agent_type, name=name, metadata=metadata)
        return (self._driver.run(_create(Session, fields)))._of(self)

    def get(self, session_id: str) -> Session:
        """A session that was begun before. Raises `NotFoundError`."""
        return (self._driver.run(_get(Session, session_id)))._of(self)

    def list(self, *, page: int | None = None, per_page: int | None = None) -> SessionPage[Session]:
        """One page of the sessions, the latest first; pages count from 1."""
        listed = self._driver.run(_list(Session, page, per_page))
        for session in listed:
            session._of(self)
        return listed

    def iter(self, *, per_page: int | None = None) -> Generator[Session, None, None]:
        """All sessions, the latest first, page after page of `per_page` as they are wanted.

        To delete them on the way, make a list of them first.
        """
        return self._iterate(partial(_slice, Session, self, per_page))

    def update(
        self,
        session_id: str,
        *,
        name: str | None = None,
        agent_config: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        is_active: bool | None = None,
        **agent: Unpack[AgentOptions],
    ) -> Session:
        """Change what is given and leave the rest; one that is not active takes no turns.

        Raises `NotFoundError`.
        """
        fields = _fields(agent_config, agent, name=name, metadata=metadata, is_active=is_active)
        return (self._driver.run(update(Session, session_id, fields)))._of(self)

    def delete(self, session_id: str) -> None:
        """Delete a session with its history. Raises `NotFoundError`."""
        self._driver.run(delete(session_id))


class AsyncSessions(AsyncResource):
    """Conversations that the platform remembers."""

    async def create(
        self,
        agent_type: str = "assistant",
        *,
        name: str | None = None,
        agent_config: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **agent: Unpack[AgentOptions],
    ) -> AsyncSession:
        """Begin a session. `AgentOptions` are the fields of its `agent_config`, and go over it.

        Options beyond those go to the provider as they are.
        """
        fields = _fields(agent_config, agent, agent_type=agent_type, name=name, metadata=metadata)
        return (await self._driver.run(_create(AsyncSession, fields)))._of(self)

    async def get(self, session_id: str) -> AsyncSession:
        """A session that was begun before. Raises `NotFoundError`."""
        return (await self._driver.run(_get(AsyncSession, session_id)))._of(self)

    async def list(
        self, *, page: int | None = None, per_page: int | None = None
    ) -> SessionPage[AsyncSession]:
        """One page of the sessions, the latest first; pages count from 1."""
        listed = await self._driver.run(_list(AsyncSession, page, per_page))
        for session in listed:
            session._of(self)
        return listed

    def iter(self, *, per_page: int | None = None) -> AsyncGenerator[AsyncSession, None]:
        """All sessions, the latest first, page after page of `per_page` as they are wanted.

        To delete them on the way, make a list of them first.
        """
        return self._iterate(partial(_slice, AsyncSession, self, per_page))

    async def update(
        self,
        session_id: str,
        *,
        name: str | None = None,
        agent_config: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        is_active: bool | None = None,
        **agent: Unpack[AgentOptions],
    ) -> AsyncSession:
        """Change what is given and leave the rest; one that is not active takes no turns.

        Raises `NotFoundError`.
        """
        fields = _fields(agent_config, agent, name=name, metadata=metadata, is_active=is_active)
        return (await self._driver.run(update(AsyncSession, session_id, fields)))._of(self)

    async def delete(self, session_id: str) -> None:
        """Delete a session with its history. Raises `NotFoundError`."""
        await self._driver.run(delete(session_id))
