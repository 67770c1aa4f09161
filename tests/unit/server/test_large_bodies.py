"""Bodies of hundreds of megabytes, against a platform process whose memory is watched."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from nexusai.testing import Platform

MEGABYTE = 1024 * 1024
PIECE = b"x" * (256 * 1024)
HEAD = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
TAIL = b"\r\n--B--\r\n"
FORM = {"Content-Type": "multipart/form-data; boundary=B"}


@pytest.fixture(scope="module")
def large() -> Iterator[Platform]:
    with Platform({"NEXUS_MAX_FILE_BYTES": str(150 * MEGABYTE)}) as platform:
        yield platform


@pytest.fixture
def client(large: Platform) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {large.api_key}"}
    with httpx.Client(base_url=large.base_url, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture(autouse=True)
def memory_stays_small(large: Platform) -> Iterator[None]:
    yield
    if sys.platform == "linux":
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{large.pid}/status").read_text())
        assert peak
        assert int(peak[1]) < 200 * 1024
    assert httpx.get(f"{large.url}/health").status_code == 200


def body(megabytes: int, head: bytes = b"", tail: bytes = b"") -> Iterator[bytes]:
    yield head
    for _ in range(megabytes * 4):
        yield PIECE
    yield tail


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("close", [True, False])
def test_300_mb_of_json_are_refused(client: httpx.Client, announced: bool, close: bool):
    length = {"Content-Length": str(300 * MEGABYTE)} if announced else {}
    headers = {"Content-Type": "application/json", **length, **({"Connection": "close"} if close else {})}

    answer = client.post("/invoke", content=body(300), headers=headers)

    assert (answer.status_code, answer.json()["error_code"]) == (413, "PAYLOAD_TOO_LARGE")


def test_a_file_over_the_limit_is_refused(client: httpx.Client):
    answer = client.post("/files", content=body(200, HEAD, TAIL), headers=FORM)

    assert (answer.status_code, answer.json()["error_code"]) == (413, "PAYLOAD_TOO_LARGE")


def test_a_large_file_is_stored_and_given_back(client: httpx.Client):
    file = client.post("/files", content=body(100, HEAD, TAIL), headers=FORM).json()

    size = 0
    with client.stream("GET", f"/files/{file['file_id']}/content") as answer:
        for chunk in answer.iter_raw():
            size += len(chunk)

    assert size == file["size"] == 100 * MEGABYTE
