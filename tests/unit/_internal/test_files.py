from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest

from nexusai._internal._files import AsyncForm, Form, multipart, whole_or_nothing
from nexusai._internal._flow import Upload

BIG = bytes(range(256)) * 3000  # more than two chunks


class Pipe(io.RawIOBase):
    """What can be read once, and has no length."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


def parsed(headers: Mapping[str, str], body: bytes) -> tuple[str | None, str, bytes]:
    """The name, the type and the content of the one field, as Python's own reader sees them."""
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body
    )
    (part,) = message.iter_parts()
    assert part.get_param("name", header="content-disposition") == "file"
    return part.get_filename(), part.get_content_type(), part.get_payload(decode=True)


def sent(upload: Upload) -> tuple[Mapping[str, str], bytes]:
    with multipart(upload, Form) as form:
        assert form is not None
        return form.headers, b"".join(form)


async def sent_async(upload: Upload) -> tuple[Mapping[str, str], bytes]:
    with multipart(upload, AsyncForm) as form:
        assert form is not None
        return form.headers, b"".join([part async for part in form])


def test_no_upload_is_no_form():
    with multipart(None, Form) as form:
        assert form is None


@pytest.mark.parametrize("content", [b"", b"hello", b"--\r\n--", BIG])
@pytest.mark.parametrize("of", [lambda data: data, io.BytesIO], ids=["bytes", "file"])
def test_a_form_holds_the_file_and_says_its_length(of: Any, content: bytes):
    headers, body = sent(Upload("a.txt", of(content), "text/x-notes"))
    assert parsed(headers, body) == ("a.txt", "text/x-notes", content)
    assert headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("of", [lambda data: data, io.BytesIO, Pipe], ids=["bytes", "file", "pipe"])
async def test_an_async_form_is_the_same(of: Any):
    headers, body = await sent_async(Upload("a.txt", of(BIG)))
    assert parsed(headers, body) == ("a.txt", "text/plain", BIG)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.json", "application/json"), ("a", "application/octet-stream")]
)
def test_a_type_is_guessed_from_the_name(name: str, kind: str):
    assert parsed(*sent(Upload(name, b"")))[1] == kind


def test_a_name_cannot_end_its_header():
    headers, body = sent(Upload('a"; x="\r\nX-Evil: 1.txt', b"hello"))
    assert b'filename="a%22; x=%22%0D%0AX-Evil: 1.txt"' in body
    assert parsed(headers, body)[2] == b"hello"


def test_a_name_may_be_in_any_script():
    assert 'filename="データ.bin"'.encode() in sent(Upload("データ.bin", b""))[1]


def test_two_forms_have_different_boundaries():
    assert sent(Upload("a", b""))[0]["Content-Type"] != sent(Upload("a", b""))[0]["Content-Type"]


def test_what_has_no_length_is_sent_without_one():
    headers, body = sent(Upload("a.txt", Pipe(b"hello")))  # type: ignore[arg-type]
    assert "Content-Length" not in headers
    assert parsed(headers, body)[2] == b"hello"


def test_an_open_file_is_sent_from_its_beginning_each_time():
    file = io.BytesIO(b"hello")
    file.read()
    upload = Upload("a.txt", file)
    assert [parsed(*sent(upload))[2] for _ in range(2)] == [b"hello", b"hello"]


def test_what_is_written_to_a_file_meanwhile_is_not_sent(tmp_path: Path):
    path = tmp_path / "log.txt"
    path.write_bytes(b"hello")
    with multipart(Upload("log.txt", path), Form) as form:
        assert form is not None
        with path.open("ab") as file:
            file.write(b" and more")
        body = b"".join(form)
    assert str(len(body)) == form.headers["Content-Length"]
    assert parsed(form.headers, body)[2] == b"hello"


def test_progress_is_told_in_bytes_of_the_file():
    told: list[tuple[int, int | None]] = []
    sent(Upload("a.bin", BIG, None, lambda *bytes: told.append(bytes)))
    assert told[0] == (0, len(BIG))
    assert told[-1] == (len(BIG), len(BIG))
    assert len(told) > 3
    assert told == sorted(told)


async def test_progress_of_what_has_no_length_has_no_total():
    told: list[tuple[int, int | None]] = []
    await sent_async(Upload("a.bin", Pipe(b"hello"), None, lambda *bytes: told.append(bytes)))  # type: ignore[arg-type]
    assert told == [(0, None), (5, None)]


async def test_a_slow_disk_does_not_hold_up_the_event_loop():
    went_on = threading.Event()

    class Slow(Pipe):
        def read(self, size: int = -1) -> bytes:
            assert went_on.wait(5), "the loop stands still while the file is read"
            return super().read(size)

    asyncio.get_running_loop().call_later(0.01, went_on.set)
    _, body = await sent_async(Upload("a.txt", Slow(b"hello")))  # type: ignore[arg-type]
    assert b"hello" in body


def test_a_path_is_open_while_it_is_sent_and_closed_after(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"hello")
    with multipart(Upload("a.txt", tmp_path / "a.txt"), Form) as form:
        assert form is not None
        assert b"hello" in b"".join(form)
    assert form._file.closed


def test_a_file_has_its_name_only_once_it_is_whole(tmp_path: Path):
    path = tmp_path / "a.bin"
    with whole_or_nothing(path) as file:
        file.write(b"all")
        assert "a.bin" not in os.listdir(tmp_path)
    assert os.listdir(tmp_path) == ["a.bin"]
    assert path.read_bytes() == b"all"


def test_a_file_that_failed_leaves_nothing(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), whole_or_nothing(tmp_path / "a.bin"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_missing_is_named_with_the_path_that_was_given(tmp_path: Path):
    path = tmp_path / "none" / "a.bin"
    with pytest.raises(FileNotFoundError, match="none' is missing") as raised, whole_or_nothing(path):
        pass
    assert raised.value.filename == str(path)


@pytest.mark.parametrize("name", ["folder", "."])
def test_a_folder_takes_no_content_and_nothing_is_written_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="folder: add the name of a file") as raised:
        with whole_or_nothing(Path(name)):
            (tmp_path / "reached").touch()
    assert raised.value.filename == name
    assert os.listdir(tmp_path) == ["folder"]
