"""The one door to the models: every call is allowed, taken from the limits, and settled after it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

import orjson

from nexusai.providers.pricing import Prices
from nexusai.providers.reliability.router import ROUTE
from nexusai.providers.tokens import estimate_message_tokens, estimate_tokens
from nexusai.providers.types import (
    Capability,
    ChatRequest,
    ChatResponse,
    Cost,
    EmbeddingRequest,
    EmbeddingResponse,
    ImageRequest,
    ImageResponse,
    ModerationRequest,
    ModerationResponse,
    Provider,
    RelayChunk,
    RelayRequest,
    RelayResponse,
    SoundLimit,
    SpeechChunk,
    SpeechRequest,
    SpeechResponse,
    StreamChunk,
    TranscriptionRequest,
    TranscriptionResponse,
    Usage,
)
from nexusai.server.catalogue import Names
from nexusai.server.http import Problem
from nexusai.server.keys.caller import current_caller, current_task
from nexusai.server.keys.guard import Guard, Reservation
from nexusai.server.usage.models import Rates
from nexusai.server.usage.recorder import current_reservation

__all__ = ["Meter", "MeteredProvider"]

Request = TypeVar("Request")
Answer = TypeVar("Answer")

ANSWER: Final = 1000
"""Tokens that are taken for an answer whose request names no `max_tokens`."""
PICTURE: Final = 1500
"""Tokens that are taken for a picture or a file in a prompt, and for one that is to be made."""
MOST: Final = 10**9
_ELSEWHERE: Final = frozenset({"fallbacks", "models", "plugins", "route"})
"""Fields by which some vendors call other models than the one that is named."""
_MAY_CALL: Final = re.compile(rb'"(model|image_generation)"|\\u')
"""What a tool has in it that may do so as well: it is named, or written in escapes."""
_OF_THE_CALLER: Final = ("custom", "function")
_LONGEST: Final = frozenset({"max_completion_tokens", "max_output_tokens", "max_tokens"})
_MANY: Final = frozenset({"n", "best_of"})
_DIGITS: Final = 20
_PROMPTS: Final = frozenset(
    {"messages", "system", "input", "prompt", "instructions", "tools", "response_format"}
)
_SHOWN: Final = re.compile(
    rb'"type"\s*:\s*"(?:image_url|image|input_image|file|input_file|document|input_audio)"'
)
_ENCODED: Final = re.compile(rb"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{400,}")
"""What is in base64; no word is that long. Tried where words begin alone: the event loop waits for it."""


class Meter:
    """Takes from its caller's limits what a call may use at most.

    `free` are the providers that take no money, but for models that have a price all the same.
    """

    def __init__(
        self,
        guard: Guard,
        prices: Prices,
        rates: Rates,
        free: Collection[str] = (),
        names: Names | None = None,
    ) -> None:
        self._guard = guard
        self._prices = prices
        self._rates = rates
        self._free = free
        self._names = names or Names()

    def knowing(self, prices: Prices, free: Collection[str], names: Names) -> Meter:
        """One that goes by other prices and names; a call keeps the one that it began with."""
        return Meter(self._guard, prices, self._rates, free, names)

    async def reserve(self, provider: str, request: Any) -> Reservation | None:
        """Raises a 403 `Problem` for a model that the caller may not use, a 429 for what it has no more of.

        A task waits for the next minute's tokens; nothing waits for a budget. Of a route the most expensive
        deployment is taken for the one that will answer.
        """
        caller = current_caller.get()
        if caller is None:
            return None
        caller.require_model(provider, request.model, self._names)
        restricted = caller.has_budget or (caller.key is not None and caller.key.models is not None)
        if restricted and (other := _elsewhere(request)) is not None:
            raise Problem("FORBIDDEN", f"{other} leads to other models: what is limited may not use it.")
        if not caller.is_metered:
            return None
        tokens = _estimated(request)
        dollars = self._most(provider, request, tokens) if caller.has_budget else 0.0
        patience = 0.0 if current_task.get() is None else math.inf
        return await self._guard.reserve(caller, tokens.total_tokens, dollars, patience)

    def _most(self, provider: str, request: Any, tokens: Usage) -> float | None:
        """What a call may cost; None for what takes no money."""
        if provider != ROUTE:
            free = self._takes_nothing(provider, request.model)
            return None if free else self._dollars(provider, request.model, request, tokens)
        targets = self._names.reach(provider, request.model)
        costs = [
            self._dollars(name, model, request, tokens)
            for name, model in targets
            if not self._takes_nothing(name, model)
        ]
        return max(costs, default=None)

    def _takes_nothing(self, provider: str, model: str) -> bool:
        """Whether a provider that takes no key has no price for a model either."""
        if provider not in self._free:
            return False
        found = self._prices.models.find(provider, model)
        price = found.model.price if found is not None else None
        return price is None or price.input == price.output == 0

    def _dollars(self, provider: str, model: str, request: Any, tokens: Usage) -> float:
        """Raises a 403 `Problem` where nobody knows what the call costs: a budget would not hold."""
        cost = self._other_cost(provider, model, request) or self._prices.cost(provider, model, tokens)
        dollars = self._rates.dollars(cost)
        if dollars is not None:
            return dollars
        found = self._prices.models.find(provider, model)
        if cost is None and found is not None and found.model.price is not None:
            return 0.0  # it depends on what comes back, such as the length of a recording
        missing = f"rate of {cost.currency}" if cost else f"price of {provider}/{model[:100]}"
        raise Problem("FORBIDDEN", f"The platform knows no {missing}: what has a budget may not use it.")

    def _other_cost(self, provider: str, model: str, request: Any) -> Cost | None:
        """What is not paid by tokens, or may not be."""
        if isinstance(request, ImageRequest):
            return self._prices.cost(
                provider, model, images=request.n, size=request.size, quality=request.quality
            )
        if isinstance(request, SpeechRequest):
            return self._prices.cost(provider, model, characters=len(request.text))
        return None


class MeteredProvider:
    """A provider behind the meter."""

    def __init__(self, provider: Provider, meter: Meter) -> None:
        self.name: str = provider.name
        self.protocol: str = provider.protocol
        self.capabilities: frozenset[Capability] = provider.capabilities
        self._provider = provider
        self._meter = meter

    def default_model(self, capability: Capability) -> str | None:
        """The model used when the caller names none."""
        return self._provider.default_model(capability)

    def sound_limit(self, model: str) -> SoundLimit:
        """What `transcribe` takes at once."""
        return self._provider.sound_limit(model)

    def circuits(self) -> Mapping[str, str]:
        """The state of the breaker of each model that was called."""
        return self._provider.circuits()

    async def chat(self, request: ChatRequest) -> ChatResponse:
        return await self._metered(self._provider.chat, request)

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamChunk, None]:
        """The answer in pieces. Closing the iterator closes the connection at once."""
        return self._streamed(self._provider.stream(request), request)

    def relays(self, request: RelayRequest) -> bool:
        """Whether the vendor speaks that API, and understands all that is asked for in it."""
        return self._provider.relays(request)

    async def relay(self, request: RelayRequest) -> RelayResponse:
        """The answer as the vendor gives it."""
        return await self._metered(self._provider.relay, request)

    def relay_stream(self, request: RelayRequest) -> AsyncGenerator[RelayChunk, None]:
        """The events as the vendor sends them. Closing the iterator closes the connection at once."""
        return self._streamed(self._provider.relay_stream(request), request)

    async def _streamed(self, chunks: Any, request: Any) -> AsyncGenerator[Any, None]:
        reservation = await self._reserve(request)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            try:
                await chunks.aclose()
            finally:
                if reservation is not None:
                    reservation.settle()

    async def generate_images(self, request: ImageRequest) -> ImageResponse:
        return await self._metered(self._provider.generate_images, request)

    async def synthesize(self, request: SpeechRequest) -> SpeechResponse:
        return await self._metered(self._provider.synthesize, request)

    def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechChunk, None]:
        """The sound as it comes. Closing the iterator closes the connection at once."""
        return self._streamed(self._provider.speak(request), request)

    async def transcribe(self, request: TranscriptionRequest) -> TranscriptionResponse:
        return await self._metered(self._provider.transcribe, request)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        return await self._metered(self._provider.embed, request)

    async def moderate(self, request: ModerationRequest) -> ModerationResponse:
        return await self._metered(self._provider.moderate, request)

    async def aclose(self) -> None:
        await self._provider.aclose()

    async def _metered(self, call: Callable[[Request], Awaitable[Answer]], request: Request) -> Answer:
        """The record of the call settles what was taken; a call that was never made gives it back here."""
        reservation = await self._reserve(request)
        try:
            return await call(request)
        finally:
            if reservation is not None:
                reservation.settle()

    async def _reserve(self, request: Any) -> Reservation | None:
        reservation = await self._meter.reserve(self.name, request)
        current_reservation.set(reservation)
        return reservation


def _elsewhere(request: Any) -> str | None:
    """What of a request has its vendor call another model than the one that is named: a field, or a tool."""
    told = request.fields if isinstance(request, RelayRequest) else request.extra
    if not _ELSEWHERE.isdisjoint(told):
        return min(_ELSEWHERE.intersection(told))
    if isinstance(request, RelayRequest):
        raw = request.fields.get("tools")
        tools = orjson.loads(raw) if raw and _MAY_CALL.search(raw) else None
    else:
        tools = getattr(request, "tools", None)
    if not tools:
        return None
    kinds = (
        str(tool.get("type"))[:40]
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, dict) and tool.get("type") not in _OF_THE_CALLER
        if "model" in tool or tool.get("type") == "image_generation"
    )
    return next(kinds, None)


def _estimated(request: Any) -> Usage:
    """About what a call will use at most, before it is made."""
    if isinstance(request, RelayRequest):
        return _passing(request)
    if isinstance(request, ChatRequest):
        prompt = estimate_message_tokens(request.messages) + PICTURE * _pictures(request)
        told = [request.tools, request.response_format]
        prompt += sum(estimate_tokens(json.dumps(part, default=str)) for part in told if part)
        return Usage(prompt, _longest(request) * _answers(request.extra.get("n")), source="estimate")
    if isinstance(request, ImageRequest):
        return Usage(estimate_tokens(request.prompt), PICTURE * request.n, source="estimate")
    texts = getattr(request, "texts", None) or [getattr(request, "text", None) or ""]
    return Usage(sum(map(estimate_tokens, texts)), 0, source="estimate")


def _passing(request: RelayRequest) -> Usage:
    """By the length of what nobody reads on the way: four bytes of JSON are a token, in whatever language."""
    fields = request.fields
    told = fields.keys()
    prompt, longest, many = 0, -1, 1
    for name in told & _PROMPTS:
        raw = fields[name]
        shown = len(_SHOWN.findall(raw)) if raw.find(b"[", 1) > 0 else 0  # parts are in a list
        prompt += PICTURE * shown + len(_ENCODED.sub(b"", raw) if shown else raw) // 4
    for name in told & _LONGEST:
        longest = max(longest, _whole(fields[name], -1))
    for name in told & _MANY:
        many = max(many, _whole(fields[name], 1))
    if request.api == "embeddings":
        return Usage(prompt, 0, source="estimate")
    if request.api == "completions":
        many *= _prompts(fields.get("prompt", b"null"))
    return Usage(prompt, min(ANSWER if longest < 0 else longest, MOST) * many, source="estimate")


def _whole(raw: bytes, otherwise: int) -> int:
    """A number from 0, where it is one."""
    if raw.isdigit() and len(raw) < _DIGITS:
        return int(raw)
    try:
        value = float(raw.strip(b'"'))  # some vendors take a text for a number
    except ValueError:
        return otherwise
    return int(min(value, MOST)) if value >= 0 else otherwise


def _prompts(raw: bytes) -> int:
    """How many texts are gone on with: a list of numbers is one, as tokens."""
    try:
        prompt = orjson.loads(raw)
    except ValueError:  # a number without bounds
        return 1
    return len(prompt) if isinstance(prompt, list) and not all(isinstance(p, int) for p in prompt) else 1


def _longest(request: ChatRequest) -> int:
    return _most([request.max_tokens, *(request.extra.get(name) for name in _LONGEST)])


def _most(limits: Sequence[Any]) -> int:
    """What is below zero limits nothing: else it would give back what was never taken."""
    known = [most for most in limits if isinstance(most, (int, float)) and most >= 0]
    return int(min(max(known, default=ANSWER), MOST))


def _answers(many: Any) -> int:
    return int(min(many, MOST)) if isinstance(many, (int, float)) and many > 1 else 1


def _pictures(request: ChatRequest) -> int:
    contents = [message.get("content") for message in request.messages]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return sum(isinstance(part, Mapping) and part.get("type") != "text" for part in parts)
