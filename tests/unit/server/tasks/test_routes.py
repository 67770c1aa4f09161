from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from nexusai.server.tasks.events import ATTEMPT

ASYNC = {"Prefer": "respond-async"}
DONE = "[DONE]"


SIMULATED = ("latency", "tokens", "tokens_per_second", "error_code", "cancel_on_disconnect")


def body(prompt: str = "hi", **fields: Any) -> dict[str, Any]:
    """A simulated task; what steers the simulation goes into its config."""
    config = {name: fields.pop(name) for name in SIMULATED if name in fields}
    return {
        "task_type": "text_generation",
        "input": {"prompt": prompt},
        "provider": "local",
        "model": "simulate",
        "config": config,
        **fields,
    }


def submit(client: httpx.Client, headers: dict[str, str] | None = None, **fields: Any) -> str:
    """The id of a task that is accepted."""
    answer = client.post("/invoke", json=body(**fields), headers={**ASYNC, **(headers or {})})
    assert answer.status_code == 202, answer.text
    return answer.json()["task_id"]


def final(client: httpx.Client, task_id: str) -> dict[str, Any]:
    task = client.get(f"/tasks/{task_id}", headers={"Prefer": "wait=10"}).json()
    assert task["status"] in ("completed", "failed", "cancelled")
    return task


Event = tuple[int, str, Any]


