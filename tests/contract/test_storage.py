"""What every storage of files must do."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from nexusai.error import ConfigurationError
from nexusai.server.files.s3 import S3
from nexusai.server.files.storage import PIECE, LocalDisk, Storage
from nexusai.server.http import Problem, broken
from tests.fixtures.s3 import Bucket, running_bucket


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with running_bucket() as bucket:
        yield bucket


@pytest.fixture(params=["local disk", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local disk":
        return LocalDisk(tmp_path / "files")
    bucket: Bucket = request.getfixturevalue("bucket")
    return S3(f"{bucket.url}/{tmp_path.name}", bucket.environ)


@pytest.fixture
def left(request: pytest.FixtureRequest, storage: Storage, tmp_path: Path) -> Callable[[], list[str]]:
    """What lies in the storage, finished or not."""
    if isinstance(storage, LocalDisk):
        return lambda: [path.name for path in tmp_path.rglob("*") if path.is_file()]
    bucket: Bucket = request.getfixturevalue("bucket")
    return lambda: bucket.left(tmp_path.name)


async def pieces(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def breaking(parts: Iterable[bytes], error: BaseException) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    raise error


async def read(storage: Storage, name: str, start: int = 0, size: int | None = None) -> bytes:
    return b"".join([piece async for piece in storage.read(name, start, size)])


async def is_there(storage: Storage, name: str) -> bool:
    try:
        await read(storage, name)
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

    assert await read(storage, "file_1") == whole
    assert (written.size, written.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())


@pytest.mark.parametrize(
    ("start", "size"),
    [(0, None), (0, 0), (0, 1), (5, 0), (5, 10), (5, None), (PIECE - 1, 2), (0, PIECE), (3 * PIECE, 7)],
)
async def test_a_part_is_read(storage: Storage, start: int, size: int | None):
    whole = os.urandom(3 * PIECE + 7)
    await storage.write("file_1", pieces([whole]))

    part = await read(storage, "file_1", start, size)

    assert part == whole[start : None if size is None else start + size]


async def test_reading_goes_piece_by_piece_and_may_end_early(storage: Storage):
    await storage.write("file_1", pieces([b"x" * PIECE] * 8))

    reading = storage.read("file_1")
    async with aclosing(reading):
        assert 0 < len(await anext(reading)) <= 2 * PIECE
    assert len(await read(storage, "file_1")) == 8 * PIECE


async def test_what_is_not_there_is_not_found(storage: Storage):
    with pytest.raises(FileNotFoundError):
        await read(storage, "file_1")


async def test_what_was_written_is_opened_by_its_path(storage: Storage):
    await storage.write("file_1", pieces([b"x" * PIECE, b"end"]))

    async with storage.on_disk("file_1") as path:
        assert path.read_bytes() == b"x" * PIECE + b"end"

    assert await is_there(storage, "file_1")


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
async def test_a_write_that_breaks_off_leaves_nothing(
    storage: Storage, left: Callable[[], list[str]], error: BaseException
):
    with pytest.raises(type(error)):
        await storage.write("file_1", breaking([b"x" * PIECE, b"more"], error))

    assert not await is_there(storage, "file_1")
    assert left() == []


async def test_a_write_that_is_cancelled_leaves_nothing(storage: Storage, left: Callable[[], list[str]]):
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
    assert left() == []


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

    assert await read(storage, "file_1") == b"before"


async def test_many_are_written_at_once(storage: Storage):
    names = [f"file_{number}" for number in range(20)]

    await asyncio.gather(*(storage.write(name, pieces([name.encode()] * 10)) for name in names))

    for name in names:
        assert await read(storage, name) == name.encode() * 10


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


# S3 alone


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
async def test_a_full_disk_is_said_to_be_full_and_keeps_nothing(tmp_path: Path):
    storage = LocalDisk(tmp_path / "files")
    (tmp_path / "files" / "a.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        await storage.write("a", pieces([b"x" * 100_000]))
    assert (broken(raised.value).code, broken(raised.value).detail) == (
        "SERVICE_UNAVAILABLE",
        "The platform's disk is full.",
    )
    assert list((tmp_path / "files").iterdir()) == []


async def test_a_store_that_fails_on_the_way_ends_the_write(bucket: Bucket):
    storage = S3(f"{bucket.url}-nowhere/x", bucket.environ)
    read_on = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal read_on
        for _ in range(1000):
            read_on += 1
            yield b"x" * PIECE

    with pytest.raises(Problem) as refused:
        await storage.write("file_1", counted())

    assert (refused.value.code, refused.value.retry_after) == ("SERVICE_UNAVAILABLE", 5)
    assert read_on < 100


async def test_a_bucket_that_is_there_will_do(bucket: Bucket):
    await S3(f"{bucket.url}/checked", bucket.environ).check()

    assert bucket.left("checked") == []


@pytest.mark.parametrize(
    ("url", "environ"),
    [("s3://nowhere-at-all", {}), ("s3://the-files", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})],
)
async def test_a_bucket_that_will_not_do_is_told_at_the_start(
    bucket: Bucket, url: str, environ: dict[str, str]
):
    with pytest.raises(ConfigurationError, match=r"NEXUS_STORAGE: s3://.* cannot be written") as refused:
        await S3(url, {**bucket.environ, "AWS_SECRET_ACCESS_KEY": "tell-nobody", **environ}).check()

    assert "tell-nobody" not in str(refused.value)
