from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nexusai.error import ConfigurationError
from nexusai.server.data_dir import DataDir


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "some" / "data"


def test_the_folder_is_made_for_its_user_alone(folder: Path):
    data = DataDir(folder)
    data.acquire()

    assert mode(folder) == 0o700
    data.release()


def test_a_second_owner_is_refused_and_told_what_to_do(folder: Path):
    owner = DataDir(folder)
    owner.acquire()
    try:
        with pytest.raises(ConfigurationError, match=rf"{folder}.*--data-dir") as refused:
            DataDir(folder).acquire()
    finally:
        owner.release()

    assert str(os.getpid()) in str(refused.value)


def test_a_refused_owner_leaves_the_first_in_possession(folder: Path):
    owner = DataDir(folder)
    owner.acquire()
    try:
        for _ in range(2):
            with pytest.raises(ConfigurationError):
                DataDir(folder).acquire()
    finally:
        owner.release()


def test_a_released_folder_can_be_owned_again(folder: Path):
    for _ in range(2):
        data = DataDir(folder)
        data.acquire()
        data.release()


def test_a_lock_file_that_a_dead_process_left_is_no_owner(folder: Path):
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    (folder / "pid").write_text("1")
    data = DataDir(folder)

    data.acquire()

    data.release()


@pytest.mark.parametrize("path", ["file", "file/below", "/proc/nexusai"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, path: str):
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match=r"cannot be used.*--data-dir"):
        DataDir(tmp_path / path).acquire()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_named(folder: Path):
    folder.mkdir(parents=True, mode=0o500)

    with pytest.raises(ConfigurationError, match=r"cannot be used.*--data-dir"):
        DataDir(folder).acquire()


def test_a_tilde_is_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))

    assert DataDir(Path("~/data")).path == tmp_path / "data"


def test_the_secret_is_made_once_and_for_this_user_alone(tmp_path: Path):
    secret = DataDir(tmp_path).secret()

    assert len(secret) == 32
    assert DataDir(tmp_path).secret() == secret
    assert mode(tmp_path / "secret") == 0o600
    assert os.listdir(tmp_path) == ["secret"]


def test_a_secret_whose_making_was_cut_off_is_made_anew(tmp_path: Path):
    (tmp_path / "secret.part").write_bytes(b"half")

    assert len(DataDir(tmp_path).secret()) == 32


def test_the_secret_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[tuple[int, bool]] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append((os.fstat(fd).st_size, (tmp_path / "secret").exists()))
    )

    DataDir(tmp_path).secret()

    assert synced == [(32, False)]