def events_of(lines: Iterator[str]) -> Iterator[Event | None]:
    """`(id, name, data)` of server-sent events; None for a comment."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            yield None
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            data = fields["data"] if fields["data"] == DONE else json.loads(fields["data"])
            yield int(fields["id"]), fields.get("event", ""), data
            fields = {}


def stream_of(client: httpx.Client, method: str, url: str, **options: Any) -> list[Event]:
    with client.stream(method, url, **options) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [event for event in events_of(answer.iter_lines()) if event]


def text_of(events: list[Event]) -> str:
    return "".join(data["delta"].get("content", "") for _, _, data in events if "delta" in data)


# Three ways to take the answer


def test_an_asynchronous_answer_is_a_202_that_says_where_to_look(client: httpx.Client):
    answer = client.post("/invoke", json=body(), headers=ASYNC)

    told = answer.json()
    assert answer.status_code == 202
    assert told.keys() == {"task_id", "status", "message", "status_poll_url"}
    assert told["status"] == "queued"
    assert told["status_poll_url"] == f"/api/v1/tasks/{told['task_id']}"
    assert answer.headers["location"] == f"/api/v1/tasks/{told['task_id']}"
    assert answer.headers["preference-applied"] == "respond-async"
    assert int(answer.headers["retry-after"]) >= 1
    assert final(client, told["task_id"])["status"] == "completed"


def test_a_synchronous_answer_is_the_finished_task(client: httpx.Client):
    answer = client.post("/invoke", json=body(tokens=4))

    task = answer.json()
    assert answer.status_code == 200
    assert task["status"] == "completed"
    assert len(task["output"]["text"].split()) == 4
    assert (task["provider"], task["model"]) == (task["output"]["provider"], task["output"]["model"])


def test_a_synchronous_answer_that_takes_longer_than_wanted_is_a_202(client: httpx.Client):
    answer = client.post("/invoke", json=body(latency=30), headers={"Prefer": "wait=0"})

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=0"
    assert client.post(f"/tasks/{answer.json()['task_id']}/cancel").status_code == 200


@pytest.mark.parametrize(
    ("code", "status"),
    [("RATE_LIMIT_EXCEEDED", 429), ("PROVIDER_ERROR", 502), ("INVALID_REQUEST", 400), ("TIMEOUT", 408)],
)
def test_a_task_that_failed_answers_its_own_error(client: httpx.Client, code: str, status: int):
    answer = client.post("/invoke", json=body(error_code=code))

    problem = answer.json()
    assert (answer.status_code, problem["error_code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert final(client, problem["task_id"])["error"]["code"] == code


def test_a_synchronous_task_that_takes_too_long_answers_408(client: httpx.Client):
    answer = client.post("/invoke", json=body(latency=30, timeout=0.02))

    assert (answer.status_code, answer.json()["error_code"]) == (408, "TIMEOUT")


def test_a_synchronous_task_that_is_cancelled_answers_409(client: httpx.Client):
    answers: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(client.post("/invoke", json=body(latency=30, metadata={"t": "409"})))
    )
    waiting.start()
    task_id = None
    while task_id is None:
        found = client.get("/tasks", params={"metadata[t]": "409"}).json()["data"]
        task_id = found[0]["task_id"] if found else None
    client.post(f"/tasks/{task_id}/cancel")
    waiting.join(10)

    assert (answers[0].status_code, answers[0].json()["error_code"]) == (409, "CANCELLED")


def test_a_stream_tells_the_start_the_pieces_and_the_end(client: httpx.Client):
    events = stream_of(client, "POST", "/invoke", json=body(tokens=5, stream=True))

    ids = [id for id, _, _ in events]
    (_, _, first), *_, (_, _, last), (_, _, done) = events
    assert ids == sorted(set(ids))
    assert first.keys() == {"task_id", "model", "provider"}
    assert (last["finish_reason"], last["usage"]["completion_tokens"]) == ("stop", 5)
    assert "cost" in last
    assert done == DONE
    assert text_of(events) == final(client, first["task_id"])["output"]["text"]


def test_a_stream_of_a_result_that_is_no_text_tells_it_with_its_links(client: httpx.Client):
    request = {
        "task_type": "image_generation",
        "input": {"prompt": "x"},
        "config": {"size": "16x16"},
        "stream": True,
    }

    events = stream_of(client, "POST", "/invoke", json=request)

    outputs = [data["output"] for _, _, data in events if "output" in data]
    assert len(outputs) == 1
    assert httpx.get(outputs[0]["image_url"]).content.startswith(b"\x89PNG")
    assert events[-1][2] == DONE


def test_a_stream_that_fails_ends_with_an_error_and_without_done(client: httpx.Client):
    events = stream_of(client, "POST", "/invoke", json=body(error_code="PROVIDER_ERROR", stream=True))

    _, name, data = events[-1]
    assert (name, data["error"]["code"], data["error"]["retryable"]) == ("error", "PROVIDER_ERROR", True)
    assert DONE not in [data for _, _, data in events]


def test_a_silent_stream_is_kept_open_by_comments(client: httpx.Client):
    with client.stream("POST", "/invoke", json=body(latency=30, stream=True)) as answer:
        events = events_of(answer.iter_lines())
        assert next(event for event in events if event)[2]["task_id"]
        assert any(event is None for event in events)


def test_a_client_that_leaves_a_stream_leaves_the_task(client: httpx.Client):
    with client.stream("POST", "/invoke", json=body(latency=0.1, tokens=3, stream=True)) as answer:
        first = next(event for event in events_of(answer.iter_lines()) if event)

    assert final(client, first[2]["task_id"])["status"] == "completed"


def test_a_client_that_leaves_cancels_the_task_when_it_said_so(client: httpx.Client):
    request = body(latency=30, stream=True, cancel_on_disconnect=True)
    with client.stream("POST", "/invoke", json=request) as answer:
        first = next(event for event in events_of(answer.iter_lines()) if event)

    assert final(client, first[2]["task_id"])["status"] == "cancelled"


# Easy mode and expert mode


def test_without_a_provider_the_default_answers_and_says_what_it_is(client: httpx.Client):
    answer = client.post(
        "/invoke", json={"task_type": "text_generation", "input": {"prompt": "What is this?"}}
    )

    output = answer.json()["output"]
    assert (output["provider"], output["model"], output["demo"]) == ("local", "text", True)


def test_a_model_may_name_its_provider(client: httpx.Client):
    request = {"task_type": "text_generation", "input": {"prompt": "a"}, "model": "local/simulate"}

    assert client.post("/invoke", json=request).json()["model"] == "simulate"


# Look


def test_a_task_shows_what_the_contract_says(client: httpx.Client):
    headers = {"X-Request-Id": "req-show"}
    task = final(client, submit(client, headers, metadata={"user": "ann", "n": 1}, tokens=2))

    assert task.keys() == {
        "task_id", "task_type", "status", "progress", "created_at", "started_at", "finished_at", "attempts",
        "provider", "model", "request_id", "output", "usage", "cost", "metadata",
    }  # fmt: skip
    assert (task["task_type"], task["progress"], task["attempts"]) == ("text_generation", 100, 1)
    assert task["request_id"] == "req-show"
    assert task["metadata"] == {"user": "ann", "n": 1}
    assert task["usage"]["completion_tokens"] == 2
    assert task["created_at"] <= task["started_at"] <= task["finished_at"]


def test_a_failed_task_shows_its_error(client: httpx.Client):
    task = final(client, submit(client, error_code="RATE_LIMIT_EXCEEDED"))

    assert task["status"] == "failed"
    assert task["error"].keys() == {"code", "message", "retryable"}
    assert "output" not in task


def test_a_held_look_answers_when_the_task_ends(client: httpx.Client):
    task_id = submit(client, latency=0.1)

    answer = client.get(f"/tasks/{task_id}", headers={"Prefer": "wait=60"})

    assert answer.json()["status"] == "completed"
    assert answer.headers["preference-applied"] == "wait=60"


def test_a_look_is_held_for_a_minute_at_most(client: httpx.Client):
    task_id = submit(client)

    assert (
        client.get(f"/tasks/{task_id}", headers={"Prefer": "wait=600"}).headers["preference-applied"]
        == "wait=60"
    )


def test_a_look_that_is_not_held_answers_at_once(client: httpx.Client):
    task_id = submit(client, latency=30)

    answer = client.get(f"/tasks/{task_id}")

    assert answer.json()["status"] in ("queued", "running")
    assert "preference-applied" not in answer.headers
    client.post(f"/tasks/{task_id}/cancel")


# Idempotency


def test_the_same_key_and_request_give_the_same_task(client: httpx.Client):
    key = {"Idempotency-Key": "same"}

    assert submit(client, key, prompt="once") == submit(client, key, prompt="once")


def test_a_request_spelt_otherwise_is_the_same(client: httpx.Client):
    key = {**ASYNC, "Idempotency-Key": "spelt"}
    one = b'{"task_type":"text_generation","input":{"prompt":"a","system":"b"},"config":{"x":1,"y":2}}'
    other = b'{ "config": {"y":2, "x":1}, "input": {"system":"b","prompt":"\\u0061"}, "task_type":"text_generation", "stream":false }'  # fmt: skip  # noqa: E501

    answers = [
        client.post("/invoke", content=content, headers={**key, "Content-Type": "application/json"})
        for content in (one, other)
    ]

    assert answers[0].json()["task_id"] == answers[1].json()["task_id"]


def test_the_same_key_with_another_request_is_a_conflict(client: httpx.Client):
    key = {**ASYNC, "Idempotency-Key": "other"}
    client.post("/invoke", json=body("one"), headers=key)

    answer = client.post("/invoke", json=body("two"), headers=key)

    assert (answer.status_code, answer.json()["error_code"]) == (409, "CONFLICT")


def test_projects_do_not_share_keys(client: httpx.Client, stranger: httpx.Client):
    key = {"Idempotency-Key": "shared"}

    assert submit(client, key) != submit(stranger, key)


def test_a_repeated_synchronous_request_gives_the_finished_task(client: httpx.Client):
    key = {"Idempotency-Key": "sync"}
    one, other = (client.post("/invoke", json=body(), headers=key).json() for _ in range(2))

    assert one == other


def test_a_repeated_stream_gives_the_whole_stream(client: httpx.Client):
    key = {"Idempotency-Key": "stream"}
    one, other = (
        stream_of(client, "POST", "/invoke", json=body(tokens=3, stream=True), headers=key) for _ in range(2)
    )

    assert one == other


def test_requests_at_once_with_one_key_make_one_task(client: httpx.Client):
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(submit(client, {"Idempotency-Key": "at once"})))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(found) == 8
    assert len(set(found)) == 1


# List


def tagged(client: httpx.Client, tag: str, **params: Any) -> dict[str, Any]:
    return client.get("/tasks", params={"metadata[tag]": tag, **params}).json()


def test_tasks_are_listed_in_pages_newest_first(client: httpx.Client):
    ids = [submit(client, metadata={"tag": "pages"}) for _ in range(5)][::-1]

    one = tagged(client, "pages", limit=2)
    two = tagged(client, "pages", limit=2, cursor=one["next_cursor"])
    three = tagged(client, "pages", limit=2, cursor=two["next_cursor"])

    pages = [[task["task_id"] for task in page["data"]] for page in (one, two, three)]
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    assert [page["has_more"] for page in (one, two, three)] == [True, True, False]
    assert three["next_cursor"] is None


def test_tasks_are_listed_by_status_type_and_time(client: httpx.Client):
    ok = final(client, submit(client, metadata={"tag": "by"}))
    broken = final(client, submit(client, metadata={"tag": "by"}, error_code="PROVIDER_ERROR"))

    def ids(**params: Any) -> list[str]:
        return [task["task_id"] for task in tagged(client, "by", **params)["data"]]

    assert ids(status="failed") == [broken["task_id"]]
    assert ids(status="completed") == [ok["task_id"]]
    assert ids(task_type="image_generation") == []
    assert ids(created_after=broken["created_at"]) == []


def test_another_projects_tasks_are_not_listed(client: httpx.Client, stranger: httpx.Client):
    submit(client, metadata={"tag": "mine"})

    assert tagged(stranger, "mine") == {"data": [], "has_more": False, "next_cursor": None}


# Cancel and delete


def test_a_running_task_is_cancelled(client: httpx.Client):
    task_id = submit(client, latency=30)

    answer = client.post(f"/tasks/{task_id}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert final(client, task_id)["status"] == "cancelled"


def test_cancelling_twice_is_fine(client: httpx.Client):
    task_id = submit(client, latency=30)

    answers = [client.post(f"/tasks/{task_id}/cancel") for _ in range(2)]

    assert [answer.json()["status"] for answer in answers] == ["cancelled"] * 2


def test_a_finished_task_cannot_be_cancelled(client: httpx.Client):
    task_id = submit(client)
    final(client, task_id)

    answer = client.post(f"/tasks/{task_id}/cancel")

    assert (answer.status_code, answer.json()["error_code"]) == (409, "CONFLICT")
    assert "completed" in answer.json()["detail"]


def test_a_finished_task_is_deleted(client: httpx.Client):
    task_id = submit(client)
    final(client, task_id)

    answer = client.delete(f"/tasks/{task_id}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"/tasks/{task_id}").status_code == 404
    assert client.delete(f"/tasks/{task_id}").status_code == 404


def test_a_running_task_is_not_deleted(client: httpx.Client):
    task_id = submit(client, latency=30)

    answer = client.delete(f"/tasks/{task_id}")

    assert (answer.status_code, answer.json()["error_code"]) == (409, "CONFLICT")
    client.post(f"/tasks/{task_id}/cancel")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("POST", "/cancel"), ("DELETE", ""), ("GET", "/events")]
)
def test_what_belongs_to_another_project_does_not_exist(
    client: httpx.Client, stranger: httpx.Client, method: str, path: str
):
    task_id = submit(client)
    final(client, task_id)

    answers = [stranger.request(method, f"/tasks/{name}{path}") for name in (task_id, "task_nope")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["detail"] == answers[1].json()["detail"].replace("task_nope", task_id)
    assert final(client, task_id)["status"] == "completed"


# Events


def events(client: httpx.Client, task_id: str, after: int | None = None) -> list[Event]:
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    return stream_of(client, "GET", f"/tasks/{task_id}/events", headers=headers)


def test_the_events_of_a_streamed_task_can_be_had_again_from_any_of_them(client: httpx.Client):
    whole = stream_of(client, "POST", "/invoke", json=body(tokens=4, stream=True))
    task_id = whole[0][2]["task_id"]

    assert events(client, task_id) == whole
    for number, (id, _, _) in enumerate(whole):
        assert events(client, task_id, id) == whole[number + 1 :]


def test_a_stream_that_broke_goes_on_where_it_was(client: httpx.Client):
    request = body(tokens=20, tokens_per_second=100, stream=True)
    before: list[Event] = []
    with client.stream("POST", "/invoke", json=request) as answer:
        for event in events_of(answer.iter_lines()):
            if event:
                before.append(event)
            if len(before) == 5:
                break
    task_id = before[0][2]["task_id"]

    after = events(client, task_id, before[-1][0])

    assert after[0][0] > before[-1][0]
    assert text_of(before + after) == final(client, task_id)["output"]["text"]


def test_a_running_task_that_was_not_streamed_can_be_followed(client: httpx.Client):
    task_id = submit(client, latency=0.15, tokens=3)

    followed = events(client, task_id)

    assert followed[0][2]["task_id"] == task_id
    assert text_of(followed) == final(client, task_id)["output"]["text"]
    assert followed[-1][2] == DONE


def test_a_finished_task_that_was_not_streamed_tells_its_result(client: httpx.Client):
    task = final(client, submit(client, tokens=3))

    followed = events(client, task["task_id"])

    assert text_of(followed) == task["output"]["text"]
    assert [data for _, _, data in followed][-1] == DONE
    assert [id for id, _, _ in followed] == sorted({id for id, _, _ in followed})


def test_a_failed_task_tells_its_error(client: httpx.Client):
    task = final(client, submit(client, error_code="PROVIDER_ERROR"))

    _, name, data = events(client, task["task_id"])[-1]
    assert (name, data["error"]["code"]) == ("error", "PROVIDER_ERROR")


def test_a_queued_task_that_is_cancelled_ends_its_stream(client: httpx.Client):
    task_id = submit(client, latency=30)
    with client.stream("GET", f"/tasks/{task_id}/events") as answer:
        following = events_of(answer.iter_lines())
        next(following)
        client.post(f"/tasks/{task_id}/cancel")
        *_, (_, name, data) = [event for event in following if event]

    assert (name, data["error"]["code"]) == ("error", "CANCELLED")


def test_a_stream_that_cannot_go_on_says_so(client: httpx.Client):
    task = final(client, submit(client))

    followed = events(client, task["task_id"], 7 * ATTEMPT)

    assert [(name, data["error"]["code"]) for _, name, data in followed] == [("error", "STREAM_LOST")]


@pytest.mark.parametrize("wrong", ["x", "-1", "1.5", "9" * 19, "1e9", "²"])
def test_an_event_id_that_is_none_is_refused(client: httpx.Client, wrong: str):
    task_id = submit(client)

    answer = client.get(f"/tasks/{task_id}/events", headers=[("Last-Event-ID", wrong.encode())])

    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (400, ["Last-Event-ID"])


def test_many_follow_one_task(client: httpx.Client):
    task_id = submit(client, latency=0.1, tokens=3)
    found: list[list[Event]] = []
    threads = [threading.Thread(target=lambda: found.append(events(client, task_id))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(found) == 5
    assert all(followed == found[0] for followed in found)
