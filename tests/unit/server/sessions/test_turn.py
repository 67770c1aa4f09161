from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nexusai.providers import ProviderConfig, open_provider
from nexusai.providers.errors import AdapterError
from nexusai.providers.models import Model, default_models
from nexusai.providers.tokens import estimate_message_tokens, estimate_tokens
from nexusai.providers.types import ChatRequest, ChatResponse
from nexusai.server.db.engine import Database, migrate
from nexusai.server.http import Problem
from nexusai.server.ids import new_id
from nexusai.server.sessions.agents import Agent, Passage
from nexusai.server.sessions.models import (
    AgentConfig,
    MessageRow,
    SessionRow,
    ToolResult,
    TurnInput,
    parse_config,
)
from nexusai.server.sessions.store import SqlSessionStore, Turn
from nexusai.server.sessions.turn import MOST_MESSAGES, Turns
from nexusai.server.tasks.kinds.kind import Job
from tests.fixtures.server import PROJECT, NoMedia

LAMP = Passage("doc_1", "chunk_1", "kb_1", "lamp.md", 2, "The lamp of the tower burned whale oil.", 0.9)
BELL = Passage("doc_2", "chunk_2", "kb_1", "bell.md", None, "The bell of the tower was cast in 1854.", 0.5)
SUMMARIZE = {"strategy": "summarize", "max_messages": 4}


def _known(provider: str, model: str) -> Model | None:
    found = default_models().find(provider, model)
    return found.model if found else None


class Shelf:
    """A retriever that finds what it was given."""

    def __init__(self, *passages: Passage) -> None:
        self.passages = passages
        self.asked: list[tuple[str, list[str], str, int]] = []

    async def retrieve(
        self, project: str, kb_ids: Sequence[str], query: str, top_k: int
    ) -> Sequence[Passage]:
        self.asked.append((project, list(kb_ids), query, top_k))
        return self.passages[:top_k]

    async def missing(self, project: str, kb_ids: Sequence[str]) -> Sequence[str]:
        return [kb_id for kb_id in kb_ids if kb_id != "kb_1"]


class Watched:
    """The real provider; `asked` is what it was asked, `refuses` names words that it does not answer to.

    Under another `name` its models are simulated.
    """

    def __init__(self, refuses: str | None = None) -> None:
        self._real = open_provider(ProviderConfig("local"))
        self.name = self._real.name
        self.stream = self._real.stream
        self.asked: list[str] = []
        self.refuses = refuses

    async def chat(self, request: ChatRequest) -> ChatResponse:
        self.asked.append(str(request.messages[-1]["content"]))
        if self.refuses is not None and self.refuses in self.asked[-1]:
            raise AdapterError("no", provider="local")
        own = request if self.name == "local" else replace(request, model="simulate")
        return await self._real.chat(own)


class Stage:
    """A session, and the turns that it takes. `seen` are the messages of each, as the model got them."""

    def __init__(self, store: SqlSessionStore) -> None:
        self.store = store
        self.shelf = Shelf(LAMP, BELL)
        self.seen: list[list[dict[str, Any]]] = []
        self.events: list[dict[str, Any]] = []
        self.provider: Any = Watched()
        watched = Agent("assistant", "Be kind.", prepare=self._see)
        self.turns = Turns(store, {"assistant": watched}, self.shelf, _known)
        self.session = SessionRow(
            "sess_1", PROJECT, "assistant", None, "{}", None, True, None, 0, None, 0, None, None, 1, 1
        )

    def _see(self, messages: list[Any]) -> list[Any]:
        self.seen.append(list(messages))
        return messages

    def job(
        self,
        prompt: str | None = "hi",
        config: Mapping[str, Any] | None = None,
        *,
        model: str = "simulate",
        stream: bool = False,
        **asked: Any,
    ) -> Job:
        options: AgentConfig = parse_config(config or {}, "config")
        known = AgentConfig.__struct_fields__
        return Job(
            id=new_id("task"),
            project=PROJECT,
            provider=self.provider,
            model=model,
            input=TurnInput(session_id="sess_1", agent_type="assistant", prompt=prompt, **asked),
            config=options,
            extra={name: value for name, value in (config or {}).items() if name not in known},
            stream=stream,
            media=NoMedia(),
            emit=self.events.append,
            progress=lambda percent: None,
        )

    async def take(self, *args: Any, **options: Any) -> dict[str, Any]:
        job = self.job(*args, **options)
        assert await self.store.reserve("sess_1", job.id, None, 1)
        return await self.turns.run(job)

    async def history(self) -> list[tuple[str, Any]]:
        rows, _ = await self.store.history("sess_1", 0, None)
        return [(row.message["role"], row.message["content"]) for row in rows]


