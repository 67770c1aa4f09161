"""One call to one deployment: every exchange passes its limiter and its breaker, and may be repeated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from nexusai.providers.adapters.relay import prompt_tokens
from nexusai.providers.costs import CostTracker
from nexusai.providers.endpoint import Endpoint, OperationName
from nexusai.providers.errors import AdapterError, CircuitOpenError, TimeoutError
from nexusai.providers.flow import Emit, Flow, Open, Read, Sleep, rest
from nexusai.providers.pricing import Prices
from nexusai.providers.record import CallRecord, settings_of
from nexusai.providers.reliability.breaker import Circuit
from nexusai.providers.reliability.limiter import Limiter, Reservation
from nexusai.providers.reliability.retry import RetryPolicy, delay_before_retry, given_up
from nexusai.providers.reliability.router import Deployment
from nexusai.providers.tokens import TokenTally, estimate_message_tokens, estimate_tokens
from nexusai.providers.trace import carrying
from nexusai.providers.transport import MAX_ANSWER_BYTES, HttpRequest, HttpResponse
from nexusai.providers.types import Cost, FinishReason, RelayRequest, RelayResponse, SpeechRequest, Usage

__all__ = ["Call", "Surroundings", "Trial"]

_SHORTEST_KEY: Final = 8
"""Characters; what is shorter may be in any word."""
_SLOWER: Final = "it took too long: no time is left for another try"


@dataclass(slots=True)
class Call:
    """What is wanted, whoever does it."""

    operation: OperationName
    request: Any
    tags: Sequence[str] = ()
    session: str | None = None
    deadline: float = math.inf


class Surroundings(Protocol):
    """What a trial needs to know of all the others."""

    endpoints: dict[str, Endpoint]
    retry: RetryPolicy | None
    costs: CostTracker | None
    prices: Prices
    clock: Callable[[], float]
    dice: Callable[[], float]

    def circuit(self, target: Deployment) -> Circuit: ...

    def limiter(self, target: Deployment) -> Limiter | None: ...

    def tell(self, record: CallRecord, target: Deployment, now: float) -> None: ...


class Trial:
    """One call to one deployment."""

    started: bool = False
    """Whether the caller has seen some of the answer."""
    attempts: int = 0
    exchanges: int = 0
    place: tuple[Limiter, Reservation] | None = None
    passed: Circuit | None = None
    """The breaker that let something through, while it does not know yet how that ended."""
    usage: Usage | None = None
    cost: Cost | None = None
    read: int = 0
    """Bytes of a stream."""
    first_chunk: float | None = None
    answer_id: str | None = None
    answered_by: str | None = None
    finish_reason: FinishReason | None = None
    context: Context | None = None
    produced: TokenTally | None = None
    begun: float = 0.0
    deadline: float = math.inf

    def __init__(self, calls: Surroundings, call: Call, target: Deployment, tried: Sequence[str]) -> None:
        self.calls = calls
        self.call = call
        self.target = target
        self.tried = tried
        self.endpoint: Endpoint = calls.endpoints[target.provider]

    def run(self) -> Flow[Any]:
        self.begun, self.context = self.calls.clock(), copy_context()
        self.deadline, total = self.call.deadline, self.endpoint.config.total
        if total is not None:
            self.deadline = min(self.deadline, self.begun + total)
        request = self.call.request
        if request.model != self.target.model:
            request = replace(request, model=self.target.model)
        self._afford(request)
        error: AdapterError | None = None
        cut = True
        try:
            answer = yield from self._repeated(request)
            cut = False
            return self._priced(request, answer)
        except AdapterError as failure:
            cut, error = False, self._named(failure)
            raise
        finally:
            self._tell(request, error, cut)
            error = None  # it holds this frame: a cycle would keep a large answer until garbage is looked for

    def _afford(self, request: Any) -> None:
        """Raises `BudgetExceededError` when prompt and `max_tokens` would cost more than what is left."""
        costs = self.calls.costs
        if costs is not None and costs.limited and self.call.operation in ("chat", "stream"):
            longest = getattr(request, "max_tokens", None) or 0
            usage = Usage(_prompt_tokens(request), longest, source="estimate")
            estimate = self.calls.prices.cost(self.target.provider, self.target.model, usage)
            try:
                costs.check(self.call.tags, estimate)
            except AdapterError as error:
                raise self._named(error) from None

    def _repeated(self, request: Any) -> Flow[Any]:
        """The operation, begun again when its one exchange ended in an error that may pass."""
        operation = self.endpoint.operation(self.call.operation, request)
        while True:
            self.exchanges = 0
            try:
                return (yield from self._driven(operation(self.endpoint.config, request), request))
            except AdapterError as error:
                if self.started or self.exchanges != 1:
                    raise
                yield from self._pause_after(error)

    def _driven(self, flow: Flow[Any], request: Any) -> Flow[Any]:
        answer: Any = None
        try:
            step = next(flow)
            while True:
                try:
                    if isinstance(step, Read):
                        self._on_time()
                        answer = yield step
                        self._bounded(answer)
                    elif isinstance(step, Emit):
                        answer = yield self._emitted(step, request)
                    elif isinstance(step, (HttpRequest, Open)):
                        answer = yield from self._exchange(step, request)
                    else:
                        answer = yield step
                except BaseException as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            self._judge(None)
            return done.value
        except BaseException as error:
            self._judge(error)
            raise

    def _judge(self, error: BaseException | None) -> None:
        """Tell the breaker how what it let through has ended, once."""
        circuit, self.passed = self.passed, None
        if circuit is not None:
            circuit.ended(error, self.calls.clock())

    def _exchange(self, step: HttpRequest | Open, request: Any) -> Flow[HttpResponse]:
        """One exchange; a later one of an operation is repeated here, the first by `_repeated`."""
        self.exchanges += 1
        self._judge(None)
        if self.exchanges > 1:
            self.attempts = 0
        while True:
            try:
                return (yield from self._guarded(step, request))
            except AdapterError as error:
                if self.exchanges == 1:
                    raise
                yield from self._pause_after(error)

    def _guarded(self, step: HttpRequest | Open, request: Any) -> Flow[HttpResponse]:
        """One attempt, when limiter and breaker let it through."""
        limiter = self.calls.limiter(self.target)
        if limiter is not None:
            yield from self._queued(limiter, request)
        now, circuit = self.calls.clock(), self.calls.circuit(self.target)
        if not circuit.allow(now):
            if self.place is not None:
                self.place[0].release(self.place[1])
            wait = max((circuit.retry_at or now) - now, 0.0)
            message = f"{self.target.provider}/{self.target.model} failed too often lately: it is left alone"
            raise CircuitOpenError(f"{message} for {wait:.0f} s", retry_after=wait)
        self.passed = circuit
        try:
            response = yield from self._sent(step)
        except AdapterError as error:
            if limiter is not None:
                limiter.observe(error, self.calls.clock())
            self._judge(error)
            raise
        if limiter is not None:
            limiter.heed(response.headers, self.calls.clock())
        return response

    def _queued(self, limiter: Limiter, request: Any) -> Flow[None]:
        """Wait for a place; it is given back when nothing is sent."""
        place = limiter.reserve(self.calls.clock(), _tokens(request) if limiter.counts_tokens else 0)
        self.place = limiter, place
        try:
            if place.wait:
                yield from self._pause(place.wait, None)
        except BaseException:
            limiter.release(place)
            raise

    def _sent(self, step: HttpRequest | Open) -> Flow[HttpResponse]:
        request = step.request if isinstance(step, Open) else step
        left = self.deadline - self.calls.clock()
        if left <= 0:
            raise TimeoutError(_SLOWER, code="timeout")
        reached = self.endpoint.reached
        if reached or left < math.inf:
            request = replace(request, **reached, total=left if left < math.inf else None)
        request = carrying(request, self.endpoint.config.base_url)
        self.attempts += 1
        response: HttpResponse = yield Open(request) if isinstance(step, Open) else request
        if response.status < 300:
            return response
        if isinstance(step, Open):
            response = HttpResponse(response.status, response.headers, (yield from rest(request)))
        raise self.endpoint.error(self.target.model, response)

    def _emitted(self, step: Emit, request: Any) -> Emit:
        """What is emitted, with its cost."""
        chunks = step.value
        if chunks and not self.started:
            self.started = True
            chunks = [replace(chunks[0], provider=self.target.provider), *chunks[1:]]
            self.first_chunk = self.calls.clock() - self.begun
            self.answered_by = chunks[0].model
            if isinstance(request, SpeechRequest):  # paid by what is to be said, not by how far it came
                self.cost = chunks[0].cost = chunks[0].cost or self._cost(request, chunks[0])
        said = self.produced = self.produced or TokenTally()
        for at, chunk in enumerate(chunks):
            said.add(chunk.delta)
            if chunk.finish_reason is not None:
                self.finish_reason, self.answered_by = chunk.finish_reason, chunk.model or self.answered_by
            if chunk.usage is not None:
                self.usage = chunk.usage
                self.cost = chunk.cost or self._cost(request, chunk)
                if self.cost is not chunk.cost:
                    return Emit([*chunks[:at], replace(chunk, cost=self.cost), *chunks[at + 1 :]])
        return step if chunks is step.value else Emit(chunks)

    def _priced(self, request: Any, answer: Any) -> Any:
        if isinstance(answer, RelayResponse):
            self.usage, self.answered_by, self.answer_id = answer.usage, answer.model, answer.id
            self.finish_reason, target = answer.finish_reason, self.target
            answer.cost = self.cost = self.calls.prices.cost(target.provider, target.model, answer.usage)
            answer.provider = target.provider
            return answer
        if answer is None or isinstance(answer, int):
            return answer
        self.usage = getattr(answer, "usage", None)
        self.answered_by, self.answer_id = answer.model, getattr(answer, "id", None)
        self.finish_reason = getattr(answer, "finish_reason", None)
        self.cost = answer.cost or self._cost(request, answer)
        return replace(answer, cost=self.cost, provider=self.target.provider)

    def _cost(self, request: Any, answer: Any) -> Cost | None:
        return self.calls.prices.cost(
            self.target.provider,
            self.target.model,
            usage=answer.usage if hasattr(answer, "usage") else None,
            images=len(answer.images) if hasattr(answer, "images") else None,
            size=getattr(request, "size", None),
            quality=getattr(request, "quality", None),
            seconds=getattr(answer, "duration", None),
            characters=len(request.text) if hasattr(request, "text") else None,
        )

    def _bounded(self, piece: bytes) -> None:
        """Raises `AdapterError` for a stream that is longer than any answer."""
        self.read += len(piece)
        if self.read > MAX_ANSWER_BYTES:
            raise AdapterError(f"sent more than {MAX_ANSWER_BYTES} bytes", code="answer_too_large")

    def _on_time(self) -> None:
        """Between two pieces of a stream: raises `TimeoutError` when the whole, or its beginning, is late."""
        first = None if self.started else self.endpoint.config.first_token
        if self.deadline == math.inf and first is None:
            return
        now = self.calls.clock()
        if now > self.deadline or (first is not None and now - self.begun > first):
            raise TimeoutError("the answer took too long", code="timeout")

    def _pause_after(self, error: AdapterError) -> Flow[None]:
        """Wait before the next attempt, or raise what made this one fail."""
        config = self.endpoint.config
        policy = self.calls.retry or RetryPolicy(max_retries=config.max_retries)
        try:
            delay = delay_before_retry(policy, self.attempts, error, self.calls.dice())
            if delay is None:
                raise given_up(error)
            yield from self._pause(delay, error)
        finally:
            del error  # a cycle, see `run`

    def _pause(self, seconds: float, error: AdapterError | None) -> Flow[None]:
        try:
            if self.calls.clock() + seconds >= self.deadline:
                raise error or TimeoutError(_SLOWER, code="timeout")
        finally:
            del error  # a cycle, see `run`
        yield Sleep(seconds)

    def _named(self, error: AdapterError) -> AdapterError:
        error.provider = error.provider or self.target.provider
        error.model = error.model or self.target.model
        return _without(self.endpoint.config.api_key, error)

    def _tell(self, request: Any, error: AdapterError | None, cut: bool) -> None:
        if (
            self.usage is None and self.started and not isinstance(request, SpeechRequest)
        ):  # broken off: what was produced is billed all the same
            self.usage = Usage(
                _prompt_tokens(request), self.produced.tokens if self.produced else 0, source="estimate"
            )
            self.cost = self.calls.prices.cost(self.target.provider, self.target.model, usage=self.usage)
        if self.place is not None and self.usage is not None:
            limiter, place = self.place
            limiter.settle(place, self.usage.total_tokens)
        now = self.calls.clock()
        config = self.endpoint.config
        record = CallRecord(
            self.call.operation,
            self.target.provider,
            self.target.model,
            self.call.tags,
            self.tried,
            now - self.begun,
            self.first_chunk,
            max(self.attempts, self.exchanges - 1),
            self.usage,
            self.cost,
            error,
            cut,
            config.provider,
            config.base_url,
            self.call.session,
            settings_of(request),
            self.answer_id,
            self.answered_by,
            self.finish_reason,
            self.context,
        )
        self.calls.tell(record, self.target, now)


def _without(key: str | None, error: AdapterError) -> AdapterError:
    """The error without the key, wherever a vendor or what stands before it repeated that."""
    if not key or len(key) < _SHORTEST_KEY:
        return error
    for name in ("message", "code", "request_id"):
        text = getattr(error, name)
        if isinstance(text, str) and key in text:
            setattr(error, name, text.replace(key, "***"))
    error.args = (error.message,)
    return error


def _prompt_tokens(request: Any) -> int:
    if isinstance(request, RelayRequest):
        return prompt_tokens(request)
    return estimate_message_tokens(request.messages)


def _tokens(request: Any) -> int:
    """About how many tokens a request will take."""
    if isinstance(request, RelayRequest):
        return prompt_tokens(request)
    if hasattr(request, "messages"):
        return estimate_message_tokens(request.messages) + (request.max_tokens or 0)
    if hasattr(request, "texts"):
        return sum(map(estimate_tokens, request.texts))
    return 0
