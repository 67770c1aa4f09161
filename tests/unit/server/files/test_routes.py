from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fixtures.served import Served

CONTENT = b"0123456789" * 100


def upload(
    client: httpx.Client, content: bytes = CONTENT, name: str = "a.bin", **options: Any
) -> dict[str, Any]:
    answer = client.post("/files", files={"file": (name, content, "application/x-test")}, **options)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def file(client: httpx.Client) -> dict[str, Any]:
    return upload(client)


@pytest.fixture(scope="module")
def image_url(client: httpx.Client) -> str:
    """The signed link to a result."""
    request = {"task_type": "image_generation", "input": {"prompt": "x"}, "config": {"size": "16x16"}}
    return client.post("/invoke", json=request).json()["output"]["image_url"]


def test_an_uploaded_file_shows_what_the_contract_says(file: dict[str, Any]):
    assert file.keys() == {
        *("file_id", "filename", "content_type", "size", "sha256", "purpose"),
        *("created_at", "expires_at", "message"),
    }
    assert (file["filename"], file["content_type"], file["size"]) == ("a.bin", "text/plain", 1000)
    assert file["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert "http" not in json.dumps(file)


def test_a_file_is_looked_at_and_listed(client: httpx.Client, file: dict[str, Any]):
    shown = client.get(f"/files/{file['file_id']}").json()
    page = client.get("/files", params={"per_page": 1}).json()

    assert {**shown, "message": file["message"]} == file
    assert page["files"] == [shown]
    assert (page["page"], page["per_page"]) == (1, 1)
    assert page["total"] >= 1


def test_a_files_bytes_are_given(client: httpx.Client, file: dict[str, Any]):
    answer = client.get(f"/files/{file['file_id']}/content")

    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-length"] == "1000"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_a_browser_could_run_is_only_downloaded(client: httpx.Client):
    answer = client.post("/files", files={"file": ("a.html", b"<script>", "text/html")})

    shown = client.get(f"/files/{answer.json()['file_id']}/content")
    assert shown.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("asked", "part"),
    [("bytes=0-9", CONTENT[:10]), ("bytes=995-", CONTENT[995:]), ("bytes=-5", CONTENT[-5:])],
)
def test_a_part_of_a_file_is_given(client: httpx.Client, file: dict[str, Any], asked: str, part: bytes):
    answer = client.get(f"/files/{file['file_id']}/content", headers={"Range": asked})

    assert (answer.status_code, answer.content) == (206, part)
    assert answer.headers["content-range"].endswith("/1000")


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_part_outside_the_file_is_a_416(client: httpx.Client, file: dict[str, Any], asked: str):
    answer = client.get(f"/files/{file['file_id']}/content", headers={"Range": asked})

    assert (answer.status_code, answer.json()["error_code"]) == (416, "RANGE_NOT_SATISFIABLE")
    assert answer.headers["content-range"] == "bytes */1000"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=5-1",
        "bytes=a-b",
        "bytes=",
        "bytes=-",
        "lines=1-2",
        "0-9",
        "bytes=0-1,3-4",
        "bytes=²-",
        "x" * 9000,
    ],
)
def test_what_is_no_range_is_ignored(client: httpx.Client, file: dict[str, Any], asked: str):
    answer = client.get(f"/files/{file['file_id']}/content", headers=[("Range", asked.encode())])

    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_a_part_of_an_earlier_version_is_the_whole(client: httpx.Client, file: dict[str, Any]):
    etag = client.get(f"/files/{file['file_id']}/content").headers["etag"]

    statuses = [
        client.get(
            f"/files/{file['file_id']}/content", headers={"Range": "bytes=0-1", "If-Range": tag}
        ).status_code
        for tag in (etag, '"other"')
    ]

    assert statuses == [206, 200]


def test_a_file_that_is_known_is_not_sent_again(client: httpx.Client, file: dict[str, Any]):
    etag = client.get(f"/files/{file['file_id']}/content").headers["etag"]

    again = client.get(f"/files/{file['file_id']}/content", headers={"If-None-Match": f'"other", {etag}'})
    changed = client.get(f"/files/{file['file_id']}/content", headers={"If-None-Match": '"other"'})

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert changed.status_code == 200


def test_a_deleted_file_is_gone(client: httpx.Client, file: dict[str, Any]):
    answer = client.delete(f"/files/{file['file_id']}")

    assert answer.json()["deleted_count"] == 1
    for path in ("", "/content"):
        assert client.get(f"/files/{file['file_id']}{path}").status_code == 404


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/content"), ("DELETE", "")])
def test_what_belongs_to_another_project_does_not_exist(
    client: httpx.Client, stranger: httpx.Client, file: dict[str, Any], method: str, path: str
):
    answer = stranger.request(method, f"/files/{file['file_id']}{path}")

    assert (answer.status_code, answer.json()["error_code"]) == (404, "NOT_FOUND")
    assert file["file_id"] not in stranger.get("/files").text
    assert client.get(f"/files/{file['file_id']}").status_code == 200