@pytest.fixture
async def stage(tmp_path: Path) -> Any:
    migrate(tmp_path / "nexus.db")
    database = Database(tmp_path / "nexus.db")
    stage = Stage(SqlSessionStore(database))
    await stage.store.add(stage.session)
    yield stage
    database.close()


async def test_a_turn_is_answered_and_stored(stage: Stage):
    output = await stage.take("hello", {"system_prompt": "Be brief."})
    assert output["response"] == {"role": "assistant", "content": output["text"]}
    assert (output["session_id"], output["provider"], output["model"]) == ("sess_1", "local", "simulate")
    assert output["finish_reason"] == "stop"
    assert output["usage"]["total_tokens"] > 8
    assert await stage.history() == [("user", "hello"), ("assistant", output["text"])]
    assert stage.seen == [
        [{"role": "system", "content": "Be kind.\n\nBe brief."}, {"role": "user", "content": "hello"}]
    ]


async def test_the_next_turn_knows_the_one_before(stage: Stage):
    first = await stage.take("one")
    await stage.take("two")
    assert [message["content"] for message in stage.seen[1][1:]] == ["one", first["text"], "two"]


async def test_a_turn_that_ran_before_is_told_again_and_the_model_not_asked(stage: Stage):
    job = stage.job("hello", stream=True)
    await stage.store.reserve("sess_1", job.id, None, 1)
    first = await stage.turns.run(job)
    stage.events.clear()
    again = await stage.turns.run(job)
    assert again == first
    assert len(stage.seen) == 1
    assert stage.events == [{"delta": {"content": first["text"]}}]
    assert len(await stage.history()) == 2


async def test_a_turn_that_fails_leaves_nothing(stage: Stage):
    with pytest.raises(Exception, match="simulated failure"):
        await stage.take("hello", {"error_code": "PROVIDER_ERROR"})
    assert await stage.history() == []


async def test_a_turn_of_a_session_that_was_deleted_meanwhile_leaves_nothing(stage: Stage):
    job = stage.job()
    await stage.store.delete(PROJECT, "sess_1")
    with pytest.raises(Problem, match="deleted"):
        await stage.turns.run(job)


async def test_a_turn_that_lost_its_session_leaves_nothing(stage: Stage):
    job = stage.job()
    await stage.store.reserve("sess_1", "task_other", None, 1)
    with pytest.raises(Problem, match="went on without this turn"):
        await stage.turns.run(job)
    assert await stage.history() == []


