"""Model calls with everything around them: routes, limits, breakers, retries, fallbacks, prices, records.

A flow of flows: what an adapter asks for passes through here on its way to the driver. Policies decide, this
carries out; the clock and the dice are arguments.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from nexusai.error import ConfigurationError
from nexusai.providers.costs import CostTracker
from nexusai.providers.endpoint import Endpoint, OperationName
from nexusai.providers.errors import AdapterError, ValidationError
from nexusai.providers.flow import Flow
from nexusai.providers.pricing import Prices, default_prices
from nexusai.providers.record import CallRecord
from nexusai.providers.reliability.breaker import Circuit, CircuitBreaker, CircuitState
from nexusai.providers.reliability.limiter import Limiter, RateLimit
from nexusai.providers.reliability.retry import RetryPolicy
from nexusai.providers.reliability.router import Deployment, Router
from nexusai.providers.trial import Call, Trial

__all__ = ["Calls"]

logger: logging.Logger = logging.getLogger("nexusai.providers")

_MOST_CIRCUITS: Final = 4096


class Calls:
    """Endpoints behind one door. Its flows may run at the same time in one loop, or in many threads."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        *,
        router: Router | None = None,
        retry: RetryPolicy | None = None,
        breaker: CircuitBreaker | None = None,
        limits: Mapping[str, RateLimit] | None = None,
        prices: Prices | None = None,
        costs: CostTracker | None = None,
        hooks: Iterable[Callable[[CallRecord], object]] = (),
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.endpoints: dict[str, Endpoint] = dict(endpoints)
        self.costs = costs
        """Who counts what is spent, and what may be; nobody where they are done for somebody else."""
        self.router: Router = router or Router()
        self.retry = retry
        self.prices: Prices = prices or default_prices()
        self.clock = clock
        self.dice = dice
        self._hooks = tuple(hooks)
        self._breaker = breaker or CircuitBreaker()
        self._circuits: dict[tuple[str, str], Circuit] = {}
        self._limits = dict(limits or {})
        self._limiters = {name: Limiter(limit) for name, limit in self._limits.items()}

    def inherit(self, other: Calls) -> None:
        """Go on with the breakers and limiters of another one, where nothing has changed about them.

        They are shared from then on: calls that the other one has under way still count in them.
        """
        same = {name for name, each in self.endpoints.items() if _same(each, other.endpoints.get(name))}
        self._circuits |= {key: circuit for key, circuit in other._circuits.items() if key[0] in same}
        for name, limiter in other._limiters.items():
            if name.partition("/")[0] in same and self._limits.get(name) == other._limits[name]:
                self._limiters[name] = limiter
        self.router.inherit(other.router, same)

    def call(
        self,
        operation: OperationName,
        request: Any,
        *,
        tags: Sequence[str] = (),
        session: str | None = None,
        timeout: float | None = None,
    ) -> Flow[Any]:
        """The answer of the first deployment that gives one; `stream` emits it, and changes over only before
        its first chunk. All of it may take `timeout` seconds.

        Raises `BudgetExceededError` before anything is sent, else the last `AdapterError`.
        """
        if self.costs is not None:
            self.costs.check(tags)
        deadline = math.inf if timeout is None else self.clock() + timeout
        call = Call(operation, request, tags, session, deadline)
        tried: list[str] = []
        trouble: AdapterError | None = None
        for target in self._targets(call):
            trial = Trial(self, call, target, tuple(tried))
            try:
                return (yield from trial.run())
            except AdapterError as error:
                late = self.clock() >= deadline
                if late or trial.started or not self.router.falls_back(error, request.model):
                    raise
                trouble = error
                tried.append(f"{target.provider}/{target.model}")
        raise trouble or ConfigurationError(f"No deployment of {request.model!r} can be called.")

    def call_at(self, provider: str, operation: OperationName, request: Any) -> Flow[Any]:
        """The answer of one provider, whose model `request.model` is."""
        if self.costs is not None:
            self.costs.check(())
        return Trial(self, Call(operation, request), _deployment(provider, request.model), ()).run()

    def circuit(self, target: Deployment) -> Circuit:
        """The state of the breaker of one model of one provider."""
        key = target.provider, target.model
        return self._circuits.get(key) or self._new_circuit(key)

    def _new_circuit(self, key: tuple[str, str]) -> Circuit:
        """Of the many names that callers may come up with, those with troubles are remembered."""
        if len(self._circuits) >= _MOST_CIRCUITS:
            self._circuits = {name: each for name, each in self._circuits.items() if each.state != "closed"}
        return self._circuits.setdefault(key, Circuit(self._breaker))

    def states(self, provider: str) -> dict[str, CircuitState]:
        """The state of the breaker of each model of a provider that was called."""
        known = list(self._circuits.items())
        return {model: circuit.state for (owner, model), circuit in known if owner == provider}

    def limiter(self, target: Deployment) -> Limiter | None:
        if not self._limiters:
            return None
        return self._limiters.get(f"{target.provider}/{target.model}") or self._limiters.get(target.provider)

    def tell(self, record: CallRecord, target: Deployment, now: float) -> None:
        """Learn from a call that is over; a hook that fails does not fail the call."""
        if not record.cut and not isinstance(record.error, ValidationError):  # the caller's own mistake
            self.router.observe(target, record.seconds, record.error is None, now)
        if self.costs is not None and record.operation != "count_tokens":
            self.costs.add(record.cost, f"{record.provider}/{record.model}", record.tags)
        for hook in self._hooks:
            try:
                hook(record)
            except Exception:
                logger.exception("a hook of the model layer failed")

    def _targets(self, call: Call) -> Iterator[Deployment]:
        model = call.request.model
        if self.router.knows(model):
            now = self.clock()
            resting = {name for name, circuit in list(self._circuits.items()) if not circuit.ready(now)}
            facts: dict[str, Any] = {"now": now, "random": self.dice(), "session": call.session}
            awake = list(self.router.candidates(model, **facts, unavailable=resting))
            yield from awake or self.router.candidates(model, **facts)  # the breaker's own error, then
            return
        yield self.named(model)

    def first(self, model: str) -> Deployment:
        """Where a call to a model, or to a route, is likely to go."""
        if not self.router.knows(model):
            return self.named(model)
        return next(self.router.candidates(model, now=self.clock(), random=0.0))

    def named(self, model: str) -> Deployment:
        """`provider/model`, or the model of the only provider. Raises `ValidationError`."""
        provider, slash, rest_of_name = model.partition("/")
        if slash and provider in self.endpoints:
            return Deployment(provider, rest_of_name)
        if len(self.endpoints) == 1:
            return Deployment(next(iter(self.endpoints)), model)
        able = [name for name in self.endpoints if self.prices.has(name, model)]
        if len(able) == 1:
            return Deployment(able[0], model)
        known = ", ".join(f"{name}/…" for name in able or self.endpoints)
        raise ValidationError(f"which provider has the model {model[:100]!r}? Name it with one of: {known}")


@lru_cache(_MOST_CIRCUITS)
def _deployment(provider: str, model: str) -> Deployment:
    return Deployment(provider, model)


def _same(one: Endpoint, other: Endpoint | None) -> bool:
    """Whether two endpoints are one vendor under one key; how long to wait there does not matter."""
    told = ("provider", "base_url", "api_key", "options")
    return other is not None and all(
        getattr(one.config, name) == getattr(other.config, name) for name in told
    )
