"""What the platform writes down of calls to models, and what it adds up."""

from __future__ import annotations

import asyncio
import csv
import io
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nexusai.providers.errors import AdapterError
from nexusai.providers.pricing import default_prices
from nexusai.providers.setup import load_setup
from nexusai.providers.types import ChatRequest, EmbeddingRequest, TranscriptionRequest
from nexusai.server.catalogue import Catalogue
from nexusai.server.clock import now_ms
from nexusai.server.db.engine import Database, migrate
from nexusai.server.db.group_commit import GroupCommit
from nexusai.server.http import Problem
from nexusai.server.keys.caller import Caller, current_caller, current_task
from nexusai.server.keys.guard import Guard
from nexusai.server.keys.limits import Lanes, MemoryLedger
from nexusai.server.keys.models import Budget, Key, Limits, Project, RateLimits
from nexusai.server.providers.opening import Providers
from nexusai.server.usage.metered import Meter
from nexusai.server.usage.models import CallRow, Rates, Span
from nexusai.server.usage.recorder import Recorder
from nexusai.server.usage.service import UsageService
from nexusai.server.usage.store import UsageStore
from tests.fixtures.openai_upstream import Upstream, running_upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


LONG = "x " * 5000


class Metered:
    """Providers behind a meter, whose calls are written to a database."""

    def __init__(self, path: Path, upstream: Upstream) -> None:
        migrate(path)
        self.path = path
        self.database = Database(path)
        self.commits = GroupCommit(path)
        self.commits.start()
        store, rates = UsageStore(self.database, self.commits), Rates({"CNY": 0.5})
        self.guard = Guard(MemoryLedger(), Lanes())
        self.recorder = Recorder(store.add, rates, self.guard)
        self.usage = UsageService(store, self.recorder)
        environ = {"OPENAI_API_KEY": upstream.api_key, "OPENAI_BASE_URL": upstream.base_url}
        meter = Meter(self.guard, default_prices(), rates)
        self.catalogue: Catalogue = Providers(load_setup(None, environ), meter, self.recorder.heard).catalogue

    def provider(self, name: str) -> Any:
        return self.catalogue.get(name)

    async def total(self, group: str | None = None, **span: Any) -> list[Any]:
        return (await self.usage.page(Span(**span), group, 0, 1000))[0]

    async def rows(self) -> list[dict[str, Any]]:
        await self.recorder.flush()
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM calls ORDER BY number")]


@pytest.fixture
async def metered(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Metered]:
    metered = Metered(tmp_path / "nexus.db", upstream)
    yield metered
    await metered.catalogue.aclose()
    await metered.commits.stop()
    metered.database.close()


def caller(key: str = "key_1", project: str = "proj_1", limits: Limits | None = None) -> Caller:
    most = (limits or Limits()).dump()
    return Caller(Project(project, project, "{}", 0), Key(key, project, key, b"", "", 0, limits_json=most))


def chat(prompt: str = "one two three", model: str = "gpt-4o-mini", **fields: Any) -> ChatRequest:
    return ChatRequest(model, [{"role": "user", "content": prompt}], **fields)


