from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from pytest_httpx import HTTPXMock

from nexusai.error import InvalidRequestError, NotFoundError
from tests.fixtures.sdk import BASE, Both

STORED = {
    "file_id": "file_1",
    "filename": "a.txt",
    "content_type": "text/plain",
    "size": 5,
    "created_at": "2025-01-01T00:00:00Z",
}


class Named(io.BytesIO):
    name: Any = "/somewhere/notes.txt"


class Numbered(io.BytesIO):
    name = 3


def sent_as(httpx_mock: HTTPXMock) -> tuple[str, str]:
    """The name and type of the file that was sent."""
    head = httpx_mock.get_requests()[0].content.partition(b"\r\n\r\n")[0].decode()
    return head.partition('filename="')[2].partition('"')[0], head.partition("Content-Type: ")[2]


@pytest.mark.parametrize(
    ("file", "name", "kind"),
    [
        (b"hello", "upload", "application/octet-stream"),
        (("b.json", b"{}"), "b.json", "application/json"),
        (("b.bin", b"{}", "text/csv"), "b.bin", "text/csv"),
        (("c.txt", io.BytesIO(b"hello")), "c.txt", "text/plain"),
        (Named(b"hello"), "notes.txt", "text/plain"),
        (Numbered(b"hello"), "upload", "application/octet-stream"),
        (io.BytesIO(b"hello"), "upload", "application/octet-stream"),
    ],
)
def test_a_file_is_sent_in_any_form(file: Any, name: str, kind: str, sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{BASE}/files", status_code=201, json=STORED)
    stored = sdk(lambda client: client.files.upload(file))

    assert (stored.id, stored.size) == ("file_1", 5)
    assert sent_as(httpx_mock) == (name, kind)
    assert httpx_mock.get_requests()[0].headers["idempotency-key"]


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_sent_from_its_path(kind: Any, sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    httpx_mock.add_response(status_code=201, json=STORED)
    (tmp_path / "notes.txt").write_bytes(b"hello")
    sdk(lambda client: client.files.upload(kind(tmp_path / "notes.txt")))
    assert sent_as(httpx_mock) == ("notes.txt", "text/plain")


def test_a_file_that_is_missing_is_the_systems_error(sdk: Both, tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        sdk(lambda client: client.files.upload(tmp_path / "none.txt"))


def test_what_is_no_file_is_refused(sdk: Both):
    with pytest.raises(TypeError, match="not int"):
        sdk(lambda client: client.files.upload(7))


def test_what_is_known_of_a_file(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="GET", url=f"{BASE}/files/file_1", json=STORED)
    assert sdk(lambda client: client.files.get("file_1")).filename == "a.txt"


def test_a_file_that_is_not_there(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=404, json={"detail": "No file file_1.", "error_code": "NOT_FOUND"})
    with pytest.raises(NotFoundError, match="No file file_1"):
        sdk(lambda client: client.files.get("file_1"))


def test_a_file_is_downloaded_into_memory(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(url=f"{BASE}/files/file_1/content", content=b"hello")
    assert sdk(lambda client: client.files.download("file_1")) == b"hello"


def test_a_file_is_downloaded_to_a_path(sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    httpx_mock.add_response(url=f"{BASE}/files/file_1/content", content=b"hello")
    path = tmp_path / "a.txt"
    assert sdk(lambda client: client.files.download("file_1", str(path))) == path
    assert path.read_bytes() == b"hello"


def test_a_file_is_deleted(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="DELETE", url=f"{BASE}/files/file_1", json={"deleted_count": 1})
    assert sdk(lambda client: client.files.delete("file_1")) is None


def test_no_id_is_refused(sdk: Both):
    with pytest.raises(InvalidRequestError, match="/files is empty"):
        sdk(lambda client: client.files.delete(""))
