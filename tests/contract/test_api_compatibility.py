"""Every call of the SDK is held to the published contract; and what holds it notices what is wrong."""

from __future__ import annotations

import json

import pytest

from scripts import test_api_compatibility as compatibility
from scripts.test_api_compatibility import Contract, faults, play


@pytest.fixture
def document():
    return json.loads(json.dumps(compatibility.contract().document))


@pytest.fixture(scope="module")
def results():
    return compatibility.played()


def complaints(document, name: str, *, full: bool = True) -> str:
    return "\n".join(play(Contract(document), name, full=full).complaints)


def test_every_call_of_the_sdk_is_as_the_contract_says(results):
    assert faults(results) == []


def test_a_route_that_is_not_in_the_document_is_not_served(document):
    del document["paths"]["/api/v1/files/{file_id}"]["get"]
    result = play(Contract(document), "files.get", full=True)
    assert result.unserved
    assert result.sent == ["GET /api/v1/files/file_1"]


def test_a_route_that_is_gone_is_a_fault(document, results):
    del document["paths"]["/api/v1/files/{file_id}"]["get"]
    others = [result for result in results if result.method != "files.get"]
    assert faults([*others, play(Contract(document), "files.get", full=True)]) == [
        "files.get is not in NOT_SERVED, and the document has not got its route"
    ]


def test_a_method_that_is_not_called_is_a_fault(results):
    assert faults([result for result in results if result.method != "tasks.get"]) == [
        "tasks.get has no example"
    ]


def test_a_query_parameter_that_is_not_declared_is_a_fault(document):
    operation = document["paths"]["/api/v1/tasks"]["get"]
    operation["parameters"] = [each for each in operation["parameters"] if each["name"] != "cursor"]
    assert "query cursor is not in the document" in complaints(document, "tasks.list")


def test_a_query_parameter_that_does_not_fit_is_a_fault(document):
    for parameter in document["paths"]["/api/v1/tasks"]["get"]["parameters"]:
        if parameter["name"] == "limit":
            parameter["schema"]["maximum"] = 5
    assert "query limit=10 is not as described" in complaints(document, "tasks.list")


def test_a_query_parameter_that_is_missing_is_a_fault(document):
    parameter = {"name": "why", "in": "query", "required": True, "schema": {"type": "string"}}
    document["paths"]["/api/v1/tasks"]["get"]["parameters"].append(parameter)
    assert "query why is missing" in complaints(document, "tasks.list")


def test_a_header_that_is_not_declared_is_a_fault(document):
    document["paths"]["/api/v1/invoke"]["post"]["parameters"] = []
    told = complaints(document, "text.generate")
    assert "header prefer is not in the document" in told
    assert "header idempotency-key is not in the document" in told


def test_a_body_with_an_unknown_field_is_a_fault(document):
    del document["components"]["schemas"]["InvokeRequest"]["properties"]["priority"]
    assert "'priority' was unexpected" in complaints(document, "text.generate")


def test_a_body_without_a_required_field_is_a_fault(document):
    document["components"]["schemas"]["InvokeRequest"]["required"].append("reason")
    assert "'reason' is a required property" in complaints(document, "text.generate")


def test_an_upload_without_a_required_field_is_a_fault(document):
    body = document["paths"]["/api/v1/files"]["post"]["requestBody"]["content"]["multipart/form-data"]
    body["schema"]["required"].append("colour")
    assert "'colour' is a required property" in complaints(document, "files.upload")


def test_a_body_where_the_document_has_none_is_a_fault(document):
    del document["paths"]["/api/v1/invoke"]["post"]["requestBody"]
    assert "a body of application/json is not in the document" in complaints(document, "text.generate")


def test_a_body_that_is_missing_is_a_fault(document):
    document["paths"]["/api/v1/tasks/{task_id}/cancel"]["post"]["requestBody"] = {
        "required": True,
        "content": {},
    }
    assert "the body is missing" in complaints(document, "tasks.cancel")


def test_an_answer_of_a_type_that_is_not_accepted_is_a_fault(document):
    answer = document["paths"]["/api/v1/files/{file_id}"]["get"]["responses"]["200"]
    answer["content"] = {"text/csv": answer["content"].pop("application/json")}
    assert "is answered text/csv" in complaints(document, "files.get")


def test_a_field_that_the_model_does_not_know_is_noticed(document):
    document["components"]["schemas"]["File"]["properties"]["colour"] = {"type": "string"}
    assert play(Contract(document), "files.get", full=True).unread == {"File.colour"}


@pytest.mark.parametrize("full", [True, False])
def test_an_answer_that_the_model_cannot_read_is_a_fault(document, full: bool):
    document["components"]["schemas"]["File"]["properties"]["size"] = {"type": "array"}
    assert "not the File that the contract promises" in complaints(document, "files.get", full=full)


def test_run_as_a_program_it_prints_each_call(capsys: pytest.CaptureFixture[str]):
    assert compatibility.main() == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name} " in f"\n{printed}" for name in compatibility.EXAMPLES)
