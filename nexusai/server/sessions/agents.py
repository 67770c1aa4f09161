"""The kinds of agents that a session may have, and where they look things up.

A package adds one by an entry point of the group `nexusai.agents` that leads to an `Agent`:

    [project.entry-points."nexusai.agents"]
    support = "my_package:SUPPORT"
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final, NamedTuple, Protocol

from nexusai.providers.types import Message

__all__ = ["GROUP", "Agent", "Passage", "Retriever", "agents"]

logger: logging.Logger = logging.getLogger("nexusai.server.sessions")

GROUP: Final = "nexusai.agents"


class Passage(NamedTuple):
    """A piece of a document that was found."""

    doc_id: str
    chunk_id: str
    kb_id: str
    filename: str
    page: int | None
    content: str
    score: float


class Retriever(Protocol):
    """Looks into knowledge bases."""

    async def retrieve(
        self, project: str, kb_ids: Sequence[str], query: str, top_k: int
    ) -> Sequence[Passage]:
        """The best passages, best first. Raises a `Problem` for a knowledge base that is not there."""

    async def missing(self, project: str, kb_ids: Sequence[str]) -> Sequence[str]:
        """Those of these knowledge bases that the project does not have."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A kind of agent: what it is told before the session's own `system_prompt`, and what it needs."""

    agent_type: str
    instructions: str | None = None
    needs_knowledge: bool = False
    """Whether a session of it must name knowledge bases."""
    prepare: Callable[[list[Message]], Sequence[Message]] | None = None
    """Has the last word on the messages of a turn, the system prompt first, before the model gets them."""


BUILT_IN: Final = (
    Agent("assistant"),
    Agent(
        "rag",
        "Answer from the sources that you are given, and from nothing else. When they do not hold the "
        "answer, say so. Answer in the language of the question.",
        needs_knowledge=True,
    ),
)


def agents(found: Iterable[EntryPoint] | None = None) -> Mapping[str, Agent]:
    """The built-in agents and those of installed packages; one that does not load is logged and left out."""
    known = {agent.agent_type: agent for agent in BUILT_IN}
    for entry in entry_points(group=GROUP) if found is None else found:
        try:
            agent = entry.load()
        except Exception:
            logger.exception("the agent %r (%s) cannot be loaded", entry.name, entry.value)
            continue
        if not isinstance(agent, Agent) or agent.agent_type in known:
            why = "is taken already" if isinstance(agent, Agent) else "is no Agent"
            logger.error("the agent %r (%s) %s", entry.name, entry.value, why)
            continue
        known[agent.agent_type] = agent
    return known
