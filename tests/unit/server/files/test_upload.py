from __future__ import annotations

from collections.abc import Sequence

import pytest
from starlette.requests import ClientDisconnect, Request

from nexusai.server.files.upload import Upload
from nexusai.server.http import Problem

CONTENT = b"line one\r\n--B\r--\r\n--Bee\x00\xff" * 3
MULTIPART = "multipart/form-data; boundary=B"


def part(
    content: bytes = b"hi", disposition: str = 'name="file"; filename="a.txt"', *headers: bytes
) -> bytes:
    lines = [b"--B", f"Content-Disposition: form-data; {disposition}".encode(), *headers, b"", content]
    return b"\r\n".join(lines) + b"\r\n"


END = b"--B--\r\n"


def request(pieces: Sequence[bytes], content_type: str = MULTIPART, *, leaves: bool = False) -> Request:
    """A request whose body comes in these pieces; the client `leaves` after them, or ends the body."""
    left = list(pieces)

    async def receive() -> dict[str, object]:
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": True}
        return {"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b""}

    headers = [(b"content-type", content_type.encode("latin-1"))]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


async def uploaded(*pieces: bytes, limit: int = 10**6, content_type: str = MULTIPART) -> tuple[Upload, bytes]:
    upload = Upload(request(pieces, content_type), limit)
    await upload.open()
    return upload, b"".join([chunk async for chunk in upload.chunks()])


async def refused(*pieces: bytes, **options: object) -> Problem:
    with pytest.raises(Problem) as refused:
        await uploaded(*pieces, **options)  # type: ignore[arg-type]
    return refused.value


BODY = (
    part(b"x", 'name="note"')
    + part(CONTENT, 'name="file"; filename="名.bin"', b"content-type: audio/x-a")
    + END
)


@pytest.mark.parametrize("position", range(len(BODY)))
async def test_the_body_may_come_in_two_at_any_byte(position: int):
    upload, content = await uploaded(BODY[:position], BODY[position:])

    assert (content, upload.filename, upload.media_type) == (CONTENT, "名.bin", "audio/x-a")


async def test_the_body_may_come_byte_by_byte():
    upload, content = await uploaded(*(bytes([byte]) for byte in BODY))

    assert (content, upload.filename, upload.media_type) == (CONTENT, "名.bin", "audio/x-a")


async def test_a_large_file_passes_through_in_the_pieces_it_came_in():
    pieces = [b"x" * 65_536] * 50
    upload = Upload(request([part(b"")[:-2], *pieces, b"\r\n", END]), 10**9)
    await upload.open()

    sizes = [len(chunk) async for chunk in upload.chunks()]

    assert sum(sizes) == 50 * 65_536
    assert max(sizes) <= 65_536


async def test_an_empty_file_is_a_file():
    upload, content = await uploaded(part(b"") + END)

    assert (upload.filename, content) == ("a.txt", b"")


@pytest.mark.parametrize("before", [True, False])
async def test_other_parts_are_skipped(before: bool):
    other, file = part(b"skip me", 'name="purpose"'), part()

    _, content = await uploaded((other + file if before else file + other) + END)

    assert content == b"hi"


async def test_the_first_of_two_files_counts():
    upload, content = await uploaded(part(b"one") + part(b"two", 'name="file"; filename="b.txt"') + END)

    assert (upload.filename, content) == ("a.txt", b"one")


@pytest.mark.parametrize(
    "body", [END, part(b"x", 'name="files"') + END, part(b"x", 'filename="file"') + END, b""]
)
async def test_a_form_without_the_file_is_refused(body: bytes):
    problem = await refused(body)

    assert problem.code == "INVALID_REQUEST"
    assert problem.errors[0]["loc"] == ["file"]


@pytest.mark.parametrize("length", range(len(part()) + len(END) - 3))
async def test_a_body_that_ends_early_is_refused(length: int):
    assert (await refused((part() + END)[:length])).code == "INVALID_REQUEST"


async def test_a_client_that_leaves_breaks_the_upload_off():
    upload = Upload(request([part()], leaves=True), 10**6)
    await upload.open()

    with pytest.raises(ClientDisconnect):
        [chunk async for chunk in upload.chunks()]


@pytest.mark.parametrize(
    "body",
    [b"not multipart", b"--C\r\n\r\n", b"--B\r\nno colon\r\n\r\n", b"--Bx", b"--B\r\nname: a\rb\r\n"],
)
async def test_a_broken_body_is_refused(body: bytes):
    problem = await refused(body)

    assert problem.code == "INVALID_REQUEST"
    assert "multipart" in problem.detail


async def test_headers_without_end_are_refused():
    assert (await refused(b"--B\r\n", b"a: " + b"x" * 100_000)).code == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=B", "text/plain; boundary=B"],
)
async def test_another_type_of_body_is_refused(content_type: str):
    assert (await refused(part() + END, content_type=content_type)).code == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize("boundary", ["", "C", "B" * 10_000, "\xff"])
async def test_a_wrong_boundary_is_refused(boundary: str):
    problem = await refused(part() + END, content_type=f"multipart/form-data; boundary={boundary}")

    assert problem.code == "INVALID_REQUEST"


async def test_a_file_of_just_the_limit_is_taken():
    assert (await uploaded(part(b"x" * 100) + END, limit=100))[1] == b"x" * 100


async def test_a_file_over_the_limit_is_refused():
    problem = await refused(part(b"x" * 101) + END, limit=100)

    assert problem.code == "PAYLOAD_TOO_LARGE"
    assert "100 bytes" in problem.detail


async def test_a_file_over_the_limit_is_not_read_to_its_end():
    body = request([part(b"")[:-2], *[b"x" * 100] * 50])
    upload = Upload(body, 1000)
    await upload.open()
    read: list[bytes] = []

    async def read_all() -> None:
        async for chunk in upload.chunks():
            read.append(chunk)

    with pytest.raises(Problem):
        await read_all()

    assert len(b"".join(read)) == 1000


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        (b"Content-Type: image/svg+xml", "image/svg+xml"),
        (b"CONTENT-TYPE: text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        (b"Content-Type: ", "application/octet-stream"),
        (b"X-Other: y", "application/octet-stream"),
        (b"Content-Type: nonsense", "application/octet-stream"),
        (b"Content-Type: text/plain\nSet-Cookie: a=b", "application/octet-stream"),
        (b"Content-Type: text/plain; a=b\nSet-Cookie: a=b", "application/octet-stream"),
        (b"Content-Type: text/\xff", "application/octet-stream"),
    ],
)
async def test_a_media_type_that_is_none_is_not_believed(header: bytes, media_type: str):
    upload, _ = await uploaded(part(b"hi", 'name="file"; filename="a"', header) + END)

    assert upload.media_type == media_type
