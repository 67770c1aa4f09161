from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from freezegun import freeze_time

from nexusai.server.db.engine import Database, migrate
from nexusai.server.files.models import Said, StoredFile
from nexusai.server.files.service import FileService
from nexusai.server.files.storage import LocalDisk
from nexusai.server.files.store import FileStore
from nexusai.server.http import Problem
from tests.fixtures.server import OTHER_PROJECT, PROJECT

HERE = "http://here:8000"


@pytest.fixture
def files(tmp_path: Path) -> Iterator[FileService]:
    migrate(tmp_path / "nexus.db")
    database = Database(tmp_path / "nexus.db")
    yield FileService(
        store=FileStore(database),
        storage=LocalDisk(tmp_path / "files"),
        secret=b"s" * 32,
        link_seconds=60,
        public_url=None,
    )
    database.close()


async def whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def stored(
    files: FileService,
    content: bytes = b"hi",
    name: str = "a.txt",
    key: str | None = None,
    project: str = PROJECT,
) -> StoredFile:
    return await files.upload(project, name, "text/plain", whole(content), key)


async def refused(work: object) -> Problem:
    with pytest.raises(Problem) as refused:
        await work  # type: ignore[misc]
    return refused.value


def on_disk(files: FileService) -> int:
    assert isinstance(files.storage, LocalDisk)
    return len(list(files.storage._folder.iterdir()))


async def test_a_stored_file_is_found_with_its_bytes(files: FileService):
    file = await stored(files, b"hello")

    assert await files.get(PROJECT, file.id) == file
    assert b"".join([piece async for piece in files.read(file)]) == b"hello"
    assert (file.size, file.filename, file.content_type) == (5, "a.txt", "text/plain")
    assert file.show()["sha256"] == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


async def test_the_answer_holds_no_address(files: FileService):
    assert not re.search("http|path|/", str((await stored(files)).show().keys()))


async def test_what_belongs_to_another_project_does_not_exist(files: FileService):
    file = await stored(files)

    for work in (files.get(OTHER_PROJECT, file.id), files.delete(OTHER_PROJECT, file.id)):
        assert (await refused(work)).code == "NOT_FOUND"
    assert (await refused(files.data_uri(OTHER_PROJECT, file.id))).code == "INVALID_REQUEST"
    assert (await files.page(OTHER_PROJECT, 1, 10)) == ([], 0)
    assert await files.get(PROJECT, file.id) == file


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.txt", "a.txt"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\dir\\a.txt", "a.txt"),
        ("..", "unnamed"),
        ("/", "unnamed"),
        ("", "unnamed"),
        ("  \t ", "unnamed"),
        (" a b.txt ", "a b.txt"),
        (".env", ".env"),
        ("a\x00b\r\nc\x1f\x7f\x85.txt", "abc.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("\u2066\u2069\u200f\u061cx", "x"),
        ("名 \N{FAMILY} é.txt", "名 \N{FAMILY} é.txt"),
        ("x" * 300 + ".txt", "x" * 251 + ".txt"),
        ("%2e%2e%2fx", "%2e%2e%2fx"),
    ],
)
async def test_a_name_is_kept_without_its_tricks(files: FileService, given: str, kept: str):
    file = await stored(files, name=given)

    assert file.filename == kept
    async with files.path(file) as path:
        assert path.name == file.id


async def test_pages_are_newest_first(files: FileService):
    ids = [(await stored(files)).id for _ in range(5)][::-1]
    await stored(files, project=OTHER_PROJECT)

    pages = [await files.page(PROJECT, number, 2) for number in (1, 2, 3, 4)]

    assert [[file.id for file in page] for page, _ in pages] == [ids[:2], ids[2:4], ids[4:], []]
    assert {total for _, total in pages} == {5}


async def test_a_deleted_file_is_gone_with_its_bytes(files: FileService):
    file = await stored(files)

    await files.delete(PROJECT, file.id)

    assert (await refused(files.get(PROJECT, file.id))).code == "NOT_FOUND"
    assert (await refused(files.delete(PROJECT, file.id))).code == "NOT_FOUND"
    assert on_disk(files) == 0


async def test_an_upload_that_breaks_off_leaves_nothing(files: FileService):
    async def breaking() -> AsyncIterator[bytes]:
        yield b"x"
        raise OSError("reset")

    with pytest.raises(OSError, match="reset"):
        await files.upload(PROJECT, "a", "text/plain", breaking(), "key")

    assert on_disk(files) == 0
    assert await files.page(PROJECT, 1, 10) == ([], 0)


# Idempotency


async def test_the_same_key_and_file_give_the_first_answer(files: FileService):
    first = await stored(files, key="key")

    assert await stored(files, key="key") == first

    assert on_disk(files) == 1


