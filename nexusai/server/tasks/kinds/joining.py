"""What was heard in the pieces of a recording, as one answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce

from nexusai.providers.types import Cost, Segment, TranscriptionResponse, Usage

__all__ = ["joined"]


def joined(answers: Sequence[tuple[float, TranscriptionResponse]]) -> TranscriptionResponse:
    """One answer for several, each with the second at which its piece begins; there is at least one."""
    heard = [answer for _, answer in answers]
    return replace(
        heard[-1],
        text=reduce(_with, (answer.text.strip() for answer in heard)),
        language=next((answer.language for answer in heard if answer.language), None),
        segments=_segments(answers),
        usage=_usage([answer.usage for answer in heard if answer.usage]),
        cost=_cost([answer.cost for answer in heard]),
    )


def _with(text: str, more: str) -> str:
    """Chinese and Japanese put no space between sentences."""
    spaced = text and more and not (_is_dense(text[-1]) and _is_dense(more[0]))
    return f"{text} {more}" if spaced else text + more


def _is_dense(sign: str) -> bool:
    return "\u2e80" <= sign <= "\ua4cf" or "\uf900" <= sign <= "\uffef"


def _segments(answers: Iterable[tuple[float, TranscriptionResponse]]) -> list[Segment] | None:
    """Of the whole recording; None when nobody gave any."""
    found = [(start, answer.segments) for start, answer in answers if answer.segments is not None]
    return (
        [
            Segment(round(start + part.start, 3), round(start + part.end, 3), part.text)
            for start, parts in found
            for part in parts
        ]
        if found
        else None
    )


def _usage(counted: Sequence[Usage]) -> Usage | None:
    if not counted:
        return None
    return Usage(
        sum(usage.prompt_tokens for usage in counted),
        sum(usage.completion_tokens for usage in counted),
        source=counted[-1].source,
    )


def _cost(costs: Sequence[Cost | None]) -> Cost | None:
    """Nobody knows the whole price when that of a piece is unknown."""
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return None
    estimated = any(cost.estimated for cost in known)
    return replace(known[0], amount=sum(cost.amount for cost in known), estimated=estimated)
