"""What the platform makes of wrong requests: a clear answer each, and it goes on."""

from __future__ import annotations

import json
import socket
import sqlite3
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures.served import Served

ASYNC = {"Prefer": "respond-async"}
JSON = {"Content-Type": "application/json"}
TEXT = {"task_type": "text_generation", "input": {"prompt": "hi"}}


@pytest.fixture(autouse=True)
def platform_is_unharmed(nobody: httpx.Client) -> Iterator[None]:
    yield
    assert nobody.get("/health").json() == {"status": "healthy"}


def problem_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, which must be this one."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["error_code"]) == (status, status, code), (
        answer.text
    )
    assert problem.keys() >= {"type", "title", "detail", "timestamp"}
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


def invoke(client: httpx.Client, content: bytes | dict[str, Any], **headers: str) -> httpx.Response:
    if isinstance(content, dict):
        content = json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/invoke", content=content, headers={**JSON, **ASYNC, **named})


def with_field(name: str, value: str) -> bytes:
    return b'{"task_type":"text_generation","input":{"prompt":"hi"},"%b":%b}' % (
        name.encode(),
        value.encode(),
    )


# Health and the contract


@pytest.mark.parametrize("path", ["/health", "/health/live", "/api/v1/health"])
def test_health_needs_no_key(platform: Served, path: str):
    assert httpx.get(platform.url + path).json() == {"status": "healthy"}


def test_the_contract_is_published_without_a_key(platform: Served):
    document = httpx.get(f"{platform.url}/openapi.json").json()

    assert document["openapi"].startswith("3.1")
    assert "/api/v1/invoke" in document["paths"]


@contextmanager
def without_table(platform: Served, name: str) -> Iterator[None]:
    with closing(sqlite3.connect(platform.database)) as connection:
        connection.execute(f"ALTER TABLE {name} RENAME TO elsewhere")
        try:
            yield
        finally:
            connection.execute(f"ALTER TABLE elsewhere RENAME TO {name}")


@pytest.mark.parametrize(
    ("table", "method", "path"),
    [
        ("tasks", "GET", "/tasks"),
        ("tasks", "GET", "/tasks/task_1"),
        ("tasks", "POST", "/tasks/task_1/cancel"),
        ("tasks", "POST", "/invoke"),
        ("files", "GET", "/files"),
        ("files", "POST", "/files"),
    ],
)
def test_a_database_that_cannot_be_used_is_a_503(
    platform: Served, client: httpx.Client, table: str, method: str, path: str
):
    sent = (
        {"/invoke": {"json": TEXT}, "/files": {"files": {"file": b"x"}}}.get(path, {})
        if method == "POST"
        else {}
    )

    with without_table(platform, table):
        answer = client.request(method, path, **sent)

    problem_of(answer, 503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0
    assert table not in answer.text


def test_a_platform_that_takes_no_tasks_is_alive_and_not_ready(platform: Served):
    with without_table(platform, "tasks"):
        statuses = [httpx.get(f"{platform.url}/health/{kind}").status_code for kind in ("live", "ready")]

    assert statuses == [200, 503]
    assert httpx.get(f"{platform.url}/health/ready").status_code == 200


# Keys


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/invoke"), ("GET", "/tasks"), ("GET", "/tasks/task_1"), ("GET", "/tasks/task_1/events"),
     ("DELETE", "/tasks/task_1"), ("POST", "/tasks/task_1/cancel"), ("POST", "/files"), ("GET", "/files"),
     ("GET", "/files/file_1"), ("GET", "/files/file_1/content"), ("DELETE", "/files/file_1")],
)  # fmt: skip
@pytest.mark.parametrize("authorization", [None, "Bearer nxs_unknown", "Basic bnhzOng=", "Bearer", "nxs_x"])
def test_every_route_asks_for_a_key(nobody: httpx.Client, method: str, path: str, authorization: str | None):
    headers = {"Authorization": authorization} if authorization else {}

    answer = nobody.request(method, path, headers=headers)

    problem_of(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"].startswith("Bearer")


# Bodies


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"task_type":"text_generation"}',
        b'{"task_type":"text_generation","input":[]}',
        b'{"task_type":"text_generation","input":{"prompt":"\xff"}}',
        b'{"task_type":"text_generation","input":{"prompt":"\\ud800"}}',
        b'{"task_type":"\xff","input":{}}',
        b"[" * 10_000,
        b'{"task_type":"text_generation","input":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        with_field("config", '{"a":' * 10_000 + "1" + "}" * 10_000),
        with_field("metadata", '{"a":' * 10_000 + "1" + "}" * 10_000),
        with_field("nope", "1"),
        with_field("webhook", '{"url":"ftp://example.com"}'),
        with_field("priority", "1e400"),
        with_field("priority", "9" * 400),
        with_field("timeout", "NaN"),
        with_field("timeout", "86401"),
        with_field("metadata", '{"n":%s}' % ("9" * 30)),
        with_field("config", '{"n":Infinity}'),
        with_field("config", '{"temperature":"hot"}'),
        with_field("stream", "1"),
        with_field("model", "5"),
    ],
)
def test_a_wrong_body_is_a_400(client: httpx.Client, content: bytes):
    problem_of(invoke(client, content), 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("request_", "loc"),
    [
        ({**TEXT, "task_type": "telepathy"}, ["task_type"]),
        ({**TEXT, "task_type": "x" * 100_000}, ["task_type"]),
        ({**TEXT, "input": {"prompt": "a", "nope": 1}}, ["input", "nope"]),
        ({**TEXT, "provider": "nope"}, ["provider"]),
        ({**TEXT, "provider": "x" * 100_000}, ["provider"]),
        ({**TEXT, "config": {"top_p": 7}}, ["config", "top_p"]),
        (
            {"task_type": "image_generation", "input": {"prompt": "a"}, "config": {"size": "big"}},
            ["config", "size"],
        ),
    ],
)
def test_a_wrong_field_is_named_and_not_quoted_at_length(
    client: httpx.Client, request_: dict[str, Any], loc: list[str]
):
    problem = problem_of(invoke(client, request_), 400, "INVALID_REQUEST")

    assert [error["loc"] for error in problem["errors"]] == [loc]
    assert len(problem["detail"]) < 400


