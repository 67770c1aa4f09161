"""Sessions through the SDK: both clients, the real platform, a real socket."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from nexusai import ConflictError, NotFoundError, TaskFailedError
from tests.fixtures.openai_upstream import Upstream
from tests.integration.conftest import Use

SIMULATED = {"provider": "local", "model": "simulate"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


async def settled(value: Any) -> Any:
    """What a call of either client gives, in the end."""
    return await value if inspect.isawaitable(value) else value


async def listed(values: Any) -> list[Any]:
    return [each async for each in values] if hasattr(values, "__aiter__") else list(values)


def in_session(use: Use, work: Callable[..., Any], **agent: Any) -> Any:
    """`await work(client, session)` with a new session, on the client of the moment."""

    def run(client: Any) -> Any:
        made = client.sessions.create(**agent)
        if inspect.isawaitable(made):
            return whole(client, made)
        return step_by_step(whole(client, made))

    async def whole(client: Any, made: Any) -> Any:
        return await work(client, await settled(made))

    return use(run)


def step_by_step(work: Any) -> Any:
    """Runs a coroutine that never has to wait: the sync client's calls are over when they return."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def test_a_conversation_is_remembered(sdk: Use) -> None:
    async def work(client: Any, session: Any) -> Any:
        first = await settled(session.invoke("My name is Ada."))
        second = await settled(session.invoke("What is my name?", tokens=3))
        told = await settled(session.history())
        return first, second, told, await settled(client.sessions.get(session.id))

    first, second, told, session = in_session(
        sdk, work, name="memory", system_prompt="Be brief.", **SIMULATED
    )
    assert [message.content for message in told] == [
        "My name is Ada.",
        str(first),
        "What is my name?",
        str(second),
    ]
    assert told.messages[1].timestamp.tzinfo is not None
    assert len(str(second).split()) == 3
    assert second.usage.prompt_tokens > first.usage.prompt_tokens
    assert (session.message_count, session.agent_config["system_prompt"]) == (4, "Be brief.")


def test_a_turn_is_streamed(sdk: Use) -> None:
    async def work(client: Any, session: Any) -> Any:
        stream = session.stream("hi")
        pieces = [chunk.text for chunk in await listed(stream)]
        return pieces, await settled(stream.final()), await settled(session.history())

    pieces, final, told = in_session(sdk, work, **SIMULATED)
    assert len(pieces) > 4
    assert "".join(pieces) == str(final) == told.messages[1].content
    assert (final.finish_reason, final.provider) == ("stop", "local")


def test_a_turn_is_submitted_and_waited_for_later(sdk: Use) -> None:
    async def work(client: Any, session: Any) -> Any:
        handle = await settled(session.submit("hi"))
        return await settled(handle.wait())

    answer = in_session(sdk, work, **SIMULATED)
    assert (answer.role, answer.session_id[:5]) == ("assistant", "sess_")


def test_a_session_is_renamed_changed_and_deleted(sdk: Use) -> None:
    async def work(client: Any, session: Any) -> Any:
        await settled(session.rename("new"))
        changed = await settled(client.sessions.update(session.id, temperature=0.2))
        pages = await settled(client.sessions.list(per_page=1))
        await settled(session.delete())
        with pytest.raises(NotFoundError):
            await settled(client.sessions.get(session.id))
        return changed, pages

    changed, pages = in_session(sdk, work, name="old", **SIMULATED)
    assert (changed.name, changed.agent_config) == ("new", {**SIMULATED, "temperature": 0.2})
    assert pages.sessions[0].id == changed.id


def test_two_turns_at_once_are_a_conflict(sdk: Use) -> None:
    async def work(client: Any, session: Any) -> Any:
        handle = await settled(session.submit("slow", latency=30))
        with pytest.raises(ConflictError) as raised:
            await settled(session.invoke("me too"))
        await settled(handle.cancel())
        return raised.value.error_code, await settled(session.invoke("now"))

    code, answer = in_session(sdk, work, **SIMULATED)
    assert code == "SESSION_BUSY"
    assert str(answer)


def test_a_failed_turn_raises_and_leaves_nothing(sdk: Use) -> None:
    async def work(client: Any, session: Any) -> Any:
        with pytest.raises(TaskFailedError, match="simulated failure"):
            await settled(session.invoke("hi", failure_rate=1))
        return await settled(session.history())

    assert in_session(sdk, work, **SIMULATED).total == 0


