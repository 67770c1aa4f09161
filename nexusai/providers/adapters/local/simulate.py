"""`local/simulate`: words of a chosen number at a chosen pace, failing when told to.

`ChatRequest.extra` holds `latency`, seconds before the first token (0); `tokens` (8); `tokens_per_second`
(unlimited); `failure_rate` 0–1 (0, or 1 when `error_code` is given); `error_code`, one of
`nexusai.error.CODES` (`PROVIDER_ERROR`); `seed` (else `ChatRequest.seed`, else one made of the prompt).
Tools, images and formats are ignored: a recorded request can be replayed as it is.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from nexusai.error import CODES
from nexusai.providers.adapters.local.prompt import text_of
from nexusai.providers.adapters.local.reply import Reply
from nexusai.providers.errors import (
    AdapterError,
    AuthenticationError,
    RateLimitError,
    RetryableError,
    TimeoutError,
    ValidationError,
)
from nexusai.providers.types import ChatRequest, Usage

__all__ = ["MODEL", "reply"]

MODEL: Final = "local/simulate"

_MOST_TOKENS: Final = 100_000
_A_DAY: Final = 86_400.0

_ERRORS: Final[Mapping[str, type[AdapterError]]] = {
    "PROVIDER_ERROR": RetryableError,
    "RATE_LIMIT_EXCEEDED": RateLimitError,
    "TIMEOUT": TimeoutError,
    "INVALID_REQUEST": ValidationError,
    "UNAUTHORIZED": AuthenticationError,
}

_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_VOCABULARY: Final = """
amber arch autumn bell birch boat branch bridge candle cedar cloud coast copper coral current dawn
delta drift dune echo ember fern field fjord flint garden glacier granite grove harbour hazel hill
island ivory lagoon lantern leaf maple marble meadow mist moss north oak orchard pebble pine quiet
rain reed ridge river sail shore silver slate spring stone summer thaw tide valley willow winter
"""
_WORDS: Final = _VOCABULARY.split()
"""64 words, so that six bits choose one."""


def reply(request: ChatRequest) -> Reply:
    """The simulated answer. Raises `ValidationError` naming the field of the config that is wrong."""
    config = request.extra
    prompt = "\n".join([text_of(message) for message in request.messages])
    seed = _seed(config, request.seed)
    wanted = _tokens(config)
    count = wanted if request.max_tokens is None else min(wanted, max(request.max_tokens, 0))
    pace = _number(config, "tokens_per_second", 0.0, least=0.001, most=1e9)
    return Reply(
        content=" ".join(
            _words(zlib.crc32(prompt.encode("utf-8", "replace")) if seed is None else seed, count)
        ),
        finish_reason="stop" if count == wanted else "length",
        usage=Usage(_estimate(prompt), count, source="estimate"),
        latency=_number(config, "latency", 0.0, most=_A_DAY),
        interval=1 / pace if pace else 0.0,
        error=_failure(config, seed),
    )


def _estimate(prompt: str) -> int:
    # half a token a character that is not ASCII; the exact estimate would cost four times the rest of a call
    others = 0 if prompt.isascii() else len(_NOT_ASCII.findall(prompt))
    return (len(prompt) + 3 + others) // 4


def _words(seed: int, count: int) -> Iterator[str]:
    # a linear congruential generator (the constants of Numerical Recipes): a Random costs more than the words
    state = seed * 2_654_435_761
    for _ in range(count):
        state = (state * 1_664_525 + 1_013_904_223) & 0xFFFFFFFF
        yield _WORDS[state >> 26]


def _failure(config: Mapping[str, Any], seed: int | None) -> AdapterError | None:
    code = config.get("error_code") or ""
    if code and (not isinstance(code, str) or code not in CODES):
        raise _wrong("error_code", f"one of {', '.join(CODES)}")
    rate = _number(config, "failure_rate", 1.0 if code else 0.0, most=1.0)
    if not rate:
        return None
    chance = random.random() if seed is None else random.Random(seed).random()
    return _error(code or "PROVIDER_ERROR") if chance < rate else None


def _error(code: str) -> AdapterError:
    meaning = CODES[code]
    kind = _ERRORS.get(code, RetryableError if meaning.retryable else AdapterError)
    return kind(
        f"simulated failure: {meaning.title}", provider="local", model=MODEL, status=meaning.status, code=code
    )


def _seed(config: Mapping[str, Any], default: int | None) -> int | None:
    seed = config.get("seed")
    if seed is None:
        return default
    if isinstance(seed, int) and not isinstance(seed, bool):
        return seed
    raise _wrong("seed", "an integer")


def _tokens(config: Mapping[str, Any]) -> int:
    tokens = config.get("tokens")
    if tokens is None:
        return 8
    if isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens <= _MOST_TOKENS:
        return tokens
    raise _wrong("tokens", f"an integer from 0 to {_MOST_TOKENS}")


def _number(
    config: Mapping[str, Any], name: str, default: float, *, least: float = 0.0, most: float
) -> float:
    value = config.get(name)
    if value is None:
        return default
    if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise _wrong(name, f"a number from {least:g} to {most:g}")


def _wrong(name: str, allowed: str) -> ValidationError:
    return ValidationError(f"config.{name} must be {allowed}", provider="local", model=MODEL)
