"""A turn of a session: the body of the task `session_turn`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import msgspec

from nexusai.providers.errors import AdapterError
from nexusai.providers.models import Model
from nexusai.providers.tokens import estimate_message_tokens, estimate_tokens
from nexusai.providers.types import ChatRequest, ChatResponse, Message, Usage
from nexusai.server.clock import now_ms
from nexusai.server.http import Problem
from nexusai.server.ids import new_id
from nexusai.server.sessions import context
from nexusai.server.sessions.agents import Agent, Passage, Retriever
from nexusai.server.sessions.models import AgentConfig, Context, MessageRow, SessionRow, TurnInput
from nexusai.server.sessions.sources import cite, tell
from nexusai.server.sessions.store import SessionStore, Turn
from nexusai.server.tasks.kinds.kind import Job, Kind, Output, origin, usage
from nexusai.server.tasks.kinds.text import complete

__all__ = ["SESSION_TURN", "Turns"]

logger: logging.Logger = logging.getLogger("nexusai.server.sessions")

SESSION_TURN: Final = "session_turn"

MOST_MESSAGES: Final = 2000
"""Of a history no more is looked at, however large the model's window."""

SUMMARY_TOKENS: Final = 500

_SUMMARIZE: Final = (
    "Summarize the conversation below in at most 250 words and in its own language. Keep names, figures, "
    "decisions, wishes and open questions."
)
_SUMMARY: Final = "Summary of the conversation so far:"


class _Memory(NamedTuple):
    """What the model is told of the past."""

    messages: Sequence[Message]
    summary: str | None
    summary_until: int
    used: Usage | None = None
    """What making a new summary took."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Runs turns. A turn that ran before, and was stored, is told again; the model is not asked twice."""

    store: SessionStore
    agents: Mapping[str, Agent]
    retriever: Retriever
    known: Callable[[str, str], Model | None]
    """What is known of a provider's model."""

    @property
    def kind(self) -> Kind:
        return Kind(SESSION_TURN, "chat", TurnInput, AgentConfig, self.run, internal=True)

    async def run(self, job: Job) -> Output:
        asked: TurnInput = job.input
        session = await self.store.find(job.project, asked.session_id)
        if session is None:
            raise Problem("NOT_FOUND", f"The session {asked.session_id!r} was deleted.")
        kept = await self.store.said(session.id, job.id)
        return self._again(job, kept[-1]) if kept else await self._first_time(job, session)

    def _again(self, job: Job, answer: MessageRow) -> Output:
        output = _output(answer)
        told = {name: value for name, value in output["response"].items() if name != "role" and value}
        job.emit({"delta": told})
        return output

    async def _first_time(self, job: Job, session: SessionRow) -> Output:
        config: AgentConfig = job.config
        before = await self.store.newest(session.id, session.summary_until, MOST_MESSAGES)
        replaced = _superseded(before) if job.input.regenerate else None
        said = job.input.messages()
        agent = self.agents.get(job.input.agent_type) or Agent(job.input.agent_type)
        rules = [part for part in (agent.instructions, config.system_prompt) if part]
        passages = await self._passages(job, [*(row.message for row in before), *said], rules)
        sources = [tell(passages)] if passages else []
        memory = await self._remember(job, session, before, said, [*rules, *sources])
        past = [f"{_SUMMARY}\n{memory.summary}"] if memory.summary else []
        messages = _prompt([*rules, *past, *sources], memory.messages)
        if agent.prepare is not None:
            messages = list(agent.prepare(messages))
        response = await complete(job, _request(job, messages))
        facts = _facts(job, response, passages, memory)
        if facts.get("citations"):
            job.emit({"delta": {"citations": facts["citations"]}})
        told = [*((message, {"task_id": job.id}) for message in said), (response.message, facts)]
        return await self._keep(job, told, replaced, memory)

    async def _passages(
        self, job: Job, messages: Sequence[Message], rules: Sequence[str]
    ) -> Sequence[Passage]:
        """What is found of the last question: the best of it, in half of the room at most."""
        config: AgentConfig = job.config
        query = next((str(each["content"]) for each in reversed(messages) if each["role"] == "user"), None)
        if not config.knowledge_base_ids or query is None:
            return []
        ids, top_k = config.knowledge_base_ids, config.top_k
        found = await self.retriever.retrieve(job.project, ids, query, top_k)
        room = self._limits(job, rules).tokens // 2
        return found[: context.fitting([each.content for each in found], room)]

    async def _remember(
        self,
        job: Job,
        session: SessionRow,
        before: Sequence[MessageRow],
        said: Sequence[Message],
        instructions: Sequence[str],
    ) -> _Memory:
        """What fits of the history; with the strategy `summarize` the rest becomes part of the summary."""
        config: AgentConfig = job.config
        messages = [*(row.message for row in before), *said]
        limits = self._limits(job, [*instructions, session.summary or ""], config.context)
        out = await asyncio.to_thread(context.cut, messages, limits)  # a large window takes half a second
        summarizes = config.context is not None and config.context.strategy == "summarize"
        past = _Memory([], session.summary, session.summary_until)
        if out and summarizes:
            more = min(await asyncio.to_thread(context.cut, messages, limits.halved), len(before))
            made = await self._summarize(job, session.summary, messages[:more])
            if made is not None:
                out, past = more, _Memory([], made.content, before[more - 1].position, made.usage)
        return past._replace(messages=context.repaired(messages[out:]))

    def _model(self, job: Job) -> Model | None:
        return self.known(job.provider.name, job.model)

    def _limits(self, job: Job, instructions: Sequence[str], wanted: Context | None = None) -> context.Limits:
        config: AgentConfig = job.config
        tools = estimate_tokens(_json(config.tools)) if config.tools else 0
        fixed = tools + estimate_message_tokens([{"content": text} for text in instructions])
        return context.limits(wanted, self._model(job), config.max_tokens, fixed)

    async def _summarize(
        self, job: Job, summary: str | None, messages: Sequence[Message]
    ) -> ChatResponse | None:
        """The old summary and these messages in a new one; None when the model makes none."""
        room = context.limits(None, self._model(job), SUMMARY_TOKENS, 2 * SUMMARY_TOKENS).tokens
        text = await asyncio.to_thread(context.transcript, messages, room)
        if summary:
            text = f"Summary: {summary}\n\n{text}"
        prompt = f"{_SUMMARIZE}\n\n<text>\n{text.replace('</text', '‹/text')}\n</text>"
        request = ChatRequest(
            job.model, [{"role": "user", "content": prompt}], max_tokens=SUMMARY_TOKENS, extra=job.extra
        )
        try:
            response = await job.provider.chat(request)
        except AdapterError as error:
            logger.warning("task %s: the older messages are left out, no summary: %s", job.id, error)
            return None
        return response if response.content.strip() else None

    async def _keep(
        self,
        job: Job,
        told: Sequence[tuple[Message, Mapping[str, Any]]],
        replaced: str | None,
        memory: _Memory,
    ) -> Output:
        """Store all messages of the turn, or none; its output."""
        session_id, at = job.input.session_id, now_ms()
        rows = [
            MessageRow(new_id("msg"), session_id, 0, job.id, number, _json(message), _json(facts), at)
            for number, (message, facts) in enumerate(told)
        ]
        turn = Turn(session_id, job.id, rows, replaced, memory.summary, memory.summary_until, at)
        keeping = asyncio.ensure_future(self.store.keep(turn))
        try:
            kept = await asyncio.shield(keeping)
        except asyncio.CancelledError:  # too late: what is being stored is stored, and the task says so
            kept = await keeping
        if not kept:
            raise Problem("CONFLICT", "The session is gone, or went on without this turn.")
        return _output(rows[-1])


