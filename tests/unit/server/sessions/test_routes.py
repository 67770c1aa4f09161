from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.fixtures.served import Served

SIMULATED = {"model": "local/simulate"}
NOWHERE = "sess_00000000000000000000000000000000"


def begun(client: httpx.Client, **fields: Any) -> str:
    answer = client.post("/sessions", json={"agent_config": SIMULATED, **fields})
    assert answer.status_code == 201, answer.text
    session_id: str = answer.json()["session_id"]
    return session_id


def say(client: httpx.Client, session: str, prompt: str = "hi", **fields: Any) -> dict[str, Any]:
    answer = client.post(f"/sessions/{session}/invoke", json={"prompt": prompt, **fields})
    assert answer.status_code == 200, answer.text
    turn: dict[str, Any] = answer.json()
    return turn


def slow(client: httpx.Client, session: str, latency: float = 30) -> str:
    """A turn that takes its time; its task."""
    answer = client.post(
        f"/sessions/{session}/invoke",
        json={"prompt": "slow", "config": {"latency": latency}},
        headers={"Prefer": "respond-async"},
    )
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


def history(client: httpx.Client, session: str, **page: int) -> dict[str, Any]:
    told: dict[str, Any] = client.get(f"/sessions/{session}/history", params=page).json()
    return told


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
    problem: dict[str, Any] = answer.json()
    return problem


def loc(answer: httpx.Response) -> list[Any]:
    found: list[Any] = refused(answer, 400, "INVALID_REQUEST")["errors"][0]["loc"]
    return found


# Sessions


def test_a_session_is_made_as_it_is_asked_for(client: httpx.Client):
    config = {"model": "local/simulate", "temperature": 0.5, "voice": "calm", "context": {"max_messages": 9}}
    answer = client.post(
        "/sessions", json={"agent_config": config, "name": "Tour", "metadata": {"team": "a"}}
    )
    shown = answer.json()
    assert answer.headers["location"] == f"/api/v1/sessions/{shown['session_id']}"
    assert shown["session_id"].startswith("sess_")
    assert (shown["agent_type"], shown["name"], shown["agent_config"]) == ("assistant", "Tour", config)
    assert (shown["is_active"], shown["message_count"], shown["metadata"]) == (True, 0, {"team": "a"})
    assert client.get(f"/sessions/{shown['session_id']}").json() == shown


def test_a_session_needs_nothing(client: httpx.Client):
    shown = client.post("/sessions", json={}).json()
    assert (shown["agent_config"], shown["name"], shown["metadata"]) == ({}, None, {})


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"agent_type": "pirate"}, ["agent_type"]),
        ({"agent_config": {"temperature": 3}}, ["agent_config", "temperature"]),
        ({"agent_config": {"context": {"strategy": "all"}}}, ["agent_config", "context", "strategy"]),
        ({"agent_config": {"context": {"last": 1}}}, ["agent_config", "context", "last"]),
        ({"agent_config": {"provider": "nobody"}}, ["agent_config", "provider"]),
        ({"agent_config": {"tools": "all"}}, ["agent_config", "tools"]),
        ({"agent_config": {"knowledge_base_ids": ["kb_no"]}}, ["agent_config", "knowledge_base_ids"]),
        ({"agent_config": []}, ["agent_config"]),
        ({"name": "x" * 201}, ["name"]),
        ({"metadata": {"a": []}}, ["metadata"]),
        ({"colour": "red"}, ["colour"]),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, body: dict[str, Any], where: list[str]):
    assert loc(client.post("/sessions", json=body))[: len(where)] == where


def test_an_agent_that_needs_knowledge_bases_is_refused_without(client: httpx.Client):
    answer = client.post("/sessions", json={"agent_type": "rag"})
    assert loc(answer) == ["agent_config", "knowledge_base_ids"]


def test_a_key_makes_one_session(client: httpx.Client):
    key = {"Idempotency-Key": "session-once"}
    first = client.post("/sessions", json={"name": "a"}, headers=key)
    again = client.post("/sessions", json={"name": "a"}, headers=key)
    other = client.post("/sessions", json={"name": "b"}, headers=key)
    assert first.json()["session_id"] == again.json()["session_id"]
    refused(other, 409, "CONFLICT")


