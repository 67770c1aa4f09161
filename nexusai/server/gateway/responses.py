"""The routes of OpenAI's Responses API: its answers are of any provider, its conversations are kept here."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response

from nexusai.providers.reliability.router import ROUTE
from nexusai.providers.tokens import estimate_message_tokens, estimate_tokens
from nexusai.providers.types import ChatRequest, Provider, RelayRequest
from nexusai.server.files.service import FileService
from nexusai.server.gateway.bodies import members, read
from nexusai.server.gateway.calls import Calls, StreamedResponse, told
from nexusai.server.gateway.errors import answering, error_body, error_response, problem_of
from nexusai.server.gateway.responses_items import file_ids, inlined, items_of, messages_of, named
from nexusai.server.gateway.responses_relay import Passage, relay_request
from nexusai.server.gateway.responses_request import (
    ResponsesBody,
    StateBody,
    head_of,
    refuse,
    request_of,
)
from nexusai.server.gateway.responses_stream import EventWriter, chunk_of, wire
from nexusai.server.http import JsonResponse, Problem, read_json, too_large
from nexusai.server.ids import new_id
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.service import KeyService
from nexusai.server.responses.models import Item
from nexusai.server.responses.service import ResponseService

__all__ = ["ResponsesRoutes"]

MOST_LISTED: Final = 100

_openai = answering(error_response)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request of which the conversation is known."""

    request: Request
    caller: Caller
    provider: Provider
    items: bytes
    """What is kept with the response."""
    earlier: Sequence[str]
    ours: Mapping[str, Any]
    """What the response says of itself, whoever makes it."""


