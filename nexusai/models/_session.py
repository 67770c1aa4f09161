"""Sessions: what is known of one, what was said in it, what a turn answered."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import override

from nexusai.models._answer import Answer, Date, Rows, Text
from nexusai.models._task import Result

__all__ = ["SessionFacts", "SessionHistory", "SessionMessage", "SessionReply", "SessionResponse"]


class SessionFacts(Answer):
    """What is known of a session."""

    session_id: str = Field(description="`sess_…`")
    name: str | None = Field(default=None, description="The name that it was given.")
    agent_type: str | None = Field(default=None, description="For example `assistant`.")
    agent_config: dict[str, Any] = Field(
        default_factory=dict,
        description="Model, instructions, tools and knowledge bases of the agent.",
        repr=False,
    )
    is_active: bool = Field(default=True, description="Whether it takes further turns.", repr=False)
    message_count: int = Field(default=0, description="Messages in its history.")
    metadata: dict[str, Any] | None = Field(default=None, description="The caller's own labels.", repr=False)
    created_at: Date | None = Field(default=None, description="When it was made.", repr=False)
    updated_at: Date | None = Field(default=None, description="When it last changed.", repr=False)

    @property
    def id(self) -> str:
        return self.session_id


class SessionReply(Answer):
    """What the agent says in one turn."""

    role: str = Field(default="assistant", description="Who says it.")
    content: Text = Field(default="", description="The text.", repr=False)
    tool_calls: list[dict[str, Any]] | None = Field(
        default=None, description="Tools to call, as the model asks.", repr=False
    )
    citations: list[dict[str, Any]] | None = Field(
        default=None, description="Sources of what it says.", repr=False
    )


class SessionResponse(Result):
    """One turn; `str()` of it is what the agent says."""

    session_id: str | None = Field(default=None, description="The session that it belongs to.")
    response: SessionReply = Field(description="What the agent says.", repr=False)

    @property
    def role(self) -> str:
        return self.response.role

    @property
    def content(self) -> str:
        return self.response.content

    @property
    def tool_calls(self) -> list[dict[str, Any]] | None:
        """Tools to call; their results go into the next turn as `tool_results`."""
        return self.response.tool_calls

    @property
    def citations(self) -> list[dict[str, Any]] | None:
        """Sources of what was said."""
        return self.response.citations

    @override
    def __str__(self) -> str:
        return self.content


class SessionMessage(Answer):
    """One message of a session's history."""

    message_id: str = Field(description="`msg_…`")
    role: str = Field(description="user, assistant, system or tool.")
    content: Any = Field(default="", description="The text, or its parts.", repr=False)
    timestamp: Date | None = Field(default=None, description="When it was said.", repr=False)
    metadata: dict[str, Any] | None = Field(
        default=None, description="Tool calls, citations, usage.", repr=False
    )

    @property
    def id(self) -> str:
        return self.message_id


class SessionHistory(Rows[SessionMessage]):
    """A part of what was said in a session, oldest first."""

    _rows = "messages"

    session_id: str = Field(description="The session.")
    messages: list[SessionMessage] = Field(description="The rows.", repr=False)
    total: int = Field(default=0, description="Messages in the whole history.")
