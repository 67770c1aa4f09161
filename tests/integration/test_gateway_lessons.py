"""What other gateways were reported to get wrong, each with its test.

Elsewhere: the log that grows without bound (tests/unit/server/usage, `dropped`), streams that are buffered
whole (test_gateway_floods.py), a metric for each end user (tests/unit/server/observability/test_metrics.py).
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event

from tests.fixtures.hostile_vendor import JSON, SSE, events, whole
from tests.fixtures.served import Served, served
from tests.fixtures.sounds import wav
from tests.fixtures.wire import Part, WireRequest, WireServer, answer, chunked, serving

SAID: list[Any] = [{"role": "user", "content": "is all well?"}]
PRICE = {"input": 1.0, "output": 2.0, "cached_input": 0.1, "cache_write": 1.25}
"""Dollars for a million tokens."""
CACHED = {"prompt_tokens": 1000, "completion_tokens": 500, "prompt_tokens_details": {"cached_tokens": 400}}
CACHED_AND_WRITTEN = {
    "input_tokens": 100,
    "cache_read_input_tokens": 400,
    "cache_creation_input_tokens": 500,
    "output_tokens": 500,
}


def vendor_says(request: WireRequest) -> bytes | Iterable[Part]:
    """By the name of the model: a good answer, with usage that is reported in some way."""
    asked = json.loads(request.body)
    way = asked["model"].partition(".")[0]
    if way == "refuses":
        return answer(b'{"error": {"message": "no to sk-hostile"}}', status="400 Bad Request", **JSON)
    told = whole(request)
    if way == "cached":
        told["usage"] = CACHED_AND_WRITTEN if "/messages" in request.line else CACHED
    if not asked.get("stream"):
        return answer(json.dumps(told).encode(), **JSON)
    pieces = list(events(request))
    if way == "cached":
        pieces = [_with_usage(piece, told["usage"]) for piece in pieces]
    if way == "usage-beside-choices":
        pieces = _usage_beside_choices(pieces)
    if way == "long":
        return _slowly(request)
    return chunked(*pieces).replace(b"\r\n\r\n", b"\r\ncontent-type: text/event-stream\r\n\r\n", 1)


def _with_usage(piece: bytes, usage: dict[str, Any]) -> bytes:
    name, _, data = piece.rpartition(b"data: ")
    found = {} if data.startswith(b"[") else json.loads(data)
    if found.get("usage"):
        found["usage"] = usage
    elif found.get("type") == "message_start":
        found["message"]["usage"] = {**usage, "output_tokens": 1}
    return name + b"data: " + (json.dumps(found).encode() + b"\n\n" if found else data)


def _usage_beside_choices(pieces: list[bytes]) -> list[bytes]:
    """The usage in the last chunk that has choices, and in none after it."""
    *texts, last, usage, done = pieces
    joined = {**json.loads(last[6:]), "usage": json.loads(usage[6:])["usage"]}
    return [*texts, b"data: " + json.dumps(joined).encode() + b"\n\n", done]


def _slowly(request: WireRequest) -> Iterator[Part]:
    yield answer(b"", content_length="", transfer_encoding="chunked", **SSE)
    for piece in events(request, iter(lambda: "word ", None)):
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
        yield 0.005


@pytest.fixture(scope="module")
def vendor() -> Iterator[WireServer]:
    with serving(vendor_says) as server:
        yield server


@pytest.fixture(scope="module")
def platform(vendor: WireServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("platform")
    one = {"base_url": vendor.origin, "api_key": "sk-hostile", "max_retries": 0}
    ways = ["good", "cached", "long", "usage-beside-choices", "refuses"]
    names = [f"{name}/{way}" for name in ("openai_compatible", "anthropic", "openai") for way in ways]
    written = {
        "providers": {"openai_compatible": one, "anthropic": one, "openai": one},
        "prices": dict.fromkeys(names, PRICE),
    }
    (folder / "nexus.yaml").write_text(json.dumps(written))
    with served(folder, config=folder / "nexus.yaml", shutdown_grace=0) as platform:
        yield platform


@pytest.fixture
def key(platform: Served) -> dict[str, Any]:
    """A key of the test's own."""
    with platform.client() as admin:
        made: dict[str, Any] = admin.post("/keys", json={"name": "one", "scopes": ["invoke", "admin"]}).json()
        return made


