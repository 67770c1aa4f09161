"""A response that is kept: what was asked for in it, and what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["History", "Item", "ResponseRow"]

Item = dict[str, Any]
"""A message, a call of a function, its result, a thought: what OpenAI's Responses API is about."""


class ResponseRow(NamedTuple):
    """A row; `input_json` holds the items that came with this request alone, not those before it."""

    id: str
    project: str
    key_id: str | None
    previous_id: str | None
    model: str
    status: str
    created_at: int
    expires_at: int
    size: int
    """Of both JSON texts: so a long conversation is refused before it is read."""
    input_json: str
    response_json: str


@dataclass(frozen=True, slots=True)
class History:
    """What was said before in a conversation, and the responses that it was said in, oldest first."""

    items: Sequence[Item] = ()
    ids: Sequence[str] = field(default=())
