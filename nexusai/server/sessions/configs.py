"""What agents are configured to: put together, and checked before a turn has to find out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nexusai.server.catalogue import Catalogue
from nexusai.server.http import Problem
from nexusai.server.sessions.agents import Agent, Retriever
from nexusai.server.sessions.models import parse_config

__all__ = ["AgentConfigs", "merged"]


def merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A merge patch (RFC 7396): objects are merged, null takes away, everything else is replaced."""
    whole = dict(old)
    for name, value in patch.items():
        if value is None:
            whole.pop(name, None)
        elif isinstance(value, dict):
            before = whole.get(name)
            whole[name] = merged(before if isinstance(before, dict) else {}, value)
        else:
            whole[name] = value
    return whole


_WHOLE: Final = ("response_format", "tool_choice")
"""Half of one and half of another would be neither."""


@dataclass(frozen=True, slots=True)
class AgentConfigs:
    catalogue: Catalogue
    agents: Mapping[str, Agent]
    retriever: Retriever

    def over(self, config: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
        """A config under a merge patch. Who names another provider does not mean the old one's model."""
        whole, model = merged(config, patch), patch.get("model")
        whole |= {name: patch[name] for name in _WHOLE if patch.get(name) is not None}
        if patch.get("provider") is not None and model is None:
            whole.pop("model", None)
        if "provider" not in patch and isinstance(model, str) and self.catalogue.says_provider(model):
            whole.pop("provider", None)
        return whole

    async def check(
        self, project: str, agent_type: str, config: Mapping[str, Any], loc: str = "agent_config"
    ) -> None:
        """Raises a 400 `Problem` for an agent that could not take a turn."""
        agent = self.agents.get(agent_type)
        if agent is None:
            known = ", ".join(self.agents)
            raise Problem.field(["agent_type"], f"{agent_type[:100]!r} is no agent here; known: {known}")
        parsed = parse_config(config, loc)
        where = [loc, "knowledge_base_ids"]
        if agent.needs_knowledge and not parsed.knowledge_base_ids:
            raise Problem.field(where, f"an agent of type {agent_type!r} needs some", "missing")
        if ids := parsed.knowledge_base_ids:
            for kb_id in await self.retriever.missing(project, ids):
                raise Problem.field(where, f"there is no knowledge base {kb_id[:100]!r}", "not_found")
        if parsed.provider is not None or parsed.model is not None:
            self._resolve(parsed.provider, parsed.model, loc)

    def _resolve(self, provider: str | None, model: str | None, loc: str) -> None:
        try:
            self.catalogue.resolve("chat", provider, model)
        except Problem as problem:
            wrong = problem.errors[0]
            raise Problem.field([loc, *wrong["loc"]], wrong["msg"], wrong["type"]) from None