@pytest.fixture
def http(platform: Served, key: dict[str, Any]) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {key['api_key']}"}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=20) as http:
        yield http


def asked(model: str, *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": SAID, "stream": stream, "max_tokens": 500, **fields}


def used(http: httpx.Client, key: dict[str, Any]) -> dict[str, Any]:
    """What the platform wrote down of a key's calls."""
    [row] = http.get("/api/v1/usage", params={"key": key["key_id"]}).json()["data"]
    return dict(row)


def eventually(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 10
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


# Usage and money


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_usage_is_found_where_the_last_chunk_has_choices_too(
    http: httpx.Client, key: dict[str, Any], path: str
) -> None:
    answer = http.post(path, json=asked("openai_compatible/usage-beside-choices", stream=True))

    assert "well" in answer.text
    row = used(http, key)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (10, 5)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize(
    ("vendor_name", "dollars"),
    [
        ("openai_compatible", (600 * 1.0 + 400 * 0.1 + 500 * 2.0) / 1e6),
        ("anthropic", (100 * 1.0 + 400 * 0.1 + 500 * 1.25 + 500 * 2.0) / 1e6),
    ],
)
def test_what_was_read_from_the_cache_and_written_to_it_has_its_own_price(
    http: httpx.Client, key: dict[str, Any], path: str, vendor_name: str, dollars: float, stream: bool
) -> None:
    answer = http.post(path, json=asked(f"{vendor_name}/cached", stream=stream))

    row = used(http, key)
    assert (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]) == (1000, 500, 400)
    assert row["cost"]["amount"] == pytest.approx(dollars)
    if not stream:
        assert float(answer.headers["x-nexus-cost"].split()[0]) == pytest.approx(dollars)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("vendor_name", ["openai_compatible", "anthropic"])
def test_a_stream_that_is_cut_short_is_billed_for_what_came(
    http: httpx.Client, platform: Served, key: dict[str, Any], vendor: WireServer, path: str, vendor_name: str
) -> None:
    with http.stream("POST", path, json=asked(f"{vendor_name}/long", stream=True)) as answer:
        pieces, text = answer.iter_text(), ""
        while text.count("word ") < 20:
            text += next(pieces)
    eventually(lambda: vendor.busy == 0)

    row = eventually(lambda: (row := used(http, key))["requests"] and row)
    assert 15 <= row["completion_tokens"] <= 200
    assert row["prompt_tokens"] > 0
    assert row["cost"]["amount"] > 0


async def test_the_usage_is_the_sum_of_what_mixed_calls_were_told(
    platform: Served, http: httpx.Client, key: dict[str, Any]
) -> None:
    """Over the wire, as tests/unit/server/usage does with 10,000 below it."""
    chance, many, at_once = random.Random(11), 2000, asyncio.Semaphore(16)
    told = {"prompt": 0, "completion": 0, "cut": 0, "failed": 0}
    limits = httpx.Limits(max_connections=16)
    headers = {"Authorization": f"Bearer {key['api_key']}"}

    async def one(client: httpx.AsyncClient) -> None:
        path = chance.choice(["/v1/chat/completions", "/v1/messages"])
        name = chance.choice(["openai_compatible", "anthropic"])
        way = chance.choice(["good"] * 6 + ["long", "refuses"])
        body = asked(f"{name}/{way}", stream=way == "long" or chance.random() < 0.5)
        async with at_once, client.stream("POST", path, json=body) as answer:
            if way == "long":
                await anext(answer.aiter_bytes())
                told["cut"] += 1
                return
            await answer.aread()
        if way == "refuses":
            assert answer.status_code == 400
            told["failed"] += 1
            return
        assert "well" in answer.text
        told["prompt"] += 10
        told["completion"] += 5

    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=20, limits=limits) as client:
        await asyncio.gather(*(one(client) for _ in range(many)))
    row = await asyncio.to_thread(eventually, lambda: (row := used(http, key))["requests"] == many and row)
    assert row["failed"] == told["failed"]
    with closing(sqlite3.connect(platform.database)) as connection:
        query = (
            "SELECT status, count(*), sum(prompt_tokens), sum(completion_tokens) FROM calls WHERE key_id = ?"
        )
        rows = {
            status: numbers
            for status, *numbers in connection.execute(f"{query} GROUP BY status", (key["key_id"],))
        }
    assert rows["completed"][1:] == [told["prompt"], told["completion"]]
    assert rows["cut"][0] == told["cut"]
    assert row["prompt_tokens"] == sum(numbers[1] for numbers in rows.values())
    assert row["completion_tokens"] == sum(numbers[2] for numbers in rows.values())


