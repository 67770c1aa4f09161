from __future__ import annotations

import copy
import inspect
import json
import pickle
from typing import Any

import pytest
from pytest_httpx import HTTPXMock, IteratorStream

from nexusai import AsyncSession, Session
from nexusai.error import ConfigurationError, ConflictError, InvalidRequestError, TaskFailedError
from nexusai.models import SessionMessage
from tests.fixtures.sdk import BASE, Both

ONE = f"{BASE}/sessions/sess_1"
SHOWN = {
    "session_id": "sess_1",
    "name": "help",
    "agent_type": "assistant",
    "agent_config": {"model": "m", "system_prompt": "Be brief."},
    "is_active": True,
    "message_count": 2,
    "created_at": "2025-01-01T00:00:00Z",
    "updated_at": "2025-01-02T00:00:00Z",
}
ANSWER = {
    "session_id": "sess_1",
    "response": {
        "role": "assistant",
        "content": "Hello!",
        "tool_calls": [{"id": "call_1", "function": {"name": "now", "arguments": "{}"}}],
        "citations": [{"doc_id": "doc_1"}],
    },
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    "model": "m",
}


def asked(httpx_mock: HTTPXMock, number: int = -1) -> Any:
    return json.loads(httpx_mock.get_requests()[number].content)


def in_session(sdk: Both, httpx_mock: HTTPXMock, use: Any) -> Any:
    """`use(session)`, with a session that `get` gave."""
    httpx_mock.add_response(method="GET", url=ONE, json=SHOWN)

    def get_and_use(client: Any) -> Any:
        session = client.sessions.get("sess_1")
        return used(session) if inspect.isawaitable(session) else use(session)

    async def used(coming: Any) -> Any:
        result = use(await coming)
        if inspect.isasyncgen(result):
            return [item async for item in result]
        return await result if inspect.isawaitable(result) else result

    return sdk(get_and_use)


def serve_turn(httpx_mock: HTTPXMock, **task: Any) -> None:
    httpx_mock.add_response(
        method="POST", url=f"{ONE}/invoke", status_code=202, json={"task_id": "task_1", "status": "queued"}
    )
    shown = {"task_id": "task_1", "task_type": "session_turn", "status": "completed", "output": ANSWER}
    httpx_mock.add_response(method="GET", url=f"{BASE}/tasks/task_1", json={**shown, **task})


