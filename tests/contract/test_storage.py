"""What every storage of files must do."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from nexusai.server.files.storage import PIECE, LocalDisk, Storage

STORAGES: dict[str, Callable[[Path], Storage]] = {"local disk": LocalDisk}


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return STORAGES[request.param](tmp_path / "files")


async def pieces(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def breaking(parts: Iterable[bytes], error: BaseException) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    raise error


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def is_there(storage: Storage, name: str) -> bool:
    try:
        await storage.read(name)
    except FileNotFoundError:
        return False
    return True


@pytest.mark.parametrize(
    "parts",
    [[], [b""], [b"\x00\xff\r\n"], [b"a", b"", b"b"], [b"x" * 70_000] * 40, [b"y" * (3 * PIECE + 1)]],
    ids=["nothing", "an empty piece", "binary", "small pieces", "many pieces", "one large piece"],
)
async def test_what_was_written_is_read(storage: Storage, parts: list[bytes]):
    whole = b"".join(parts)

    written = await storage.write("file_1", pieces(parts))

    assert await storage.read("file_1") == whole
    assert (written.size, written.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())


async def test_the_source_is_not_read_ahead_of_what_is_stored(storage: Storage):
    """A stream of 64 pieces is in memory a few at a time."""
    alive = 0
    most = 0

    class Counted(bytes):
        def __new__(cls) -> Counted:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return super().__new__(cls, b"z" * (PIECE // 4))

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    written = await storage.write("file_1", pieces(Counted() for _ in range(64)))

    assert written.size == 16 * PIECE
    assert most < 10


@pytest.mark.parametrize("error", [OSError("reset"), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_a_write_that_breaks_off_leaves_nothing(storage: Storage, tmp_path: Path, error: BaseException):
    with pytest.raises(type(error)):
        await storage.write("file_1", breaking([b"x" * PIECE, b"more"], error))

    assert not await is_there(storage, "file_1")
    assert files_in(tmp_path) == []


async def test_a_write_that_is_cancelled_leaves_nothing(storage: Storage, tmp_path: Path):
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * PIECE
            begun.set()
            await asyncio.sleep(0)

    writing = asyncio.ensure_future(storage.write("file_1", endless()))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert not await is_there(storage, "file_1")
    assert files_in(tmp_path) == []


async def test_nothing_is_there_until_all_of_it_is(storage: Storage):
    seen: list[bool] = []

    async def watching() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * PIECE
            seen.append(await is_there(storage, "file_1"))

    await storage.write("file_1", watching())

    assert seen == [False] * 3
    assert await is_there(storage, "file_1")


async def test_a_broken_write_leaves_what_was_there_before(storage: Storage):
    await storage.write("file_1", pieces([b"before"]))

    with pytest.raises(OSError, match="reset"):
        await storage.write("file_1", breaking([b"after"], OSError("reset")))

    assert await storage.read("file_1") == b"before"


async def test_many_are_written_at_once(storage: Storage):
    names = [f"file_{number}" for number in range(20)]

    await asyncio.gather(*(storage.write(name, pieces([name.encode()] * 10)) for name in names))

    for name in names:
        assert await storage.read(name) == name.encode() * 10


async def test_deleting_twice_is_fine(storage: Storage):
    await storage.write("file_1", pieces([b"x"]))
    await storage.write("file_2", pieces([b"y"]))

    await storage.delete("file_1")
    await storage.delete("file_1")

    assert not await is_there(storage, "file_1")
    assert await is_there(storage, "file_2")


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what was synced")
async def test_bytes_reach_the_disk_before_their_name_and_the_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        whole = path.is_file() and path.stat().st_size == 3 * PIECE
        named = (tmp_path / "file_1").exists()
        synced.append(
            "the folder" if path == tmp_path and named else "the bytes" if whole and not named else "?"
        )
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    await LocalDisk(tmp_path).write("file_1", pieces([b"x" * PIECE] * 3))

    assert synced == ["the bytes", "the folder"]


def test_what_a_killed_process_left_half_written_is_gone_at_the_next_start(tmp_path: Path):
    (tmp_path / "file_1").write_bytes(b"whole")
    (tmp_path / "file_2.part").write_bytes(b"ha")
    LocalDisk(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file_1"]