async def test_the_sums_are_those_of_10_000_mixed_answers(metered: Metered):
    """Whole answers, streams, streams cut off half-way and failures, of two keys and two providers."""
    chance = random.Random(7)
    told: dict[str, list[float]] = {"key_1": [0, 0, 0.0, 0, 0], "key_2": [0, 0, 0.0, 0, 0]}
    gate = asyncio.Semaphore(64)

    def add(key: str, usage: Any, cost: Any) -> None:
        told[key][0] += usage.prompt_tokens
        told[key][1] += usage.completion_tokens
        told[key][2] += cost.amount if cost else 0.0

    async def one(number: int) -> None:
        async with gate:
            key = f"key_{number % 2 + 1}"
            current_caller.set(caller(key))
            remote = number % 5 == 0
            provider = metered.provider("openai" if remote else "local")
            model = "gpt-4o-mini" if remote else "simulate"
            extra = {} if remote else {"tokens": chance.randrange(1, 40), "seed": number}
            words = " ".join("word" for _ in range(chance.randrange(1, 30)))
            request = chat(words, model, extra=extra)
            kind = chance.choice(("chat", "chat", "stream", "cut", "failed"))
            if kind == "chat":
                answer = await provider.chat(request)
                add(key, answer.usage, answer.cost)
            elif kind == "stream":
                async for chunk in provider.stream(request):
                    if chunk.usage is not None:
                        add(key, chunk.usage, chunk.cost)
            elif kind == "cut":
                chunks = provider.stream(request)
                await anext(chunks)
                await chunks.aclose()
                told[key][3] += 1
            else:
                broken = chat(
                    "x [[status=400]]", model, extra={} if remote else {"error_code": "INVALID_REQUEST"}
                )
                with pytest.raises(AdapterError):
                    await provider.chat(broken)
                told[key][4] += 1

    for start in range(0, 10_000, 1000):
        await asyncio.gather(*(one(number) for number in range(start, start + 1000)))

    rows = await metered.rows()
    assert len(rows) == 10_000
    cut = [row for row in rows if row["status"] == "cut"]
    assert all(row["completion_tokens"] > 0 and row["usage_source"] == "estimate" for row in cut)
    by_key = {found.group: found for found in await metered.total("key")}
    for key, (prompt, completion, cost, cuts, failures) in told.items():
        own = [row for row in cut if row["key_id"] == key]
        assert len(own) == cuts
        assert by_key[key].requests == 5000
        assert by_key[key].failed == failures
        assert by_key[key].prompt_tokens == prompt + sum(row["prompt_tokens"] for row in own)
        assert by_key[key].completion_tokens == completion + sum(row["completion_tokens"] for row in own)
        assert by_key[key].dollars == pytest.approx(cost + sum(row["cost"] or 0 for row in own))
    for group in ("key", "model", "provider", "project", "day"):
        assert sum(found.requests for found in await metered.total(group)) == 10_000
    assert sum(found.dollars for found in await metered.total("provider")) > 0


async def test_a_stream_that_is_cut_is_billed_for_what_was_produced(metered: Metered):
    current_caller.set(caller())
    chunks = metered.provider("openai").stream(chat(" ".join(["word"] * 400) + " [[delay=0.002]]"))
    got = "".join([(await anext(chunks)).delta for _ in range(20)])
    await chunks.aclose()

    [row] = await metered.rows()
    assert row["status"] == "cut"
    assert len(got.split()) <= row["completion_tokens"] <= 100  # not the 400 of the whole
    assert row["prompt_tokens"] >= 400
    assert row["cost"] > 0
    assert row["estimated"] == 1
    assert row["first_chunk"] <= row["seconds"]


async def test_a_row_says_who_asked_and_what_became_of_it(metered: Metered):
    current_caller.set(caller())
    current_task.set("task_7")
    await metered.provider("openai").chat(chat("hello [[status=503 times=1]]"))
    with pytest.raises(AdapterError):
        await metered.provider("openai").chat(chat("[[status=400]]"))

    well, badly = await metered.rows()
    named = ("project", "key_id", "task_id", "operation", "provider", "model", "status", "attempts")
    assert [well[name] for name in named] == [
        *("proj_1", "key_1", "task_7", "chat", "openai", "gpt-4o-mini", "completed", 2)
    ]
    assert (well["usage_source"], well["currency"]) == ("provider", "USD")
    assert (badly["status"], badly["cost"]) == ("failed", None)
    assert badly["error_code"]


async def test_what_nobody_asked_for_is_in_no_row(metered: Metered):
    await metered.provider("local").chat(chat(model="simulate"))
    assert await metered.rows() == []


async def test_a_budget_is_taken_before_a_call_and_settled_after_it(metered: Metered):
    price = 0.15e-6 * 3 + 0.60e-6 * 3  # of three words in and out, about
    current_caller.set(caller(limits=Limits(budget=Budget(per_day=0.0007))))
    provider, answered = metered.provider("openai"), 0
    for _ in range(3):
        await provider.chat(chat())  # each takes 1,000 tokens of answer, 0.0006 dollars, and gives them back
        answered += 1
    with pytest.raises(Problem, match=r"0\.0007 US dollars a day") as refused:
        await provider.chat(chat(max_tokens=2000))
    assert refused.value.code == "RATE_LIMIT_EXCEEDED"
    spent = await metered.guard.ledger.used("key_1", "day", now_ms())
    assert 0 < spent < answered * price * 10
    assert spent == pytest.approx((await metered.total())[0].dollars)


async def test_64_calls_at_once_stay_within_the_budget(metered: Metered):
    current_caller.set(caller(limits=Limits(budget=Budget(per_day=0.003))))

    async def call() -> bool:
        try:
            await metered.provider("openai").chat(chat("one two [[delay=0.3]]", max_tokens=500))
        except Problem:
            return False
        return True

    let_through = sum(await asyncio.gather(*(call() for _ in range(64))))

    assert let_through == 9  # of 0.0003 dollars and a little each, as long as none is settled
    assert (await metered.total())[0].requests == 9


