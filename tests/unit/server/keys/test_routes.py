"""Keys and projects over the API: who may do what, and how often."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from tests.fixtures.served import Served

TEXT: dict[str, Any] = {
    "task_type": "text_generation",
    "provider": "local",
    "model": "simulate",
    "input": {"prompt": "hi"},
    "config": {"tokens": 1},
}


def made(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/keys", json={"name": "k", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
    return answer.json()


def wait_for_a_fresh_minute() -> None:
    """So that what follows is counted in one minute."""
    while time.time() % 60 > 50:
        time.sleep(0.2)


# Keys


def test_a_key_is_shown_once(client: httpx.Client, platform: Served):
    key = made(client, name="ci")

    assert key["api_key"].startswith("nxs_")
    assert len(key["api_key"]) == 47  # 256 bits
    assert key["hint"] == f"{key['api_key'][:8]}…"
    assert key["scopes"] == ["invoke", "read"]
    with platform.client(key["api_key"]) as other:
        assert other.post("/invoke", json=TEXT).status_code == 200
    later = client.get(f"/keys/{key['key_id']}")
    assert "api_key" not in later.json()
    assert later.json()["last_used_at"] is not None
    listed = client.get("/keys").json()
    assert key["key_id"] in [each["key_id"] for each in listed["data"]]
    assert key["api_key"][8:] not in later.text + json.dumps(listed)


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["read"], {"GET /tasks"}),
        (["invoke"], {"GET /tasks", "POST /invoke", "POST /sessions"}),
        (["admin"], {"GET /keys", "GET /usage", "POST /keys"}),
        (["platform"], {"GET /keys", "GET /usage", "POST /keys", "GET /projects"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_scope_opens_its_routes_and_no_other(
    client: httpx.Client, platform: Served, scopes: list[str], allowed: set[str]
):
    asked: dict[str, dict[str, Any]] = {
        "GET /tasks": {},
        "GET /keys": {},
        "GET /usage": {},
        "GET /projects": {},
        "POST /invoke": {"json": TEXT},
        "POST /sessions": {"json": {}},
        "POST /keys": {"json": {"name": "other"}},
    }
    with platform.client(made(client, scopes=scopes)["api_key"]) as other:
        for name, options in asked.items():
            answer = other.request(*name.split(), **options)
            if name in allowed:
                assert answer.status_code < 300, (name, answer.text)
            else:
                told = problem(answer, 403, "FORBIDDEN")
                assert "scope" in told["detail"]
                assert scopes[0] in told["detail"]


def test_nobody_makes_or_takes_over_a_key_that_reaches_further(client: httpx.Client, platform: Served):
    mine = client.get("/keys").json()["data"][-1]
    assert "platform" in mine["scopes"]
    with platform.client(made(client, scopes=["admin"])["api_key"]) as admin:
        problem(admin.post("/keys", json={"name": "k", "scopes": ["platform"]}), 403, "FORBIDDEN")
        problem(admin.post(f"/keys/{mine['key_id']}/rotate"), 403, "FORBIDDEN")
        problem(admin.post(f"/keys/{mine['key_id']}/disable"), 403, "FORBIDDEN")
        ordinary = made(admin, scopes=["invoke", "admin"])
        raised = admin.patch(f"/keys/{ordinary['key_id']}", json={"scopes": ["platform"]})
        problem(raised, 403, "FORBIDDEN")


def test_a_project_keeps_its_keys_and_what_they_make_to_itself(client: httpx.Client, platform: Served):
    project = client.post("/projects", json={"name": "team"}).json()
    key = made(client, project=project["project_id"], scopes=["invoke", "admin"])
    assert key["project_id"] == project["project_id"]
    task = client.post("/invoke", json=TEXT).json()
    with platform.client(key["api_key"]) as other:
        problem(other.get(f"/tasks/{task['task_id']}"), 404, "NOT_FOUND")
        assert [each["key_id"] for each in other.get("/keys").json()["data"]] == [key["key_id"]]
        foreign = client.get("/keys").json()["data"][-1]["key_id"]
        problem(other.get(f"/keys/{foreign}"), 404, "NOT_FOUND")
        problem(other.get("/keys", params={"project": "proj_default"}), 404, "NOT_FOUND")
        problem(other.post("/keys", json={"name": "k", "project": "proj_default"}), 404, "NOT_FOUND")
        problem(other.get("/usage", params={"project": "proj_default"}), 404, "NOT_FOUND")
        assert other.get(f"/projects/{project['project_id']}").json()["name"] == "team"
        problem(other.get("/projects/proj_default"), 404, "NOT_FOUND")
    problem(client.post("/keys", json={"name": "k", "project": "proj_none"}), 404, "NOT_FOUND")
    listed = client.get("/keys", params={"project": project["project_id"]}).json()["data"]
    assert [each["key_id"] for each in listed] == [key["key_id"]]


def test_a_rotated_key_opens_for_its_grace_and_no_longer(client: httpx.Client, platform: Served):
    key = made(client)
    new = client.post(f"/keys/{key['key_id']}/rotate", json={"grace_seconds": 1}).json()
    assert new["api_key"] != key["api_key"]
    assert new["previous_until"] is not None
    for secret in (key["api_key"], new["api_key"]):
        with platform.client(secret) as other:
            assert other.get("/tasks").status_code == 200
    time.sleep(1.1)
    with platform.client(key["api_key"]) as old, platform.client(new["api_key"]) as other:
        assert "rotated" in problem(old.get("/tasks"), 401, "UNAUTHORIZED")["detail"]
        assert other.get("/tasks").status_code == 200
    last = client.post(f"/keys/{key['key_id']}/rotate").json()
    with platform.client(new["api_key"]) as old, platform.client(last["api_key"]) as other:
        problem(old.get("/tasks"), 401, "UNAUTHORIZED")
        assert other.get("/tasks").status_code == 200


def test_a_disabled_key_opens_nothing_until_it_is_enabled(client: httpx.Client, platform: Served):
    key = made(client)
    with platform.client(key["api_key"]) as other:
        assert other.get("/tasks").status_code == 200
        assert client.post(f"/keys/{key['key_id']}/disable").json()["is_active"] is False
        assert "disabled" in problem(other.get("/tasks"), 401, "UNAUTHORIZED")["detail"]
        assert client.patch(f"/keys/{key['key_id']}", json={"is_active": True}).json()["is_active"] is True
        assert other.get("/tasks").status_code == 200


def test_a_key_cannot_lock_itself_out(client: httpx.Client, platform: Served):
    with platform.client(made(client, scopes=["admin"])["api_key"]) as admin:
        own = admin.get("/keys").json()["data"][0]["key_id"]
        problem(admin.post(f"/keys/{own}/disable"), 409, "CONFLICT")


def test_a_key_expires(client: httpx.Client, platform: Served):
    soon = datetime.now(timezone.utc) + timedelta(seconds=1)
    key = made(client, expires_at=soon.isoformat())
    with platform.client(key["api_key"]) as other:
        assert other.get("/tasks").status_code == 200
        time.sleep(1.1)
        assert "expired" in problem(other.get("/tasks"), 401, "UNAUTHORIZED")["detail"]
    assert client.get(f"/keys/{key['key_id']}").json()["is_active"] is False
    told = problem(
        client.post("/keys", json={"name": "k", "expires_at": "2020-01-01T00:00:00Z"}), 400, "INVALID_REQUEST"
    )
    assert "expires_at" in told["detail"]


def test_what_is_left_out_of_a_change_stays_and_null_takes_away(client: httpx.Client):
    key = made(
        client,
        rate_limits={"requests_per_minute": 5},
        budget={"per_day": 1},
        allowed_models=["local/*"],
        expires_at="2099-01-01T00:00:00Z",
    )
    path = f"/keys/{key['key_id']}"
    renamed = client.patch(path, json={"name": "other"}).json()
    assert renamed == {**client.get(path).json(), "name": "other"}
    assert renamed["rate_limits"] == {"requests_per_minute": 5}
    freed = client.patch(
        path, json={"rate_limits": None, "budget": None, "allowed_models": None, "expires_at": None}
    ).json()
    assert [freed[name] for name in ("rate_limits", "budget", "allowed_models", "expires_at")] == [None] * 4


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"budget": {"per_week": 5}}, ["budget", "per_week"]),
        ({"budget": {"per_day": -1}}, ["budget", "per_day"]),
        ({"budget": {"per_day": "5"}}, ["budget", "per_day"]),
        ({"rate_limits": {"rpm": 5}}, ["rate_limits", "rpm"]),
        ({"rate_limits": {"requests_per_minute": 0}}, ["rate_limits", "requests_per_minute"]),
        ({"scopes": []}, ["scopes"]),
        ({"scopes": ["root"]}, ["scopes", 0]),
        ({"allowed_models": []}, ["allowed_models"]),
        ({"limit": 5}, ["limit"]),
        ({"name": ""}, ["name"]),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, fields: dict[str, Any], loc: list[Any]):
    told = problem(client.post("/keys", json={"name": "k", **fields}), 400, "INVALID_REQUEST")
    assert told["errors"][0]["loc"] == loc


def test_the_same_request_under_the_same_idempotency_key_is_one_key(client: httpx.Client, platform: Served):
    headers = {"Idempotency-Key": "make-it-once"}
    first, again = (client.post("/keys", json={"name": "once"}, headers=headers).json() for _ in range(2))
    assert first == again
    with platform.client(again["api_key"]) as other:
        assert other.get("/tasks").status_code == 200
    problem(client.post("/keys", json={"name": "twice"}, headers=headers), 409, "CONFLICT")
    rotate = f"/keys/{first['key_id']}/rotate"
    new, same = (client.post(rotate, headers=headers).json()["api_key"] for _ in range(2))
    assert new == same != first["api_key"]
    projects = [client.post("/projects", json={"name": "p"}, headers=headers).json() for _ in range(2)]
    assert projects[0] == projects[1]
    problem(client.post("/projects", json={"name": "q"}, headers=headers), 409, "CONFLICT")


def test_an_old_idempotency_key_brings_no_old_secret_back(client: httpx.Client, platform: Served):
    key, headers = made(client), {"Idempotency-Key": "rotate-it"}
    rotate = f"/keys/{key['key_id']}/rotate"
    first = client.post(rotate, headers=headers).json()["api_key"]
    client.post(rotate)  # the first one had leaked
    again = client.post(rotate, headers=headers).json()["api_key"]
    assert again != first
    with platform.client(first) as leaked, platform.client(again) as current:
        problem(leaked.get("/tasks"), 401, "UNAUTHORIZED")
        assert current.get("/tasks").status_code == 200


def test_a_key_that_is_disabled_while_it_is_changed_stays_so(client: httpx.Client, platform: Served):
    for _ in range(10):
        key = made(client)
        path = f"/keys/{key['key_id']}"
        with ThreadPoolExecutor(6) as pool:
            renamed = [pool.submit(client.patch, path, json={"name": f"n{number}"}) for number in range(5)]
            pool.submit(client.post, f"{path}/disable").result()
            assert {each.result().status_code for each in renamed} == {200}
        assert client.get(path).json()["is_active"] is False
        with platform.client(key["api_key"]) as other:
            problem(other.get("/tasks"), 401, "UNAUTHORIZED")


def test_a_key_does_not_widen_itself(client: httpx.Client, platform: Served):
    key = made(client, scopes=["admin"], allowed_models=["local/*"], budget={"per_day": 1})
    with platform.client(key["api_key"]) as admin:
        for change in ({"allowed_models": None}, {"budget": None}, {"scopes": ["invoke"]}):
            problem(admin.patch(f"/keys/{key['key_id']}", json=change), 403, "FORBIDDEN")
        assert admin.patch(f"/keys/{key['key_id']}", json={"name": "other"}).status_code == 200


def test_no_time_is_too_far_away_to_be_shown(client: httpx.Client):
    for moment in ("9999-12-31T23:59:59-12:00", "9500-01-01T00:00:00Z"):
        problem(client.post("/keys", json={"name": "k", "expires_at": moment}), 400, "INVALID_REQUEST")
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        problem(client.get("/usage", params={"from": moment}), 400, "INVALID_REQUEST")


# Models


@pytest.mark.parametrize(
    ("patterns", "fits"),
    [
        (["local/simulate"], True),
        (["local/*"], True),
        (["simul*"], True),
        (["openai/*", "local/simulate"], True),
        (["local/text"], False),
        (["openai/*"], False),
        (["simulat"], False),
    ],
)
def test_a_key_uses_the_models_that_it_may(
    client: httpx.Client, platform: Served, patterns: list[str], fits: bool
):
    with platform.client(made(client, allowed_models=patterns)["api_key"]) as other:
        answer = other.post("/invoke", json=TEXT)
        if fits:
            assert answer.status_code == 200
        else:
            assert patterns[0] in problem(answer, 403, "FORBIDDEN")["detail"]


def test_a_session_that_another_key_made_is_no_way_around_it(client: httpx.Client, platform: Served):
    agent = {"provider": "local", "model": "simulate"}
    session = client.post("/sessions", json={"agent_config": agent}).json()
    with platform.client(made(client, allowed_models=["local/text"])["api_key"]) as other:
        turn = other.post(f"/sessions/{session['session_id']}/invoke", json={"prompt": "hi"})
        problem(turn, 403, "FORBIDDEN")


def test_what_the_platform_does_by_itself_needs_no_model(client: httpx.Client, platform: Served):
    with platform.client(made(client, allowed_models=["openai/*"])["api_key"]) as other:
        file = other.post("/files", files={"file": ("a.txt", b"some text")}).json()
        body = {"task_type": "document_processing", "input": {"file_id": file["file_id"]}}
        assert other.post("/invoke", json=body).status_code == 200


# Limits


def test_requests_a_minute_are_counted_exactly_for_64_at_once(client: httpx.Client, platform: Served):
    key = made(client, rate_limits={"requests_per_minute": 40})
    wait_for_a_fresh_minute()
    with platform.client(key["api_key"], limits=httpx.Limits(max_connections=64)) as other:
        with ThreadPoolExecutor(64) as pool:
            answers = list(pool.map(lambda _: other.post("/invoke", json=TEXT), range(64)))
        assert sorted(answer.status_code for answer in answers) == [200] * 40 + [429] * 24
        refused = next(answer for answer in answers if answer.status_code == 429)
        told = problem(refused, 429, "RATE_LIMIT_EXCEEDED")
        assert "40 requests a minute" in told["detail"]
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["x-ratelimit-remaining"] == "0"
        looked = other.get("/tasks")  # looking is not counted, and shows what is left
        assert looked.status_code == 200
        assert looked.headers["x-ratelimit-limit"] == "40"
        assert looked.headers["x-ratelimit-remaining"] == "0"
        assert 1 <= int(looked.headers["x-ratelimit-reset"]) <= 60


def test_the_limit_of_a_project_is_shared_by_its_keys(client: httpx.Client, platform: Served):
    project = client.post(
        "/projects", json={"name": "small", "rate_limits": {"requests_per_minute": 3}}
    ).json()
    keys = [made(client, project=project["project_id"])["api_key"] for _ in range(2)]
    wait_for_a_fresh_minute()
    codes = []
    for number in range(4):
        with platform.client(keys[number % 2]) as other:
            codes.append(other.post("/invoke", json=TEXT).status_code)
    assert codes == [200, 200, 200, 429]
    more = {"rate_limits": {"requests_per_minute": 4}}
    assert client.patch(f"/projects/{project['project_id']}", json=more).status_code == 200
    with platform.client(keys[0]) as other:
        assert other.post("/invoke", json=TEXT).status_code == 200
        assert "project" in problem(other.post("/invoke", json=TEXT), 429, "RATE_LIMIT_EXCEEDED")["detail"]


def test_more_tasks_than_may_run_wait_their_turn_and_hold_up_nobody(client: httpx.Client, platform: Served):
    key = made(client, rate_limits={"concurrent_tasks": 2})
    slow = {**TEXT, "config": {"latency": 0.5, "tokens": 1}, "metadata": {"whose": "limited"}}
    most = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        with platform.client() as watcher:
            while not done.is_set():
                page = watcher.get("/tasks", params={"metadata[whose]": "limited", "status": "running"})
                most = max(most, len(page.json()["data"]))

    with platform.client(key["api_key"]) as other:
        watching = threading.Thread(target=watch)
        watching.start()
        ids = [
            other.post("/invoke", json=slow, headers={"Prefer": "respond-async"}).json()["task_id"]
            for _ in range(8)
        ]
        assert client.post("/invoke", json=TEXT).status_code == 200
        last = other.get(f"/tasks/{ids[-1]}").json()
        assert last["status"] == "queued"  # the other key's task did not wait behind these
        for task_id in ids:
            task = other.get(f"/tasks/{task_id}", headers={"Prefer": "wait=20"}).json()
            assert task["status"] == "completed"
        done.set()
        watching.join()
    assert most == 2


def test_a_task_waits_for_the_tokens_of_the_next_minute(client: httpx.Client, platform: Served):
    key = made(client, rate_limits={"tokens_per_minute": 2000})
    wait_for_a_fresh_minute()
    with platform.client(key["api_key"]) as other:
        assert (
            other.post("/invoke", json={**TEXT, "config": {"max_tokens": 1500, "tokens": 1500}}).status_code
            == 200
        )
        waiting = {**TEXT, "config": {"max_tokens": 600, "tokens": 1}, "timeout": 0.5}
        late = other.post("/invoke", json=waiting)
        problem(late, 408, "TIMEOUT")  # it was given half a second, which is no minute
        too_much = {**TEXT, "config": {"max_tokens": 3000, "tokens": 1}}
        told = problem(other.post("/invoke", json=too_much), 429, "RATE_LIMIT_EXCEEDED")
        assert "more than it may ever have" in told["detail"]


def test_a_batch_heeds_the_limits_of_the_key_that_made_it(client: httpx.Client, platform: Served):
    key = made(client, allowed_models=["local/text"])
    with platform.client(key["api_key"]) as other:
        batch = other.post("/batches", json={"requests": [TEXT, {**TEXT, "model": "text"}]}).json()
        for _ in range(200):
            counts = other.get(f"/batches/{batch['batch_id']}").json()["counts"]
            if counts["completed"] + counts["failed"] == 2:
                break
            time.sleep(0.05)
        assert counts == {"total": 2, "completed": 1, "failed": 1, "cancelled": 0}
        lines = other.get(f"/batches/{batch['batch_id']}/results").text.splitlines()
        assert json.loads(lines[0])["error"]["code"] == "FORBIDDEN"
