"""OpenAI's old Completions: a text that is gone on with. Where a vendor has them no more, a chat does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from nexusai.providers.errors import AdapterError
from nexusai.providers.types import (
    ChatRequest,
    ChatResponse,
    FinishReason,
    Provider,
    RelayRequest,
    StreamChunk,
    Usage,
)
from nexusai.server.gateway.bodies import LONGEST, NonEmpty, StreamOptions, members, read
from nexusai.server.gateway.calls import Calls, StreamedResponse, together, told
from nexusai.server.gateway.chat import summed, usage_of
from nexusai.server.gateway.errors import answering, error_response
from nexusai.server.gateway.events import broken, events_of
from nexusai.server.http import JsonResponse, Problem
from nexusai.server.ids import new_id
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.service import KeyService

__all__ = ["CompletionBody", "CompletionsRoutes", "TextWriter", "answer_of", "prompts_of", "request_of"]

MOST: Final = 128
"""Answers to one request, `n` to each prompt."""
AT_ONCE: Final = 8
_NOT_THERE: Final = (404, 405, 501)
"""How a vendor says that it has no such API."""
_OLD_ALONE: Final = frozenset({"best_of", "logit_bias", "logprobs", "suffix", "user"})

_openai = answering(error_response)


class CompletionBody(Struct, kw_only=True):
    """The body of `POST /v1/completions`."""

    model: NonEmpty
    prompt: str | Annotated[list[Any], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    best_of: Annotated[int, Meta(ge=1)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    logprobs: Annotated[int, Meta(ge=0)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=LONGEST)] | None = None
    stop: str | list[str] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None


def prompts_of(body: CompletionBody) -> list[str]:
    """The texts to go on with. Raises a 400 `Problem` for what a chat cannot do."""
    if body.suffix:
        raise Problem.field(
            ["suffix"], "this model answers by chat, which goes on with a text and fills no gap"
        )
    if body.logprobs is not None:
        raise Problem.field(["logprobs"], "this model answers by chat, which has none here")
    if (body.best_of or 1) > (body.n or 1):
        raise Problem.field(
            ["best_of"], "this model answers by chat, which gives `n` answers and chooses none"
        )
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise Problem.field(["prompt"], "is a text or a list of texts: tokens differ from model to model")
    if len(prompts) * (body.n or 1) > MOST:
        raise Problem.field(
            ["n"], f"at most {MOST} answers are given at once, {len(prompts)} prompts times n"
        )
    return list(prompts)


def request_of(body: CompletionBody, extra: Mapping[str, Any], model: str, prompt: str) -> ChatRequest:
    """A chat in which the user says the prompt."""
    return ChatRequest(
        model=model,
        messages=[{"role": "user", "content": prompt}],
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_tokens,
        stop=body.stop,
        seed=body.seed,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        extra={name: value for name, value in extra.items() if name not in _OLD_ALONE},
    )


def answer_of(
    answers: Sequence[ChatResponse], prompts: Sequence[str], completion_id: str, created: int, *, echo: bool
) -> dict[str, Any]:
    """A `text_completion` of one choice for each answer; `prompts` are what they go on with, one for each."""
    return {
        "id": completion_id,
        "object": "text_completion",
        "created": created,
        "model": answers[0].model,
        "choices": [
            _choice(index, (prompt if echo else "") + answer.content, answer.finish_reason)
            for index, (answer, prompt) in enumerate(zip(answers, prompts, strict=True))
        ],
        "usage": summed([answer.usage for answer in answers]),
        **answers[0].extra,
    }


def _choice(index: int, text: str, reason: FinishReason | None) -> dict[str, Any]:
    ended = "stop" if reason == "tool_calls" else reason
    return {"index": index, "text": text, "logprobs": None, "finish_reason": ended}


class TextWriter:
    """The chunks of one streamed answer: with `echo` the prompt first, the usage, if wanted, at the end."""

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool) -> None:
        self._head = {"id": completion_id, "object": "text_completion", "created": created}
        self._model = model
        self._include_usage = include_usage
        self._usage: Usage | None = None

    def begin(self, prompt: str) -> dict[str, Any]:
        return self._chunk([_choice(0, prompt, None)])

    def write(self, chunk: StreamChunk) -> dict[str, Any] | None:
        """None for a chunk that says nothing of the text."""
        self._model = chunk.model or self._model
        self._usage = chunk.usage or self._usage
        if not (chunk.delta or chunk.finish_reason or chunk.extra):
            return None
        return {**self._chunk([_choice(0, chunk.delta, chunk.finish_reason)]), **chunk.extra}

    def end(self) -> dict[str, Any] | None:
        """The chunk with the usage, where it was asked for."""
        if not self._include_usage or self._usage is None:
            return None
        return {**self._chunk([]), "usage": usage_of(self._usage)}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        shown = {**self._head, "model": self._model, "choices": choices}
        return {**shown, "usage": None} if self._include_usage else shown


@dataclass(frozen=True, slots=True)
class CompletionsRoutes:
    calls: Calls
    keys: KeyService
    max_body_bytes: int

    @_openai
    async def completions(self, request: Request) -> Response:
        """Texts that go on from prompts, whole or streamed, of any model of any provider."""
        caller = await self.keys.admit(request, "invoke")
        raw = await self.calls.body(request, caller, self.max_body_bytes)
        provider, passing = self.calls.passing("completions", "chat", members(raw, "prompt"))
        if provider.relays(passing) and (passed := await self._passed(request, caller, provider, passing)):
            return passed
        body, extra = read(raw, CompletionBody)
        prompts = [prompt for prompt in prompts_of(body) for _ in range(body.n or 1)]
        asked = [request_of(body, extra, passing.model, prompt) for prompt in prompts]
        if not body.stream:
            return await self._whole(request, caller, provider, asked, prompts, echo=bool(body.echo))
        if len(asked) > 1:
            raise Problem.field(["stream"], f"{provider.name} streams one answer to one prompt at a time")
        usage = body.stream_options is not None and body.stream_options.include_usage
        writer = TextWriter(_completion_id(), int(time.time()), passing.model, include_usage=usage)
        return await self._streamed(
            request, caller, provider, asked[0], writer, prompts[0] if body.echo else ""
        )

    async def _passed(
        self, request: Request, caller: Caller, provider: Provider, passing: RelayRequest
    ) -> Response | None:
        """The vendor's own answer; None where it has no such API after all."""
        try:
            return await self.calls.relayed(request, caller, provider, passing, broken)
        except AdapterError as error:
            if error.status not in _NOT_THERE:
                raise
            return None

    async def _whole(
        self,
        request: Request,
        caller: Caller,
        provider: Provider,
        asked: Sequence[ChatRequest],
        prompts: Sequence[str],
        *,
        echo: bool,
    ) -> Response:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(chat: ChatRequest) -> ChatResponse:
            async with places, self.calls.under_way(caller):
                return await provider.chat(chat)

        answers = await self.calls.unless_gone(request, together([one(chat) for chat in asked]))
        shown = answer_of(answers, prompts, _completion_id(), int(time.time()), echo=echo)
        return JsonResponse(shown, headers=told(provider, *answers))

    async def _streamed(
        self,
        request: Request,
        caller: Caller,
        provider: Provider,
        asked: ChatRequest,
        writer: TextWriter,
        echoed: str,
    ) -> Response:
        stream = await self.calls.begun(request, caller, provider.stream(asked))
        first = writer.begin(echoed) if echoed else None
        return StreamedResponse(stream, events_of(stream, writer, first), provider)


def _completion_id() -> str:
    return f"cmpl-{new_id('c')[2:]}"
