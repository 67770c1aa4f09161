"""Requests made up from the published contract, right and wrong: no answer breaks it, none is a 5xx."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scripts import openapi
from tests.fixtures.served import Served, served

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    ignored_auth,
]
SIMULATED = {"task_type": "text_generation", "input": {"prompt": "hi"}, "model": "local/simulate"}
SAID = {"model": "local/simulate", "messages": [{"role": "user", "content": "hi"}]}
FOREIGN: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": SAID,
    "/v1/completions": {"model": "local/simulate", "prompt": "hi"},
    "/v1/embeddings": {"model": "local/embedding", "input": "hi"},
    "/v1/moderations": {"model": "local/rules", "input": "hi"},
    "/v1/images/generations": {"model": "local/image", "prompt": "a boat", "size": "64x48"},
    "/v1/audio/speech": {"model": "local/speech", "input": "hi", "voice": "alloy"},
    "/v1/responses": {"model": "local/simulate", "input": "hi"},
    "/v1/messages": {**SAID, "max_tokens": 9},
    "/v1/messages/count_tokens": SAID,
}
"""What these need: the contract leaves their bodies to the APIs whose they are."""
schema: Any = schemathesis.openapi.from_dict(json.loads(openapi.PATH.read_text(encoding="utf-8")))
OPERATIONS = {found.ok().label: found.ok() for found in schema.get_all_operations()}
BOUNDED = settings(
    max_examples=10,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One that nothing made up keeps waiting."""
    folder = tmp_path_factory.mktemp("platform")
    with served(folder, shutdown_grace=0, sync_wait=0.2, task_timeout=1) as platform:
        yield platform


@pytest.fixture(scope="module")
def ids(platform: Served) -> dict[str, str]:
    """Of something that is there, by the names of parameters."""
    with platform.client() as client:
        task = client.post("/invoke", json=SIMULATED).json()["task_id"]
        session = client.post("/sessions", json={"agent_config": {"model": "local/simulate"}}).json()
        file = client.post("/files", files={"file": ("a.md", b"# Lamp\n\nIt burns oil.")}).json()["file_id"]
        base = client.post("/knowledge-bases", json={"name": "lamps"}).json()["kb_id"]
        added = client.post(f"/knowledge-bases/{base}/documents", json={"file_id": file}).json()
        batch = client.post("/batches", json={"requests": [SIMULATED]}).json()["batch_id"]
        hook = client.post("/webhooks", json={"url": "https://example.com"}).json()["webhook_id"]
        key = client.post("/keys", json={"name": "ci"}).json()["key_id"]
        made = client.post(f"{platform.url}/v1/responses", json=FOREIGN["/v1/responses"]).json()
        project = client.get("/projects").json()["data"][0]["project_id"]
    return {
        "task_id": task,
        "session_id": session["session_id"],
        "file_id": file,
        "kb_id": base,
        "doc_id": added.get("doc_id", ""),
        "batch_id": batch,
        "webhook_id": hook,
        "key_id": key,
        "project_id": project,
        "response_id": made["id"],
        "model": "local/text",
    }


@pytest.mark.parametrize("mode", list(GenerationMode), ids=["right", "wrong"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_keeps_the_contract(
    name: str, mode: GenerationMode, platform: Served, ids: dict[str, str]
) -> None:
    @BOUNDED
    @given(case=OPERATIONS[name].as_strategy(generation_mode=mode))
    def keeps_it(case: Any) -> None:
        if case.method != "DELETE":
            for parameter in case.path_parameters or {}:
                case.path_parameters[parameter] = ids.get(parameter, case.path_parameters[parameter])
        if isinstance(case.body, dict) and case.media_type == "application/json":
            case.body = {**FOREIGN.get(case.operation.path, {}), **case.body}
        headers = {"Authorization": f"Bearer {platform.key}"}
        case.call_and_validate(base_url=platform.url, headers=headers, checks=CHECKS, timeout=20)

    with suppress(Unsatisfiable):  # nothing can be wrong with a request that takes nothing
        keeps_it()
