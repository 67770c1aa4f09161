"""The routes under `/v1` that OpenAI's clients call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from nexusai.providers.types import (
    ChatRequest,
    ChatResponse,
    EmbeddingRequest,
    ModerationRequest,
    Provider,
)
from nexusai.server.catalogue import Offer
from nexusai.server.gateway.bodies import (
    ChatBody,
    EmbeddingBody,
    ModerationBody,
    members,
    read,
)
from nexusai.server.gateway.calls import Calls, StreamedResponse, together, told
from nexusai.server.gateway.chat import ChunkWriter, answer_of, request_of
from nexusai.server.gateway.errors import answering, error_response
from nexusai.server.gateway.events import broken, events_of
from nexusai.server.http import JsonResponse, Problem
from nexusai.server.ids import new_id
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.service import KeyService
from nexusai.server.tasks.shorthand import base64_of

__all__ = ["OpenAIRoutes"]


SAME_PROTOCOL: Final = frozenset({"openai", "openai_compatible", "azure"})
"""Adapters whose vendors answer Chat Completions themselves."""
MOST_AT_ONCE: Final = 8
"""Answers to one prompt, of a provider that gives one."""


_openai = answering(error_response)


@dataclass(frozen=True, slots=True)
class OpenAIRoutes:
    calls: Calls
    keys: KeyService
    max_body_bytes: int

    @_openai
    async def chat(self, request: Request) -> Response:
        """Chat Completions, whole or streamed, of any model of any provider."""
        caller = await self.keys.admit(request, "invoke")
        raw = await self.calls.body(request, caller, self.max_body_bytes)
        provider, passing = self.calls.passing("chat", "chat", members(raw, "messages"))
        if provider.relays(passing):
            return await self.calls.relayed(request, caller, provider, passing, broken)
        model = passing.model
        body, extra = read(raw, ChatBody)
        same = provider.protocol in SAME_PROTOCOL
        asked = request_of(body, extra, model, same_protocol=same)
        many = 1 if same else body.n or 1
        if body.stream:
            if many > 1:
                raise Problem.field(["n"], f"{provider.name} streams one answer at a time")
            usage = body.stream_options is not None and body.stream_options.include_usage
            writer = ChunkWriter(_completion_id(), int(time.time()), model, include_usage=usage)
            return await self._streamed(request, caller, provider, asked, writer)
        if many > MOST_AT_ONCE:
            raise Problem.field(
                ["n"], f"{provider.name} gives one answer at a time: ask for at most {MOST_AT_ONCE}"
            )
        calls = [self._answer(caller, provider, asked) for _ in range(many)]
        answers = await self.calls.unless_gone(request, together(calls))
        raw = answers[0].raw
        if same and isinstance(raw, dict) and "choices" in raw:
            return JsonResponse(raw, headers=told(provider, *answers))
        shown = answer_of(answers, _completion_id(), int(time.time()))
        return JsonResponse(shown, headers=told(provider, *answers))

    async def _answer(self, caller: Caller, provider: Provider, asked: ChatRequest) -> ChatResponse:
        async with self.calls.under_way(caller):
            return await provider.chat(asked)

    async def _streamed(
        self,
        request: Request,
        caller: Caller,
        provider: Provider,
        asked: ChatRequest,
        writer: ChunkWriter,
    ) -> Response:
        stream = await self.calls.begun(request, caller, provider.stream(asked))
        return StreamedResponse(stream, events_of(stream, writer), provider)

    @_openai
    async def embeddings(self, request: Request) -> Response:
        """Vectors of texts."""
        caller = await self.keys.admit(request, "invoke")
        raw = await self.calls.body(request, caller, self.max_body_bytes)
        provider, passing = self.calls.passing("embeddings", "embeddings", members(raw, "input"))
        if provider.relays(passing):
            return await self.calls.relayed(request, caller, provider, passing, broken)
        model = passing.model
        body, extra = read(raw, EmbeddingBody)
        texts = [body.input] if isinstance(body.input, str) else body.input
        asked = EmbeddingRequest(model, texts, body.dimensions, extra)
        async with self.calls.under_way(caller):
            answer = await self.calls.unless_gone(request, provider.embed(asked))
        written: Callable[[Sequence[float]], Any] = base64_of if body.encoding_format == "base64" else list
        tokens = answer.usage.prompt_tokens if answer.usage else 0
        shown = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": written(vector)}
                for index, vector in enumerate(answer.embeddings)
            ],
            "model": answer.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return JsonResponse(shown, headers=told(provider, answer))

    @_openai
    async def moderations(self, request: Request) -> Response:
        """What of some texts should not be there."""
        caller = await self.keys.admit(request, "invoke")
        body, extra = read(await self.calls.body(request, caller, self.max_body_bytes), ModerationBody)
        provider, model = self.calls.resolve("moderation", body.model)
        texts = [body.input] if isinstance(body.input, str) else body.input
        async with self.calls.under_way(caller):
            answer = await self.calls.unless_gone(
                request, provider.moderate(ModerationRequest(model, texts, extra))
            )
        results = [
            {
                "flagged": result.flagged,
                "categories": result.categories,
                "category_scores": result.category_scores,
            }
            for result in answer.results
        ]
        shown = {"id": new_id("modr"), "model": answer.model, "results": results}
        return JsonResponse(shown, headers=told(provider, answer))

    @_openai
    async def models(self, request: Request) -> Response:
        """The models that the key may use, as `provider/model`; aliases and routes by their names."""
        caller = await self.keys.admit(request, "read")
        return JsonResponse({"object": "list", "data": [_model(each) for each in self._offered(caller)]})

    @_openai
    async def model(self, request: Request) -> Response:
        """One model, by its name alone or with its provider's."""
        caller = await self.keys.admit(request, "read")
        name = request.path_params["model"]
        for offer in self._offered(caller):
            if name in (offer.name, f"{offer.provider}/{offer.name}"):
                return JsonResponse(_model(offer))
        raise Problem(
            "NOT_FOUND", f"There is no model {name[:100]!r} here: GET /v1/models names those there are."
        )

    def _offered(self, caller: Caller) -> list[Offer]:
        catalogue = self.calls.catalogue
        return [
            offer
            for offer in catalogue.offers()
            if caller.may_use(offer.provider, offer.model, catalogue.names)
        ]


def _completion_id() -> str:
    return f"chatcmpl-{new_id('c')[2:]}"


def _model(offer: Offer) -> dict[str, Any]:
    name = f"{offer.provider}/{offer.model}" if offer.type == "model" else offer.name
    return {"id": name, "object": "model", "created": 0, "owned_by": offer.provider}
