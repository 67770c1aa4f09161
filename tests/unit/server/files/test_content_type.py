from __future__ import annotations

import pytest

from nexusai.server.files.content_type import SAMPLE, content_type, is_among
from tests.fixtures import documents

OFFICE = "application/vnd.openxmlformats-officedocument."


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x00\x00\x00\x1cftypavif", "image/avif"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"fLaC\x00\x00\x00\x22", "audio/flac"),
        (b"OggS" + bytes(24) + b"\x01\x1eOpusHead", "audio/ogg"),
        (b"OggS" + bytes(25) + b"\x80theora", "video/ogg"),
        (b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
        (b"\x00\x00\x00\x18ftypisom", "video/mp4"),
        (b"\x1aE\xdf\xa3" + bytes(20) + b"webm", "video/webm"),
        (b"%PDF-1.7", "application/pdf"),
        (documents.word([("Normal", "x")]), f"{OFFICE}wordprocessingml.document"),
        (documents.workbook({"A": [[1]]}), f"{OFFICE}spreadsheetml.sheet"),
        (documents.slides([("x", [], "")]), f"{OFFICE}presentationml.presentation"),
        (documents.book(["<p>x</p>"]), "application/epub+zip"),
        (documents.zipped({"a": b"b"}), "application/zip"),
        (documents.zipped({}), "application/zip"),
        (b"\x1f\x8b\x08", "application/gzip"),
    ],
)
def test_the_bytes_tell_whatever_else_is_said(head: bytes, kind: str):
    assert content_type(head[:SAMPLE], "a.html", "text/html") == kind


@pytest.mark.parametrize(
    ("name", "said", "kind"),
    [
        ("a.md", "", "text/markdown"),
        ("A.MARKDOWN", "text/html", "text/markdown"),
        ("a.csv", "application/vnd.ms-excel", "text/csv"),
        ("a.jsonl", "", "application/jsonl"),
        ("upload", "text/markdown; charset=utf-8", "text/markdown"),
        ("upload", "image/png", "text/plain"),
        ("upload", "image/svg+xml", "text/plain"),
        ("a.png", "", "text/plain"),
        ("md", "", "text/plain"),
    ],
)
def test_a_name_or_header_only_tells_one_text_from_another(name: str, said: str, kind: str):
    assert content_type("Wörter, 词".encode(), name, said) == kind
    assert content_type(b"\x00\x01", name, said) == "application/octet-stream"


@pytest.mark.parametrize(
    "head", ["中文".encode("gb18030"), b"caf\xe9", "词".encode()[:2], "\ufeff词".encode("utf-16")]
)
def test_text_of_other_encodings_and_cut_off_is_text(head: bytes):
    assert content_type(head, "a.txt", "") == "text/plain"


@pytest.mark.parametrize(
    ("kind", "patterns", "taken"),
    [
        ("image/png", ("*/*",), True),
        ("image/png", ("image/*",), True),
        ("image/svg+xml", ("image/png", "text/*"), False),
        ("text/plain", ("application/pdf", "text/plain"), True),
    ],
)
def test_a_type_is_among_patterns(kind: str, patterns: tuple[str, ...], taken: bool):
    assert is_among(kind, patterns) == taken


@pytest.mark.parametrize(
    "hard", [b"<!--" * 16_384, b" " * SAMPLE, b"<?xml " * 10_000, b"PK\x03\x04" * 16_384]
)
def test_no_beginning_takes_long(hard: bytes):
    assert content_type(hard[:SAMPLE], "a", "")
