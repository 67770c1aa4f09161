from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from nexusai.server.db.engine import Database, migrate
from nexusai.server.http import Endpoint, JsonResponse, RequestContext
from nexusai.server.keys.guard import Guard
from nexusai.server.keys.limits import Lanes, MemoryLedger
from nexusai.server.keys.service import DEFAULT_PROJECT, KeyService
from nexusai.server.keys.store import KeyStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(tmp_path / "nexus.db")
    return tmp_path / "nexus.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(path)
    yield database
    database.close()


@pytest.fixture
def keys(database: Database) -> KeyService:
    return key_service(database)


def key_service(database: Database, secret: bytes = b"s" * 32) -> KeyService:
    return KeyService(KeyStore(database), Guard(MemoryLedger(), Lanes()), secret)


async def ask(keys: KeyService, *headers: bytes) -> httpx.Response:
    """The answer of a route that tells the key's project."""

    async def route(request: Request) -> Response:
        return JsonResponse(await keys.project(request))

    transport = httpx.ASGITransport(RequestContext(Endpoint(route)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get("/", headers=[(b"Authorization", header) for header in headers])


async def test_a_made_key_opens_its_project(keys: KeyService):
    key = await keys.create("first")

    assert key.startswith("nxs_")
    assert len(key) > 40
    assert (await ask(keys, b"Bearer " + key.encode())).json() == DEFAULT_PROJECT


@pytest.mark.parametrize("scheme", [b"bearer ", b"BEARER ", b"Bearer   "])
async def test_the_scheme_may_be_spelt_otherwise(keys: KeyService, scheme: bytes):
    key = await keys.create("first")

    assert (await ask(keys, scheme + key.encode())).status_code == 200


async def test_no_two_made_keys_are_the_same(keys: KeyService):
    assert await keys.create("one") != await keys.create("two")


async def test_a_chosen_key_may_be_chosen_again(keys: KeyService, path: Path):
    chosen = "nxs_" + "c" * 30

    for _ in range(2):
        assert await keys.create("bootstrap", chosen) == chosen

    assert await keys.is_known(chosen)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM keys").fetchone() == (1,)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [b"Bearer nxs_unknown"],
        [b"Bearer \xff\xfe"],
        [b"Bearer " + b"x" * 60_000],
        [b"Basic bnhzXw=="],
        [b"nxs_unknown"],
        [b"Bearer, nxs_unknown"],
    ],
    ids=str,
)
async def test_anything_else_is_a_401_that_says_what_to_send(keys: KeyService, headers: list[bytes]):
    await keys.create("first")

    answer = await ask(keys, *headers)

    assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_refused_key_is_not_repeated(keys: KeyService):
    answer = await ask(keys, b"Bearer nxs_mistyped_secret")

    assert "mistyped" not in answer.text


async def test_a_key_is_known_after_a_new_start(keys: KeyService, database: Database):
    key = await keys.create("first")
    again = key_service(database)

    assert await again.is_known(key)
    assert not await again.is_known(key + "x")


async def test_the_table_alone_opens_nothing(keys: KeyService, database: Database, path: Path):
    key = await keys.create("first")

    assert not await key_service(database, b"t" * 32).is_known(key)
    for file in path.parent.iterdir():
        assert key[8:].encode() not in file.read_bytes()


async def test_the_hint_shows_little(keys: KeyService, path: Path):
    key = await keys.create("first")

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT hint FROM keys").fetchone() == (f"{key[:8]}…",)