def _superseded(before: list[MessageRow]) -> str | None:
    """Takes away the answer that is to be given anew, if there is one: a fork may end with a question."""
    return before.pop().id if before[-1].message["role"] == "assistant" else None


def _prompt(parts: Sequence[str], messages: Sequence[Message]) -> list[Message]:
    """One system prompt, since some servers take no second one, and the conversation."""
    system = "\n\n".join(parts)
    return [{"role": "system", "content": system}, *messages] if system else list(messages)


_NOT_OF_A_REQUEST: Final = frozenset(AgentConfig.__struct_fields__) - {
    each for each in ChatRequest.__dataclass_fields__ if each != "model"
}


def _request(job: Job, messages: Sequence[Message]) -> ChatRequest:
    options = msgspec.structs.asdict(job.config)
    for name in _NOT_OF_A_REQUEST:
        del options[name]
    return ChatRequest(model=job.model, messages=messages, extra=job.extra, **options)


def _facts(job: Job, response: ChatResponse, passages: Sequence[Passage], memory: _Memory) -> dict[str, Any]:
    """What is kept with an answer, and told with it."""
    extra = dict(response.extra)
    quoted = extra.pop("citations", [] if "demo" in extra and job.model == "text" else None)
    facts: dict[str, Any] = {
        "task_id": job.id,
        "finish_reason": response.finish_reason,
        "usage": usage(response.usage),
        **origin(job, replace(response, extra=extra)),
    }
    if memory.used is not None:
        facts["summary_usage"] = usage(memory.used)
    if response.reasoning:
        facts["reasoning"] = response.reasoning
    if passages and response.content and (citations := cite(response.content, quoted, passages)):
        facts["citations"] = citations
    return facts


def _output(answer: MessageRow) -> Output:
    """What a turn answers: made of what was stored, so that it is the same when the turn is told again."""
    message = answer.message
    facts = msgspec.json.decode(answer.metadata_json)
    del facts["task_id"]
    citations = facts.pop("citations", None)
    parts = {"tool_calls": message.get("tool_calls"), "citations": citations}
    response = {"role": "assistant", "content": message["content"]}
    return {
        "session_id": answer.session_id,
        "message_id": answer.id,
        "response": response | {name: value for name, value in parts.items() if value},
        "text": message["content"],
        **facts,
    }


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