@pytest.mark.parametrize("depth", [50, 200, 300, 500, 800, 900, 950, 1000])
@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "deep"}], ids=["no key", "key"])
def test_deep_nesting_is_taken_or_refused(client: httpx.Client, depth: int, key: dict[str, str]):
    headers = {name: f"{value}-{depth}" for name, value in key.items()}

    answer = invoke(client, with_field("config", '{"a":' * depth + "1" + "}" * depth), **headers)

    assert answer.status_code in (202, 400)


@pytest.mark.parametrize("number", ["9" * 30, "-" + "9" * 300, "1e308", "0.1e-400", str(2**63), str(2**64)])
@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "number"}], ids=["no key", "key"])
def test_large_numbers_are_taken_or_refused(client: httpx.Client, number: str, key: dict[str, str]):
    headers = {name: f"{value} {number}" for name, value in key.items()}

    answer = invoke(client, with_field("config", f'{{"a":{number},"seed":{number}}}'), **headers)

    assert answer.status_code in (202, 400)


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B", "json"],
)
def test_another_type_of_body_is_a_415(client: httpx.Client, media_type: str):
    answer = client.post("/invoke", content=b"{}", headers={"Content-Type": media_type} if media_type else {})

    problem_of(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_a_413(client: httpx.Client, chunked: bool):
    whole = b'{"task_type":"' + b"x" * 1_000_000

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(whole), 10_000):
            yield whole[start : start + 10_000]

    answer = client.post("/invoke", content=pieces() if chunked else whole, headers=JSON)

    problem_of(answer, 413, "PAYLOAD_TOO_LARGE")


