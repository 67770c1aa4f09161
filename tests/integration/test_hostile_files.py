"""Files, names and uploads that were made to do harm, through the server on a socket: each has its answer."""

from __future__ import annotations

import gzip
import io
import re
import socket
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any, NamedTuple

import httpx
import pytest
from PIL import Image

from tests.fixtures import documents
from tests.fixtures.served import Served, served

LIMIT = 2_000_000
MULTI = "multipart/form-data"
FORM = f"{MULTI}; boundary=B"
CODES = {400: "INVALID_REQUEST", 413: "PAYLOAD_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE"}
OCTETS = "application/octet-stream"
PNG, HTML, PDF, SVG, ZIP = "image/png", "text/html", "application/pdf", "image/svg+xml", "application/zip"
TEXT, SCRIPT, XML = "text/plain", "text/javascript", "application/xml"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("hostile")
    with served(folder, shutdown_grace=0, max_file_bytes=LIMIT) as platform:
        yield platform


@pytest.fixture(scope="module")
def client(platform: Served) -> Iterator[httpx.Client]:
    with platform.client() as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_is_left_behind(platform: Served, client: httpx.Client) -> Iterator[None]:
    """However an upload ends: a file in the storage for each in the list, no half ones, none elsewhere."""
    yield
    folder = platform.database.parent
    listed = client.get("/files", params={"per_page": 1}).json()["total"]
    stored = [path.name for path in (folder / "files").iterdir()]
    assert len(stored) == listed
    assert all(re.fullmatch(r"file_[0-9a-f]{32}", name) for name in stored)
    assert {path.name for path in folder.parent.iterdir()} == {"data"}


def part(disposition: str | bytes, content: bytes = b"hi", *headers: bytes) -> bytes:
    said = disposition.encode() if isinstance(disposition, str) else disposition
    return b"\r\n".join([b"--B", b"Content-Disposition: " + said, *headers, b"", content]) + b"\r\n"


END = b"--B--\r\n"
FILE = 'form-data; name="file"; filename="a.txt"'


def sent(client: httpx.Client, body: bytes, content_type: str | bytes = FORM) -> httpx.Response:
    return client.post("/files", content=body, headers=[(b"Content-Type", _raw(content_type))])


def _raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (2, 2)).save(out, "PNG")
    return out.getvalue()


def bomb() -> bytes:
    return documents.office("docx", b" " * 64_000_000)


# Bytes that lie about what they are


class Lie(NamedTuple):
    content: bytes | Callable[[], bytes]
    name: str
    said: str
    found: str
    shown: str = "attachment"


