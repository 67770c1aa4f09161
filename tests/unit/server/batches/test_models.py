from __future__ import annotations

import json

import msgspec
import pytest

from nexusai.server.batches.models import BatchRequest, Counts, Item, StoredBatch, show, show_result


def batch(**facts):
    row = StoredBatch("batch_1", "p", "req_1", 3, None, None, None, None, 1_700_000_000_000)
    return row._replace(**facts)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({}, "running"),
        ({"cancelled_at": 1}, "cancelling"),
        ({"finished_at": 1}, "completed"),
        ({"finished_at": 1, "cancelled_at": 1}, "cancelled"),
    ],
)
def test_the_status_of_a_batch(facts, status):
    assert show(batch(**facts), Counts(3, 1, 1, 0))["status"] == status


def test_a_batch_whose_tasks_are_all_final_has_ended_though_its_row_does_not_say_so_yet():
    assert show(batch(), Counts(3, 1, 1, 1))["status"] == "completed"
    assert show(batch(cancelled_at=1), Counts(3, 1, 0, 2))["status"] == "cancelled"


def test_a_batch_has_ended_when_all_of_its_requests_have():
    assert Counts(3, 1, 1, 1).finished
    assert not Counts(3, 1, 1, 0).finished


@pytest.mark.parametrize(
    ("item", "task", "status"),
    [
        (Item(0, "a", "{}", "task_1"), {"status": "completed", "output": {"text": "hi"}}, "completed"),
        (Item(0, "a", "{}"), None, "pending"),
        (Item(0, "a", "{}", "task_1"), None, "deleted"),
        (Item(0, "a", "{}", None, '{"code": "CANCELLED", "message": ""}'), None, "cancelled"),
        (Item(0, "a", "", None, '{"code": "INVALID_REQUEST", "message": "line 1"}'), None, "failed"),
    ],
)
def test_a_line_of_the_results(item, task, status):
    line = json.loads(show_result(item, task))
    assert (line["index"], line["custom_id"], line["status"]) == (0, "a", status)


@pytest.mark.parametrize("body", ["{}", '{"requests": [], "input_file_id": "file_1"}', '{"nonsense": 1}'])
def test_a_batch_has_requests_or_a_file_and_nothing_else(body):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=BatchRequest)
