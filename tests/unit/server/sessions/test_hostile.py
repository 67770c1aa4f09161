"""What users of sessions do at the worst moment, or with the worst words."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest

from nexusai.server.sessions.store import SqlSessionStore, Turn
from nexusai.server.tasks.service import TaskService
from tests.fixtures.served import Served
from tests.unit.server.sessions.test_routes import SIMULATED, begun, history, loc, refused, say, slow

ASYNC = {"Prefer": "respond-async"}


def at_once(*works: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """The answers to requests that are sent together."""
    ready = threading.Barrier(len(works))

    def run(work: Callable[[], httpx.Response]) -> httpx.Response:
        ready.wait(10)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def turns(client: httpx.Client, session: str) -> list[str]:
    """The tasks of a session's turns."""
    page = client.get("/tasks", params={"metadata[session_id]": session, "limit": 100}).json()
    return [task["task_id"] for task in page["data"]]


def tell(platform: Served, session: str, *messages: dict[str, Any]) -> None:
    """Put messages at the end of a session's history."""
    insert = "INSERT INTO session_messages VALUES (?, ?, ?, ?, ?, ?, '{}', 1)"
    with closing(sqlite3.connect(platform.database, timeout=10)) as connection, connection:
        found = connection.execute(
            "SELECT coalesce(max(position), 0) FROM session_messages WHERE session_id = ?", (session,)
        )
        first = found.fetchone()[0] + 1
        connection.executemany(
            insert,
            (
                (f"msg_{session}_{place}", session, place, f"task_{place}", 0, json.dumps(message))
                for place, message in enumerate(messages, first)
            ),
        )


def calls(*ids: str) -> dict[str, Any]:
    asked = [{"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}} for id in ids]
    return {"role": "assistant", "content": "", "tool_calls": asked}


def asking(client: httpx.Client, platform: Served, *ids: str) -> str:
    """A session whose agent waits for the results of tools."""
    session = begun(client)
    tell(platform, session, {"role": "user", "content": "weather?"}, calls(*ids))
    return session


# Too many at once


def test_of_many_turns_at_once_one_is_taken(client: httpx.Client):
    session = begun(client)
    body = {"prompt": "me", "config": {"latency": 30}}
    answers = at_once(
        *[lambda: client.post(f"/sessions/{session}/invoke", json=body, headers=ASYNC)] * 12,
    )
    (taken,) = [answer for answer in answers if answer.status_code == 202]
    assert {refused(answer, 409, "SESSION_BUSY")["status"] for answer in answers if answer is not taken}
    assert turns(client, session) == [taken.json()["task_id"]]
    client.post(f"/tasks/{taken.json()['task_id']}/cancel")


def test_turns_that_are_hammered_in_are_never_interleaved(client: httpx.Client):
    session = begun(client, agent_config={**SIMULATED, "tokens": 2})
    work = lambda: client.post(f"/sessions/{session}/invoke", json={"prompt": "me"})  # noqa: E731
    answers = [answer for _ in range(4) for answer in at_once(*[work] * 6)]
    assert {answer.status_code for answer in answers} <= {200, 409}
    taken = sum(answer.status_code == 200 for answer in answers)
    told = history(client, session, limit=200)
    assert told["total"] == 2 * taken >= 8
    assert [message["role"] for message in told["messages"]] == ["user", "assistant"] * taken


def test_a_key_that_is_sent_many_times_at_once_makes_one_turn(client: httpx.Client):
    session, headers = begun(client), {"Idempotency-Key": "many-at-once", "Prefer": "wait=10"}
    work = lambda: client.post(  # noqa: E731
        f"/sessions/{session}/invoke", json={"prompt": "hi"}, headers=headers
    )
    answers = at_once(*[work] * 8)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.json()["task_id"] for answer in answers if answer.status_code == 200}) == 1
    assert work().json()["task_id"] == turns(client, session)[0]
    assert history(client, session)["total"] == 2


def test_a_key_stands_for_its_turn_though_the_agent_was_changed_since(client: httpx.Client):
    session, key = begun(client), {"Idempotency-Key": "before-the-change"}
    first = client.post(f"/sessions/{session}/invoke", json={"prompt": "hi"}, headers=key)
    client.patch(f"/sessions/{session}", json={"agent_config": {"temperature": 0.1}, "is_active": False})
    again = client.post(f"/sessions/{session}/invoke", json={"prompt": "hi"}, headers=key)
    assert (again.status_code, again.json()) == (200, first.json())
    other = client.post(f"/sessions/{begun(client)}/invoke", json={"prompt": "hi"}, headers=key)
    refused(other, 409, "CONFLICT")


