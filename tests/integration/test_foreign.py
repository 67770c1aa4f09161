"""What belongs to one project does not exist for another: every route, every id in a body, every list."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.fixtures.hooks import running_hook
from tests.fixtures.openai_upstream import Upstream
from tests.fixtures.served import Served, served
from tests.integration.conftest import of_upstream

WORD = "quetzalcoatl"
SIMULATE: dict[str, Any] = {"provider": "local", "model": "simulate"}
TEXT: dict[str, Any] = {"task_type": "text_generation", "input": {"prompt": "hi"}, **SIMULATE}

BODIES: dict[str, dict[str, Any]] = {
    "PATCH /sessions/{session_id}": {"name": "renamed"},
    "POST /sessions/{session_id}/fork": {},
    "POST /sessions/{session_id}/invoke": {"prompt": "hello"},
    "POST /sessions/{session_id}/regenerate": {},
    "PATCH /webhooks/{webhook_id}": {"is_active": True},
    "PATCH /knowledge-bases/{kb_id}": {"description": "changed"},
    "POST /knowledge-bases/{kb_id}/documents": {"file_id": "the caller's file_id"},
    "PATCH /keys/{key_id}": {"name": "renamed"},
    "POST /keys/{key_id}/rotate": {"grace_seconds": 1},
    "PATCH /projects/{project_id}": {"name": "renamed"},
}
"""What a route with an id takes beside it; each is in order, so that only the id can be wrong."""

FOR_ALL_PROJECTS = {"GET /projects", "PATCH /projects/{project_id}"}
"""What only a key of the scope `platform` may call: for the others it is a 403, whatever the id."""

ABSENT = re.compile(r"([Tt]here is|has) no (file|knowledge base|message)")

CALLERS_OWN = {"custom_id", "tool_call_id"}
"""Names in bodies that look like ids of ours, and are words of the caller's."""


def picture(size: int = 16) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, size)).save(out, "PNG")
    return out.getvalue()


def edit(**more: Any) -> dict[str, Any]:
    return {"task_type": "image_generation", "input": {"prompt": "x", **more}}


def talk(part: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, part]}]
    return {"task_type": "text_generation", "input": {"messages": messages}, **SIMULATE}


def of_file(task_type: str) -> Callable[[dict[str, str]], tuple[str, str, dict[str, Any]]]:
    return lambda ids: ("POST", "/invoke", {"task_type": task_type, "input": {"file_id": ids["file_id"]}})


