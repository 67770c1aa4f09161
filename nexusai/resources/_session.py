"""One session: what is known of it, and what it does on its client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pydantic import Field, PrivateAttr
from typing_extensions import Self, override

from nexusai._internal._budget import seconds_of
from nexusai._internal._flow import Call, Flow, ask, at, create, given
from nexusai._internal._invoke import listed, mapping, words
from nexusai._internal._poller import TaskPoller
from nexusai._internal._stream import AsyncTextStream, TextStream
from nexusai._internal._stream_state import StreamState
from nexusai._internal._wait import apart
from nexusai.config import Config
from nexusai.error import ConfigurationError, InvalidRequestError
from nexusai.models import NumberedPage, SessionFacts, SessionHistory, SessionMessage, SessionResponse, Task
from nexusai.resources._handle import AsyncTaskHandle, TaskHandle
from nexusai.resources._resource import AsyncResource, Slice, SyncResource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import TurnOptions, TurnWaitOptions

__all__ = ["AnySession", "AsyncSession", "Session", "SessionPage", "delete", "update"]

_PAGE = 100


def _body(
    prompt: str | None, tool_results: Sequence[Mapping[str, Any]] | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What a turn is asked for; what else was given is its `config`."""
    if prompt is None and tool_results is None:
        raise InvalidRequestError("There is nothing to answer: give a prompt, or tool_results.")
    asked = None if prompt is None else words("prompt", prompt)
    results = None if tool_results is None else listed("tool_results", tool_results)
    return given(prompt=asked, tool_results=results, **_config(options))


def _config(options: Mapping[str, Any], instead: str = "stream") -> dict[str, Any]:
    """The options of a turn as its `config`; `instead` is the method that reads it as it is written."""
    config = {name: value for name, value in options.items() if value is not None}
    if config.pop("stream", False):
        raise TypeError(
            f"stream=True is no option here: session.{instead}(…) reads an answer as it is written"
        )
    return given(config={**mapping("config", config.pop("config", {})), **config} or None)


def _turn(session_id: str, body: Mapping[str, Any], key: str | None, route: str = "invoke") -> Call:
    headers = {"Prefer": "respond-async", **given(**{"Idempotency-Key": key})}
    return create(at("sessions", session_id, route), json=body, headers=headers)


def _answered(call: Call, poller: TaskPoller) -> Flow[Task]:
    task = yield from poller.accept(call)
    return (yield from poller.wait(task))


def _stream(
    session_id: str,
    body: Mapping[str, Any],
    config: Config,
    timeout: float | None,
    key: str | None,
    route: str = "invoke",
) -> StreamState:
    idle = config.timeout if timeout is None else seconds_of(timeout)
    path = at("sessions", session_id, route)
    return StreamState(body, path=path, retries=config.max_retries, idle=idle, key=key)


def _history(session_id: str, limit: int | None, offset: int | None) -> Flow[SessionHistory]:
    path = at("sessions", session_id, "history")
    return ask(Call("GET", path, params=given(limit=limit, offset=offset)), SessionHistory)


def _slice(session_id: str, limit: int, offset: int | None) -> Flow[Slice[SessionMessage]]:
    history = yield from _history(session_id, limit, offset)
    following = (offset or 0) + len(history)
    return history.messages, following if len(history) and following < history.total else None


def _fork(
    kind: type[AnyS],
    session_id: str,
    at_message: SessionMessage | str | None,
    name: str | None,
    metadata: Mapping[str, Any] | None,
) -> Flow[AnyS]:
    message_id = at_message.id if isinstance(at_message, SessionMessage) else at_message
    body = given(message_id=message_id, name=name, metadata=metadata)
    return ask(create(at("sessions", session_id, "fork"), json=body), kind)


def update(kind: type[AnyS], session_id: str, fields: Mapping[str, Any]) -> Flow[AnyS]:
    """Change some fields of a session, and leave the others."""
    return ask(Call("PATCH", at("sessions", session_id), json=fields), kind)


def delete(session_id: str) -> Flow[None]:
    """Delete a session with its history."""
    yield Call("DELETE", at("sessions", session_id))


class AnySession(SessionFacts):
    """A session, of the sync client or of the async one."""

    _resource: Any = PrivateAttr(default=None)

    def _of(self, resource: Any) -> Self:
        self._resource = resource
        return self

    def _bound(self) -> Any:
        if self._resource is None:
            raise ConfigurationError(
                f"This session is of no client: client.sessions.get({self.id!r}) gives one that is."
            )
        return self._resource

    def _learn(self, fresh: SessionFacts) -> None:
        for name in fresh.model_fields_set:
            setattr(self, name, getattr(fresh, name))

    def _response(self, task: Task) -> SessionResponse:
        response = SessionResponse.from_task(task)
        response.session_id = response.session_id or self.id
        return response

    @override
    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "__pydantic_private__": {"_resource": None}}