def test_sessions_are_listed_newest_first(stranger: httpx.Client):
    made = [begun(stranger, name=str(number)) for number in range(3)]
    page = stranger.get("/sessions", params={"page": 1, "per_page": 2}).json()
    assert [each["session_id"] for each in page["sessions"]] == [made[2], made[1]]
    assert (page["page"], page["per_page"]) == (1, 2)
    assert page["pages"] == -(-page["total"] // 2)
    assert loc(stranger.get("/sessions", params={"per_page": 101})) == ["per_page"]


def test_a_change_leaves_the_rest(client: httpx.Client):
    session = begun(client, agent_config={**SIMULATED, "context": {"max_messages": 5}}, metadata={"a": 1})
    patch = {"agent_config": {"temperature": 0.1, "context": {"max_tokens": 99}}, "metadata": {"b": 2}}
    shown = client.patch(f"/sessions/{session}", json=patch).json()
    context = {"max_messages": 5, "max_tokens": 99}
    assert shown["agent_config"] == {**SIMULATED, "temperature": 0.1, "context": context}
    assert shown["metadata"] == {"a": 1, "b": 2}
    shown = client.patch(f"/sessions/{session}", json={"agent_config": {"context": None}, "name": "n"}).json()
    assert shown["agent_config"] == {**SIMULATED, "temperature": 0.1}
    assert shown["name"] == "n"
    shown = client.patch(f"/sessions/{session}", json={"name": None, "metadata": None}).json()
    assert (shown["name"], shown["metadata"]) == (None, {})


def test_a_change_is_checked_like_a_new_session(client: httpx.Client):
    session = begun(client)
    assert loc(client.patch(f"/sessions/{session}", json={"agent_config": {"max_tokens": 0}})) == [
        "agent_config",
        "max_tokens",
    ]
    assert loc(client.patch(f"/sessions/{session}", json={"metadata": {"x": {"y": 1}}}))[0] == "metadata"
    assert loc(client.patch(f"/sessions/{session}", json={"session_id": "x"})) == ["session_id"]


def test_a_closed_session_takes_no_turn_until_it_is_opened(client: httpx.Client):
    session = begun(client)
    client.patch(f"/sessions/{session}", json={"is_active": False})
    refused(client.post(f"/sessions/{session}/invoke", json={"prompt": "hi"}), 409, "CONFLICT")
    client.patch(f"/sessions/{session}", json={"is_active": True})
    say(client, session)


# Turns


def test_a_turn_answers_in_the_session(client: httpx.Client):
    session = begun(client)
    turn = say(client, session)
    assert turn["session_id"] == session
    assert turn["response"]["role"] == "assistant"
    assert len(turn["response"]["content"].split()) == 8
    assert turn["usage"]["completion_tokens"] == 8
    task = client.get(f"/tasks/{turn['task_id']}").json()
    assert (task["task_type"], task["metadata"]) == ("session_turn", {"session_id": session})
    assert task["output"]["response"] == turn["response"]
    told = history(client, session)
    assert [(m["role"], m["content"]) for m in told["messages"]] == [
        ("user", "hi"),
        ("assistant", turn["response"]["content"]),
    ]
    assert told["messages"][1]["message_id"] == turn["message_id"]
    assert client.get(f"/sessions/{session}").json()["message_count"] == 2


def test_the_config_of_a_turn_goes_over_that_of_the_agent_once(client: httpx.Client):
    session = begun(client, agent_config={**SIMULATED, "tokens": 3})
    assert len(say(client, session, config={"tokens": 5})["response"]["content"].split()) == 5
    assert len(say(client, session)["response"]["content"].split()) == 3


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"prompt": ""}, ["prompt"]),
        ({"prompt": "a", "config": {"temperature": "hot"}}, ["config", "temperature"]),
        ({"prompt": "a", "config": {"provider": "nobody"}}, ["config", "provider"]),
        ({"prompt": "a", "messages": []}, ["messages"]),
        ({"tool_results": []}, ["tool_results"]),
        ({"tool_results": [{"content": "x"}]}, ["tool_results", 0, "tool_call_id"]),
        (
            {"tool_results": [{"tool_call_id": "x", "content": "y"}]},
            ["tool_results", 0, "tool_call_id"],
        ),
    ],
)
def test_a_wrong_turn_is_refused_and_holds_nothing(client: httpx.Client, body: Any, where: list[Any]):
    session = begun(client)
    assert loc(client.post(f"/sessions/{session}/invoke", json=body)) == where
    say(client, session)


def test_a_turn_says_something(client: httpx.Client):
    answer = client.post(f"/sessions/{begun(client)}/invoke", json={})
    assert "give a `prompt`, or `tool_results`" in refused(answer, 400, "INVALID_REQUEST")["detail"]


