"""The routes under `/v1` that Anthropic's clients call."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from nexusai.error import CODES
from nexusai.providers.errors import AdapterError
from nexusai.providers.tokens import estimate_message_tokens, estimate_tokens
from nexusai.providers.types import ChatRequest, Provider
from nexusai.server.gateway.bodies import members, read
from nexusai.server.gateway.calls import Calls, StreamedResponse, told
from nexusai.server.gateway.errors import answering, headers_of, problem_of
from nexusai.server.gateway.messages import (
    CountBody,
    EventWriter,
    MessagesBody,
    answer_of,
    prompt_of,
    request_of,
)
from nexusai.server.http import JsonResponse, Problem, header, read_json
from nexusai.server.http import request_id as current_request
from nexusai.server.ids import new_id
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.service import KeyService

__all__ = ["AnthropicRoutes", "refusal"]


_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
SERVERS_FAULT: Final = 500
OVERLOADED: Final = 529
"""Anthropic's own status for having too much to do, for which its clients have a class."""


def _error(problem: Problem, status: int) -> dict[str, Any]:
    other = "invalid_request_error" if status < SERVERS_FAULT else "api_error"
    return {
        "type": "error",
        "error": {"type": _TYPES.get(status, other), "message": problem.detail},
        "request_id": current_request.get(),
    }


def _status(error: Exception, problem: Problem) -> int:
    overloaded = isinstance(error, AdapterError) and error.status == OVERLOADED
    return OVERLOADED if overloaded else CODES[problem.code].status


def refusal(error: Exception) -> Response:
    """An error as Anthropic's clients read it."""
    problem = problem_of(error)
    status = _status(error, problem)
    content = orjson.dumps(_error(problem, status))
    headers = {**headers_of(problem), **_named()}
    return Response(content, status, headers, media_type="application/json")


def _named() -> dict[str, str]:
    """The request id, under the name by which Anthropic's clients look for it."""
    return {"request-id": current_request.get()}


_anthropic = answering(refusal)


@dataclass(frozen=True, slots=True)
class AnthropicRoutes:
    calls: Calls
    keys: KeyService
    max_body_bytes: int

    @_anthropic
    async def messages(self, request: Request) -> Response:
        """A message, whole or streamed, of any model of any provider."""
        caller = await self.keys.admit(request, "invoke")
        raw = await self.calls.body(request, caller, self.max_body_bytes)
        betas = header(request, b"anthropic-beta")
        provider, passing = self.calls.passing(
            "messages",
            "chat",
            members(raw, "messages", "max_tokens"),
            {"anthropic-beta": betas} if betas else None,
        )
        if provider.relays(passing):
            return await self.calls.relayed(request, caller, provider, passing, _broken, _named())
        body, extra = read(raw, MessagesBody)
        asked = request_of(body, extra, passing.model)
        if body.stream:
            return await self._streamed(request, caller, provider, asked)
        async with self.calls.under_way(caller):
            answer = await self.calls.unless_gone(request, provider.chat(asked))
        return JsonResponse(answer_of(answer, new_id("msg")), headers=told(provider, answer) | _named())

    async def _streamed(
        self, request: Request, caller: Caller, provider: Provider, asked: ChatRequest
    ) -> Response:
        stream = await self.calls.begun(request, caller, provider.stream(asked))
        writer = EventWriter(new_id("msg"), asked.model)

        async def events() -> AsyncGenerator[bytes, None]:
            try:
                async for chunk in stream:
                    for event in writer.write(chunk):
                        yield _wire(event)
                for event in writer.end():
                    yield _wire(event)
            except Exception as error:
                yield _broken(error)

        return StreamedResponse(stream, events(), provider, _named())

    @_anthropic
    async def count_tokens(self, request: Request) -> Response:
        """About how many tokens a prompt has; nothing is sent to the provider."""
        await self.keys.admit(request, "invoke")
        body, _ = read(await read_json(request, self.max_body_bytes), CountBody)
        self.calls.resolve("chat", body.model)
        tokens = estimate_message_tokens(prompt_of(body))
        tokens += sum(estimate_tokens(json.dumps(tool)) for tool in body.tools or ())
        return JsonResponse({"input_tokens": tokens}, headers=_named())


def _broken(error: Exception) -> bytes:
    problem = problem_of(error)
    return _wire(_error(problem, _status(error, problem)))


def _wire(event: Mapping[str, Any]) -> bytes:
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