IN_BODIES: dict[str, tuple[str, Callable[[dict[str, str]], tuple[str, str, dict[str, Any]]]]] = {
    "DocumentInput.file_id": ("file_id", of_file("document_processing")),
    "TranscriptionInput.file_id": ("file_id", of_file("speech_to_text")),
    "ImageInput.image_file_ids": (
        "file_id",
        lambda ids: ("POST", "/invoke", edit(image_file_ids=[ids["file_id"]])),
    ),
    "ImageInput.mask_file_id": (
        "file_id",
        lambda ids: (
            "POST",
            "/invoke",
            edit(image_file_ids=[ids["own_picture"]], mask_file_id=ids["file_id"]),
        ),
    ),
    "Message.content.file_id": (
        "file_id",
        lambda ids: ("POST", "/invoke", talk({"type": "file_id", "file_id": ids["file_id"]})),
    ),
    "BatchRequest.input_file_id": (
        "file_id",
        lambda ids: ("POST", "/batches", {"input_file_id": ids["file_id"]}),
    ),
    "AddDocument.file_id": (
        "file_id",
        lambda ids: (
            "POST",
            f"/knowledge-bases/{ids['own_kb']}/documents",
            {"file_id": ids["file_id"]},
        ),
    ),
    "SearchKnowledgeBases.knowledge_base_ids": (
        "kb_id",
        lambda ids: (
            "POST",
            "/knowledge-bases/search",
            {"query": WORD, "knowledge_base_ids": [ids["own_kb"], ids["kb_id"]]},
        ),
    ),
    "AgentConfig.knowledge_base_ids": (
        "kb_id",
        lambda ids: (
            "POST",
            "/sessions",
            {"agent_type": "rag", "agent_config": {**SIMULATE, "knowledge_base_ids": [ids["kb_id"]]}},
        ),
    ),
    "AgentConfig.knowledge_base_ids of one turn": (
        "kb_id",
        lambda ids: (
            "POST",
            f"/sessions/{ids['own_session']}/invoke",
            {"prompt": WORD, "config": {"knowledge_base_ids": [ids["kb_id"]]}},
        ),
    ),
    "ForkSession.message_id": (
        "message_id",
        lambda ids: ("POST", f"/sessions/{ids['own_session']}/fork", {"message_id": ids["message_id"]}),
    ),
}
"""Each id that a body takes: what it is the id of, and the call that gives it."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Served]:
    """One with a provider that can do what takes ids."""
    folder = tmp_path_factory.mktemp("foreign")
    connected = of_upstream(upstream, NEXUS_PROVIDER_IMAGE_MODEL="gpt-image-1")
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in connected.items()))
    with served(folder, shutdown_grace=0, heartbeat=0.05, webhook_allow_private=True) as platform:
        yield platform


@pytest.fixture(scope="module")
def owner(platform: Served) -> Iterator[httpx.Client]:
    with platform.client() as client:
        yield client


@pytest.fixture(scope="module")
def stranger(platform: Served) -> Iterator[httpx.Client]:
    with platform.client(platform.other_key) as client:
        yield client


def made(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


def stored(client: httpx.Client, content: bytes = b"Some words.", name: str = "a.txt") -> str:
    return made(client.post("/files", files={"file": (name, content)}))["file_id"]


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value


def belongings(client: httpx.Client) -> dict[str, str]:
    """One of everything that has an id, all of it ready, under the names that the routes give the ids."""
    with running_hook() as hook:
        webhook_id = made(client.post("/webhooks", json={"url": hook.url}))["webhook_id"]
        task_id = made(client.post("/invoke", json=TEXT))["task_id"]
        deliveries = until(lambda: made(client.get(f"/webhooks/{webhook_id}/deliveries"))["data"])
    session_id = made(client.post("/sessions", json={"agent_config": SIMULATE}))["session_id"]
    made(client.post(f"/sessions/{session_id}/invoke", json={"prompt": f"hello {WORD}"}))
    history = made(client.get(f"/sessions/{session_id}/history"))["messages"]
    kb_id = made(client.post("/knowledge-bases", json={"name": "mine"}))["kb_id"]
    content = f"The feathered serpent is called {WORD}.".encode()
    file_id = stored(client, content)
    doc_id = made(client.post(f"/knowledge-bases/{kb_id}/documents", json={"file_id": file_id}))["doc_id"]
    place = f"/knowledge-bases/{kb_id}/documents/{doc_id}"
    until(lambda: made(client.get(place))["processing_status"] == "completed")
    key = made(client.post("/keys", json={"name": "mine", "logging": "full"}))
    chat = {"model": "local/simulate", "messages": [{"role": "user", "content": f"hello {WORD}"}]}
    signed = {"Authorization": f"Bearer {key['api_key']}"}
    made(client.post(client.base_url.join("/v1/chat/completions"), json=chat, headers=signed))
    conversations = made(client.get("/conversations", params={"key_id": key["key_id"]}))["data"]
    batch_id = made(client.post("/batches", json={"requests": [TEXT]}))["batch_id"]
    until(lambda: made(client.get(f"/batches/{batch_id}"))["counts"]["completed"] == 1)
    return {
        "task_id": task_id,
        "file_id": file_id,
        "session_id": session_id,
        "message_id": history[0]["message_id"],
        "batch_id": batch_id,
        "webhook_id": webhook_id,
        "delivery_id": deliveries[0]["delivery_id"],
        "kb_id": kb_id,
        "doc_id": doc_id,
        "key_id": key["key_id"],
        "project_id": key["project_id"],
        "conversation_id": conversations[0]["conversation_id"],
    }


@pytest.fixture(scope="module")
def ids(owner: httpx.Client) -> dict[str, str]:
    return belongings(owner)


@pytest.fixture(scope="module")
def theirs(stranger: httpx.Client) -> dict[str, str]:
    return belongings(stranger)


@pytest.fixture(scope="module")
def document(platform: Served) -> dict[str, Any]:
    return made(httpx.get(f"{platform.url}/openapi.json"))


def routes(document: dict[str, Any]) -> list[str]:
    """`METHOD /path` of the API, what is inside before what it is in, what deletes at the end."""
    found = [
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/api/v1/")
    ]
    return sorted(found, key=lambda name: (name.startswith("DELETE"), -name.count("/"), name))


def with_ids(document: dict[str, Any]) -> dict[str, list[str]]:
    """The routes whose paths have ids, and the names of these."""
    named = {name: re.findall(r"{(\w+)}", name) for name in routes(document)}
    return {name: ids for name, ids in named.items() if ids}


def called(client: httpx.Client, name: str, ids: dict[str, str]) -> httpx.Response:
    method, path = name.split()
    body = BODIES.get(name)
    if body and "file_id" in body:
        body = {"file_id": stored(client, f"{time.time_ns()}".encode())}
    return client.request(method, path.format_map(ids), json=body)


def as_told(answer: httpx.Response, *ids: str) -> Any:
    """An answer without what is of this one request."""
    text = answer.text
    for id in ids:
        text = text.replace(id, "ID")
    told = json.loads(text)
    return {name: told.get(name) for name in ("status", "title", "error_code", "detail", "errors")}


def unknown(id: str) -> str:
    """An id of the same form that nothing has."""
    return id[:-6] + "0" * 6


def test_the_walk_knows_every_route_with_an_id(document: dict[str, Any], ids: dict[str, str]) -> None:
    found = with_ids(document)

    assert {name for names in found.values() for name in names} <= ids.keys(), "add it to `belongings`"
    with_body = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation and "{" in path
    }
    assert with_body == BODIES.keys()
    assert len(found) >= 28


def test_every_route_answers_404_to_a_foreign_id(
    document: dict[str, Any],
    owner: httpx.Client,
    stranger: httpx.Client,
    ids: dict[str, str],
    theirs: dict[str, str],
) -> None:
    """An id of the owner's among those of the caller's own, and the answer is that to an id of nothing."""
    for name, names in with_ids(document).items():
        for foreign in names:
            answer = called(stranger, name, {**theirs, foreign: ids[foreign]})
            refused = (403, "FORBIDDEN") if name in FOR_ALL_PROJECTS else (404, "NOT_FOUND")
            assert (answer.status_code, answer.json()["error_code"]) == refused, (name, foreign)
            nothing = unknown(ids[foreign])
            missing = called(stranger, name, {**theirs, foreign: nothing})
            assert as_told(answer, ids[foreign]) == as_told(missing, nothing), (name, foreign)

    for name in with_ids(document):
        if name.startswith("GET "):
            assert called(owner, name, ids).status_code == 200, f"{name}: a stranger could delete it"
    assert made(owner.get(f"/sessions/{ids['session_id']}"))["name"] != "renamed"


def test_the_same_calls_reach_what_is_the_callers_own(
    document: dict[str, Any], stranger: httpx.Client
) -> None:
    """Else the walk would prove nothing: a 404 may have had another reason."""
    own = belongings(stranger)
    for name in (name for name in with_ids(document) if name not in FOR_ALL_PROJECTS):
        answer = called(stranger, name, own)
        assert answer.status_code in (200, 201, 202, 204, 409), (name, answer.text)


def test_a_signed_link_opens_one_file_of_one_project(
    owner: httpx.Client, stranger: httpx.Client, theirs: dict[str, str]
) -> None:
    asked = {"task_type": "image_generation", "input": {"prompt": "x"}, "config": {"size": "16x16"}}
    link = made(owner.post("/invoke", json=asked))["output"]["image_url"]

    other = re.sub(r"file_\w+", theirs["file_id"], link)

    assert [stranger.get(url).status_code for url in (link, other)] == [200, 403]


# Lists


def test_no_list_shows_what_is_foreign(
    document: dict[str, Any], stranger: httpx.Client, owner: httpx.Client, ids: dict[str, str]
) -> None:
    lists = [name for name in routes(document) if re.fullmatch(r"GET /[^{]*", name) and "health" not in name]
    assert len(lists) >= 9
    for name in lists:
        if name in FOR_ALL_PROJECTS:
            assert stranger.get(name.split()[1]).status_code == 403
            continue
        shown = stranger.get(name.split()[1])
        assert shown.status_code == 200, name
        assert not [id for id in ids.values() if id in shown.text], name
    told = "".join(owner.get(name.split()[1]).text for name in lists)
    assert {"task_id", "file_id", "session_id", "kb_id", "batch_id", "webhook_id"} <= {
        name for name, id in ids.items() if id in told
    }


def test_projects_have_secrets_of_their_own(stranger: httpx.Client, owner: httpx.Client) -> None:
    assert stranger.get("/webhooks/secret").json() != owner.get("/webhooks/secret").json()


def test_projects_do_not_share_idempotency_keys(stranger: httpx.Client, owner: httpx.Client) -> None:
    key = {"Idempotency-Key": "the same"}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/invoke", {"json": TEXT}),
        ("/sessions", {"json": {}}),
        ("/batches", {"json": {"requests": [TEXT]}}),
        ("/knowledge-bases", {"json": {"name": "k"}}),
        ("/webhooks", {"json": {"url": "http://127.0.0.1:9/"}}),
        ("/files", {"files": {"file": ("a.txt", b"the same")}}),
    ]
    for path, body in asked:
        mine, other = (made(client.post(path, headers=key, **body)) for client in (owner, stranger))
        name = next(name for name in mine if name.endswith("_id"))
        assert mine[name] != other[name], path


# Ids in bodies


def fields(document: dict[str, Any], node: Any, place: str, seen: set[str]) -> Iterator[str]:
    """`Schema.field` of every field in it that by its name holds ids."""
    if isinstance(node, list):
        for part in node:
            yield from fields(document, part, place, seen)
    elif isinstance(node, dict):
        name = str(node.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            yield from fields(document, document["components"]["schemas"][name], name, seen)
        for key, value in node.items():
            if key == "properties":
                yield from (f"{place}.{field}" for field in value if field.endswith(("_id", "_ids")))
            yield from fields(document, value, place, seen)


def test_every_id_that_a_body_takes_is_tried(document: dict[str, Any]) -> None:
    bodies = [
        operation["requestBody"]
        for methods in document["paths"].values()
        for operation in methods.values()
        if "requestBody" in operation
    ]
    found = {field for field in fields(document, bodies, "", set()) if field.split(".")[1] not in CALLERS_OWN}
    assert found <= IN_BODIES.keys(), "add it to `IN_BODIES`"
    assert len(found) >= 8


@pytest.mark.parametrize("field", IN_BODIES)
def test_a_foreign_id_in_a_body_is_that_of_nothing(
    owner: httpx.Client, stranger: httpx.Client, theirs: dict[str, str], ids: dict[str, str], field: str
) -> None:
    what, call = IN_BODIES[field]
    own = {
        "own_kb": theirs["kb_id"],
        "own_session": theirs["session_id"],
        "own_picture": stored(stranger, picture()),
    }
    if what == "file_id":  # of a kind that would do, had it been the caller's
        line = json.dumps({"custom_id": "a", **TEXT}).encode()
        content = line if "Batch" in field else picture() if "Image" in field else b"Some words."
        foreign, callers = stored(owner, content), stored(stranger, content)
    else:
        foreign, callers = ids[what], theirs[what]

    answer, missing, sound = (
        stranger.request(*parts[:2], json=parts[2])
        for parts in (call({**own, what: id}) for id in (foreign, unknown(foreign), callers))
    )

    assert answer.status_code in (400, 404), answer.text
    assert as_told(answer, foreign) == as_told(missing, unknown(foreign))
    assert WORD not in answer.text.replace("task_id", "")
    assert ABSENT.search(answer.json()["detail"])
    assert not ABSENT.search(sound.text)


def test_a_search_finds_only_what_is_the_callers_own(
    owner: httpx.Client, stranger: httpx.Client, ids: dict[str, str], theirs: dict[str, str]
) -> None:
    """Both have the same words in documents of the same name."""
    found = {
        name: made(client.post("/knowledge-bases/search", json={"query": WORD, "knowledge_base_ids": [kb]}))
        for name, client, kb in (("mine", owner, ids["kb_id"]), ("theirs", stranger, theirs["kb_id"]))
    }

    assert {hit["doc_id"] for hit in found["mine"]["results"]} == {ids["doc_id"]}
    assert {hit["doc_id"] for hit in found["theirs"]["results"]} == {theirs["doc_id"]}


def test_a_batch_of_a_foreign_file_id_fails_line_by_line(owner: httpx.Client, stranger: httpx.Client) -> None:
    file_id = stored(owner, b"The secret of the owner.")
    asked = {"task_type": "document_processing", "input": {"file_id": file_id}, "custom_id": "a"}
    batch = made(stranger.post("/batches", json={"requests": [asked]}))["batch_id"]
    until(lambda: made(stranger.get(f"/batches/{batch}"))["counts"]["failed"] == 1)

    results = stranger.get(f"/batches/{batch}/results").text

    assert "there is no file" in results
    assert "secret" not in results