@pytest.mark.parametrize("other", [{"content": b"other"}, {"name": "other"}])
async def test_the_same_key_with_another_file_is_a_conflict(files: FileService, other: dict):
    await stored(files, key="key")

    assert (await refused(stored(files, key="key", **other))).code == "CONFLICT"
    assert on_disk(files) == 1


async def test_projects_do_not_share_keys(files: FileService):
    first = await stored(files, key="key")

    assert (await stored(files, key="key", project=OTHER_PROJECT)).id != first.id


# Results of tasks


async def test_a_result_is_kept_as_a_file(files: FileService):
    file_id = await files.keep(PROJECT, "image-1.png", b"png", "image/png")

    file = await files.get(PROJECT, file_id)
    assert (file.filename, file.content_type, file.size) == ("image-1.png", "image/png", 3)


async def test_a_file_is_given_to_a_model_as_a_data_uri(files: FileService):
    file = await stored(files, b"\x00\xff")

    assert await files.data_uri(PROJECT, file.id) == "data:application/octet-stream;base64,AP8="


# Links


def parts_of(link: str) -> tuple[str, str, str]:
    """File id, expiry and signature."""
    url = urlsplit(link)
    query = parse_qs(url.query)
    return url.path.split("/")[-2], query["expires"][0], query["signature"][0]


async def test_a_link_opens_its_file_until_it_expires(files: FileService):
    file = await stored(files)
    with freeze_time("2026-01-01 12:00:00") as clock:
        link = files.link(file.id, HERE)
        assert await files.get_by_link(*parts_of(link)) == file
        clock.tick(60)
        assert await files.get_by_link(*parts_of(link)) == file
        clock.tick(1)

        problem = await refused(files.get_by_link(*parts_of(link)))

    assert problem.code == "FORBIDDEN"
    assert "expired" in problem.detail


async def test_a_link_opens_no_other_file(files: FileService):
    one, other = await stored(files), await stored(files)
    _, expires, signature = parts_of(files.link(one.id, HERE))

    assert (await refused(files.get_by_link(other.id, expires, signature))).code == "FORBIDDEN"


@pytest.mark.parametrize(
    "expires", ["", "soon", "-1", "1e9", "9" * 30, "²", " 99999999999", "99999999999", "+99999999999"]
)
async def test_a_link_cannot_be_prolonged(files: FileService, expires: str):
    file_id, _, signature = parts_of(files.link((await stored(files)).id, HERE))

    assert (await refused(files.get_by_link(file_id, expires, signature))).code == "FORBIDDEN"


@pytest.mark.parametrize("forged", ["", "0" * 64, "é", "x" * 100_000])
async def test_a_forged_signature_is_refused(files: FileService, forged: str):
    file_id, expires, _ = parts_of(files.link((await stored(files)).id, HERE))

    assert (await refused(files.get_by_link(file_id, expires, forged))).code == "FORBIDDEN"


async def test_a_link_of_another_platform_is_refused(files: FileService):
    link = replace(files, secret=b"t" * 32).link((await stored(files)).id, HERE)

    assert (await refused(files.get_by_link(*parts_of(link)))).code == "FORBIDDEN"


async def test_a_link_to_a_deleted_file_finds_nothing(files: FileService):
    file = await stored(files)
    link = files.link(file.id, HERE)
    await files.delete(PROJECT, file.id)

    assert (await refused(files.get_by_link(*parts_of(link)))).code == "NOT_FOUND"


@pytest.mark.parametrize("base", [HERE, f"{HERE}/"])
async def test_a_link_leads_to_where_the_request_came_in(files: FileService, base: str):
    assert files.link("file_1", base).startswith(f"{HERE}/api/v1/files/file_1/content?expires=")


async def test_a_link_leads_to_the_public_address_where_there_is_one(files: FileService):
    public = replace(files, public_url="https://ai.example.com/nexus/")

    assert public.link("file_1", HERE).startswith("https://ai.example.com/nexus/api/v1/files/file_1/")


async def test_a_key_is_free_again_after_a_day(files: FileService):
    with freeze_time("2026-01-01 00:00:00"):
        first = await stored(files, key="k")
    with freeze_time("2026-01-02 00:00:01"):
        second = await stored(files, b"other", key="k")
        assert (await stored(files, b"other", key="k")).id == second.id
    assert (await files.get(PROJECT, first.id)).idempotency_key is None


async def test_a_key_is_free_again_once_its_file_has_expired(files: FileService):
    async def lent() -> StoredFile:
        said = Said("user_data", 3600)
        return await files.upload(PROJECT, "a.txt", "text/plain", whole(b"hi"), "k", lambda: said)

    with freeze_time("2026-01-01 00:00:00") as clock:
        first = await lent()
        assert (await lent()).id == first.id
        clock.tick(3600)
        second = await lent()
        assert (await files.get(PROJECT, second.id)).id == second.id != first.id
