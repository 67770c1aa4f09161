"""What each Claude model takes, told by the family and the version in its name.

Sources: the models overview, the guides to thinking, effort and structured outputs, and the "What's new" page
of each model. A later version is taken to be like the latest one here; a name without a version (a gateway's,
another vendor's behind the same API) takes what every model took in the beginning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from nexusai.providers.errors import ValidationError

__all__ = ["Claude", "claude", "thinking_of"]

_NAME: Final = re.compile(
    r"(?P<family>opus|sonnet|haiku|fable|mythos)-(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d)"
    r"|claude-(?P<old_major>\d)(?:[-.](?P<old_minor>\d))?-(?P<old_family>opus|sonnet|haiku)"
    r"|(?P<unversioned>fable|mythos)"
)
_MAX_TOKENS: Final = (
    ((4, 6), 128_000),
    ((4, 2), 64_000),
    ((4, 0), 32_000),
    ((3, 7), 64_000),
    ((3, 5), 8_192),
    ((3, 0), 4_096),
    ((0, 0), 32_000),
)
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 49152}
_LEAST_BUDGET: Final = 1024


@dataclass(frozen=True, slots=True)
class Claude:
    """One model. `max_tokens` is its longest answer, which every request has to name."""

    max_tokens: int
    adaptive: bool
    """Whether it decides itself how long it thinks, led by an effort; else it is given a budget."""
    summarized: bool
    """Whether its thoughts come as a summary unasked."""
    off: Literal["omit", "disabled", "between_tools", "never"]
    """How thinking is turned off: by not asking for it, by a `thinking.type`, or not at all."""
    samples: bool
    """Whether it takes temperature and the like."""
    samples_by_both: bool
    """Whether it takes temperature and top_p together."""
    schemas: bool
    """Whether it answers in JSON by a schema natively."""
    forced: bool
    """Whether it can be made to call a tool."""
    efforts: frozenset[str]


@lru_cache(maxsize=256)
def claude(model: str) -> Claude:
    family, version = _version(model.lower())
    modern = family in ("fable", "mythos")
    latest = version >= ((5, 1) if modern else (5, 5))
    off: Literal["omit", "disabled", "between_tools", "never"] = "omit" if version < (5, 0) else "disabled"
    if modern or (latest and family == "opus"):
        off = "never"
    elif latest and family == "sonnet":
        off = "between_tools"
    longest = next(tokens for since, tokens in _MAX_TOKENS if version >= since)
    return Claude(
        max_tokens=64_000 if (family, version) == ("sonnet", (4, 0)) else longest,
        adaptive=version >= (4, 6),
        summarized=version < (4, 7),
        off=off,
        samples=version < (4, 7),
        samples_by_both=version < (4, 1),
        schemas=version >= (4, 5),
        forced=not latest or family == "haiku",
        efforts=frozenset(_EFFORTS[2:]) - (set() if version >= (4, 7) else {"xhigh"}),
    )


def thinking_of(
    model: str, effort: str | None, max_tokens: int, *, forced: bool
) -> tuple[dict[str, Any] | None, str | None]:
    """`thinking` and `output_config.effort` for a `reasoning_effort`; `forced` when a tool has to be called.

    A budget is at most half of `max_tokens`, so that an answer fits behind it. Where a tool is forced nobody
    may ask for thoughts. Raises `ValidationError` for an effort that nobody knows.
    """
    if effort is None:
        return None, None
    if effort not in _EFFORTS:
        raise ValidationError(f"reasoning_effort {effort[:40]!r} is unknown: one of {', '.join(_EFFORTS)}")
    facts = claude(model)
    if effort == "none":
        if facts.off in ("disabled", "between_tools"):
            return {"type": facts.off}, None
        return None, "low" if facts.off == "never" else None
    if not facts.adaptive:
        budget = max(_LEAST_BUDGET, min(_BUDGETS[effort], max_tokens // 2))
        fits = budget < max_tokens and not forced
        return ({"type": "enabled", "budget_tokens": budget} if fits else None), None
    level = "low" if effort == "minimal" else effort if effort in facts.efforts else "high"
    shown = {} if facts.summarized else {"display": "summarized"}
    return (None if forced else {"type": "adaptive", **shown}), level


def _version(model: str) -> tuple[str, tuple[int, int]]:
    found = _NAME.search(model)
    if found is None:
        return "", (0, 0)
    if found["unversioned"]:
        return found["unversioned"], (5, 0)
    family = found["family"] or found["old_family"]
    return family, (int(found["major"] or found["old_major"]), int(found["minor"] or found["old_minor"] or 0))