def test_the_second_of_two_turns_at_once_is_refused(client: httpx.Client):
    session = begun(client)
    task = slow(client, session)
    problem = refused(
        client.post(f"/sessions/{session}/invoke", json={"prompt": "me too"}), 409, "SESSION_BUSY"
    )
    assert problem["task_id"] == task
    refused(client.post(f"/sessions/{session}/regenerate", json={}), 409, "SESSION_BUSY")
    client.post(f"/tasks/{task}/cancel")
    say(client, session)
    assert history(client, session)["total"] == 2


def test_a_failed_turn_leaves_no_message_and_does_not_block(client: httpx.Client):
    session = begun(client)
    failing = {"prompt": "hi", "config": {"error_code": "PROVIDER_ERROR"}}
    refused(client.post(f"/sessions/{session}/invoke", json=failing), 502, "PROVIDER_ERROR")
    assert history(client, session)["total"] == 0
    say(client, session)


def test_a_turn_that_never_became_a_task_blocks_for_seconds_only(client: httpx.Client, platform: Served):
    session = begun(client)
    hold = "UPDATE sessions SET busy_task = 'task_lost', busy_at = ? WHERE id = ?"
    for age, status in ((0, 409), (6000, 200)):
        with closing(sqlite3.connect(platform.database)) as connection, connection:
            connection.execute(hold, (int(time.time() * 1000) - age, session))
        answer = client.post(f"/sessions/{session}/invoke", json={"prompt": "hi"})
        assert answer.status_code == status


def test_a_key_makes_one_turn(client: httpx.Client):
    session, key = begun(client), {"Idempotency-Key": "turn-once"}
    bodies = [{"prompt": "hi"}, {"prompt": "hi"}, {"prompt": "other"}]
    first, again, other = (
        client.post(f"/sessions/{session}/invoke", json=body, headers=key) for body in bodies
    )
    assert first.json() == again.json()
    refused(other, 409, "CONFLICT")
    assert history(client, session)["total"] == 2


def test_a_key_finds_its_turn_while_that_runs(client: httpx.Client):
    session, headers = begun(client), {"Idempotency-Key": "turn-twice", "Prefer": "respond-async"}
    body = {"prompt": "hi", "config": {"latency": 30}}
    first, again = (client.post(f"/sessions/{session}/invoke", json=body, headers=headers) for _ in range(2))
    assert first.json()["task_id"] == again.json()["task_id"]
    client.post(f"/tasks/{first.json()['task_id']}/cancel")


def test_a_task_type_of_the_platforms_own_cannot_be_invoked(client: httpx.Client):
    asked = {"session_id": begun(client), "agent_type": "assistant", "prompt": "hi"}
    answer = client.post("/invoke", json={"task_type": "session_turn", "input": asked})
    assert loc(answer) == ["task_type"]
    assert "session_turn'" not in answer.json()["detail"].partition("known:")[2]


