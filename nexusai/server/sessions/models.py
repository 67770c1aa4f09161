"""What a session is made of: what may be asked of it, the rows that are it, the answers that show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import orjson
from msgspec import UNSET, Meta, Struct, UnsetType

from nexusai.server.clock import rfc3339
from nexusai.server.http import MALFORMED, invalid
from nexusai.server.tasks.kinds.kind import NonEmpty
from nexusai.server.tasks.kinds.text import TextConfig
from nexusai.server.tasks.models import Metadata

__all__ = [
    "AgentConfig",
    "Context",
    "CreateSession",
    "ForkSession",
    "MessageRow",
    "RegenerateTurn",
    "SessionRow",
    "ToolResult",
    "TurnInput",
    "TurnRequest",
    "UpdateSession",
    "parse_config",
]

Name = Annotated[str, Meta(max_length=200)]
Labels = Annotated[Metadata, Meta(max_length=50)]


class Context(Struct, forbid_unknown_fields=True, kw_only=True):
    """How much of the history the model sees. The system prompt and the current turn always stay."""

    max_messages: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    strategy: Literal["last_n", "token_budget", "summarize"] | None = None


class AgentConfig(TextConfig, kw_only=True):
    """The agent of a session. Further keys go to the provider as they are."""

    provider: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    knowledge_base_ids: Annotated[list[NonEmpty], Meta(max_length=20)] | None = None
    top_k: Annotated[int, Meta(ge=1, le=50, description="Passages that a turn looks up.")] = 5
    context: Context | None = None


def parse_config(config: Mapping[str, Any], loc: str) -> AgentConfig:
    """Raises a 400 `Problem` naming the field."""
    try:
        return msgspec.convert(config, AgentConfig)
    except MALFORMED as error:
        raise invalid(error, [loc]) from None


class CreateSession(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /sessions`."""

    agent_type: str = "assistant"
    agent_config: dict[str, Any] | None = None
    name: Name | None = None
    metadata: Labels | None = None


class UpdateSession(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `PATCH /sessions/{id}`, a merge patch (RFC 7396): null takes a member away."""

    name: Name | UnsetType | None = UNSET
    agent_config: dict[str, Any] | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET


class ForkSession(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /sessions/{id}/fork`; without `message_id` the whole history is copied."""

    message_id: str | None = None
    name: Name | None = None
    metadata: Labels | None = None


class ToolResult(Struct, forbid_unknown_fields=True, kw_only=True):
    """The answer to a tool call; what is no text is handed on as JSON."""

    tool_call_id: NonEmpty
    content: Any

    def message(self) -> dict[str, Any]:
        text = self.content if isinstance(self.content, str) else msgspec.json.encode(self.content).decode()
        return {"role": "tool", "tool_call_id": self.tool_call_id, "content": text}


class RegenerateTurn(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /sessions/{id}/regenerate`; `config` goes over the agent's for this turn."""

    stream: bool = False
    config: dict[str, Any] | None = None


class TurnRequest(RegenerateTurn, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /sessions/{id}/invoke`."""

    prompt: NonEmpty | None = None
    tool_results: Annotated[list[ToolResult], Meta(min_length=1, max_length=128)] | None = None

    def __post_init__(self) -> None:
        if self.prompt is None and self.tool_results is None:
            raise ValueError("give a `prompt`, or `tool_results`")


class TurnInput(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The input of the task that is a turn: something that is said, or the wish for another answer."""

    session_id: str
    agent_type: str
    prompt: str | None = None
    tool_results: list[ToolResult] | None = None
    regenerate: bool = False

    def messages(self) -> list[dict[str, Any]]:
        """What the caller says in this turn."""
        said = [result.message() for result in self.tool_results or ()]
        return said if self.prompt is None else [*said, {"role": "user", "content": self.prompt}]


class SessionRow(NamedTuple):
    """A row of the table `sessions`. `summary` tells what stands up to the position `summary_until`."""

    id: str
    project: str
    agent_type: str
    name: str | None
    config_json: str
    metadata_json: str | None
    is_active: bool
    busy_task: str | None
    busy_at: int
    summary: str | None
    summary_until: int
    idempotency_key: str | None
    request_hash: bytes | None
    created_at: int
    updated_at: int

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = msgspec.json.decode(self.config_json)
        return config

    def show(self, message_count: int) -> dict[str, Any]:
        return {
            "session_id": self.id,
            "agent_type": self.agent_type,
            "agent_config": orjson.Fragment(self.config_json),
            "name": self.name,
            "is_active": self.is_active,
            "message_count": message_count,
            "metadata": orjson.Fragment(self.metadata_json or "{}"),
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
        }


class MessageRow(NamedTuple):
    """A row of the table `session_messages`; `message_json` is the message as the model gets it.

    `ordinal` counts the messages of one turn: with the task's id it says which message this is.
    """

    id: str
    session_id: str
    position: int
    task_id: str
    ordinal: int
    message_json: str
    metadata_json: str
    created_at: int

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = msgspec.json.decode(self.message_json)
        return message

    def show(self) -> dict[str, Any]:
        message = self.message
        links = {name: message[name] for name in ("tool_calls", "tool_call_id") if message.get(name)}
        return {
            "message_id": self.id,
            "role": message["role"],
            "content": message["content"],
            "timestamp": rfc3339(self.created_at),
            "metadata": {**msgspec.json.decode(self.metadata_json), **links},
        }