def test_all_of_a_history_is_iterated_over(sdk: Use) -> None:
    async def work(client: Any, session: Any) -> Any:
        for number in range(3):
            await settled(session.invoke(f"no. {number}"))
        return await listed(session.iter_history(limit=2))

    told = in_session(sdk, work, **SIMULATED)
    assert [message.content for message in told[::2]] == ["no. 0", "no. 1", "no. 2"]


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_are_called_by_the_model_and_answered_by_the_client(
    connected_sdk: Use, upstream: Upstream, streamed: bool
) -> None:
    async def work(client: Any, session: Any) -> Any:
        if streamed:
            stream = session.stream("weather?")
            await listed(stream)
            asked = await settled(stream.final())
        else:
            asked = await settled(session.invoke("weather?"))
        results = [{"tool_call_id": call["id"], "content": "sunny"} for call in asked.tool_calls]
        answer = await settled(session.invoke(tool_results=results))
        return asked, answer, await settled(session.history())

    asked, answer, told = in_session(connected_sdk, work, model="tools", tools=[TOOL])
    assert [call["function"]["name"] for call in asked.tool_calls] == ["look"]
    assert "sunny" in str(answer)
    assert [message.role for message in told] == ["user", "assistant", "tool", "assistant"]
    assert told.messages[1].metadata["tool_calls"] == asked.tool_calls
    sent = upstream.calls("/v1/chat/completions")[-1]["body"]["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]


def test_a_question_instead_of_a_tools_result_goes_on_without_the_call(
    connected_sdk: Use, upstream: Upstream
) -> None:
    async def work(client: Any, session: Any) -> Any:
        await settled(session.invoke("weather?"))
        return await settled(session.invoke("never mind", model="echo"))

    assert "never mind" in str(in_session(connected_sdk, work, model="tools", tools=[TOOL]))
    sent = upstream.calls("/v1/chat/completions")[-1]["body"]["messages"]
    assert [message["role"] for message in sent] == ["user", "user"]


@pytest.mark.parametrize(
    ("text", "question", "quote"),
    [
        ("The lamp burned whale oil. The bell was cast in 1854.", "What did the lamp burn?", "whale oil"),
        ("灯塔的灯燃烧鲸油。钟铸于1854年。", "灯塔的灯燃烧什么？", "鲸油"),
    ],
)
def test_an_answer_from_a_knowledge_base_cites_its_document(
    sdk: Use, text: str, question: str, quote: str
) -> None:
    def run(client: Any) -> Any:
        made = client.knowledge_bases.create("Lighthouse")
        return whole(client, made) if inspect.isawaitable(made) else step_by_step(whole(client, made))

    async def whole(client: Any, made: Any) -> Any:
        base = await settled(made)
        source = ("lamp.md", text.encode(), "text/markdown")
        document = await settled(client.knowledge_bases.upload_document(base.id, source))
        session = await settled(client.sessions.create("rag", knowledge_base_ids=[base.id]))
        answer = await settled(session.invoke(question))
        stream = session.stream(question)
        await listed(stream)
        told = await settled(session.history())
        return document, answer, await settled(stream.final()), told

    document, answer, streamed, told = sdk(run)
    assert quote in str(answer)
    (citation,) = answer.citations
    assert (citation["doc_id"], citation["filename"]) == (document.id, "lamp.md")
    assert quote in citation["quote"]
    assert streamed.citations == answer.citations
    assert told.messages[1].metadata["citations"] == answer.citations


def test_a_conversation_goes_two_ways_and_an_answer_is_given_anew(sdk: Use) -> None:
    async def work(client: Any, session: Any) -> Any:
        await settled(session.invoke("one"))
        await settled(session.invoke("two", seed=1))
        first = (await settled(session.history())).messages
        fork = await settled(session.fork(first[1], name="the other way"))
        await settled(fork.invoke("three"))
        again = await settled(session.regenerate(seed=2))
        stream = session.stream_regenerated(seed=3)
        pieces = "".join(chunk.text for chunk in await listed(stream))
        return first, fork, again, pieces, await settled(session.history()), await settled(fork.history())

    first, fork, again, pieces, told, forked = in_session(sdk, work, name="tree", **SIMULATED)
    assert (fork.name, fork.message_count) == ("the other way", 2)
    assert [message.content for message in forked][:3] == [first[0].content, first[1].content, "three"]
    assert [message.content for message in told] == [
        *(message.content for message in first[:3]),
        pieces,
    ]
    assert len({first[3].content, str(again), pieces}) == 3


def test_a_closed_session_takes_no_turn(sdk: Use) -> None:
    async def work(client: Any, session: Any) -> Any:
        await settled(client.sessions.update(session.id, is_active=False))
        with pytest.raises(ConflictError, match="closed"):
            await settled(session.invoke("hi"))
        opened = await settled(client.sessions.update(session.id, is_active=True))
        return opened, await settled(session.invoke("hi"))

    opened, answer = in_session(sdk, work, **SIMULATED)
    assert (opened.is_active, opened.agent_config) == (True, SIMULATED)
    assert str(answer)