def events(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


def test_a_turn_is_streamed_and_can_be_read_again(client: httpx.Client):
    session = begun(client)
    body = {"prompt": "hi", "stream": True}
    told = client.post(f"/sessions/{session}/invoke", json=body)
    assert told.headers["content-type"].startswith("text/event-stream")
    said = events(told.text)
    assert said[-1] == "[DONE]"
    assert '"finish_reason":"stop"' in said[-2]
    assert '"response"' not in said[-2]
    task = client.get("/tasks", params={"metadata[session_id]": session}).json()["data"][0]["task_id"]
    ids = [line for line in told.text.splitlines() if line.startswith("id: ")]
    rest = client.get(f"/tasks/{task}/events", headers={"Last-Event-ID": ids[3][4:]})
    assert told.text.endswith(rest.text)
    assert 0 < len(rest.text) < len(told.text)


def test_a_turn_goes_on_though_its_caller_hangs_up(client: httpx.Client):
    session = begun(client)
    body = {"prompt": "hi", "stream": True, "config": {"tokens": 10, "tokens_per_second": 50}}
    with client.stream("POST", f"/sessions/{session}/invoke", json=body) as answer:
        next(answer.iter_lines())
    task = client.get("/tasks", params={"metadata[session_id]": session}).json()["data"][0]["task_id"]
    ended = client.get(f"/tasks/{task}", headers={"Prefer": "wait=10"}).json()
    assert ended["status"] == "completed"
    assert history(client, session)["messages"][1]["content"] == ended["output"]["text"]


def test_a_turn_that_lost_its_worker_after_it_was_stored_is_not_doubled(
    client: httpx.Client, platform: Served
):
    session = begun(client)
    turn = say(client, session)
    undone = "UPDATE tasks SET status = 'running', output_json = NULL, lease_until = 0 WHERE id = ?"
    with closing(sqlite3.connect(platform.database)) as connection, connection:
        connection.execute(undone, (turn["task_id"],))
    ended = client.get(f"/tasks/{turn['task_id']}", headers={"Prefer": "wait=10"}).json()
    assert (ended["status"], ended["attempts"]) == ("completed", 2)
    assert ended["output"]["response"] == turn["response"]
    assert history(client, session)["total"] == 2


# History, forks, other answers


def test_a_part_of_the_history_is_told_oldest_first(client: httpx.Client):
    session = begun(client)
    for number in range(3):
        say(client, session, f"no. {number}")
    told = history(client, session, limit=2, offset=2)
    assert (told["session_id"], told["total"]) == (session, 6)
    assert [message["role"] for message in told["messages"]] == ["user", "assistant"]
    assert told["messages"][0]["content"] == "no. 1"
    assert history(client, session, offset=99)["messages"] == []
    assert loc(client.get(f"/sessions/{session}/history", params={"limit": 0})) == ["limit"]


def test_a_fork_has_the_messages_up_to_one(client: httpx.Client):
    session = begun(client, name="tree", metadata={"a": 1})
    for number in range(3):
        say(client, session, f"no. {number}")
    messages = history(client, session)["messages"]
    forked = client.post(f"/sessions/{session}/fork", json={"message_id": messages[1]["message_id"]})
    assert forked.status_code == 201
    shown = forked.json()
    assert (shown["message_count"], shown["name"], shown["metadata"]) == (2, "tree", {"a": 1})
    copied = history(client, shown["session_id"])["messages"]
    assert [m["content"] for m in copied] == [m["content"] for m in messages[:2]]
    assert not {m["message_id"] for m in copied} & {m["message_id"] for m in messages}
    say(client, shown["session_id"], "another way")
    assert history(client, session)["total"] == 6


def test_a_fork_of_all_takes_another_name_and_survives_the_first_one(client: httpx.Client):
    session = begun(client)
    say(client, session)
    forked = client.post(f"/sessions/{session}/fork", json={"name": "copy"}).json()
    client.delete(f"/sessions/{session}")
    assert (forked["name"], history(client, forked["session_id"])["total"]) == ("copy", 2)
    say(client, forked["session_id"])


def test_a_fork_at_a_message_of_another_session_is_refused(client: httpx.Client):
    session, other = begun(client), begun(client)
    message = say(client, other)["message_id"]
    assert loc(client.post(f"/sessions/{session}/fork", json={"message_id": message})) == ["message_id"]


def test_a_fork_while_a_turn_runs_is_without_that_turn(client: httpx.Client):
    session = begun(client)
    say(client, session)
    task = slow(client, session)
    forked = client.post(f"/sessions/{session}/fork", json={}).json()
    assert forked["message_count"] == 2
    say(client, forked["session_id"])
    client.post(f"/tasks/{task}/cancel")


def test_the_last_answer_is_given_anew(client: httpx.Client):
    session = begun(client)
    first = say(client, session, config={"seed": 1})
    answer = client.post(f"/sessions/{session}/regenerate", json={"config": {"seed": 2}})
    told = history(client, session)
    assert answer.json()["response"]["content"] != first["response"]["content"]
    assert told["total"] == 2
    assert told["messages"][1]["content"] == answer.json()["response"]["content"]


def test_a_session_without_an_answer_has_none_to_give_anew(client: httpx.Client):
    session = begun(client)
    refused(client.post(f"/sessions/{session}/regenerate", json={}), 409, "CONFLICT")
    say(client, session)


# Deletion, strangers


def test_nothing_is_left_of_a_deleted_session(client: httpx.Client, platform: Served):
    session = begun(client)
    turn = say(client, session, "a secret of mine")
    assert client.delete(f"/sessions/{session}").status_code == 204
    refused(client.get(f"/sessions/{session}"), 404, "NOT_FOUND")
    refused(client.get(f"/tasks/{turn['task_id']}"), 404, "NOT_FOUND")
    refused(client.delete(f"/sessions/{session}"), 404, "NOT_FOUND")
    with closing(sqlite3.connect(platform.database)) as connection:
        assert "a secret of mine" not in "\n".join(connection.iterdump())


def test_deleting_a_session_cancels_the_turn_that_runs(client: httpx.Client):
    session = begun(client)
    task = slow(client, session)
    assert client.delete(f"/sessions/{session}").status_code == 204
    refused(client.get(f"/tasks/{task}"), 404, "NOT_FOUND")


ROUTES: dict[str, Callable[[httpx.Client, str], httpx.Response]] = {
    "get": lambda client, one: client.get(f"/sessions/{one}"),
    "update": lambda client, one: client.patch(f"/sessions/{one}", json={"name": "mine"}),
    "delete": lambda client, one: client.delete(f"/sessions/{one}"),
    "history": lambda client, one: client.get(f"/sessions/{one}/history"),
    "invoke": lambda client, one: client.post(f"/sessions/{one}/invoke", json={"prompt": "hi"}),
    "regenerate": lambda client, one: client.post(f"/sessions/{one}/regenerate", json={}),
    "fork": lambda client, one: client.post(f"/sessions/{one}/fork", json={}),
}


@pytest.mark.parametrize("route", ROUTES)
def test_a_session_of_another_project_is_not_there(
    route: str, client: httpx.Client, stranger: httpx.Client, nobody: httpx.Client
):
    session = begun(client, name="ours")
    say(client, session)
    foreign, unknown = ROUTES[route](stranger, session), ROUTES[route](client, NOWHERE)
    assert refused(foreign, 404, "NOT_FOUND")["detail"] == unknown.json()["detail"].replace(NOWHERE, session)
    refused(unknown, 404, "NOT_FOUND")
    refused(ROUTES[route](nobody, session), 401, "UNAUTHORIZED")
    shown = client.get(f"/sessions/{session}").json()
    assert (shown["name"], shown["message_count"]) == ("ours", 2)


def test_a_list_has_the_own_sessions_only(client: httpx.Client, stranger: httpx.Client):
    session = begun(client)
    listed = stranger.get("/sessions", params={"per_page": 100}).json()["sessions"]
    assert session not in [each["session_id"] for each in listed]


def test_a_question_at_the_end_of_a_fork_is_answered(client: httpx.Client):
    session = begun(client)
    say(client, session, "which way?")
    question = history(client, session)["messages"][0]["message_id"]
    forked = client.post(f"/sessions/{session}/fork", json={"message_id": question}).json()["session_id"]
    answer = client.post(f"/sessions/{forked}/regenerate", json={})
    told = history(client, forked)["messages"]
    assert [(m["role"], m["content"]) for m in told] == [
        ("user", "which way?"),
        ("assistant", answer.json()["response"]["content"]),
    ]


def test_another_provider_does_not_get_the_model_of_the_old_one(client: httpx.Client):
    session = begun(client, agent_config={"provider": "local", "model": "text", "top_k": 3})
    assert say(client, session, config={"provider": "local"})["model"] == "text"
    shown = client.patch(f"/sessions/{session}", json={"agent_config": {"provider": "local"}}).json()
    assert shown["agent_config"] == {"provider": "local", "top_k": 3}
    shown = client.patch(f"/sessions/{session}", json={"agent_config": {"model": "local/simulate"}}).json()
    assert shown["agent_config"] == {"model": "local/simulate", "top_k": 3}


def test_numbers_of_any_size_pass_through(client: httpx.Client):
    session = begun(client, agent_config={**SIMULATED, "large": 2**70}, metadata={"size": 2**60})
    shown = client.get(f"/sessions/{session}").text
    assert str(2**70) in shown
    say(client, session)


def test_what_is_no_session_is_refused_in_words(client: httpx.Client):
    for body in (b"{", b"[]", b'"x"', b"\xff", b'{"name": "\\ud800"}'):
        answer = client.post("/sessions", content=body, headers={"Content-Type": "application/json"})
        refused(answer, 400, "INVALID_REQUEST")
    refused(client.post("/sessions", content=b"{}"), 415, "UNSUPPORTED_MEDIA_TYPE")


def test_the_knowledge_base_of_another_project_is_not_there(client: httpx.Client, stranger: httpx.Client):
    base = client.post("/knowledge-bases", json={"name": "ours"}).json()["kb_id"]
    wanted = {"agent_type": "rag", "agent_config": {"knowledge_base_ids": [base]}}
    assert client.post("/sessions", json=wanted).status_code == 201
    assert loc(stranger.post("/sessions", json=wanted)) == ["agent_config", "knowledge_base_ids"]


def test_a_knowledge_base_that_is_gone_is_named_when_a_turn_wants_it(client: httpx.Client):
    base = client.post("/knowledge-bases", json={"name": "short-lived"}).json()["kb_id"]
    session = begun(client, agent_config={**SIMULATED, "knowledge_base_ids": [base]})
    client.delete(f"/knowledge-bases/{base}")
    answer = client.post(f"/sessions/{session}/invoke", json={"prompt": "hi"})
    assert loc(answer) == ["config", "knowledge_base_ids"]
    say(client, session, config={"knowledge_base_ids": None})
