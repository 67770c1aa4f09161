from __future__ import annotations

import io
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_httpx import HTTPXMock

from nexusai.error import InvalidRequestError, NotFoundError
from tests.fixtures.sdk import BASE, Both
from tests.fixtures.wire import answer

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
        (bytearray(b"hello"), "upload", "application/octet-stream"),
        (("d.txt", memoryview(b"hello")), "d.txt", "text/plain"),
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


def test_a_named_file_is_sent_from_its_path(sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    httpx_mock.add_response(status_code=201, json=STORED)
    (tmp_path / "notes.txt").write_bytes(b"hello")
    sdk(lambda client: client.files.upload(("other.md", tmp_path / "notes.txt", "text/markdown")))
    assert sent_as(httpx_mock) == ("other.md", "text/markdown")


@pytest.mark.parametrize(
    ("file", "error", "told"),
    [
        (("a.txt",), TypeError, "a file with a name is"),
        (("a.txt", "text"), TypeError, "a file with a name is"),
        (("a.txt", b"text", 7), TypeError, "a file with a name is"),
        (("a.txt", b"text", "text/plain\r\nX-Evil: 1"), InvalidRequestError, "that no header can carry"),
        ("", InvalidRequestError, "The path of a file is empty"),
    ],
)
def test_a_file_that_is_named_wrongly_is_refused(file: Any, error: type[Exception], told: str, sdk: Both):
    with pytest.raises(error, match=told):
        sdk(lambda client: client.files.upload(file))


def test_a_file_that_is_open_as_text_is_refused(sdk: Both, tmp_path: Path):
    (tmp_path / "notes.txt").write_bytes(b"hello")
    with (tmp_path / "notes.txt").open(encoding="utf-8") as file:
        with pytest.raises(TypeError, match=r"notes\.txt is open as text: open it in binary mode"):
            sdk(lambda client: client.files.upload(file))


def test_progress_is_told_as_a_file_is_sent(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(status_code=201, json=STORED)
    told: list[tuple[int, int | None]] = []
    data = b"x" * 600_000
    sdk(lambda client: client.files.upload(data, on_progress=lambda *bytes: told.append(bytes)))
    assert (told[0], told[-1]) == ((0, len(data)), (len(data), len(data)))
    assert len(told) > 2


def test_what_on_progress_raises_ends_the_upload(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(is_optional=True)

    def stop(sent: int, total: int | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sdk(lambda client: client.files.upload(b"hello", on_progress=stop))


def test_an_upload_that_is_tried_again_is_sent_whole(sdk: Both, httpx_mock: HTTPXMock, naps: list[float]):
    httpx_mock.add_response(status_code=503)
    httpx_mock.add_response(status_code=201, json=STORED)
    told: list[int] = []
    file = io.BytesIO(b"hello")
    sdk(lambda client: client.files.upload(file, on_progress=lambda sent, _: told.append(sent)))

    first, second = httpx_mock.get_requests()
    assert b"\r\n\r\nhello\r\n--" in first.content
    assert b"\r\n\r\nhello\r\n--" in second.content
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert told == [0, 5, 0, 5]


def listed(page: int, *ids: int) -> dict[str, Any]:
    files = [{**STORED, "file_id": f"file_{id}"} for id in ids]
    return {"files": files, "total": 3, "page": page, "per_page": 2}


def test_files_are_listed_page_by_page(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="GET", url=f"{BASE}/files?page=2&per_page=2", json=listed(2, 3))
    page = sdk(lambda client: client.files.list(page=2, per_page=2))
    assert [file.id for file in page] == ["file_3"]
    assert (len(page), page.total, page.page, page.next_page) == (1, 3, 2, None)


def test_all_files_are_iterated_over(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(url=f"{BASE}/files?per_page=2", json=listed(1, 1, 2))
    httpx_mock.add_response(url=f"{BASE}/files?page=2&per_page=2", json=listed(2, 3))
    assert [file.id for file in sdk(lambda client: client.files.iter(per_page=2))] == [
        *("file_1", "file_2", "file_3")
    ]


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


def test_a_file_in_use_is_deleted_by_force(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="DELETE", url=f"{BASE}/files/file_1?force=true", json={"deleted_count": 1})
    assert sdk(lambda client: client.files.delete("file_1", force=True)) is None


def test_no_id_is_refused(sdk: Both):
    with pytest.raises(InvalidRequestError, match="/files is empty"):
        sdk(lambda client: client.files.delete(""))


def test_an_upload_is_never_held_in_memory(sdk: Both, tmp_path: Path):
    size = 64 * 2**20
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(size)
    with sink() as (address, received):
        tracemalloc.start()
        try:
            sdk(lambda client: client.files.upload(tmp_path / "large.bin"), base_url=address)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert received[0] > size
    assert peak < 8 * 2**20


@contextmanager
def sink() -> Iterator[tuple[str, list[int]]]:
    """A server that counts the bytes of one request and keeps none of them."""
    received = [0]

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        buffer = bytearray(2**18)
        head = connection.recv(2**16)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        wanted = head.index(b"\r\n\r\n") + 4 + length
        received[0] = len(head)
        while received[0] < wanted:
            received[0] += connection.recv_into(buffer)
        connection.sendall(answer(b'{"file_id": "file_1"}'))
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
