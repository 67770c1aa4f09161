"""The routes of OpenAI's Responses API: its answers are of any provider, its conversations are kept here."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from nexusai.providers.types import ChatRequest, Provider
from nexusai.server.files.service import FileService
from nexusai.server.gateway.bodies import read
from nexusai.server.gateway.calls import Calls, StreamedResponse, told, unless_gone
from nexusai.server.gateway.errors import answering, error_body, error_response, problem_of
from nexusai.server.gateway.responses_items import file_ids, messages_of, named
from nexusai.server.gateway.responses_request import ResponsesBody, head_of, refuse, request_of
from nexusai.server.gateway.responses_stream import EventWriter, chunk_of
from nexusai.server.http import JsonResponse, Problem
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
    """A request that was understood: who asks, what of the response is known, and what is kept with it."""

    caller: Caller
    head: Mapping[str, Any]
    items: Sequence[Item]
    earlier: Sequence[str]


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
        body, extra = read(await self.calls.body(request, caller, self.max_body_bytes), ResponsesBody)
        provider, model = self.calls.resolve("chat", body.model)
        refuse(body, of_openai=provider.protocol == "openai")
        project = caller.project.id
        history = await self.responses.history(project, body.previous_response_id)
        items = await self.responses.resolved(project, named(body.input or []), history)
        messages = await self._messages(project, [*history.items, *items], provider, len(history.items))
        chat = request_of(body, extra, model, messages, provider.protocol)
        if not chat.messages:
            raise Problem.field(["input"], "required", "missing")
        store = body.store is not False and self.responses.keeps
        head = head_of(body, new_id("resp"), int(time.time()), model, store=store)
        asked = _Asked(caller, head, items, history.ids)
        if body.stream:
            return await self._streamed(request, asked, provider, chat)
        async with self.calls.under_way(caller):
            answer = await unless_gone(request, provider.chat(chat))
        writer = EventWriter(head, provider.name)
        for _ in (*writer.write(chunk_of(answer)), *writer.close(int(time.time()))):
            pass
        await self._keep(asked, writer.response)
        return JsonResponse(writer.response, headers=told(provider, answer.cost))

    async def _messages(
        self, project: str, items: Sequence[Item], provider: Provider, past: int
    ) -> list[dict[str, Any]]:
        files = {name: await self.files.data_uri(project, name) for name in file_ids(items)}
        return messages_of(items, provider.name, files, past)

    async def _keep(self, asked: _Asked, response: dict[str, Any]) -> None:
        if response["store"]:
            key = asked.caller.key
            response["store"] = await self.responses.keep(
                asked.caller.project.id, key.id if key else None, response, asked.items, asked.earlier
            )

    async def _streamed(
        self, request: Request, asked: _Asked, provider: Provider, chat: ChatRequest
    ) -> Response:
        stream = await self.calls.begun(request, asked.caller, provider.stream(chat))
        writer = EventWriter(asked.head, provider.name)

        async def events() -> AsyncGenerator[bytes, None]:
            try:
                for event in writer.begin():
                    yield _wire(event)
                async for chunk in stream:
                    for event in writer.write(chunk):
                        yield _wire(event)
                for event in writer.close(int(time.time())):
                    yield _wire(event)
                await self._keep(asked, writer.response)
                yield _wire(writer.end())
            except Exception as error:
                problem = problem_of(error)
                failed = [*writer.fail(error_body(problem)["error"]["code"], problem.detail)]
                await self._keep(asked, writer.response)
                for event in failed:
                    yield _wire(event)

        return StreamedResponse(stream, events(), provider)

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
        if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:9]) <= MOST_LISTED):
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


def _wire(event: Mapping[str, Any]) -> bytes:
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