# Uploads


def test_the_same_key_and_file_give_the_same_answer(client: httpx.Client):
    key = {"Idempotency-Key": "file"}

    assert upload(client, headers=key) == upload(client, headers=key)
    conflict = client.post("/files", files={"file": b"other"}, headers=key)
    assert (conflict.status_code, conflict.json()["error_code"]) == (409, "CONFLICT")


def test_a_name_in_any_script_comes_back_as_it_was(client: httpx.Client):
    file = upload(client, name='图 "1" ü.png')

    answer = client.get(f"/files/{file['file_id']}/content")
    assert file["filename"] == '图 "1" ü.png' or file["filename"] == "图 %221%22 ü.png"
    assert "filename*=utf-8''%E5%9B%BE" in answer.headers["content-disposition"]


def test_a_name_with_folders_is_a_name(client: httpx.Client):
    assert upload(client, name="../../etc/passwd")["filename"] == "passwd"


def test_a_media_type_cannot_smuggle_a_header(client: httpx.Client):
    body = (
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
        b"Content-Type: text/plain\nSet-Cookie: stolen=1\r\n\r\nx\r\n--B--\r\n"
    )
    file = client.post(
        "/files", content=body, headers={"Content-Type": "multipart/form-data; boundary=B"}
    ).json()

    answer = client.get(f"/files/{file['file_id']}/content")

    assert "set-cookie" not in answer.headers
    assert answer.headers["content-type"] == "text/plain"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("close", [False, True])
def test_a_file_over_the_limit_is_a_413_that_arrives(client: httpx.Client, chunked: bool, close: bool):
    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    whole = head + b"x" * 20_000_000 + b"\r\n--B--\r\n"

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(whole), 65_536):
            yield whole[start : start + 65_536]

    answer = client.post(
        "/files",
        content=pieces() if chunked else whole,
        headers={
            "Content-Type": "multipart/form-data; boundary=B",
            **({"Connection": "close"} if close else {}),
        },
    )

    assert (answer.status_code, answer.json()["error_code"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("close", [False, True])
def test_a_large_upload_without_a_key_is_a_401_that_arrives(nobody: httpx.Client, close: bool):
    headers = {"Connection": "close"} if close else {}

    answer = nobody.post("/files", files={"file": b"x" * 20_000_000}, headers=headers)

    assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize("content", [b"", b"--B--\r\n", b"--C\r\n"])
def test_a_form_without_a_file_is_a_400(client: httpx.Client, content: bytes):
    answer = client.post(
        "/files", content=content, headers={"Content-Type": "multipart/form-data; boundary=B"}
    )

    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_REQUEST")


def test_a_body_that_is_no_form_is_a_415(client: httpx.Client):
    answer = client.post("/files", json={"file": "a"})

    assert (answer.status_code, answer.json()["error_code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


# Links


def test_a_result_is_opened_by_its_link_without_a_key(nobody: httpx.Client, platform: Served, image_url: str):
    assert image_url.startswith(f"{platform.url}/api/v1/files/file_")
    answer = nobody.get(image_url)

    assert answer.content.startswith(b"\x89PNG")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("inline")


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"signature=..", "signature=zz"),
        (r"signature=.*", "signature="),
        (r"signature=.*", "signature=%ff%00"),
        (r"expires=.", "expires=9"),
        (r"expires=\d+", "expires=1"),
        (r"expires=\d+", "expires=soon"),
        (r"expires=\d+&", ""),
    ],
)
def test_a_link_that_was_changed_is_a_403(
    nobody: httpx.Client, image_url: str, pattern: str, replacement: str
):
    changed = re.sub(pattern, replacement, image_url)
    assert changed != image_url

    answer = nobody.get(changed)

    assert (answer.status_code, answer.json()["error_code"]) == (403, "FORBIDDEN")


def test_a_link_opens_no_other_file(nobody: httpx.Client, image_url: str, file: dict[str, Any]):
    answer = nobody.get(re.sub(r"file_\w+", file["file_id"], image_url))

    assert answer.status_code == 403


def test_a_file_without_a_link_needs_a_key(nobody: httpx.Client, file: dict[str, Any]):
    assert nobody.get(f"/files/{file['file_id']}/content").status_code == 401


def test_bytes_that_are_gone_are_a_500_in_the_contracts_shape(client: httpx.Client, platform: Served):
    file = upload(client)
    (platform.database.parent / "files" / file["file_id"]).unlink()

    answer = client.get(f"/files/{file['file_id']}/content")

    assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL_ERROR")
    assert answer.headers["content-type"] == "application/problem+json"
    assert str(platform.database.parent) not in answer.text
    assert client.get(f"/files/{file['file_id']}").status_code == 200
