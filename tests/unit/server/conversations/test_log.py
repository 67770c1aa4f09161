from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs
from starlette.responses import Response, StreamingResponse

from nexusai.providers.record import CallRecord
from nexusai.providers.types import Cost
from nexusai.server.conversations import log as module
from nexusai.server.conversations.log import Conversation, ConversationLog, Tapped
from nexusai.server.conversations.store import row_of
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.models import Key, Logging, Project

PROJECT = Project("proj_1", "mine", "{}", 0)


def caller(key: Logging | None, project: Logging | None = None) -> Caller:
    return Caller(
        structs.replace(PROJECT, logging=project), Key("key_1", "proj_1", "k", b"", "h", 0, logging=key)
    )


class Written:
    """Where conversations go, unless it is told to fail."""

    def __init__(self) -> None:
        self.rows: list[Conversation] = []
        self.failing = False

    async def __call__(self, rows: Sequence[Conversation]) -> None:
        if self.failing:
            raise sqlite3.OperationalError("database is locked")
        self.rows += rows


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def log(written: Written) -> ConversationLog:
    return ConversationLog(written)


def began(log: ConversationLog, body: bytes = b"{}", logging: Logging = "full") -> Conversation:
    conversation = log.begin(caller(logging), "/v1/chat/completions", body)
    assert conversation is not None
    return conversation


async def answered(answer: Response, conversation: Conversation, gone_after: int | None = None) -> None:
    async def receive() -> Any:
        await asyncio.sleep(60)

    sent = 0

    async def send(message: Any) -> None:
        nonlocal sent
        sent += 1
        if gone_after is not None and sent > gone_after:
            raise OSError

    scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
    await Tapped(answer, conversation)(scope, receive, send)


@pytest.mark.parametrize(
    ("key", "project", "logs"),
    [
        (None, None, False),
        ("off", "full", False),
        ("metadata", "off", True),
        (None, "metadata", True),
        ("full", None, True),
    ],
)
def test_a_key_says_what_is_logged_and_else_its_project(
    log: ConversationLog, key: Logging | None, project: Logging | None, logs: bool
):
    assert (log.begin(caller(key, project), "/v1/embeddings", b"{}") is not None) is logs


async def test_an_answer_is_heard_whole(log: ConversationLog):
    conversation = began(log)

    await answered(Response(b'{"a": 1}', 200, media_type="application/json"), conversation)

    row, _ = row_of(conversation)
    assert (row.answer, row.http_status, row.status) == ('{"a": 1}', 200, "completed")
    assert log.waiting == 1


async def test_a_stream_that_nobody_hears_to_its_end_is_cut(log: ConversationLog):
    async def pieces() -> Any:
        for _ in range(5):
            yield b"data: {}\n\n"

    conversation = began(log)
    with pytest.raises(BaseException):  # noqa: B017 - as the server raises it, or in a group
        await answered(
            StreamingResponse(pieces(), media_type="text/event-stream"), conversation, gone_after=2
        )

    assert conversation.row.status == "cut"


async def test_a_refusal_is_a_failure(log: ConversationLog):
    conversation = began(log)
    await answered(Response(b"{}", 404, media_type="application/json"), conversation)
    assert (conversation.row.status, conversation.row.http_status) == ("failed", 404)


async def test_of_a_sound_only_the_size_is_kept(log: ConversationLog):
    conversation = began(log)
    await answered(Response(b"ID3" * 1000, media_type="audio/mpeg"), conversation)
    row, _ = row_of(conversation)
    assert row.answer == "[audio/mpeg, 3000 bytes]"
    assert conversation.held == len(b"{}")


async def test_metadata_keep_no_bytes(log: ConversationLog):
    conversation = began(log, b'{"secret": 1}', "metadata")
    await answered(Response(b'{"answer": 1}', media_type="application/json"), conversation)
    row, words = row_of(conversation)
    assert (row.request, row.answer, words, conversation.held) == (None, None, "", 0)


async def test_a_conversation_ends_once(log: ConversationLog):
    conversation = began(log)
    conversation.end()
    conversation.end(cut=True)
    assert (log.waiting, conversation.row.status) == (1, "completed")


# Bounds


async def test_of_an_answer_without_end_the_beginning_is_kept(
    log: ConversationLog, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "LONGEST_ANSWER", 100)
    conversation = began(log)
    conversation.answers(200, "text/event-stream")
    for _ in range(50):
        conversation.write(b"data: {}\n\n")
    conversation.end()

    row, _ = row_of(conversation)
    assert (row.truncated, conversation.answered, conversation.held) == (True, 500, 102)


async def test_of_a_large_request_the_beginning_and_the_end_are_kept(
    log: ConversationLog, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "LONGEST_REQUEST", 2000)
    body = b'{"content": "first", "url": "data:image/png;base64,%b", "text": "last"}' % (b"iVBO" * 1000)
    conversation = began(log, body)
    conversation.end()

    row, words = row_of(conversation)
    assert row.truncated
    assert conversation.held < 2100
    shown = row.show()["request"]
    assert (shown["content"], shown["text"]) == ("first", "last")
    assert "bytes left out" in shown["url"]
    assert "iVBO" not in shown["url"]
    assert words.split()[:2] == ["first", "last"]


async def test_memory_is_bounded_and_what_is_over_it_keeps_its_facts(
    log: ConversationLog, written: Written, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    for _ in range(5):
        began(log, b"x" * 400).end()

    assert log.held == 800
    await log.flush()
    assert [row_of(each)[0].truncated for each in written.rows] == [False, False, True, True, True]
    assert log.held == 0


async def test_while_the_database_is_away_the_oldest_are_dropped_and_counted(
    written: Written, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MOST_ROWS", 10)
    log = ConversationLog(written)
    written.failing = True
    made = [began(log, b"x" * 10) for _ in range(15)]
    for conversation in made:
        conversation.end()
        with pytest.raises(sqlite3.OperationalError):
            await log.flush()

    assert (log.waiting, log.dropped, log.held) == (10, 5, 100)
    written.failing = False
    await log.flush()
    assert written.rows == made[5:]
    assert log.held == 0


async def test_what_cannot_be_read_does_not_hold_up_the_others(
    log: ConversationLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    from nexusai.server.conversations import store

    def broken(raw: bytes) -> str:
        raise RecursionError

    monkeypatch.setattr(store, "redacted", broken)
    conversation = began(log, b"a secret")
    conversation.end()
    with caplog.at_level(logging.WARNING):
        row, words = store._entry(conversation)

    assert (row.request, row.truncated, words) == (None, True, "")
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("costs", "told"),
    [
        ([], (None, None)),
        ([Cost(1.5, "USD"), Cost(0.5, "USD")], (2.0, "USD")),
        ([Cost(1.0, "USD"), Cost(7.0, "CNY"), Cost(1.0, "USD")], (None, None)),
    ],
)
async def test_money_of_several_currencies_is_no_sum(
    log: ConversationLog, costs: list[Cost], told: tuple[float | None, str | None]
):
    conversation = began(log)
    for cost in costs:
        conversation.heard(CallRecord(operation="chat", provider="p", model="m", seconds=0.1, cost=cost))
    assert (conversation.row.cost, conversation.row.currency) == told