def test_a_body_of_nearly_the_limit_is_taken(client: httpx.Client):
    answer = invoke(
        client, {**TEXT, "provider": "local", "model": "simulate", "input": {"prompt": "多" * 49_000}}
    )

    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("path", "media_type", "with_key", "status"),
    [
        ("/invoke", "application/json", True, 413),
        ("/invoke", "text/plain", True, 415),
        ("/invoke", "application/json", False, 401),
        ("/files", "multipart/form-data; boundary=B", True, 400),
        ("/files", "multipart/form-data; boundary=B", False, 401),
        ("/files", "text/plain", True, 415),
        ("/nowhere", "text/plain", True, 404),
        ("/health", "text/plain", True, 405),
    ],
)
def test_who_sends_all_before_it_reads_sees_the_answer(
    platform: Served, path: str, media_type: str, with_key: bool, status: int
):
    """urllib is such a client; it asks to close the connection, too."""
    headers = {
        "Content-Type": media_type,
        **({"Authorization": f"Bearer {platform.key}"} if with_key else {}),
    }
    request = urllib.request.Request(
        f"{platform.url}/api/v1{path}", b"x" * 20_000_000, headers, method="POST"
    )

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)

    with refused.value as answer:
        assert (answer.code, json.load(answer)["status"]) == (status, status)


def test_a_client_that_hangs_up_while_it_sends_harms_nobody(platform: Served):
    head = f"POST /api/v1/invoke HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {platform.key}\r\nContent-Type: application/json\r\n"  # fmt: skip  # noqa: E501
    for rest in ("Content-Length: 5000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n5\r\n{"):
        with socket.create_connection(("127.0.0.1", platform.port)) as connection:
            connection.sendall((head + rest).encode())


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
    ids=["tls", "no path", "unknown version", "negative length", "two lengths"],
)
def test_what_is_not_http_is_refused(platform: Served, sent: bytes):
    with socket.create_connection(("127.0.0.1", platform.port), timeout=5) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)

        answer = connection.recv(1000)

    assert not answer or b" 400 " in answer.splitlines()[0]


# Paths, methods, parameters, headers


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1",
        "/api/v2/tasks",
        "/api/v1/tasks/a/b/c",
        "/v2/models",
        "/api/v1/%ff%00",
        "/..%2f..%2fetc",
    ],
)
def test_an_unknown_path_is_a_404(platform: Served, path: str):
    problem_of(httpx.get(platform.url + path), 404, "NOT_FOUND")


@pytest.mark.parametrize("name", ["task_nope", "%00", "%ff", "x" * 5000, "..", "'; DROP TABLE tasks", "*"])
@pytest.mark.parametrize("kind", ["tasks", "files"])
def test_an_unknown_id_is_a_404(client: httpx.Client, kind: str, name: str):
    answer = client.get(f"/{kind}/{name.replace('..', '%2e%2e')}")

    problem_of(answer, 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/invoke", "POST"),
        ("PUT", "/invoke", "POST"),
        ("POST", "/tasks", "GET"),
        ("GET", "/tasks/task_1/cancel", "POST"),
        ("POST", "/health", "GET"),
        ("PATCH", "/files/file_1/content", "GET"),
        ("PUT", "/files", "GET, POST"),
        ("POST", "/tasks/task_1", "DELETE, GET"),
        ("PUT", "/sessions/session_1", "DELETE, GET, PATCH"),
        ("OPTIONS", "/tasks", "GET"),
        ("PROPFIND", "/tasks", "GET"),
    ],
)
def test_a_wrong_method_is_a_405_that_says_which_is_right(
    client: httpx.Client, method: str, path: str, allowed: str
):
    answer = client.request(method, path)

    problem_of(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allowed


def test_head_has_no_body(client: httpx.Client):
    answer = client.head("/health")

    assert answer.content == b""
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/tasks", "limit", "0"),
        ("/tasks", "limit", "101"),
        ("/tasks", "limit", "many"),
        ("/tasks", "status", "lost"),
        ("/tasks", "created_after", "yesterday"),
        ("/files", "page", "0"),
        ("/files", "page", "1.5"),
        ("/files", "page", "9" * 30),
        ("/files", "per_page", "101"),
        ("/files", "per_page", ""),
    ],
)
def test_a_wrong_parameter_is_named(client: httpx.Client, path: str, name: str, value: str):
    problem = problem_of(client.get(path, params={name: value}), 400, "INVALID_REQUEST")

    assert [error["loc"] for error in problem["errors"]] == [[name]]
    assert name in problem["detail"]