# The database


@pytest.mark.parametrize("logging", ["off", "full"])
def test_a_database_that_is_locked_fails_no_call(
    http: httpx.Client, platform: Served, key: dict[str, Any], logging: str
) -> None:
    with platform.client() as admin:
        assert admin.patch(f"/keys/{key['key_id']}", json={"logging": logging}).status_code == 200
    http.post("/v1/chat/completions", json=asked("openai_compatible/good"))
    with closing(sqlite3.connect(platform.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for stream in (False, True) * 5:
            answer = http.post("/v1/chat/completions", json=asked("openai_compatible/good", stream=stream))
            assert answer.status_code == 200
            assert "well" in answer.text
        other.execute("ROLLBACK")

    assert eventually(lambda: used(http, key)["requests"] == 11)


def test_a_call_looks_nothing_up_in_the_database(http: httpx.Client) -> None:
    """Its key, limits and prices are known; what it wrote down is written later, with others."""
    bodies = [asked("openai_compatible/good", stream=stream) for stream in (False, True)]
    paths = ["/v1/chat/completions", "/v1/messages"]
    for path in paths:
        http.post(path, json=bodies[0])
    statements: list[str] = []

    def seen(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", seen)
    try:
        for path in paths:
            for body in bodies:
                assert http.post(path, json=body).status_code == 200
    finally:
        event.remove(Engine, "before_cursor_execute", seen)
    assert statements == []


# Secrets and addresses


def test_no_key_is_in_an_error_a_row_or_the_log(
    http: httpx.Client, platform: Served, key: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for path in ("/v1/chat/completions", "/v1/messages"):
        for vendor_name in ("openai_compatible", "anthropic"):
            for stream in (False, True):
                body = asked(f"{vendor_name}/refuses", stream=stream)
                refused = http.post(path, json=body, params={"key": "in-the-address"})
                assert refused.status_code == 400
                assert "sk-hostile" not in refused.text
    used(http, key)
    with closing(sqlite3.connect(platform.database)) as connection:
        kept = "\n".join(connection.iterdump())
    for secret in ("sk-hostile", key["api_key"]):
        assert secret not in kept
        assert not [record for record in caplog.records if secret in record.getMessage()]


ELSEWHERE = [
    "host",
    "x-forwarded-host",
    "x-base-url",
    "x-openai-base-url",
    "x-portkey-custom-host",
    "x-portkey-provider",
    "x-target-url",
    "x-upstream-url",
    "forwarded",
    "openai-organization",
]


def test_a_client_does_not_say_where_its_request_goes(http: httpx.Client, vendor: WireServer) -> None:
    with serving(vendor_says) as elsewhere:
        origin = elsewhere.origin
        for name in ELSEWHERE:
            for value in (origin, origin.removeprefix("http://"), f"{origin}/v1"):
                headers = {name: f"host={value}" if name == "forwarded" else value}
                answer = http.post(
                    "/v1/chat/completions", json=asked("openai_compatible/good"), headers=headers
                )
                assert answer.status_code == 200, (name, answer.text)
                got = vendor.requests[-1].headers
                assert got["host"] == vendor.origin.removeprefix("http://")
                assert got["authorization"] == "Bearer sk-hostile"
                assert not any(str(elsewhere.port) in told for told in got.values())
        fields = dict.fromkeys(("base_url", "api_base", "endpoint", "custom_host"), f"{origin}/v1")
        for path in ("/v1/chat/completions", "/v1/messages"):
            http.post(path, json=asked("openai_compatible/good", **fields))
        assert elsewhere.requests == []


# Budgets

FREE = {
    "/v1/messages/count_tokens": "asks nobody",
    "/v1/responses/input_tokens": "asks nobody",
    "/v1/responses/{response_id}/cancel": "asks nobody",
    "/v1/files": "keeps a file",
    "/v1/audio/translations": "is there for nobody",
    "/v1/images/variations": "is there for nobody",
}
ANY: dict[str, Any] = {
    "messages": SAID,
    "input": "hi",
    "prompt": "hi",
    "voice": "alloy",
    "max_tokens": 9,
    "model": "openai/good",
}
BODIES = {"/v1/responses": {"model": ANY["model"], "input": "hi"}}
"""Of routes that refuse what they do not know."""


def test_every_route_that_asks_a_model_heeds_a_budget_that_is_spent(
    platform: Served, vendor: WireServer
) -> None:
    """Every route of the document, those of next year included."""
    with platform.client() as admin:
        spent = admin.post("/keys", json={"name": "spent", "budget": {"per_day": 0}}).json()["api_key"]
    document = httpx.get(f"{platform.url}/openapi.json").json()
    headers, before = {"Authorization": f"Bearer {spent}"}, len(vendor.requests)
    refused = {}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=20) as http:
        for path, operations in document["paths"].items():
            if "post" not in operations or not path.startswith("/v1/") or path in FREE:
                continue
            form = "multipart/form-data" in operations["post"].get("requestBody", {}).get("content", {})
            file = {"file": ("a.wav", wav((0.2, 440)))} if "/audio/" in path else {"image": ("a.png", PNG)}
            fields = {"prompt": "hi", "model": ANY["model"]}
            body = BODIES.get(path, ANY)
            sent: dict[str, Any] = {"data": fields, "files": file} if form else {"json": body}
            refused[path] = http.post(path, **sent).status_code
    assert {path: status for path, status in refused.items() if status not in (403, 429)} == {}
    assert len(refused) >= 10
    assert len(vendor.requests) == before


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000 1f15c4890000000d49444154789c6360606060"
    "0000000500010d0a2db40000000049454e44ae426082".replace(" ", "")
)


@pytest.mark.parametrize(
    "fields",
    [
        {"budget": {"per_week": 5}},
        {"budget": {"per_day": 5, "max_budget": 5}},
        {"rate_limits": {"rpm": 5}},
        {"max_budget": 5},
        {"budgets": {"per_day": 5}},
    ],
    ids=json.dumps,
)
def test_a_limit_that_nobody_knows_is_refused_not_ignored(
    platform: Served, key: dict[str, Any], fields: dict[str, Any]
) -> None:
    with platform.client() as admin:
        answers = [
            admin.post("/keys", json={"name": "a", **fields}),
            admin.patch(f"/keys/{key['key_id']}", json=fields),
            admin.post("/projects", json={"name": "a", **fields}),
        ]
    assert [answer.status_code for answer in answers] == [400] * 3
    assert all(answer.json()["errors"] for answer in answers)