async def test_a_cancel_that_comes_while_the_turn_is_stored_comes_too_late(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    keep, storing = stage.store.keep, asyncio.Event()

    async def slowly(turn: Turn) -> bool:
        storing.set()
        await asyncio.sleep(0.02)
        return await keep(turn)

    monkeypatch.setattr(stage.store, "keep", slowly)
    running = asyncio.ensure_future(stage.take("hello"))
    await storing.wait()
    running.cancel()
    output = await running
    assert await stage.history() == [("user", "hello"), ("assistant", output["text"])]


async def test_a_turn_streams_what_it_says(stage: Stage):
    output = await stage.take("hello", stream=True)
    assert "".join(event["delta"]["content"] for event in stage.events) == output["text"]


async def test_another_answer_takes_the_place_of_the_last_one(stage: Stage):
    await stage.take("hello", {"seed": 1})
    other = await stage.take(None, {"seed": 2}, regenerate=True)
    assert stage.seen[0] == stage.seen[1]
    assert await stage.history() == [("user", "hello"), ("assistant", other["text"])]


async def test_results_of_tools_come_before_what_the_user_says(stage: Stage):
    results = [ToolResult(tool_call_id="a", content={"degrees": 20})]
    await stage.take("thanks", tool_results=results)
    assert await stage.history() == [
        ("tool", '{"degrees":20}'),
        ("user", "thanks"),
        ("assistant", (await stage.history())[2][1]),
    ]


async def test_only_the_last_messages_are_shown_to_the_model(stage: Stage):
    for number in range(4):
        await stage.take(f"no. {number}", {"context": {"max_messages": 3}})
    assert [m["content"] for m in stage.seen[-1] if m["role"] == "user"] == ["no. 2", "no. 3"]
    assert stage.seen[-1][0] == {"role": "system", "content": "Be kind."}
    assert len(await stage.history()) == 8


async def test_older_turns_are_summarized_and_the_summary_is_kept(stage: Stage):
    for number in range(4):
        await stage.take(f"no. {number}", {"context": SUMMARIZE})
    session = await stage.store.find(PROJECT, "sess_1")
    assert session is not None
    assert session.summary
    assert session.summary_until == 4
    system, *rest = stage.seen[-1]
    assert system["content"] == f"Be kind.\n\nSummary of the conversation so far:\n{session.summary}"
    assert [message["content"] for message in rest if message["role"] == "user"] == ["no. 2", "no. 3"]
    assert len(await stage.history()) == 8


async def test_a_summary_is_not_made_anew_with_every_turn(stage: Stage):
    outputs = [await stage.take(f"no. {number}", {"context": SUMMARIZE}) for number in range(8)]
    assert sum("summary_usage" in output for output in outputs) < 4


async def test_the_embedded_text_model_summarizes_in_words_of_the_conversation(stage: Stage):
    config = {"context": {"strategy": "summarize", "max_messages": 2}}
    await stage.take("I keep the lighthouse. My lighthouse stands on Norderney. The lighthouse is red.")
    await stage.take("What is the weather like?", config, model="text")
    session = await stage.store.find(PROJECT, "sess_1")
    assert session is not None
    assert "lighthouse" in (session.summary or "")


@pytest.mark.parametrize("strategy", ["last_n", "token_budget", "summarize"])
async def test_what_the_model_sees_fits_into_its_window(stage: Stage, strategy: str):
    """8,192 tokens of this model; the system prompt stays whole."""
    rules = "Never say no. " * 100
    for number in range(6):
        await stage.take(f"no. {number} " + "灯塔 word " * 500)
    stage.provider.name = "openai"
    config = {"system_prompt": rules, "context": {"strategy": strategy}, "max_tokens": 1000}
    await stage.take("and now?", config, model="gpt-4")
    system, *rest = stage.seen[-1]
    assert system["content"].startswith(f"Be kind.\n\n{rules}")
    assert rest[-1] == {"role": "user", "content": "and now?"}
    assert estimate_message_tokens(stage.seen[-1]) + 1000 < 8192
    assert len(rest) < 12
    assert (rest[0]["role"], len(rest) > 1) == ("user", True)


async def test_a_summary_grows_out_of_the_one_before(stage: Stage):
    config = {"context": SUMMARIZE | {"max_tokens": 1500}}
    for number in range(6):
        await stage.take(f"no. {number} " + "word " * 1000, config)
    first, second = [text for text in stage.provider.asked if text.startswith("Summarize")][:2]
    assert "User: no. 0 word" in first
    assert "Summary: " not in first
    assert "<text>\nSummary: " in second
    assert "User: no. 1 word" in second
    assert "User: no. 0 word" not in second


async def test_a_long_past_does_not_push_the_summary_before_it_out(stage: Stage):
    config = {"context": SUMMARIZE}
    for number in range(3):
        await stage.take(f"no. {number}", config)
    for _ in range(2):
        await stage.take("word " * 20_000, config)
    *_, last = [text for text in stage.provider.asked if text.startswith("Summarize")]
    assert "<text>\nSummary: " in last
    assert 15_000 < estimate_tokens(last) < 32_768


async def test_without_a_summary_the_turn_goes_on_with_what_fits(stage: Stage):
    stage.provider.refuses = "Summarize"
    for number in range(4):
        await stage.take(f"no. {number}", {"context": SUMMARIZE})
    session = await stage.store.find(PROJECT, "sess_1")
    assert session is not None
    assert (session.summary, session.summary_until) == (None, 0)
    asked = [message["content"] for message in stage.seen[-1] if message["role"] == "user"]
    assert asked == ["no. 2", "no. 3"]


async def test_a_summary_of_no_words_is_none(stage: Stage):
    for number in range(4):
        await stage.take(f"no. {number}", {"context": SUMMARIZE, "tokens": 0})
    session = await stage.store.find(PROJECT, "sess_1")
    assert session is not None
    assert session.summary is None


async def test_results_whose_calls_are_too_long_ago_are_not_shown_to_the_model(stage: Stage):
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    exchange = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "a"},
        {"role": "assistant", "content": "a"},
    ]
    said = [*(exchange * (MOST_MESSAGES // 4 + 1)), exchange[0], exchange[3]]
    rows = [
        MessageRow(f"msg_{place}", "sess_2", place, f"task_{place}", 0, json.dumps(message), "{}", 1)
        for place, message in enumerate(said, 1)
    ]
    await stage.store.add(stage.session._replace(id="sess_2"), rows)
    job = stage.job()
    job.input.session_id = "sess_2"
    await stage.store.reserve("sess_2", job.id, None, 1)
    await stage.turns.run(job)
    assert len(stage.seen[0]) > MOST_MESSAGES - 5
    assert [message["role"] for message in stage.seen[0][:3]] == ["system", "assistant", "user"]


async def test_passages_leave_room_for_the_conversation(stage: Stage):
    stage.shelf.passages = tuple(LAMP._replace(content="oil " * 4000) for _ in range(9))
    await stage.take("What?", {"knowledge_base_ids": ["kb_1"], "top_k": 9})
    assert stage.seen[0][0]["content"].count("<source ") == 2


async def test_an_agent_that_breaks_fails_its_turn_alone(stage: Stage):
    def prepare(messages: list[Any]) -> list[Any]:
        raise ZeroDivisionError

    stage.turns.agents["assistant"] = Agent("assistant", prepare=prepare)
    with pytest.raises(ZeroDivisionError):
        await stage.take("hi")
    assert await stage.history() == []


async def test_passages_are_told_to_the_model_and_cited(stage: Stage):
    output = await stage.take(
        "What did the lamp burn?", {"knowledge_base_ids": ["kb_1"], "top_k": 2}, model="text", stream=True
    )
    assert stage.shelf.asked == [(PROJECT, ["kb_1"], "What did the lamp burn?", 2)]
    assert '<source id="1" file="lamp.md" page="2">' in stage.seen[0][0]["content"]
    assert "whale oil" in output["text"]
    cited = [
        {"doc_id": "doc_1", "chunk_id": "chunk_1", "filename": "lamp.md", "page": 2, "quote": LAMP.content}
    ]
    assert output["response"]["citations"] == cited
    assert stage.events[-1] == {"delta": {"citations": cited}}
    rows, _ = await stage.store.history("sess_1", 1, 1)
    assert rows[0].show()["metadata"]["citations"] == cited


async def test_a_question_in_chinese_is_answered_from_its_passage(stage: Stage):
    stage.shelf.passages = (LAMP._replace(content="灯塔的灯燃烧鲸油。钟铸于1854年。"),)
    output = await stage.take("灯塔的灯燃烧什么？", {"knowledge_base_ids": ["kb_1"]}, model="text")
    assert output["response"]["citations"][0]["quote"] == "灯塔的灯燃烧鲸油。"


async def test_nothing_found_is_nothing_told_and_nothing_cited(stage: Stage):
    stage.shelf.passages = ()
    output = await stage.take("What?", {"knowledge_base_ids": ["kb_1"]})
    assert stage.seen[0][0]["content"] == "Be kind."
    assert "citations" not in output["response"]


async def test_a_turn_without_knowledge_bases_looks_nothing_up(stage: Stage):
    await stage.take("What did the lamp burn?")
    assert stage.shelf.asked == []