class _Writer(Protocol):
    """Writes the events of a stream, and has the response when it is over."""

    response: dict[str, Any]

    def fail(self, code: str | None, message: str) -> Iterator[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class ResponsesRoutes:
    calls: Calls
    keys: KeyService
    responses: ResponseService
    files: FileService
    max_body_bytes: int

    @_openai
    async def create_response(self, request: Request) -> Response:
        """A response, whole or streamed, of any model of any provider; it goes on from one that is kept."""
        caller = await self.keys.admit(request, "invoke")
        raw = await self.calls.body(request, caller, self.max_body_bytes)
        provider, passing = self.calls.passing("responses", "chat", members(raw))
        state, _ = read(raw, StateBody)
        refuse(state)
        project = caller.project.id
        history = await self.responses.history(project, state.previous_response_id)
        items = await self.responses.resolved(project, items_of(state.input), history)
        before, sent = await self._filled(project, history.items, items)
        ours = {
            "id": new_id("resp"),
            "previous_response_id": state.previous_response_id,
            "store": state.store is not False and self.responses.keeps,
        }
        kept = _written(named(items), "input")
        asked = _Asked(request, caller, provider, kept, history.ids, ours)
        if provider.relays(passing):
            relay = relay_request(passing, state.input or [], before, sent)
            return await (self._passed_on(asked, relay) if relay.stream else self._passed(asked, relay))
        body, extra = read(raw, ResponsesBody)
        known = None if provider.name == ROUTE else provider.name
        messages = messages_of([*before, *sent], known, len(before))
        chat = request_of(body, extra, passing.model, messages, provider.protocol)
        head = head_of(body, int(time.time()), passing.model, ours)
        _require_writable(head)
        writer = EventWriter(head, provider.name)
        return await (self._streamed if state.stream else self._whole)(asked, chat, writer)

    @_openai
    async def count_input_tokens(self, request: Request) -> Response:
        """About how many tokens a response would be asked with; nothing is sent to the provider."""
        caller = await self.keys.admit(request, "invoke")
        body, _ = read(await read_json(request, self.max_body_bytes), ResponsesBody)
        self.calls.resolve("chat", body.model)
        project = caller.project.id
        history = await self.responses.history(project, body.previous_response_id)
        items = await self.responses.resolved(project, items_of(body.input), history)
        before, sent = await self._filled(project, history.items, items)
        messages = messages_of([*before, *sent], None, len(before))
        tokens = estimate_message_tokens([{"role": "system", "content": body.instructions or ""}, *messages])
        tokens += sum(estimate_tokens(json.dumps(tool)) for tool in body.tools or ())
        return JsonResponse({"object": "response.input_tokens", "input_tokens": tokens})

    async def _filled(self, project: str, *conversations: Sequence[Item]) -> list[list[Item]]:
        """The items with the stored files that they speak of. Raises a 400 or 413 `Problem`."""
        files: dict[str, tuple[str, str]] = {}
        size = 0
        for name in file_ids([item for items in conversations for item in items]):
            if name not in files:
                files[name] = await self.files.named_data(project, name)
            size += len(files[name][1])
            if size > self.max_body_bytes:
                raise too_large("content of the files", self.max_body_bytes)
        return [inlined(items, files) for items in conversations]

    async def _whole(self, asked: _Asked, chat: ChatRequest, writer: EventWriter) -> Response:
        async with self.calls.under_way(asked.caller):
            answer = await self.calls.unless_gone(asked.request, asked.provider.chat(chat))
        for _ in (*writer.write(chunk_of(answer)), *writer.close(int(time.time()))):
            pass
        await self._keep(asked, writer.response)
        return JsonResponse(writer.response, headers=told(asked.provider, answer))

    async def _passed(self, asked: _Asked, relay: RelayRequest) -> Response:
        async with self.calls.under_way(asked.caller):
            answer = await self.calls.unless_gone(asked.request, asked.provider.relay(relay))
        response = {"model": relay.model, **_answered(answer.body), **asked.ours}
        await self._keep(asked, response)
        return JsonResponse(response, headers=told(asked.provider, answer))

    async def _streamed(self, asked: _Asked, chat: ChatRequest, writer: EventWriter) -> Response:
        stream = await self.calls.begun(asked.request, asked.caller, asked.provider.stream(chat))

        async def events() -> AsyncGenerator[bytes, None]:
            for event in writer.begin():
                yield wire(event)
            async for chunk in stream:
                for event in writer.write(chunk):
                    yield wire(event)
            for event in writer.close(int(time.time())):
                yield wire(event)
            await self._keep(asked, writer.response)
            yield wire(writer.end())

        return StreamedResponse(stream, self._ended(asked, writer, events()), asked.provider)

    async def _passed_on(self, asked: _Asked, relay: RelayRequest) -> Response:
        stream = await self.calls.begun(asked.request, asked.caller, asked.provider.relay_stream(relay))
        passage = Passage(asked.ours, relay.model)

        async def events() -> AsyncGenerator[bytes, None]:
            async for chunk in stream:
                for data in passage.read(chunk.data):
                    yield data
            if passage.is_over:
                await self._keep(asked, passage.response)
                yield passage.end()

        return StreamedResponse(stream, self._ended(asked, passage, events()), asked.provider)

    async def _ended(
        self, asked: _Asked, writer: _Writer, events: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """The events, and where they break off the end of a response that failed: never a clean one."""
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        except Exception as error:
            problem = problem_of(error)
            failed = [*writer.fail(error_body(problem)["error"]["code"], problem.detail)]
            await self._keep(asked, writer.response)
            for last in failed:
                yield wire(last)

    async def _keep(self, asked: _Asked, response: dict[str, Any]) -> None:
        """Before its caller knows that it is over: who goes on from it finds it."""
        if response["store"]:
            key, project = asked.caller.key, asked.caller.project.id
            response["store"] = await self.responses.keep(
                project, key.id if key else None, response, asked.items, asked.earlier
            )

    @_openai
    async def response(self, request: Request) -> Response:
        """A response that is kept."""
        caller = await self.keys.admit(request, "read")
        if request.query_params.get("stream", "false").lower() not in ("false", "0"):
            raise Problem.field(["stream"], "only the whole response is kept, not the events of its stream")
        kept = await self.responses.get(caller.project.id, request.path_params["response_id"])
        return Response(kept, media_type="application/json")

    @_openai
    async def delete_response(self, request: Request) -> Response:
        """Forget a response."""
        caller = await self.keys.admit(request, "invoke")
        response_id = request.path_params["response_id"]
        await self.responses.delete(caller.project.id, response_id)
        return JsonResponse({"id": response_id, "object": "response.deleted", "deleted": True})

    @_openai
    async def cancel_response(self, request: Request) -> Response:
        """Refused: only what is made in the background could be cancelled, and nothing is."""
        caller = await self.keys.admit(request, "invoke")
        await self.responses.get(caller.project.id, request.path_params["response_id"])
        raise Problem("INVALID_REQUEST", "Cannot cancel a synchronous response: hang up while it is made.")

    @_openai
    async def input_items(self, request: Request) -> Response:
        """What a model was asked with, what was said before included."""
        caller = await self.keys.admit(request, "read")
        asked = request.query_params
        order, limit = asked.get("order", "desc"), asked.get("limit", "20")
        if order not in ("asc", "desc"):
            raise Problem.field(["order"], "is asc or desc")
        if not (limit.isascii() and limit.isdecimal() and len(limit) < 10 and 1 <= int(limit) <= MOST_LISTED):
            raise Problem.field(["limit"], f"is a number from 1 to {MOST_LISTED}")
        items, more = await self.responses.input_items(
            caller.project.id,
            request.path_params["response_id"],
            asked.get("after"),
            int(limit),
            order == "desc",
        )
        ids = [item.get("id") for item in items] or [None]
        page = {"first_id": ids[0], "last_id": ids[-1], "has_more": more}
        return JsonResponse({"object": "list", "data": items, **page})


def _written(value: Any, name: str) -> bytes:
    """A field as it is kept and sent. Raises a 400 `Problem` for what nobody could write."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        large = "64-bit" in str(error)
        what = "has an integer of more than 64 bits" if large else "is nested too deeply"
        raise Problem.field([name], what) from None


def _require_writable(head: Mapping[str, Any]) -> None:
    """Raises a 400 `Problem` that names the field which nobody could write."""
    try:
        orjson.dumps([[head]])
    except orjson.JSONEncodeError:
        for name, value in head.items():
            _written([[[value]]], name)


def _answered(body: bytes) -> dict[str, Any]:
    """Raises a 502 `Problem` for what is nested beyond writing it again."""
    try:
        answer: dict[str, Any] = orjson.loads(body)
        orjson.dumps([answer])
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        raise Problem("PROVIDER_ERROR", "The provider's answer is nested too deeply.") from None
    return answer