def test_changes_at_once_are_all_made(client: httpx.Client):
    session = begun(client)
    patches = [{"metadata": {f"m{n}": n}, "agent_config": {f"c{n}": n}} for n in range(8)]
    answers = at_once(
        *[lambda patch=patch: client.patch(f"/sessions/{session}", json=patch) for patch in patches]
    )
    assert {answer.status_code for answer in answers} == {200}
    shown = client.get(f"/sessions/{session}").json()
    assert shown["metadata"] == {f"m{n}": n for n in range(8)}
    assert shown["agent_config"] == SIMULATED | {f"c{n}": n for n in range(8)}


def test_a_turn_runs_as_its_agent_was_when_it_began(client: httpx.Client):
    session = begun(client, agent_config={**SIMULATED, "tokens": 3})
    task = slow(client, session, latency=0.2)
    client.patch(f"/sessions/{session}", json={"agent_config": {"tokens": 5}})
    ended = client.get(f"/tasks/{task}", headers={"Prefer": "wait=10"}).json()
    assert len(ended["output"]["text"].split()) == 3


def test_the_form_of_an_answer_is_replaced_whole(client: httpx.Client):
    schema = {"name": "n", "schema": {"properties": {"a": {"default": None}}}}
    form = {"type": "json_schema", "json_schema": schema}
    session = begun(client, agent_config={**SIMULATED, "response_format": form})
    assert client.get(f"/sessions/{session}").json()["agent_config"]["response_format"] == form
    patch = {"agent_config": {"response_format": {"type": "text"}}}
    shown = client.patch(f"/sessions/{session}", json=patch).json()
    assert shown["agent_config"] == {**SIMULATED, "response_format": {"type": "text"}}
    patch = {"agent_config": {"response_format": None}}
    assert client.patch(f"/sessions/{session}", json=patch).json()["agent_config"] == SIMULATED


# Deletion at the worst moment


def test_nothing_is_left_of_a_session_that_is_deleted_while_it_is_used(
    client: httpx.Client, platform: Served
):
    body = {"prompt": "the word that has to go", "config": {"latency": 0.02}}
    for _ in range(10):
        session = begun(client)
        answers = at_once(
            lambda one=session: client.delete(f"/sessions/{one}"),
            *[
                lambda one=session: client.post(f"/sessions/{one}/invoke", json=body, headers=ASYNC),
                lambda one=session: client.post(f"/sessions/{one}/fork", json={}),
                lambda one=session: client.patch(f"/sessions/{one}", json={"name": "x"}),
            ],
        )
        deleted, invoked, forked, changed = (answer.status_code for answer in answers)
        assert deleted == 204
        assert invoked in (202, 404)
        assert forked in (201, 404)
        assert changed in (200, 404)
        refused(client.get(f"/sessions/{session}"), 404, "NOT_FOUND")
        assert turns(client, session) == []
    with closing(sqlite3.connect(platform.database)) as connection:
        assert "the word that has to go" not in "\n".join(connection.iterdump())


def test_a_turn_whose_session_goes_before_it_is_a_task_leaves_none(
    client: httpx.Client, platform: Served, monkeypatch: pytest.MonkeyPatch
):
    session = begun(client)
    reserve = SqlSessionStore.reserve

    async def and_then_it_goes(store: SqlSessionStore, session_id: str, *args: Any) -> bool:
        held = await reserve(store, session_id, *args)
        with closing(sqlite3.connect(platform.database, timeout=10)) as connection, connection:
            connection.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
        return held

    monkeypatch.setattr(SqlSessionStore, "reserve", and_then_it_goes)
    answer = client.post(f"/sessions/{session}/invoke", json={"prompt": "hi"}, headers=ASYNC)
    refused(answer, 404, "NOT_FOUND")
    assert turns(client, session) == []