@pytest.mark.parametrize(
    "query",
    [
        "cursor=nope",
        "cursor=%00",
        "cursor=%ff",
        "metadata[]=x",
        "metadata[a",
        "metadata[a]=1&metadata[a]=2",
        "nope=1",
        "task_type=%27",
        "created_after=0001-01-01T00:00:00%2B14:00",
        "created_after=2026-01-01T00:00:00Z",
    ],
)
def test_an_odd_parameter_finds_something_or_nothing(client: httpx.Client, query: str):
    assert client.get(f"/tasks?{query}").json().keys() == {"data", "has_more", "next_cursor"}


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_ill_formed_idempotency_key_is_a_400(client: httpx.Client, key: str):
    problem = problem_of(invoke(client, TEXT, Idempotency_Key=key), 400, "INVALID_REQUEST")

    assert problem["errors"][0]["loc"] == ["Idempotency-Key"]


def test_an_ill_formed_request_id_is_replaced(client: httpx.Client):
    answer = client.get("/tasks/task_nope", headers={"X-Request-Id": "not well formed"})

    assert problem_of(answer, 404, "NOT_FOUND")["request_id"].startswith("req_")


@pytest.mark.parametrize("preference", ["wait=soon", "wait=-1", "wait=1e9", "respond-sync", ";;;", "wait"])
def test_an_ill_formed_preference_is_ignored(client: httpx.Client, preference: str):
    answer = client.post("/invoke", json=TEXT, headers={"Prefer": preference})

    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers


def test_a_very_long_header_is_refused_by_the_server(platform: Served):
    try:
        answer = httpx.get(f"{platform.url}/health", headers={"X-Long": "x" * 200_000})
    except httpx.TransportError:
        return
    assert answer.status_code in (200, 400, 431)


# Anything at all

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]) | values},
    optional={"content": values, "name": values, "tool_calls": values},
)
inputs = st.fixed_dictionaries(
    {},
    optional={
        "prompt": values,
        "messages": st.lists(messages, max_size=3) | values,
        "text": values,
        "system": values,
    },
)
options = st.sampled_from(
    ["temperature", "max_tokens", "seed", "stop", "tools", "size", "num_images", "voice", "speed", "tokens"]
)
requests = st.fixed_dictionaries(
    {
        "task_type": st.sampled_from(["text_generation", "image_generation", "text_to_speech"]),
        "input": inputs | st.just({"prompt": "hi"}),
    },
    optional={
        "model": st.sampled_from(["local/simulate", "local/text"]) | values,
        "config": st.dictionaries(options | st.text(max_size=5), values, max_size=4) | values,
        "metadata": st.dictionaries(st.text(max_size=70), scalars, max_size=3) | values,
        "priority": values,
        "timeout": values,
        "stream": values,
        "provider": st.just("local") | values,
    },
)
fuzzing = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def sent(client: httpx.Client, request: Any, key: str | None) -> int:
    headers = {**JSON, **ASYNC, **({"Idempotency-Key": key} if key else {})}
    content = json.dumps(request).encode("utf-8", "surrogatepass")
    with client.stream("POST", "/invoke", content=content, headers=headers) as answer:
        return answer.status_code


@fuzzing
@given(values)
def test_any_json_gets_an_answer(client: httpx.Client, request_: Any):
    assert sent(client, request_, None) == 400


@fuzzing
@given(requests, st.booleans())
def test_nearly_any_request_gets_an_answer(client: httpx.Client, request_: Any, with_key: bool):
    assert sent(client, request_, str(uuid.uuid4()) if with_key else None) in (200, 202, 400)


@settings(fuzzing, max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(client: httpx.Client, content: bytes):
    assert invoke(client, content).status_code == 400


def test_nothing_of_all_this_failed_inside_the_platform(client: httpx.Client):
    page: dict[str, Any] = {"has_more": True, "next_cursor": None}
    failed: list[dict[str, Any]] = []
    while page["has_more"]:
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = client.get("/tasks", params={"status": "failed", "limit": "100", **cursor}).json()
        failed += page["data"]

    assert [task["error"] for task in failed if task["error"]["code"] == "INTERNAL_ERROR"] == []