LIES = {
    "nothing": Lie(b"", "a.png", PNG, TEXT),
    "one zero": Lie(b"\x00", "a.txt", TEXT, OCTETS),
    "HTML called a picture": Lie(b"<!doctype html><script>1</script>", "a.png", PNG, HTML),
    "a script called a sound": Lie(b"<script>alert(1)</script>", "a.mp3", "audio/mpeg", HTML),
    "HTML behind white space": Lie(b"\xef\xbb\xbf \r\n\t<HtMl>", "a.gif", "image/gif", HTML),
    "HTML behind a comment": Lie(b"<!-- x --><body onload=x()>", "a.jpg", "image/jpeg", HTML),
    "HTML called text": Lie(b"<iframe src=javascript:1>", "a.txt", TEXT, HTML),
    "SVG called a PNG": Lie(b'<svg xmlns="http://www.w3.org/2000/svg" onload="x()"/>', "a.png", PNG, SVG),
    "SVG behind a prolog": Lie(
        b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "a" "b"><svg:svg/>', "a.svg", SVG, SVG
    ),
    "XML with a style sheet": Lie(
        b'<?xml version="1.0"?><?xml-stylesheet href="javascript:1"?><x/>', "a.jpg", "image/jpeg", XML
    ),
    "XML that laughs": Lie(
        b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">]><l>&a;</l>', "a.xml", "text/xml", XML
    ),
    "a program called a picture": Lie(b"MZ\x90\x00" + bytes(60), "a.png", PNG, OCTETS),
    "a program of Linux": Lie(b"\x7fELF\x02\x01\x01" + bytes(60), "a.pdf", PDF, OCTETS),
    "a shell script called PDF": Lie(b"#!/bin/sh\nrm -rf /\n", "a.pdf", PDF, TEXT),
    "JavaScript": Lie(b"fetch('//evil')", "a.js", SCRIPT, TEXT),
    "a PNG called HTML": Lie(png(), "a.html", HTML, PNG, "inline"),
    "a PNG with HTML behind it": Lie(png() + b"<script>1</script>", "a.html", HTML, PNG, "inline"),
    "a GIF that is a script": Lie(
        b"GIF89a/*" + bytes(9) + b"*/=1;alert(1)", "a.js", SCRIPT, "image/gif", "inline"
    ),
    "a picture that is an archive": Lie(png() + documents.zipped({"a": b"b"}), "a.zip", ZIP, PNG, "inline"),
    "a PDF that is an archive": Lie(
        documents.pdf([[(12, "x")]]) + documents.zipped({"a.html": b"<script>"}), "a.html", HTML, PDF
    ),
    "a PDF with a script": Lie(
        b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>", "a.png", PNG, PDF
    ),
    "an archive called a picture": Lie(documents.zipped({"a": b"b"}), "a.png", PNG, ZIP),
    "an archive that climbs out": Lie(
        documents.zipped({"../../../../tmp/nexusai-climbed": b"x"}), "a.zip", ZIP, ZIP
    ),
    "a zip bomb called a sound": Lie(bomb, "a.mp3", "audio/mpeg", WORD),
    "a gzip bomb": Lie(gzip.compress(bytes(9_000_000)), "a.txt", TEXT, "application/gzip"),
    "a macro document of 1997": Lie(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        "a.doc",
        "application/msword",
        "application/x-ole-storage",
    ),
    "UTF-7": Lie(b"+ADw-script+AD4-alert(1)+ADw-/script+AD4-", "a.txt", "text/html; charset=utf-7", HTML),
    "HTML in UTF-16": Lie("\ufeff<script>1</script>".encode("utf-16-le"), "a.html", HTML, TEXT),
    "invalid UTF-8": Lie(b"\xc3\x28\xff\xfe words", "a.txt", TEXT, TEXT),
    "a text of zeros": Lie(bytes(100_000), "a.csv", "text/csv", OCTETS),
    "half a PNG": Lie(png()[:20], "a.png", PNG, PNG, "inline"),
    "a sign of a PNG that is none": Lie(b"\x89PNG", "a.png", PNG, TEXT),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_is_what_its_bytes_are_and_runs_in_no_browser(client: httpx.Client, lie: str) -> None:
    content, name, said, found, shown = LIES[lie]
    content = content if isinstance(content, bytes) else content()

    answer = client.post("/files", files={"file": (name, content, said)})
    assert (answer.status_code, answer.json()["content_type"]) == (201, found)
    given = client.get(f"/files/{answer.json()['file_id']}/content")

    assert given.content == content
    assert given.headers["content-type"] == found
    assert given.headers["content-disposition"].startswith(f"{shown};")
    assert given.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in given.headers["content-security-policy"]
    assert "default-src 'none'" in given.headers["content-security-policy"]
    assert "set-cookie" not in given.headers


# Names


NAMES: dict[str, tuple[bytes, str]] = {
    "a path": (b"../../../etc/passwd", "passwd"),
    "an absolute path": (b"/etc/shadow", "shadow"),
    "a path of Windows": (b"..\\\\..\\\\boot.ini", "boot.ini"),
    "a drive": (b"C:\\\\Windows\\\\a.txt", "a.txt"),
    "a share": (b"\\\\\\\\host\\\\c$\\\\a.txt", "a.txt"),
    "a path in percents": (b"%2e%2e%2fetc%2fpasswd", "%2e%2e%2fetc%2fpasswd"),
    "dots": (b"..", "unnamed"),
    "a slash": (b"/", "unnamed"),
    "nothing": (b"", "unnamed"),
    "spaces": (b"   ", "unnamed"),
    "a zero": (b"a.txt\x00.png", "a.txt.png"),
    "control characters": (b"a\x01\x1b[31m\x7fb.txt", "a[31mb.txt"),
    "right to left": ("invoice\u202efdp.exe".encode(), "invoicefdp.exe"),
    "isolates": ("\u2067a\u2069.txt".encode(), "a.txt"),
    "a mark of byte order": ("\ufeffa.txt".encode(), "a.txt"),
    "a line separator": ("a\u2028b.txt".encode(), "ab.txt"),
    "invalid UTF-8": (b"\xff\xfe.txt", "\ufffd\ufffd.txt"),
    "half a character": (b"a\xed\xa0\x80.txt", "a\ufffd\ufffd\ufffd.txt"),
    "overlong slashes": (b"..\xc0\xafa.txt", "..\ufffd\ufffda.txt"),
    "Arabic": ("ملف.txt".encode(), "ملف.txt"),
    "Chinese": ("报告（终稿）.txt".encode(), "报告（终稿）.txt"),
    "a family": ("👩‍👩‍👧.txt".encode(), "👩‍👩‍👧.txt"),
    "a long one": (b"x" * 3000 + b".txt", "x" * 251 + ".txt"),
    "a device": (b"CON", "CON"),
    "a stream of NTFS": (b"a.txt::$DATA", "a.txt::$DATA"),
    "a command": (b"$(touch x); `id`|.txt", "$(touch x); `id`|.txt"),
    "HTML": (b"<img src=x onerror=alert(1)>.txt", "<img src=x onerror=alert(1)>.txt"),
    "SQL": (b"'; DROP TABLE files; --.txt", "'; DROP TABLE files; --.txt"),
    "an option": (b"--version", "--version"),
    "a quotation mark": (b'a\\"; evil=\\"b.txt', 'a"; evil="b.txt'),
    "our own": (b"nexus.db", "nexus.db"),
    "half of ours": (b"file_1.part", "file_1.part"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_only_a_name(client: httpx.Client, name: str) -> None:
    given, kept = NAMES[name]

    answer = sent(client, part(b'form-data; name="file"; filename="' + given + b'"') + END)
    assert (answer.status_code, answer.json()["filename"]) == (201, kept)
    content = client.get(f"/files/{answer.json()['file_id']}/content")

    said = Message()
    said["Content-Disposition"] = content.headers["content-disposition"]
    assert (said.get_content_disposition(), said.get_filename()) == ("attachment", kept)
    assert content.headers["content-disposition"].isascii()
    assert content.content == b"hi"


# Forms


def deep() -> bytes:
    return part('form-data; name="other"', b"x" * 1000) * 1500 + part(FILE) + END


FORMS: dict[str, tuple[bytes, str | bytes, int]] = {
    "no body": (b"", FORM, 400),
    "only an end": (END, FORM, 400),
    "no end": (part(FILE), FORM, 400),
    "cut off in the file": (part(FILE, b"x" * 1000)[:-300], FORM, 400),
    "another boundary": (part(FILE) + END, f"{MULTI}; boundary=C", 400),
    "no boundary": (part(FILE) + END, MULTI, 415),
    "an empty boundary": (part(FILE) + END, f'{MULTI}; boundary=""', 400),
    "a boundary of 10,000": (END, f"{MULTI}; boundary={'B' * 10_000}", 400),
    "a boundary in no encoding": (END, b"multipart/form-data; boundary=\xff\xfe", 400),
    "multipart/mixed": (part(FILE) + END, "multipart/mixed; boundary=B", 415),
    "JSON": (b'{"file": "/etc/passwd"}', "application/json", 415),
    "fields of a form": (b"file=x", "application/x-www-form-urlencoded", 415),
    "a part of another name": (part('form-data; name="files"') + END, FORM, 400),
    "a part without a name": (part('form-data; filename="file"') + END, FORM, 400),
    "a part without headers": (b"--B\r\n\r\nhi\r\n" + END, FORM, 400),
    "a header without a colon": (b"--B\r\nnonsense\r\n\r\nhi\r\n" + END, FORM, 400),
    "a header of 1 MB": (part(FILE, b"hi", b"X: " + b"x" * 1_000_000) + END, FORM, 400),
    "10,000 headers": (part(FILE, b"hi", *[b"X: y"] * 10_000) + END, FORM, 400),
    "one byte too many": (part(FILE, b"x" * (LIMIT + 1)) + END, FORM, 413),
    "far too many": (part(FILE, b"x" * (LIMIT * 8)) + END, FORM, 413),
    "all that fit": (part(FILE, b"x" * LIMIT) + END, FORM, 201),
    "1,500 parts before the file": (deep(), FORM, 201),
    "a part in the file": (part(FILE, b"--B\rContent") + END, FORM, 201),
    "two files": (part(FILE) + part('form-data; name="file"; filename="/b"') + END, FORM, 201),
    "words behind the end": (part(FILE) + END + b"and more" * 1000, FORM, 201),
    "base64 that is said": (part(FILE, b"aGk=", b"Content-Transfer-Encoding: base64") + END, FORM, 201),
    "a type with a line feed": (
        part(FILE, b"hi", b"Content-Type: text/plain\nSet-Cookie: a=b") + END,
        FORM,
        201,
    ),
    "a name twice": (part('form-data; name="file"; filename="a.txt"; filename="../b"') + END, FORM, 201),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_a_form_or_is_refused(client: httpx.Client, form: str) -> None:
    body, content_type, status = FORMS[form]

    answer = sent(client, body, content_type)

    assert (answer.status_code, answer.json().get("error_code")) == (status, CODES.get(status)), answer.text
    if status == 201:
        assert "/" not in answer.json()["filename"]
        assert answer.json()["content_type"] == "text/plain"


def raw(platform: Served, request: bytes) -> bytes:
    """What the server answers to these bytes, with the connection ended behind them."""
    with socket.create_connection(("127.0.0.1", platform.port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def post(platform: Served, *headers: bytes, body: bytes = b"") -> bytes:
    lines = [b"POST /api/v1/files HTTP/1.1", b"Host: x", b"Authorization: Bearer " + platform.key.encode()]
    return b"\r\n".join([*lines, b"Content-Type: " + FORM.encode(), *headers, b"", body])


BROKEN: dict[str, tuple[list[bytes], bytes, bytes]] = {
    "a length that is none": ([b"Content-Length: many"], b"", b"400"),
    "a length below zero": ([b"Content-Length: -1"], b"", b"400"),
    "two lengths": ([b"Content-Length: 3", b"Content-Length: 4"], b"abc", b"400"),
    "a length and chunks": ([b"Content-Length: 3", b"Transfer-Encoding: chunked"], b"0\r\n\r\n", b"400"),
    "chunks that are none": ([b"Transfer-Encoding: chunked"], b"zz\r\n", b"400"),
    "a line feed in a header": ([b"X: a\x00b", b"Content-Length: 0"], b"", b"400"),
    "a body that is shorter than said": ([b"Content-Length: 100"], part(FILE)[:60], b""),
}


@pytest.mark.parametrize("request_", BROKEN)
def test_a_broken_request_stores_nothing(platform: Served, client: httpx.Client, request_: str) -> None:
    headers, body, status = BROKEN[request_]
    before = client.get("/files").json()["total"]

    answer = raw(platform, post(platform, *headers, body=body))

    assert answer.partition(b"\r\n")[0].split(b" ")[1:2] == ([status] if status else [])
    assert client.get("/files").json()["total"] == before


# Downloads


RANGES = {
    "beyond the end": ("bytes=10-", 416),
    "nothing of the end": ("bytes=-0", 416),
    "backwards": ("bytes=5-2", 200),
    "numbers without end": ("bytes=0-" + "9" * 400, 200),
    "many at once": ("bytes=" + ",".join(["0-"] * 1000), 200),
    "overlapping": ("bytes=0-5,3-9", 200),
    "letters": ("bytes=a-b", 200),
    "another unit": ("pages=1-2", 200),
    "below zero": ("bytes=--1", 200),
    "hexadecimal": ("bytes=0x0-0x5", 200),
    "spaces": ("bytes= 0 - 5", 200),
    "more than there is": ("bytes=0-999", 206),
    "more of the end than there is": ("bytes=-999", 206),
}


@pytest.mark.parametrize("asked", RANGES)
def test_a_range_is_honoured_ignored_or_refused(client: httpx.Client, asked: str) -> None:
    file_id = client.post("/files", files={"file": ("a.txt", b"0123456789")}).json()["file_id"]
    value, status = RANGES[asked]

    answer = client.get(f"/files/{file_id}/content", headers={"Range": value})

    assert answer.status_code == status
    if status == 416:
        assert (answer.json()["error_code"], answer.headers["content-range"]) == (
            "RANGE_NOT_SATISFIABLE",
            "bytes */10",
        )
    else:
        assert answer.content == b"0123456789"


IDS = {
    "a path": "..%2f..%2fnexus.db",
    "a path of Windows": "..%5cnexus.db",
    "a path twice encoded": "%252e%252e%252fnexus.db",
    "an absolute path": "%2fetc%2fpasswd",
    "half a file": "file_1.part",
    "a zero": "file_%00",
    "a line feed": "file_%0d%0aSet-Cookie:%20a=b",
    "invalid UTF-8": "%ff%fe",
    "a long one": "file_" + "0" * 5000,
    "SQL": "file_%27%20OR%201=1%20--",
    "a wildcard": "file_%25",
    "a script": "%3Cscript%3E",
}


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("rest", ["", "/content"])
def test_what_is_no_id_is_not_found(client: httpx.Client, id: str, rest: str) -> None:
    for method in ("GET", "DELETE")[: 1 if rest else 2]:
        answer = client.request(method, f"/files/{IDS[id]}{rest}")

        assert (answer.status_code, answer.json()["error_code"]) == (404, "NOT_FOUND")
        assert answer.headers["content-type"] == "application/problem+json"
        assert "set-cookie" not in answer.headers


# What is made of them


TASKS: dict[str, tuple[Callable[[], bytes], str, str, int, str]] = {
    "a zip bomb to read": (bomb, "a.docx", "document_processing", 413, "unpacks"),
    "an empty file to read": (lambda: b"", "a.txt", "document_processing", 400, "no bytes"),
    "a program to read": (lambda: b"\x7fELF" + bytes(99), "a.pdf", "document_processing", 415, "program"),
    "a locked PDF to read": (documents.locked_pdf, "a.pdf", "document_processing", 400, "password"),
    "a text to hear": (lambda: b"no sound", "a.wav", "speech_to_text", 400, ""),
    "an empty file to hear": (lambda: b"", "a.wav", "speech_to_text", 400, ""),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_on_a_hostile_file_fails_with_its_reason(client: httpx.Client, task: str) -> None:
    make, name, task_type, status, reason = TASKS[task]
    file_id = client.post("/files", files={"file": (name, make())}).json()["file_id"]
    provider = {"provider": "local"} if task_type == "speech_to_text" else {}

    answer = client.post("/invoke", json={"task_type": task_type, "input": {"file_id": file_id}, **provider})

    assert answer.status_code == status, answer.text
    assert reason in answer.json()["detail"]
    assert client.get(f"/files/{file_id}").status_code == 200


# Types that are not taken


@pytest.fixture(scope="module")
def choosy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("choosy")
    with (
        served(folder, shutdown_grace=0, file_types="image/*, text/plain") as platform,
        platform.client() as c,
    ):
        yield c


@pytest.mark.parametrize(
    ("content", "said", "status"),
    [
        (png(), "text/html", 201),
        (b"words", "application/zip", 201),
        (b"<html>", "image/png", 415),
        (b"%PDF-1.7", "image/png", 415),
        (b"PK\x03\x04" + bytes(40), "text/plain", 415),
        (b"\x00\x01", "image/png", 415),
        (b"\x00" * 1_000_000, "image/png", 415),
    ],
)
def test_only_types_of_the_setting_are_taken(
    choosy: httpx.Client, content: bytes, said: str, status: int
) -> None:
    answer = choosy.post("/files", files={"file": ("a.png" if status == 415 else "a", content, said)})

    assert answer.status_code == status
    if status == 415:
        assert "image/*, text/plain" in answer.json()["detail"]
        base = choosy.post("/knowledge-bases", json={"name": "x"}).json()["kb_id"]
        documents_ = f"/knowledge-bases/{base}/documents"
        assert choosy.post(documents_, files={"file": ("a.txt", content, said)}).status_code == 415
        assert choosy.get("/files").json()["total"] <= 2


def test_a_result_is_kept_whatever_the_setting_says(choosy: httpx.Client) -> None:
    asked: dict[str, Any] = {"task_type": "text_to_speech", "input": {"text": "hello"}, "provider": "local"}
    answer = choosy.post("/invoke", json=asked)
    assert answer.status_code == 200, answer.text
    assert choosy.get(f"/files/{answer.json()['output']['file_id']}/content").content[:4] == b"RIFF"
