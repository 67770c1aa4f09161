"""Batches from end to end, and what becomes of them when the platform dies in the middle."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from nexusai import ConflictError, InvalidRequestError, NotFoundError
from nexusai.testing import Platform

Use = Callable[..., Any]


def request(number: int, latency: float = 0, **more: Any) -> dict[str, Any]:
    return {
        "custom_id": f"n{number}",
        "task_type": "text_generation",
        "input": {"prompt": f"say {number}"},
        "provider": "local",
        "model": "simulate",
        "config": {"latency": latency, "tokens": 3},
        **more,
    }


def test_a_batch_gives_a_result_for_each_request_in_their_order(sdk: Use) -> None:
    heard: list[int] = []
    batch = sdk(
        lambda client: client.batches.create([request(n, latency=0.01 * (n % 3)) for n in range(150)])
    )
    done = sdk(
        lambda client: client.batches.wait(
            batch.id, on_progress=lambda seen: heard.append(seen.counts.finished)
        )
    )
    rows = sdk(lambda client: client.batches.results(batch.id))
    assert (done.status, done.counts.total, done.counts.completed) == ("completed", 150, 150)
    assert [row.custom_id for row in rows] == [f"n{n}" for n in range(150)]
    assert all(row.status == "completed" and row.output and row.task_id for row in rows)
    assert heard[-1] == 150
    assert heard == sorted(heard)


def test_a_file_of_requests_reports_bad_lines_by_their_number(sdk: Use, tmp_path: Path) -> None:
    lines = [json.dumps(request(0)), "", "no json", json.dumps({"task_type": "text_generation"})]
    lines.append(json.dumps(request(1, provider="nobody")))
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    batch = sdk(lambda client: client.batches.create(input_file=path))
    done = sdk(lambda client: client.batches.wait(batch.id))
    rows = sdk(lambda client: client.batches.results(batch.id))
    assert (done.counts.completed, done.counts.failed) == (1, 3)
    assert [row.status for row in rows] == ["completed", "failed", "failed", "failed"]
    assert [row.error.message.partition(":")[0] for row in rows[1:3]] == ["line 3", "line 4"]
    assert "nobody" in rows[3].error.message


def test_a_task_that_fails_is_a_row_that_failed(sdk: Use) -> None:
    failing = request(0, config={"failure_rate": 1.0, "error_code": "PROVIDER_ERROR"})
    batch = sdk(lambda client: client.batches.create([failing, request(1)]))
    sdk(lambda client: client.batches.wait(batch.id))
    rows = sdk(lambda client: client.batches.results(batch.id))
    assert [row.status for row in rows] == ["failed", "completed"]
    assert rows[0].error.code == "PROVIDER_ERROR"


def test_a_cancelled_batch_ends_what_had_not_ended(sdk: Use) -> None:
    batch = sdk(lambda client: client.batches.create([request(n, latency=30) for n in range(100)]))
    asked = sdk(lambda client: client.batches.cancel(batch.id))
    done = sdk(lambda client: client.batches.wait(batch.id, 20))
    assert asked.status in ("cancelling", "cancelled")
    assert (done.status, done.counts.cancelled) == ("cancelled", 100)
    with pytest.raises(ConflictError):
        sdk(lambda client: client.batches.cancel(batch.id))


def test_interactive_tasks_do_not_wait_for_a_batch(sdk: Use) -> None:
    batch = sdk(lambda client: client.batches.create([request(n, latency=1) for n in range(300)]))
    begun = time.monotonic()
    sdk(lambda client: client.text.generate("now", provider="local", model="simulate"))
    assert time.monotonic() - begun < 1
    sdk(lambda client: client.batches.cancel(batch.id))


@pytest.mark.parametrize(
    ("requests", "loc"),
    [
        ([], "requests"),
        ([request(0), {"task_type": "text_generation"}], "requests.1.input"),
        ([request(0, stream=True)], "requests.0.stream"),
        ([request(0, nonsense=1)], "requests.0.nonsense"),
    ],
)
def test_a_request_that_is_none_is_named(embedded: Platform, requests: Any, loc: str) -> None:
    answer = httpx.post(
        f"{embedded.base_url}/batches",
        json={"requests": requests},
        headers={"Authorization": f"Bearer {embedded.api_key}"},
    )
    assert answer.status_code == 400
    assert ".".join(map(str, answer.json()["errors"][0]["loc"])) == loc


def test_more_than_ten_thousand_requests_are_refused(sdk: Use) -> None:
    with pytest.raises(InvalidRequestError, match="more than 10,000 requests"):
        sdk(lambda client: client.batches.create([request(0)] * 10_001))


def test_a_file_that_is_not_there_is_named(sdk: Use) -> None:
    with pytest.raises(InvalidRequestError, match="input_file_id: there is no file"):
        sdk(lambda client: client.batches.create(input_file_id="file_none"))


def test_a_batch_that_is_not_there_is_not_found(sdk: Use) -> None:
    for use in ("get", "cancel"):
        with pytest.raises(NotFoundError):
            sdk(lambda client, use=use: getattr(client.batches, use)("batch_none"))


def test_batches_are_listed_with_what_was_said_of_them(sdk: Use) -> None:
    made = sdk(lambda client: client.batches.create([request(1)], metadata={"run": 7}))
    assert sdk(lambda client: client.batches.list(limit=1)).data[0].id == made.id
    assert next(iter(sdk(lambda client: client.batches.iter()))).metadata == {"run": 7}


def test_the_same_key_makes_one_batch(embedded: Platform) -> None:
    headers = {"Authorization": f"Bearer {embedded.api_key}", "Idempotency-Key": f"k{time.monotonic()}"}

    def post(count: int) -> httpx.Response:
        body = {"requests": [request(n) for n in range(count)]}
        return httpx.post(f"{embedded.base_url}/batches", json=body, headers=headers)

    first, again, other = post(2), post(2), post(3)
    assert first.status_code == again.status_code == 202
    assert first.json()["batch_id"] == again.json()["batch_id"]
    assert other.status_code == 409


def test_a_killed_platform_goes_on_with_its_batch_and_doubles_nothing() -> None:
    with Platform({"NEXUS_LEASE": "2", "NEXUS_RECONCILE_INTERVAL": "0.5"}) as platform:
        with platform.client() as client:
            batch = client.batches.create([request(n, latency=0.3) for n in range(400)])
            while client.batches.get(batch.id).counts.completed < 60:
                time.sleep(0.05)
            platform.kill()
            platform.start()
            done = client.batches.wait(batch.id, 60)
            rows = list(client.batches.results(batch.id))
            tasks = list(client.tasks.iter(task_type="text_generation"))
    assert (done.counts.completed, done.counts.total) == (400, 400)
    assert [row.custom_id for row in rows] == [f"n{n}" for n in range(400)]
    assert len(tasks) == 400