async def test_a_stream_that_is_cut_settles_its_reservation(metered: Metered):
    current_caller.set(caller(limits=Limits(RateLimits(tokens_per_minute=5000))))
    for _ in range(8):
        chunks = metered.provider("local").stream(chat(model="simulate", max_tokens=4000))
        await anext(chunks)
        await chunks.aclose()
    assert 0 < await metered.guard.ledger.used("key_1", "tokens", now_ms()) < 1000


async def test_a_model_without_a_price_is_nothing_for_a_budget(metered: Metered):
    current_caller.set(caller(limits=Limits(budget=Budget(per_day=1))))
    with pytest.raises(Problem, match="price of openai/echo") as refused:
        await metered.provider("openai").chat(chat(model="echo"))
    assert refused.value.code == "FORBIDDEN"
    await metered.provider("local").chat(chat(model="simulate"))  # takes no money
    current_caller.set(caller())
    await metered.provider("openai").chat(chat(model="echo"))
    assert (await metered.total("model"))[-1].unpriced == 1


async def test_what_costs_nothing_is_never_refused_for_money(metered: Metered):
    limits = Limits(budget=Budget(per_day=0.00001))
    current_caller.set(caller(limits=limits))
    metered.guard.ledger.settle([("key_1", "day", 5.0)], now_ms())  # far over it
    await metered.provider("local").chat(chat(model="simulate"))
    with pytest.raises(Problem, match="US dollars a day"):
        await metered.provider("openai").chat(chat(max_tokens=1))


async def test_what_cannot_be_told_before_is_for_who_has_some_left(metered: Metered):
    current_caller.set(caller(limits=Limits(budget=Budget(per_day=0))))
    with pytest.raises(Problem, match="0 US dollars a day"):
        await metered.provider("openai").transcribe(TranscriptionRequest("whisper-1", b"RIFF"))


async def test_a_budget_that_is_set_later_begins_with_what_was_spent(metered: Metered):
    current_caller.set(caller())
    await metered.provider("openai").chat(chat("word " * 2000))
    spent = (await metered.total())[0].dollars
    current_caller.set(caller(limits=Limits(budget=Budget(per_month=spent))))
    with pytest.raises(Problem, match="US dollars a month"):
        await metered.provider("openai").chat(chat(max_tokens=1))


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 100, "extra": {"n": 50}},
        {"max_tokens": 1, "extra": {"max_completion_tokens": 5000}},
        {
            "max_tokens": 1,
            "tools": [{"type": "function", "function": {"name": "f", "description": "x " * 5000}}],
        },
        {"max_tokens": 10**400},
    ],
    ids=["n", "another name", "tools", "endless"],
)
async def test_everything_that_makes_a_call_large_is_taken(metered: Metered, fields: dict[str, Any]):
    current_caller.set(caller(limits=Limits(RateLimits(tokens_per_minute=4000), Budget(per_day=1))))
    with pytest.raises(Problem, match=r"tokens a minute|dollars"):
        await metered.provider("openai").chat(chat(**fields))


async def test_a_whole_answer_that_nobody_waits_for_is_counted_as_taken(metered: Metered):
    current_caller.set(caller(limits=Limits(RateLimits(tokens_per_minute=5000))))
    call = asyncio.ensure_future(metered.provider("openai").chat(chat("hi [[hang]]", max_tokens=2000)))
    await asyncio.sleep(0.3)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert await metered.guard.ledger.used("key_1", "tokens", now_ms()) >= 2000


async def test_a_key_with_limits_does_not_leave_the_choice_of_model_to_a_vendor(metered: Metered):
    current_caller.set(caller(limits=Limits(budget=Budget(per_day=1))))
    with pytest.raises(Problem, match="models leads to other models"):
        await metered.provider("openai").chat(chat(extra={"models": ["openai/gpt-6-astra"]}))


async def test_embeddings_are_taken_and_counted_too(metered: Metered):
    current_caller.set(caller(limits=Limits(RateLimits(tokens_per_minute=3))))
    with pytest.raises(Problem, match="tokens a minute"):
        await metered.provider("local").embed(EmbeddingRequest("embedding", ["one two three four five"]))


def test_money_of_another_currency_is_worth_its_rate():
    from nexusai.providers.types import Cost

    rates = Rates({"CNY": 0.14})
    assert rates.dollars(Cost(2.0, "CNY")) == pytest.approx(0.28)
    assert rates.dollars(Cost(2.0, "EUR")) is None
    assert rates.dollars(None) is None


# The recorder


