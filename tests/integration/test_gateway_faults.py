"""The platform in front of a vendor that does everything wrong: says so, in time, and keeps nothing of it.

Every fault is met by all ways of calling at once: each route, whole and streamed, passed through and
translated.
"""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import httpx
import pytest
import trustme

from nexusai.error import CODES
from tests.fixtures import wire
from tests.fixtures.hostile_vendor import ANSWERS, REFUSALS, script
from tests.fixtures.served import Served, served
from tests.fixtures.wire import WireServer, serving

SILENCE, TOTAL = 0.5, 0.9
"""Seconds that the platform listens to nothing, and to anything."""
SAID: list[Any] = [{"role": "user", "content": "is all well?"}]
COMPATIBLE, ANTHROPIC = "openai_compatible", "anthropic"


class Way(NamedTuple):
    """One way of calling: a route, and the vendor behind it."""

    path: str
    vendor: str
    stream: bool = False

    def body(self, fault: str) -> dict[str, Any]:
        model = f"{self.vendor}/{fault}.{abs(hash(self))}"  # a breaker of its own
        if self.path == "/v1/embeddings":
            return {"model": model, "input": "is all well?"}
        if self.path == "/api/v1/invoke":
            asked = {"task_type": "text_generation", "input": {"messages": SAID}, "model": model}
            return {**asked, "stream": self.stream}
        return {"model": model, "messages": SAID, "stream": self.stream, "max_tokens": 50}


WAYS = [
    *(
        Way(path, vendor, stream)
        for path in ("/v1/chat/completions", "/v1/messages", "/api/v1/invoke")
        for vendor in (COMPATIBLE, ANTHROPIC)
        for stream in (False, True)
    ),
    Way("/v1/embeddings", COMPATIBLE),
]


class Outcome(NamedTuple):
    """What a caller got: a status, of an error inside a stream too, and whether some text came first."""

    status: int
    began: bool
    text: str


@pytest.fixture(scope="module")
def vendor() -> Iterator[WireServer]:
    with serving(script) as server:
        yield server