def test_a_session_is_begun_with_its_agent_in_keywords(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{BASE}/sessions", status_code=201, json=SHOWN)
    session = sdk(
        lambda client: client.sessions.create(
            name="help",
            agent_config={"model": "other", "voice": "calm"},
            model="m",
            system_prompt="Be brief.",
            knowledge_base_ids=["kb_1"],
            metadata={"team": "a"},
        )
    )

    assert isinstance(session, AsyncSession if sdk.asynchronous else Session)
    assert (session.id, session.name, session.is_active, session.message_count) == ("sess_1", "help", True, 2)
    assert session.agent_config["system_prompt"] == "Be brief."
    assert session.updated_at > session.created_at
    assert asked(httpx_mock) == {
        "agent_type": "assistant",
        "name": "help",
        "agent_config": {
            "model": "m",
            "voice": "calm",
            "system_prompt": "Be brief.",
            "knowledge_base_ids": ["kb_1"],
        },
        "metadata": {"team": "a"},
    }
    assert httpx_mock.get_requests()[0].headers["idempotency-key"]


def test_a_session_needs_no_more_than_its_type(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(json={"session_id": "sess_1"})
    session = sdk(lambda client: client.sessions.create("researcher"))
    assert asked(httpx_mock) == {"agent_type": "researcher"}
    assert session.agent_config == {}


def test_a_configuration_that_is_none_is_refused_by_name(sdk: Both, httpx_mock: HTTPXMock):
    with pytest.raises(TypeError, match="agent_config is a mapping"):
        sdk(lambda client: client.sessions.create(agent_config="m"))
    with pytest.raises(TypeError, match="config is a mapping"):
        in_session(sdk, httpx_mock, lambda session: session.invoke("hi", config="m"))


def test_a_session_is_changed_in_what_is_given(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="PATCH", url=ONE, json=SHOWN)
    session = sdk(lambda client: client.sessions.update("sess_1", temperature=0.2))
    assert asked(httpx_mock) == {"agent_config": {"temperature": 0.2}}
    assert session._resource is not None


def test_a_session_is_deleted_by_its_id(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="DELETE", url=ONE, status_code=204)
    assert sdk(lambda client: client.sessions.delete("sess_1")) is None


def test_sessions_are_listed_and_each_is_of_the_client(sdk: Both, httpx_mock: HTTPXMock):
    page = {"sessions": [SHOWN], "total": 1, "page": 1, "per_page": 5, "pages": 1}
    httpx_mock.add_response(url=f"{BASE}/sessions?page=1&per_page=5", json=page)
    listed = sdk(lambda client: client.sessions.list(page=1, per_page=5))
    (session,) = listed
    assert (listed.total, listed.pages, listed.next_page, session.id) == (1, 1, None, "sess_1")
    assert session._resource is not None


def test_all_sessions_are_iterated_over(sdk: Both, httpx_mock: HTTPXMock):
    for number, url in ((1, f"{BASE}/sessions?per_page=1"), (2, f"{BASE}/sessions?page=2&per_page=1")):
        page = {"sessions": [{"session_id": f"sess_{number}"}], "total": 2, "page": number, "per_page": 1}
        httpx_mock.add_response(url=url, json=page)
    sessions = sdk(lambda client: client.sessions.iter(per_page=1))
    assert [session.id for session in sessions] == ["sess_1", "sess_2"]
    assert all(session._resource is not None for session in sessions)


def test_a_turn_is_a_task_that_is_waited_for(sdk: Both, httpx_mock: HTTPXMock):
    serve_turn(httpx_mock)
    response = in_session(
        sdk, httpx_mock, lambda session: session.invoke("hi", temperature=0, config={"voice": "calm"})
    )

    assert str(response) == response.content == response.response.content == "Hello!"
    assert (response.role, response.session_id, response.task_id) == ("assistant", "sess_1", "task_1")
    assert response.tool_calls[0]["id"] == "call_1"
    assert response.citations == [{"doc_id": "doc_1"}]
    assert response.usage.total_tokens == 5
    submission = httpx_mock.get_requests()[1]
    assert json.loads(submission.content) == {"prompt": "hi", "config": {"temperature": 0, "voice": "calm"}}
    assert submission.headers["prefer"] == "respond-async"


def test_a_turn_takes_an_idempotency_key_and_the_options_of_waiting(sdk: Both, httpx_mock: HTTPXMock):
    serve_turn(httpx_mock)
    told: list[str] = []
    in_session(
        sdk,
        httpx_mock,
        lambda session: session.invoke(
            "hi", idempotency_key="mine", on_progress=lambda task: told.append(task.status)
        ),
    )
    assert httpx_mock.get_requests()[1].headers["idempotency-key"] == "mine"
    assert told == ["queued", "completed"]
    assert asked(httpx_mock, 1) == {"prompt": "hi"}


def test_results_of_tools_are_a_turn(sdk: Both, httpx_mock: HTTPXMock):
    serve_turn(httpx_mock)
    results = [{"tool_call_id": "call_1", "content": "noon"}]
    in_session(sdk, httpx_mock, lambda session: session.invoke(tool_results=results))
    assert asked(httpx_mock, 1) == {"tool_results": results}


def test_a_turn_says_something(sdk: Both, httpx_mock: HTTPXMock):
    with pytest.raises(InvalidRequestError, match="give a prompt, or tool_results"):
        in_session(sdk, httpx_mock, lambda session: session.invoke())


def test_a_streamed_turn_has_a_method_of_its_own(sdk: Both, httpx_mock: HTTPXMock):
    with pytest.raises(TypeError, match=r"session\.stream"):
        in_session(sdk, httpx_mock, lambda session: session.invoke("hi", stream=True))


def test_a_failed_turn_raises(sdk: Both, httpx_mock: HTTPXMock):
    serve_turn(httpx_mock, status="failed", output=None, error={"code": "PROVIDER_ERROR", "message": "Down."})
    with pytest.raises(TaskFailedError, match="Down"):
        in_session(sdk, httpx_mock, lambda session: session.invoke("hi"))


def test_two_turns_at_once_are_a_conflict(sdk: Both, httpx_mock: HTTPXMock):
    busy = {"detail": "Another turn runs.", "error_code": "SESSION_BUSY"}
    httpx_mock.add_response(method="POST", url=f"{ONE}/invoke", status_code=409, json=busy)
    with pytest.raises(ConflictError) as raised:
        in_session(sdk, httpx_mock, lambda session: session.invoke("hi"))
    assert raised.value.error_code == "SESSION_BUSY"


def test_a_turn_is_submitted_and_waited_for_later(sdk: Both, httpx_mock: HTTPXMock):
    serve_turn(httpx_mock)

    def submit_and_wait(session: Any) -> Any:
        handle = session.submit("hi")
        return wait(handle) if inspect.isawaitable(handle) else handle.wait()

    async def wait(coming: Any) -> Any:
        return await (await coming).wait()

    assert str(in_session(sdk, httpx_mock, submit_and_wait)) == "Hello!"


def test_a_turn_is_read_as_it_is_written(sdk: Both, httpx_mock: HTTPXMock):
    events = (
        b'id: 1\ndata: {"task_id": "task_1", "model": "m"}\n\n'
        b'id: 2\ndata: {"delta": {"content": "Hel"}}\n\nid: 3\ndata: {"delta": {"content": "lo!"}}\n\n'
        b'id: 4\ndata: {"finish_reason": "stop"}\n\ndata: [DONE]\n\n'
    )
    httpx_mock.add_response(
        method="POST",
        url=f"{ONE}/invoke",
        stream=IteratorStream([events]),
        headers={"content-type": "text/event-stream"},
    )
    final = in_session(sdk, httpx_mock, lambda session: session.stream("hi", max_tokens=5).final())

    assert (str(final), final.task_id, final.finish_reason) == ("Hello!", "task_1", "stop")
    assert asked(httpx_mock) == {"prompt": "hi", "config": {"max_tokens": 5}, "stream": True}


def test_an_answer_is_given_anew(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(
        method="POST",
        url=f"{ONE}/regenerate",
        status_code=202,
        json={"task_id": "task_1", "status": "queued"},
    )
    done = {"task_id": "task_1", "task_type": "session_turn", "status": "completed", "output": ANSWER}
    httpx_mock.add_response(method="GET", url=f"{BASE}/tasks/task_1", json=done)
    answer = in_session(
        sdk, httpx_mock, lambda session: session.regenerate(temperature=1, idempotency_key="again")
    )
    assert str(answer) == "Hello!"
    assert asked(httpx_mock, 1) == {"config": {"temperature": 1}}
    assert httpx_mock.get_requests()[1].headers["idempotency-key"] == "again"


def test_an_answer_that_is_given_anew_is_read_as_it_is_written(sdk: Both, httpx_mock: HTTPXMock):
    events = (
        b'id: 1\ndata: {"task_id": "task_1"}\n\nid: 2\ndata: {"delta": {"content": "Hello!"}}\n\n'
        b'id: 3\ndata: {"finish_reason": "stop"}\n\ndata: [DONE]\n\n'
    )
    httpx_mock.add_response(
        method="POST",
        url=f"{ONE}/regenerate",
        stream=IteratorStream([events]),
        headers={"content-type": "text/event-stream"},
    )
    final = in_session(sdk, httpx_mock, lambda session: session.stream_regenerated(seed=2).final())
    assert str(final) == "Hello!"
    assert asked(httpx_mock) == {"config": {"seed": 2}, "stream": True}


def test_another_answer_that_is_streamed_has_a_method_of_its_own(sdk: Both, httpx_mock: HTTPXMock):
    with pytest.raises(TypeError, match=r"session\.stream_regenerated"):
        in_session(sdk, httpx_mock, lambda session: session.regenerate(stream=True))


@pytest.mark.parametrize("at", ["msg_3", SessionMessage(message_id="msg_3", role="user")])
def test_a_session_is_forked_at_a_message(sdk: Both, httpx_mock: HTTPXMock, at: Any):
    fork = {"session_id": "sess_2", "name": "other", "message_count": 3}
    httpx_mock.add_response(method="POST", url=f"{ONE}/fork", status_code=201, json=fork)
    forked = in_session(sdk, httpx_mock, lambda session: session.fork(at, name="other", metadata={"way": 2}))
    assert asked(httpx_mock) == {"message_id": "msg_3", "name": "other", "metadata": {"way": 2}}
    assert httpx_mock.get_requests()[-1].headers["idempotency-key"]
    assert isinstance(forked, AsyncSession if sdk.asynchronous else Session)
    assert (forked.id, forked.message_count) == ("sess_2", 3)
    assert forked._resource is not None


def test_a_fork_of_all_needs_nothing(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{ONE}/fork", status_code=201, json={"session_id": "sess_2"})
    in_session(sdk, httpx_mock, lambda session: session.fork())
    assert asked(httpx_mock) == {}


def test_a_session_is_closed(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="PATCH", url=ONE, json={**SHOWN, "is_active": False})
    session = sdk(lambda client: client.sessions.update("sess_1", is_active=False))
    assert asked(httpx_mock) == {"is_active": False}
    assert not session.is_active


def message(number: int) -> dict[str, Any]:
    return {
        "message_id": f"msg_{number}",
        "role": "user",
        "content": f"no. {number}",
        "timestamp": "2025-01-01T00:00:00Z",
    }


def test_a_part_of_the_history_is_read(sdk: Both, httpx_mock: HTTPXMock):
    part = {"session_id": "sess_1", "messages": [message(3)], "total": 4}
    httpx_mock.add_response(url=f"{ONE}/history?limit=1&offset=2", json=part)
    history = in_session(sdk, httpx_mock, lambda session: session.history(limit=1, offset=2))
    (only,) = history
    assert (history.total, only.id, only.role, only.content) == (4, "msg_3", "user", "no. 3")
    assert only.timestamp.tzinfo is not None


def test_all_of_the_history_is_iterated_over(sdk: Both, httpx_mock: HTTPXMock):
    for start, numbers in (("", (1, 2)), ("&offset=2", (3,))):
        part = {"session_id": "sess_1", "messages": [message(number) for number in numbers], "total": 3}
        httpx_mock.add_response(url=f"{ONE}/history?limit=2{start}", json=part)
    messages = in_session(sdk, httpx_mock, lambda session: session.iter_history(limit=2))
    assert [one.id for one in messages] == ["msg_1", "msg_2", "msg_3"]


def test_a_history_that_shrinks_on_the_way_ends(sdk: Both, httpx_mock: HTTPXMock):
    part = {"session_id": "sess_1", "messages": [], "total": 3}
    httpx_mock.add_response(url=f"{ONE}/history?limit=2", json=part)
    assert in_session(sdk, httpx_mock, lambda session: session.iter_history(limit=2)) == []


def test_a_session_that_is_renamed_knows_it(sdk: Both, httpx_mock: HTTPXMock):
    fresh = {"session_id": "sess_1", "name": "new", "updated_at": "2025-03-01T00:00:00Z"}
    httpx_mock.add_response(method="PATCH", url=ONE, json=fresh)
    session = in_session(sdk, httpx_mock, lambda session: session.rename("new"))

    assert asked(httpx_mock) == {"name": "new"}
    assert (session.name, session.updated_at.month, session.message_count) == ("new", 3, 2)


def test_a_session_deletes_itself(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="DELETE", url=ONE, status_code=204)
    assert in_session(sdk, httpx_mock, lambda session: session.delete()) is None


def test_a_repr_is_short_and_shows_no_instructions(sdk: Both, httpx_mock: HTTPXMock):
    session = in_session(sdk, httpx_mock, lambda session: session)
    assert "Be brief" not in repr(session)
    assert repr(session).startswith(f"{type(session).__name__}(session_id='sess_1', name='help'")


@pytest.mark.parametrize("kind", [Session, AsyncSession])
def test_a_session_out_of_a_pickle_is_of_no_client(kind: type[Any]):
    session = pickle.loads(pickle.dumps(kind.model_validate(SHOWN)))
    assert session.name == "help"
    with pytest.raises(ConfigurationError, match=r"client\.sessions\.get\('sess_1'\)"):
        session.stream("hi")


def test_a_copy_is_of_the_same_client(sdk: Both, httpx_mock: HTTPXMock):
    session = in_session(sdk, httpx_mock, lambda session: session)
    assert copy.deepcopy(session)._resource._driver is session._resource._driver