def test_a_deletion_that_was_cut_short_can_be_asked_for_again(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    session = begun(client)
    say(client, session)

    async def broken(*_: Any) -> None:
        raise RuntimeError("as a crash would")

    with monkeypatch.context() as patch:
        patch.setattr(TaskService, "delete", broken)
        assert client.delete(f"/sessions/{session}").status_code == 500
    assert client.delete(f"/sessions/{session}").status_code == 204
    assert turns(client, session) == []


def test_a_session_whose_turn_does_not_let_go_is_deleted_later(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    session = begun(client)
    keep, storing, done = SqlSessionStore.keep, threading.Event(), threading.Event()

    async def slowly(store: SqlSessionStore, turn: Turn) -> bool:
        storing.set()
        await asyncio.to_thread(done.wait, 10)
        return await keep(store, turn)

    monkeypatch.setattr(SqlSessionStore, "keep", slowly)
    monkeypatch.setattr("nexusai.server.tasks.service.CANCEL_WAIT", 0.05)
    task = slow(client, session, latency=0)
    assert storing.wait(10)
    problem = refused(client.delete(f"/sessions/{session}"), 409, "SESSION_BUSY")
    assert problem["task_id"] == task
    done.set()
    ended = client.get(f"/tasks/{task}", headers={"Prefer": "wait=10"}).json()
    assert ended["status"] == "completed"
    assert history(client, session)["total"] == 2
    assert client.delete(f"/sessions/{session}").status_code == 204
    assert turns(client, session) == []


def test_who_follows_a_turn_is_told_when_its_session_is_deleted(client: httpx.Client):
    session = begun(client)
    body = {"prompt": "hi", "stream": True, "config": {"tokens": 2000, "tokens_per_second": 20}}
    with client.stream("POST", f"/sessions/{session}/invoke", json=body) as answer:
        lines = answer.iter_lines()
        next(line for line in lines if '"delta"' in line)
        assert client.delete(f"/sessions/{session}").status_code == 204
        rest = list(lines)
    assert "event: error" in rest
    assert any('"code":"CANCELLED"' in line for line in rest)
    assert "data: [DONE]" not in rest


def test_the_task_of_a_turn_may_go_and_its_messages_stay(client: httpx.Client):
    session = begun(client)
    turn = say(client, session)
    assert client.delete(f"/tasks/{turn['task_id']}").status_code == 204
    assert history(client, session)["total"] == 2
    say(client, session)


# Streams


def test_a_silent_turn_is_kept_open_by_comments(client: httpx.Client):
    body = {"prompt": "hi", "stream": True, "config": {"latency": 0.2}}
    told = client.post(f"/sessions/{begun(client)}/invoke", json=body).text
    assert ": still here\n\n" in told
    assert told.endswith("data: [DONE]\n\n")


def test_a_turn_that_is_to_end_with_its_caller_leaves_no_message(client: httpx.Client):
    session = begun(client)
    config = {"tokens": 500, "tokens_per_second": 20, "cancel_on_disconnect": True}
    body = {"prompt": "hi", "stream": True, "config": config}
    with client.stream("POST", f"/sessions/{session}/invoke", json=body) as answer:
        next(line for line in answer.iter_lines() if '"delta"' in line)
    (task,) = turns(client, session)
    assert client.get(f"/tasks/{task}", headers={"Prefer": "wait=10"}).json()["status"] == "cancelled"
    assert history(client, session)["total"] == 0
    say(client, session)


def test_another_answer_is_streamed(client: httpx.Client):
    session = begun(client)
    say(client, session)
    told = client.post(
        f"/sessions/{session}/regenerate", json={"stream": True, "config": {"tokens": 4, "seed": 9}}
    ).text
    data = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: {")]
    said = "".join(event["delta"]["content"] for event in data if "delta" in event)
    assert len(said.split()) == 4
    assert [message["content"] for message in history(client, session)["messages"]] == ["hi", said]


# Tools


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (["other"], ["tool_results", 0, "tool_call_id"]),
        (["a", "b", "c"], ["tool_results", 2, "tool_call_id"]),
        (["a", "b", "a"], ["tool_results", 2, "tool_call_id"]),
        (["a"], ["tool_results"]),
    ],
)
def test_results_that_do_not_answer_the_calls_are_refused(
    client: httpx.Client, platform: Served, given: list[str], where: list[Any]
):
    session = asking(client, platform, "a", "b")
    results = [{"tool_call_id": id, "content": "x"} for id in given]
    assert loc(client.post(f"/sessions/{session}/invoke", json={"tool_results": results})) == where
    assert history(client, session)["total"] == 2
    right = [{"tool_call_id": id, "content": {"degrees": [20, None]}} for id in ("b", "a")]
    answer = client.post(f"/sessions/{session}/invoke", json={"tool_results": right})
    assert answer.status_code == 200
    told = history(client, session)["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "tool", "tool", "assistant"]
    assert told[2]["content"] == '{"degrees":[20,null]}'
    assert told[2]["metadata"]["tool_call_id"] == "b"


def test_a_result_is_given_once(client: httpx.Client, platform: Served):
    session = asking(client, platform, "a")
    body = {"tool_results": [{"tool_call_id": "a", "content": "sunny"}]}
    assert client.post(f"/sessions/{session}/invoke", json=body).status_code == 200
    assert loc(client.post(f"/sessions/{session}/invoke", json=body)) == ["tool_results", 0, "tool_call_id"]


def test_the_call_of_another_session_waits_for_no_result_here(client: httpx.Client, platform: Served):
    asking(client, platform, "theirs")
    body = {"tool_results": [{"tool_call_id": "theirs", "content": "x"}]}
    answer = client.post(f"/sessions/{asking(client, platform, 'ours')}/invoke", json=body)
    assert loc(answer) == ["tool_results", 0, "tool_call_id"]


def test_a_fork_in_the_middle_of_results_takes_the_rest(client: httpx.Client, platform: Served):
    session = asking(client, platform, "a", "b")
    tell(platform, session, {"role": "tool", "tool_call_id": "a", "content": "x"})
    forked = client.post(f"/sessions/{session}/fork", json={}).json()["session_id"]
    body = {"tool_results": [{"tool_call_id": "b", "content": "y"}], "prompt": "and now?"}
    assert client.post(f"/sessions/{forked}/invoke", json=body).status_code == 200
    roles = [message["role"] for message in history(client, forked)["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "user", "assistant"]


# Words and sizes


WORDS = [
    "\0",
    "e\u0301\u202eevil\u2066",
    "👩‍👩‍👧 \u2028\u2029\ufeff",
    "灯塔" * 1000,
    '"}\n\ndata: [DONE]\n\n',
    " ",
]


@pytest.mark.parametrize("words", WORDS)
def test_any_words_are_kept_as_they_are(client: httpx.Client, words: str):
    session = begun(client, name=words[:200], metadata={"note": words[:200]})
    told = client.post(f"/sessions/{session}/invoke", json={"prompt": words, "stream": True}).text
    assert told.count("data: [DONE]") == 1
    assert history(client, session)["messages"][0]["content"] == words
    shown = client.get(f"/sessions/{session}").json()
    assert (shown["name"], shown["metadata"]["note"]) == (words[:200], words[:200])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"prompt": "\\ud800"}', 400),
        (b'{"prompt": 5}', 400),
        (b'{"prompt": null}', 400),
        (b'{"prompt": "a", "config": {"temperature": NaN}}', 400),
        (b'{"prompt": "a", "config": {"deep": ' + b"[" * 90_000 + b"]" * 90_000 + b"}}", 400),
        (b'{"prompt": "' + b"x" * 300_000 + b'"}', 413),
    ],
)
def test_a_body_that_will_not_do_is_refused_and_holds_nothing(client: httpx.Client, body: bytes, status: int):
    session = begun(client)
    sent = {"Content-Type": "application/json"}
    assert client.post(f"/sessions/{session}/invoke", content=body, headers=sent).status_code == status
    say(client, session)


@pytest.mark.parametrize("one", ["%00", "..%2F..", "sess_%F0%9F%92%A5", "'%20OR%201=1--", "x" * 3000, "%FF"])
def test_an_id_that_is_none_is_not_found(client: httpx.Client, one: str):
    for path in ("", "/history"):
        refused(client.get(f"/sessions/{one}{path}"), 404, "NOT_FOUND")
    refused(client.post(f"/sessions/{one}/invoke", json={"prompt": "hi"}), 404, "NOT_FOUND")


@pytest.mark.parametrize("page", [{"limit": 201}, {"limit": "all"}, {"offset": -1}, {"offset": 2**70}])
def test_a_part_of_the_history_that_cannot_be_is_refused(client: httpx.Client, page: dict[str, Any]):
    assert loc(client.get(f"/sessions/{begun(client)}/history", params=page)) == [*page]


@pytest.mark.parametrize("strategy", ["last_n", "token_budget", "summarize"])
def test_a_long_history_is_no_burden(client: httpx.Client, platform: Served, strategy: str):
    session = begun(client, agent_config={**SIMULATED, "context": {"strategy": strategy}})
    pair = [{"role": "user", "content": "word " * 300}, {"role": "assistant", "content": "灯塔 " * 300}]
    tell(platform, session, *(pair * 2500))
    began = time.monotonic()
    turn = say(client, session, "and now?")
    forked = client.post(f"/sessions/{session}/fork", json={}).json()
    assert forked["message_count"] == 5002
    end = history(client, session, limit=2, offset=5000)
    assert (end["total"], end["messages"][0]["content"]) == (5002, "and now?")
    assert turn["usage"]["prompt_tokens"] < 32_768
    assert client.delete(f"/sessions/{session}").status_code == 204
    assert time.monotonic() - began < 10


def test_a_failing_agent_does_not_block_its_session(client: httpx.Client):
    session = begun(client)
    for _ in range(3):
        failing = {"prompt": "hi", "config": {"failure_rate": 1}}
        assert client.post(f"/sessions/{session}/invoke", json=failing).status_code >= 500
    say(client, session)
    assert history(client, session)["total"] == 2