@pytest.fixture(scope="module")
def stranger() -> Iterator[WireServer]:
    """A vendor with a certificate that nobody signed whom we know."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with serving(script, tls=context) as server:
        yield server


@pytest.fixture(scope="module")
def plain() -> Iterator[WireServer]:
    """A vendor that knows nothing of TLS."""
    with serving((wire.answer(status="400 Bad Request"), wire.CLOSE)) as server:
        yield server


@pytest.fixture(scope="module")
def platform(
    vendor: WireServer, plain: WireServer, stranger: WireServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    providers = {
        COMPATIBLE: (COMPATIBLE, vendor.origin),
        ANTHROPIC: (ANTHROPIC, vendor.origin),
        "refused": (COMPATIBLE, "http://127.0.0.1:1"),
        "plain": (COMPATIBLE, plain.origin.replace("http:", "https:")),
        "stranger": (COMPATIBLE, stranger.origin),
    }
    hurried = {"timeout": SILENCE, "total": TOTAL, "max_retries": 0, "api_key": "sk-hostile"}
    written = {
        name: {"provider": api, "base_url": origin, **hurried} for name, (api, origin) in providers.items()
    }
    folder = tmp_path_factory.mktemp("platform")
    (folder / "nexus.yaml").write_text(json.dumps({"providers": written}))  # YAML too
    with served(folder, config=folder / "nexus.yaml", shutdown_grace=0) as platform:
        yield platform


@pytest.fixture
async def http(platform: Served) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {platform.key}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=20) as http:
        yield http


@pytest.fixture(autouse=True)
async def nothing_is_left(
    platform: Served, vendor: WireServer, http: httpx.AsyncClient
) -> AsyncIterator[None]:
    """Neither a task, nor a connection to the vendor that is in use, nor a call that counts as running."""
    await called(http, "good")
    tasks = running(platform)
    yield
    deadline = time.monotonic() + 10
    while any(left := (vendor.busy, running(platform) - tasks, platform.platform.guard.lanes._running)):
        assert time.monotonic() < deadline, f"connections, tasks, calls: {left}"
        await asyncio.sleep(0.02)


def running(platform: Served) -> Counter[str]:
    async def count() -> Counter[str]:
        return Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks())  # type: ignore[union-attr]

    found = platform.run(count)
    del found["Event.wait"]  # that of the webhooks, which may be awake at this moment
    return found


async def called(http: httpx.AsyncClient, fault: str) -> dict[Way, Outcome]:
    outcomes = await asyncio.gather(*(_called(http, way, fault) for way in WAYS))
    return dict(zip(WAYS, outcomes, strict=True))


async def _called(http: httpx.AsyncClient, way: Way, fault: str) -> Outcome:
    answer = await http.post(way.path, json=way.body(fault))
    if answer.headers["content-type"].startswith("text/event-stream"):
        return _streamed(answer)
    body = answer.json()
    if answer.status_code == 200:
        return Outcome(200, True, answer.text)
    assert answer.headers["x-request-id"].startswith("req_")
    return Outcome(_status_of(answer, body), False, answer.text)


def _status_of(answer: httpx.Response, body: dict[str, Any]) -> int:
    """The status of an error, which has the form of the API that was called."""
    if answer.url.path == "/api/v1/invoke":
        assert answer.headers["content-type"] == "application/problem+json"
        assert body["detail"]
        return int(body["status"])
    error = body["error"]
    assert error["message"]
    assert error["type"]
    if answer.url.path == "/v1/messages":
        assert (body["type"], body["request_id"]) == ("error", answer.headers["request-id"])
    else:
        assert error["code"]
    if answer.status_code in (408, 429) or answer.status_code >= 500:
        assert answer.headers["x-should-retry"] == "false"
    return answer.status_code


def _streamed(answer: httpx.Response) -> Outcome:
    """How a stream ended: well, and then with the end that its API has, or with an error and no such end."""
    assert answer.status_code == 200
    lines = [line for line in answer.content.decode("utf-8").splitlines() if line.startswith("data: ")]
    assert lines, "an empty 200"
    ended = lines[-1] == "data: [DONE]" or '"message_stop"' in lines[-1]
    told = [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]
    text = answer.text
    if ended:
        assert not any("error" in each for each in told)
        return Outcome(200, True, text)
    error = told[-1]["error"]
    assert error["message"]
    assert '"message_stop"' not in text
    assert "data: [DONE]" not in lines
    code = str(error.get("code") or error["type"]).upper()
    statuses = {"TIMEOUT_ERROR": 408, "RATE_LIMIT_ERROR": 429, "API_ERROR": 502, "OVERLOADED_ERROR": 529}
    began = any(word in text for word in ("all ", "and so on"))
    return Outcome(CODES[code].status if code in CODES else statuses[code], began, text)


async def test_a_good_answer_arrives_by_every_way(http: httpx.AsyncClient) -> None:
    outcomes = await called(http, "good")

    assert {outcome.status for outcome in outcomes.values()} == {200}
    assert all("well" in found.text for way, found in outcomes.items() if way.path != "/v1/embeddings")


@pytest.mark.parametrize("fault", REFUSALS)
async def test_no_answer_is_an_error_of_the_right_status(http: httpx.AsyncClient, fault: str) -> None:
    outcomes = await called(http, fault)

    assert {way: found for way, found in outcomes.items() if found.status not in REFUSALS[fault][1]} == {}
    assert not any("sk-hostile" in found.text for found in outcomes.values())


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("stalls", 408),
        ("breaks", 502),
        ("closes", 502),
        ("never-ends", 408),
        ("fails-inside", 502),
        ("lies", 502),
    ],
)
async def test_half_an_answer_is_never_a_whole_one(http: httpx.AsyncClient, fault: str, status: int) -> None:
    assert fault in ANSWERS
    outcomes = await called(http, fault)

    assert {way: found for way, found in outcomes.items() if found.status not in (status, 529)} == {}
    streams = [found for way, found in outcomes.items() if way.stream]
    assert all(found.began for found in streams) or fault == "lies"


@pytest.mark.parametrize(
    ("vendor_name", "reason"),
    [("refused", "could not connect"), ("plain", "could not connect"), ("stranger", "certificate")],
)
async def test_a_vendor_that_cannot_be_reached_is_a_502(
    http: httpx.AsyncClient, vendor_name: str, reason: str
) -> None:
    ways = [way._replace(vendor=vendor_name) for way in WAYS if way.vendor == COMPATIBLE]
    outcomes = await asyncio.gather(*(_called(http, way, "good") for way in ways))

    assert {outcome.status for outcome in outcomes} == {502}
    assert all(reason in outcome.text for outcome in outcomes)


@pytest.mark.parametrize("fault", [fault for fault in REFUSALS if fault not in ("silence", "drip")])
async def test_what_was_taken_for_a_call_that_failed_is_given_back(
    platform: Served, http: httpx.AsyncClient, fault: str
) -> None:
    """A minute has room for one call by each of these ways at a time."""
    made = await http.post("/api/v1/keys", json={"name": "few", "rate_limits": {"tokens_per_minute": 450}})
    few = {"Authorization": f"Bearer {made.json()['api_key']}"}
    ways = [way for way in WAYS if "/v1/invoke" not in way.path and way.vendor == COMPATIBLE]
    for _ in range(3):
        answers = await asyncio.gather(
            *(http.post(way.path, json=way.body(f"{fault}.few"), headers=few) for way in ways)
        )
        assert not any("450 tokens a minute" in answer.text for answer in answers)
    assert (await http.post(ways[0].path, json=ways[0].body("good"), headers=few)).status_code == 200


async def test_what_is_no_utf8_is_replaced_or_refused_but_never_passed_on(http: httpx.AsyncClient) -> None:
    outcomes = await called(http, "no-utf8")  # which decodes them

    assert {found.status for found in outcomes.values()} <= {200, 502}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"retry_after": "7"}, "7"),
        ({"retry_after": "0"}, "1"),
        (
            {"retry_after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"},
            "30",
        ),
        (
            {"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "Wed, 21 Oct 2015 07:28:30 GMT"},
            "1",
        ),
        ({"retry_after": "999999999"}, "999999999"),
        ({"retry_after": "9" * 400}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "1e400"}, None),
        ({"retry_after": "soon"}, None),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_how_long_to_wait_is_handed_on_where_it_makes_sense(
    http: httpx.AsyncClient, vendor: WireServer, asked: dict[str, str], told: str | None
) -> None:
    vendor.answers[:] = [wire.answer(b"{}", status="429 Too Many Requests", **asked)]
    try:
        refused = await http.post("/v1/chat/completions", json=WAYS[0].body("429"))
    finally:
        vendor.answers[:] = [script]

    assert refused.status_code == 429
    assert refused.headers.get("retry-after") == told
    assert refused.headers["x-should-retry"] == "false"


async def test_a_vendor_that_fails_in_a_row_is_left_alone_and_asked_again_later(
    http: httpx.AsyncClient, vendor: WireServer, platform: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = WAYS[0]
    well, ill = {**way.body("good"), "model": f"{COMPATIBLE}/good.burst"}, REFUSALS["500"][0]
    vendor.answers[:] = [ill]
    statuses = [(await http.post(way.path, json=well)).status_code for _ in range(5)]
    asked = len(vendor.requests)
    vendor.answers[:] = [script]
    refused = await http.post(way.path, json=well)

    assert statuses == [502] * 5
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "service_unavailable")
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert len(vendor.requests) == asked
    assert (
        await http.post(way.path, json=way.body("good"))
    ).status_code == 200  # another model is not to blame

    calls: Any = platform.platform.catalogue.get(COMPATIBLE)._provider._calls  # type: ignore[union-attr]
    monkeypatch.setattr(calls, "clock", lambda: time.monotonic() + 31)
    assert (await http.post(way.path, json=well)).status_code == 200


@pytest.mark.parametrize("fault", ["500", "reset", "silence", "truncated", "breaks", "fails-inside"])
async def test_what_fails_leaves_no_frame_behind_that_only_a_search_for_garbage_frees(
    http: httpx.AsyncClient, fault: str
) -> None:
    """The platform looks for garbage seldom: an error that holds its own frames would hold what they read."""
    await called(http, fault)
    gc.collect()
    gc.disable()
    try:
        await called(http, f"{fault}.again")
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kept = {
            f"{Path(found.f_code.co_filename).name}:{found.f_code.co_name}"
            for found in gc.garbage
            if isinstance(found, FrameType) and "/nexusai/" in found.f_code.co_filename
        }
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()

    assert kept == set()
