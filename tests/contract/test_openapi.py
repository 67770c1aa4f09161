"""The published contract: the committed copy, and the platform's real answers held to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from scripts import openapi
from tests.fixtures.served import Served, served

SIMULATED = {"task_type": "text_generation", "input": {"prompt": "hi"}, "model": "local/simulate"}
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("platform"), shutdown_grace=0) as platform:
        yield platform


@pytest.fixture(scope="module")
def client(platform: Served) -> Iterator[httpx.Client]:
    with platform.client() as client:
        yield client


@pytest.fixture(scope="module")
def document(platform: Served) -> dict[str, Any]:
    return httpx.get(f"{platform.url}/openapi.json").json()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`GET /path` → operation."""
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def refs_in(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from refs_in(inner)


def complaints(document: dict[str, Any], schema: dict[str, Any], answer: Any) -> list[str]:
    """What an answer has against a schema of the document."""
    whole = {**schema, "components": document["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(answer)]


def answer_schema(document: dict[str, Any], operation: str, answer: httpx.Response) -> dict[str, Any]:
    """The schema that the document has for this answer."""
    responses = operations(document)[operation]["responses"]
    response = responses.get(str(answer.status_code), responses["default"])
    return response["content"][answer.headers["content-type"].partition(";")[0]]["schema"]


# The document


def test_the_committed_copy_is_what_the_platform_says():
    assert openapi.PATH.read_text(encoding="utf-8") == openapi.text(), "run: make docs"


def test_a_running_platform_says_the_same(document: dict[str, Any]):
    assert document == json.loads(openapi.PATH.read_text(encoding="utf-8"))


def test_it_is_openapi_3_1(document: dict[str, Any]):
    assert document["openapi"].startswith("3.1.")
    assert document["info"].keys() >= {"title", "version"}
    assert all(set(item) <= METHODS for item in document["paths"].values())


def test_every_reference_leads_somewhere(document: dict[str, Any]):
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    assert set(refs_in(document)) <= known


def test_every_schema_is_one(document: dict[str, Any]):
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_has_a_name_of_its_own_and_says_what_it_is(document: dict[str, Any]):
    found = operations(document)

    assert len({operation["operationId"] for operation in found.values()}) == len(found)
    assert all(operation["description"] for operation in found.values())


def test_every_operation_may_answer_a_problem_and_nothing_that_it_never_does(document: dict[str, Any]):
    for name, operation in operations(document).items():
        path = name.split()[1]
        schema = "MessagesError" if path.startswith("/v1/messages") else "Error"
        if not path.startswith("/v1/"):
            schema = "Problem"
        [(media, default)] = operation["responses"]["default"]["content"].items()
        assert default == {"schema": {"$ref": f"#/components/schemas/{schema}"}}
        assert media == ("application/problem+json" if schema == "Problem" else "application/json")
        assert "422" not in operation["responses"]


def test_every_parameter_of_a_path_is_described(document: dict[str, Any]):
    for name, operation in operations(document).items():
        described = [part["name"] for part in operation.get("parameters", []) if part["in"] == "path"]
        assert re.findall(r"{(\w+)}", name) == described


def test_what_needs_a_key_is_what_the_document_says(document: dict[str, Any], platform: Served):
    for name, operation in operations(document).items():
        method, path = name.replace("{", "").replace("}", "").split()
        needs_key = operation.get("security", document["security"]) != []

        answer = httpx.request(method, platform.url + path)

        assert (answer.status_code == 401) == needs_key, name


# Real answers


def test_the_answers_of_tasks_are_as_described(document: dict[str, Any], client: httpx.Client):
    accepted = client.post("/invoke", json=SIMULATED, headers={"Prefer": "respond-async"})
    task = f"/tasks/{accepted.json()['task_id']}"
    failing = {**SIMULATED, "config": {"error_code": "TIMEOUT"}, "metadata": {"a": 1}}
    failed = client.post("/invoke", json=failing)
    failed_task = f"/tasks/{failed.json()['task_id']}"
    answers = [
        ("POST /api/v1/invoke", accepted),
        ("POST /api/v1/invoke", client.post("/invoke", json=SIMULATED)),
        ("POST /api/v1/invoke", failed),
        ("GET /api/v1/tasks/{task_id}", client.get(task, headers={"Prefer": "wait=5"})),
        ("GET /api/v1/tasks/{task_id}", client.get(failed_task)),
        ("GET /api/v1/tasks/{task_id}", client.get("/tasks/task_nope")),
        ("GET /api/v1/tasks", client.get("/tasks", params={"limit": 1})),
        ("GET /api/v1/tasks", client.get("/tasks", params={"limit": 0})),
        ("POST /api/v1/tasks/{task_id}/cancel", client.post(f"{task}/cancel")),
        ("GET /api/v1/tasks/{task_id}/events", client.get(f"{task}/events")),
    ]

    for operation, answer in answers:
        told = answer.text if "event-stream" in answer.headers["content-type"] else answer.json()
        assert complaints(document, answer_schema(document, operation, answer), told) == [], operation
    statuses = [answer.status_code for _, answer in answers]
    assert statuses == [202, 200, 408, 200, 200, 404, 200, 400, 409, 200]


def test_a_queued_task_that_is_cancelled_is_as_described(document: dict[str, Any], client: httpx.Client):
    slow = {**SIMULATED, "config": {"latency": 30}}
    task = client.post("/invoke", json=slow, headers={"Prefer": "respond-async"}).json()["task_id"]

    answer = client.post(f"/tasks/{task}/cancel")

    schema = answer_schema(document, "POST /api/v1/tasks/{task_id}/cancel", answer)
    assert complaints(document, schema, answer.json()) == []
    assert client.delete(f"/tasks/{task}").status_code == 204
    assert "204" in operations(document)["DELETE /api/v1/tasks/{task_id}"]["responses"]


def test_the_answers_of_files_are_as_described(document: dict[str, Any], client: httpx.Client):
    uploaded = client.post("/files", files={"file": ("a.txt", b"hi", "text/plain")})
    file = f"/files/{uploaded.json()['file_id']}"
    answers = [
        ("POST /api/v1/files", uploaded),
        ("POST /api/v1/files", client.post("/files", json={})),
        ("GET /api/v1/files", client.get("/files")),
        ("GET /api/v1/files/{file_id}", client.get(file)),
        ("GET /api/v1/files/{file_id}/content", client.get(f"{file}/content", headers={"Range": "bytes=9-"})),
        ("DELETE /api/v1/files/{file_id}", client.delete(file)),
        ("GET /api/v1/files/{file_id}", client.get(file)),
        ("GET /health", client.get("/health")),
    ]

    for operation, answer in answers:
        schema = answer_schema(document, operation, answer)
        assert complaints(document, schema, answer.json()) == [], operation
    assert [answer.status_code for _, answer in answers] == [201, 415, 200, 200, 416, 200, 404, 200]


def test_the_answers_of_sessions_are_as_described(document: dict[str, Any], client: httpx.Client):
    made = client.post("/sessions", json={"agent_config": {"model": "local/simulate"}})
    one = f"/sessions/{made.json()['session_id']}"
    later = {"Prefer": "respond-async"}
    path = "/api/v1/sessions/{session_id}"
    answers = [
        ("POST /api/v1/sessions", made),
        ("POST /api/v1/sessions", client.post("/sessions", json={"agent_type": "x"})),
        ("GET /api/v1/sessions", client.get("/sessions")),
        (f"GET {path}", client.get(one)),
        (f"PATCH {path}", client.patch(one, json={"name": "n"})),
        (f"POST {path}/invoke", client.post(f"{one}/invoke", json={"prompt": "hi"})),
        (f"POST {path}/regenerate", client.post(f"{one}/regenerate", json={})),
        (f"POST {path}/fork", client.post(f"{one}/fork", json={})),
        (f"GET {path}/history", client.get(f"{one}/history")),
        (f"POST {path}/invoke", client.post(f"{one}/invoke", json={"prompt": "hi"}, headers=later)),
    ]

    for operation, answer in answers:
        schema = answer_schema(document, operation, answer)
        assert complaints(document, schema, answer.json()) == [], operation
    statuses = [answer.status_code for _, answer in answers]
    assert statuses == [201, 400, 200, 200, 200, 200, 200, 201, 200, 202]
    assert client.delete(one).status_code == 204


@pytest.mark.parametrize(
    ("request_", "fits"),
    [
        (SIMULATED, True),
        ({"task_type": "image_generation", "input": {"prompt": "a"}, "config": {"size": "8x8"}}, True),
        ({"task_type": "text_to_speech", "input": {"text": "a"}, "config": {"pitch": 2}}, True),
        ({**SIMULATED, "metadata": {"a": 1, "b": None}, "priority": -100, "timeout": 0.5}, True),
        ({**SIMULATED, "task_type": "telepathy"}, False),
        ({**SIMULATED, "nope": 1}, False),
        ({**SIMULATED, "priority": 101}, False),
        ({**SIMULATED, "timeout": 0}, False),
        ({**SIMULATED, "metadata": {"": 1}}, False),
        ({**SIMULATED, "metadata": {"a": []}}, False),
        ({**SIMULATED, "input": {"prompt": ""}}, False),
        ({"input": {"prompt": "a"}}, False),
    ],
)
def test_the_document_and_the_platform_agree_on_requests(
    document: dict[str, Any], client: httpx.Client, request_: dict[str, Any], fits: bool
):
    described = complaints(document, {"$ref": "#/components/schemas/InvokeRequest"}, request_) == []
    answer = client.post("/invoke", json=request_, headers={"Prefer": "respond-async"})

    assert (described, answer.status_code) == (fits, 202 if fits else 400)