AnyS = TypeVar("AnyS", bound=AnySession)


class SessionPage(NumberedPage[AnyS], Generic[AnyS]):
    """One page of the sessions, the latest first."""

    _rows = "sessions"

    sessions: list[AnyS] = Field(description="The rows.")
    pages: int | None = Field(default=None, description="How many pages there are.")


class Session(AnySession):
    """A conversation that the platform remembers, as `client.sessions` gives it.

    Its attributes are as they were when it was last asked for, made or renamed.
    """

    def invoke(
        self,
        prompt: str | None = None,
        *,
        tool_results: Sequence[Mapping[str, Any]] | None = None,
        **options: Unpack[TurnWaitOptions],
    ) -> SessionResponse:
        """Say something and wait for the answer, which both are kept though nobody waits to the end.

        `tool_results` answers the tool calls of the turn before: `{"tool_call_id": …, "content": …}` each.
        Options beyond those of `TurnWaitOptions` go to the provider as they are. Raises `ConflictError`
        (`SESSION_BUSY`) while another turn runs, `TaskFailedError` and `TaskTimeoutError`.
        """
        watch, config = apart(options)
        call = _turn(self.id, _body(prompt, tool_results, config), watch.pop("idempotency_key", None))
        resource: SyncResource = self._bound()
        return self._response(resource._attend(partial(_answered, call), **watch))

    def stream(
        self,
        prompt: str | None = None,
        *,
        tool_results: Sequence[Mapping[str, Any]] | None = None,
        timeout: float | None = None,
        **options: Unpack[TurnOptions],
    ) -> TextStream:
        """Say something and read the answer as it is written.

        `timeout` is the longest silence in seconds (the client's `timeout` by default).
        """
        resource: SyncResource = self._bound()
        call, config = apart(options, waits=False)
        body = _body(prompt, tool_results, {**config, "stream": None})
        state = _stream(self.id, body, resource._driver.config, timeout, call.get("idempotency_key"))
        return TextStream(resource._driver, state, resource._handle_of)

    def submit(
        self,
        prompt: str | None = None,
        *,
        tool_results: Sequence[Mapping[str, Any]] | None = None,
        timeout: float | None = None,
        **options: Unpack[TurnOptions],
    ) -> TaskHandle[SessionResponse]:
        """Say something: returns once the platform has it, and `handle.wait()` waits for the answer."""
        own, config = apart(options, waits=False)
        call = _turn(self.id, _body(prompt, tool_results, config), own.get("idempotency_key"))
        resource: SyncResource = self._bound()
        task = resource._driver.run(resource._poller.accept(call), timeout)
        return cast("TaskHandle[SessionResponse]", resource._handle_of(task))

    def history(self, *, limit: int | None = None, offset: int | None = None) -> SessionHistory:
        """A part of what was said, oldest first: `limit` messages from `offset` on, which counts from 0."""
        return cast(SessionHistory, self._bound()._driver.run(_history(self.id, limit, offset)))

    def iter_history(self, *, limit: int = _PAGE) -> Generator[SessionMessage, None, None]:
        """All that was said, oldest first, page after page of `limit` messages as they are wanted."""
        resource: SyncResource = self._bound()
        return resource._iterate(partial(_slice, self.id, limit))

    def regenerate(self, **options: Unpack[TurnWaitOptions]) -> SessionResponse:
        """Have the last answer given anew, in its place, and wait for it; otherwise as `invoke`."""
        watch, config = apart(options)
        key = watch.pop("idempotency_key", None)
        call = _turn(self.id, _config(config, "stream_regenerated"), key, "regenerate")
        resource: SyncResource = self._bound()
        return self._response(resource._attend(partial(_answered, call), **watch))

    def stream_regenerated(
        self, *, timeout: float | None = None, **options: Unpack[TurnOptions]
    ) -> TextStream:
        """Have the last answer given anew, in its place, and read it as it is written; as `stream`."""
        resource: SyncResource = self._bound()
        call, config = apart(options, waits=False)
        body, key = _config({**config, "stream": None}), call.get("idempotency_key")
        state = _stream(self.id, body, resource._driver.config, timeout, key, "regenerate")
        return TextStream(resource._driver, state, resource._handle_of)

    def fork(
        self,
        message: SessionMessage | str | None = None,
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Session:
        """A new session that begins with this one's messages, up to and with one of them (or its id).

        Name and metadata are this one's unless others are given. Raises `NotFoundError`, and
        `InvalidRequestError` for a message of another session.
        """
        forked = self._bound()._driver.run(_fork(Session, self.id, message, name, metadata))
        return cast(Session, forked._of(self._resource))

    def rename(self, name: str) -> Self:
        """Give it another name."""
        self._learn(self._bound()._driver.run(update(Session, self.id, {"name": name})))
        return self

    def delete(self) -> None:
        """Delete it with its history. Raises `NotFoundError`."""
        self._bound()._driver.run(delete(self.id))


class AsyncSession(AnySession):
    """A conversation that the platform remembers, as `client.sessions` gives it.

    Its attributes are as they were when it was last asked for, made or renamed.
    """

    async def invoke(
        self,
        prompt: str | None = None,
        *,
        tool_results: Sequence[Mapping[str, Any]] | None = None,
        **options: Unpack[TurnWaitOptions],
    ) -> SessionResponse:
        """Say something and wait for the answer, which both are kept though nobody waits to the end.

        `tool_results` answers the tool calls of the turn before: `{"tool_call_id": …, "content": …}` each.
        Options beyond those of `TurnWaitOptions` go to the provider as they are. Raises `ConflictError`
        (`SESSION_BUSY`) while another turn runs, `TaskFailedError` and `TaskTimeoutError`.
        """
        watch, config = apart(options)
        call = _turn(self.id, _body(prompt, tool_results, config), watch.pop("idempotency_key", None))
        resource: AsyncResource = self._bound()
        return self._response(await resource._attend(partial(_answered, call), **watch))

    def stream(
        self,
        prompt: str | None = None,
        *,
        tool_results: Sequence[Mapping[str, Any]] | None = None,
        timeout: float | None = None,
        **options: Unpack[TurnOptions],
    ) -> AsyncTextStream:
        """Say something and read the answer as it is written.

        `timeout` is the longest silence in seconds (the client's `timeout` by default).
        """
        resource: AsyncResource = self._bound()
        call, config = apart(options, waits=False)
        body = _body(prompt, tool_results, {**config, "stream": None})
        state = _stream(self.id, body, resource._driver.config, timeout, call.get("idempotency_key"))
        return AsyncTextStream(resource._driver, state, resource._handle_of)

    async def submit(
        self,
        prompt: str | None = None,
        *,
        tool_results: Sequence[Mapping[str, Any]] | None = None,
        timeout: float | None = None,
        **options: Unpack[TurnOptions],
    ) -> AsyncTaskHandle[SessionResponse]:
        """Say something: returns once the platform has it, and `handle.wait()` waits for the answer."""
        own, config = apart(options, waits=False)
        call = _turn(self.id, _body(prompt, tool_results, config), own.get("idempotency_key"))
        resource: AsyncResource = self._bound()
        task = await resource._driver.run(resource._poller.accept(call), timeout)
        return cast("AsyncTaskHandle[SessionResponse]", resource._handle_of(task))

    async def history(self, *, limit: int | None = None, offset: int | None = None) -> SessionHistory:
        """A part of what was said, oldest first: `limit` messages from `offset` on, which counts from 0."""
        return cast(SessionHistory, await self._bound()._driver.run(_history(self.id, limit, offset)))

    def iter_history(self, *, limit: int = _PAGE) -> AsyncGenerator[SessionMessage, None]:
        """All that was said, oldest first, page after page of `limit` messages as they are wanted."""
        resource: AsyncResource = self._bound()
        return resource._iterate(partial(_slice, self.id, limit))

    async def regenerate(self, **options: Unpack[TurnWaitOptions]) -> SessionResponse:
        """Have the last answer given anew, in its place, and wait for it; otherwise as `invoke`."""
        watch, config = apart(options)
        key = watch.pop("idempotency_key", None)
        call = _turn(self.id, _config(config, "stream_regenerated"), key, "regenerate")
        resource: AsyncResource = self._bound()
        return self._response(await resource._attend(partial(_answered, call), **watch))

    def stream_regenerated(
        self, *, timeout: float | None = None, **options: Unpack[TurnOptions]
    ) -> AsyncTextStream:
        """Have the last answer given anew, in its place, and read it as it is written; as `stream`."""
        resource: AsyncResource = self._bound()
        call, config = apart(options, waits=False)
        body, key = _config({**config, "stream": None}), call.get("idempotency_key")
        state = _stream(self.id, body, resource._driver.config, timeout, key, "regenerate")
        return AsyncTextStream(resource._driver, state, resource._handle_of)

    async def fork(
        self,
        message: SessionMessage | str | None = None,
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AsyncSession:
        """A new session that begins with this one's messages, up to and with one of them (or its id).

        Name and metadata are this one's unless others are given. Raises `NotFoundError`, and
        `InvalidRequestError` for a message of another session.
        """
        forked = await self._bound()._driver.run(_fork(AsyncSession, self.id, message, name, metadata))
        return cast(AsyncSession, forked._of(self._resource))

    async def rename(self, name: str) -> Self:
        """Give it another name."""
        self._learn(await self._bound()._driver.run(update(AsyncSession, self.id, {"name": name})))
        return self

    async def delete(self) -> None:
        """Delete it with its history. Raises `NotFoundError`."""
        await self._bound()._driver.run(delete(self.id))
