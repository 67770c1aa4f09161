"""A logged conversation, as it is kept and asked for."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import orjson

from nexusai.server.clock import rfc3339

__all__ = ["STATUSES", "ConversationRow", "Search", "Status"]

Status = Literal["completed", "failed", "cut"]
STATUSES: Final[tuple[Status, ...]] = ("completed", "failed", "cut")
"""`cut` is an answer whose caller went away."""


class ConversationRow(NamedTuple):
    """A row of the table `conversations`. Without `request` and `answer` only the facts were logged."""

    id: str
    at: int
    project: str
    key_id: str | None
    request_id: str
    route: str
    provider: str | None
    model: str | None
    status: str
    http_status: int | None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    currency: str | None = None
    seconds: float = 0.0
    request: str | None = None
    answer: str | None = None
    truncated: bool = False
    """Whether something of request or answer was left out for its length."""

    def show(self, *, whole: bool = True) -> dict[str, Any]:
        """As the API answers it; in lists without what was said."""
        cost = None if self.cost is None else {"amount": self.cost, "currency": self.currency}
        shown: dict[str, Any] = {
            "conversation_id": self.id,
            "created_at": rfc3339(self.at),
            "project_id": self.project,
            "key_id": self.key_id,
            "request_id": self.request_id,
            "route": self.route,
            "provider": self.provider,
            "model": self.model,
            "status": self.status,
            "http_status": self.http_status,
            "usage": {
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": self.completion_tokens,
                "total_tokens": self.prompt_tokens + self.completion_tokens,
            },
            "cost": cost,
            "seconds": self.seconds,
            "truncated": bool(self.truncated),
        }
        return shown | {"request": _read(self.request), "answer": _read(self.answer)} if whole else shown


class Search(NamedTuple):
    """Which conversations are meant: those that have all the words of `q`, and so on."""

    project: str
    q: str | None = None
    model: str | None = None
    key_id: str | None = None
    status: str | None = None
    since: int | None = None
    until: int | None = None


def _read(text: str | None) -> Any:
    """What was JSON as itself; what was shortened, or none, as text."""
    if text is None:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
