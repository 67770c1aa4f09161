from __future__ import annotations

import os
from pathlib import Path

import pytest

from nexusai._internal._files import multipart, whole_or_nothing
from nexusai._internal._flow import Upload


def test_no_upload_is_no_form():
    with multipart(None) as form:
        assert form is None


def test_bytes_are_sent_as_they_are():
    with multipart(Upload("a.txt", b"hello", "text/plain")) as form:
        assert form == {"file": ("a.txt", b"hello", "text/plain")}


def test_a_path_is_open_while_it_is_sent_and_closed_after(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"hello")
    with multipart(Upload("a.txt", tmp_path / "a.txt")) as form:
        assert form is not None
        file = form["file"][1]
        assert file.read() == b"hello"
    assert file.closed


def test_a_file_has_its_name_only_once_it_is_whole(tmp_path: Path):
    path = tmp_path / "a.bin"
    with whole_or_nothing(path) as file:
        file.write(b"all")
        assert os.listdir(tmp_path) == ["a.bin.part"]
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