def row(number: int = 0) -> CallRow:
    return CallRow(number, "p", None, "req", None, "chat", "local", "simulate", "completed")


async def test_rows_wait_for_a_database_that_is_down_and_none_is_written_twice():
    written: list[CallRow] = []
    down = True

    async def write(rows: Sequence[CallRow]) -> None:
        if down:
            raise sqlite3.OperationalError("disk I/O error")
        written.extend(rows)

    recorder = Recorder(write, Rates({}), Guard(MemoryLedger(), Lanes()))
    await recorder.start()
    for number in range(50):
        recorder.add(row(number))
    await asyncio.sleep(0.6)
    down = False
    recorder.add(row(50))
    await recorder.stop()

    assert [each.at for each in written] == list(range(51))
    assert recorder.dropped == 0


async def test_the_queue_is_bounded_and_what_is_dropped_is_counted():
    async def write(rows: Sequence[CallRow]) -> None:
        raise sqlite3.OperationalError("locked")

    recorder = Recorder(write, Rates({}), Guard(MemoryLedger(), Lanes()), most=100)
    for number in range(250):
        recorder.add(row(number))
    with pytest.raises(sqlite3.OperationalError):
        await recorder.flush()

    assert recorder.dropped == 150
    with pytest.raises(sqlite3.OperationalError):
        await recorder.flush()
    await recorder.stop()  # says how many, and does not raise


# Over the API


def report(client: Any, **wanted: Any) -> dict[str, Any]:
    answer = client.get("/usage", params=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_usage_over_the_api_is_the_sum_of_the_tasks(client: Any, platform: Any):
    project = client.post("/projects", json={"name": "billed"}).json()["project_id"]
    made = {"name": "k", "project": project, "scopes": ["invoke", "admin"]}
    keys = [client.post("/keys", json=made).json() for _ in range(2)]
    wanted: dict[str, list[int]] = {key["key_id"]: [0, 0] for key in keys}
    for key in keys:
        with platform.client(key["api_key"]) as other:
            for tokens in (3, 5, 8):
                body = {
                    "task_type": "text_generation",
                    "model": "local/simulate",
                    "input": {"prompt": "hi"},
                    "config": {"tokens": tokens},
                }
                used = other.post("/invoke", json=body).json()["usage"]
                wanted[key["key_id"]][0] += used["prompt_tokens"]
                wanted[key["key_id"]][1] += used["completion_tokens"]
    with platform.client(keys[0]["api_key"]) as other:
        found = report(other, group_by="key")
        assert found["group_by"] == "key"
        shown = {line["key"]: [line["prompt_tokens"], line["completion_tokens"]] for line in found["data"]}
        assert shown == wanted
        [whole] = report(other)["data"]
        assert whole["requests"] == 6
        assert whole["total_tokens"] == sum(map(sum, wanted.values()))
        assert whole["cost"] == {"amount": 0.0, "currency": "USD", "estimated": False}
        [day] = report(other, group_by="day")["data"]
        assert len(day["day"]) == 10
        assert report(other, group_by="model")["data"][0]["model"] == "local/simulate"
        assert report(other, group_by="model", to="2020-01-01")["data"] == []
        assert report(other, key=keys[1]["key_id"])["data"][0]["requests"] == 3
        assert report(other, **{"from": "2099-01-01T00:00:00Z"})["data"][0]["requests"] == 0
        first = report(other, group_by="key", limit=1)
        assert (len(first["data"]), first["has_more"]) == (1, True)
        second = report(other, group_by="key", limit=1, cursor=first["next_cursor"])
        assert {first["data"][0]["key"], second["data"][0]["key"]} == wanted.keys()
        assert second["next_cursor"] is None
        table = other.get("/usage", params={"group_by": "key"}, headers={"Accept": "text/csv"})
        assert table.headers["content-type"].startswith("text/csv")
        lines = list(csv.DictReader(io.StringIO(table.text)))
        assert {line["key"]: int(line["prompt_tokens"]) for line in lines} == {
            key: used[0] for key, used in wanted.items()
        }
    everything = report(client, group_by="project")["data"]
    assert project in [line["project"] for line in everything]
    assert report(client, project=project)["data"][0]["requests"] == 6


@pytest.mark.parametrize(
    "wanted",
    [{"group_by": "colour"}, {"from": "yesterday"}, {"limit": 0}, {"cursor": "x"}, {"format": "xml"}],
)
def test_a_wrong_parameter_is_named(client: Any, wanted: dict[str, str]):
    answer = client.get("/usage", params=wanted)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["loc"] == list(wanted)
