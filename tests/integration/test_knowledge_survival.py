"""Documents whose platform is killed: each is whole or failed with a reason afterwards, none doubled."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from nexusai import ConfigurationError
from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream
from tests.integration.conftest import of_upstream

BOOK = "\n\n".join(
    f"Paragraph {n}: the lamp of lighthouse{n} burns oil at night. 第{n}座灯塔的灯烧鲸油。" * 3
    for n in range(9000)
)
SMALL = {"chunk_size": 300, "chunk_overlap": 0}


@pytest.fixture
def platform() -> Iterator[Platform]:
    """One that a test may kill."""
    with Platform() as running:
        yield running


def until(condition: Callable[[], Any], seconds: float = 60.0, pause: float = 0.02) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(pause)
    return value


def finished(client: Any, kb_id: str, doc_id: str) -> Any:
    def look() -> Any:
        document = client.knowledge_bases.get_document(kb_id, doc_id)
        return document if document.finished else None

    return until(look)


def stored(platform: Platform, table: str, where: str = "1 = 1") -> int:
    with closing(sqlite3.connect(platform.data_dir / "nexus.db")) as connection:
        count: int = connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]
        return count


def lose_files(platform: Platform) -> None:
    """The bytes that were uploaded: a document that is read already goes on without them."""
    for path in (platform.data_dir / "files").rglob("*"):
        if path.is_file():
            path.unlink()


def restart(platform: Platform) -> None:
    platform.kill()
    platform.start()


@pytest.mark.parametrize("stage", ["parse", "chunk", "index"])
def test_a_document_survives_kill_9_in_any_stage_and_is_there_once(platform: Platform, stage: str) -> None:
    with platform.client(max_retries=8) as client:
        base = client.knowledge_bases.create("Killed", **SMALL)
        begun = client.knowledge_bases.upload_document(base.id, ("book.txt", BOOK.encode()), wait=False)
        kb_id, doc_id = base.id, begun.id
        until(lambda: client.knowledge_bases.get_document(kb_id, doc_id).stage == stage, pause=0.002)
        platform.kill()
        if stage != "parse":
            lose_files(platform)
        platform.start()

        document = finished(client, kb_id, doc_id)
        assert (document.processing_status, document.error) == ("completed", None)
        assert client.tasks.wait(document.task_id).attempts == 2
        assert document.chunk_count > 3000
        assert stored(platform, "chunks") == stored(platform, "chunk_words") == document.chunk_count
        assert stored(platform, "documents") == 1
        assert len(client.knowledge_bases.search("lighthouse777", kb_id)) == 1
        assert not list((platform.data_dir / "artefacts").iterdir())


def test_a_document_survives_kill_9_while_it_is_embedded_and_no_vector_is_paid_for_twice(
    upstream: Upstream,
) -> None:
    settings = of_upstream(upstream, NEXUS_PROVIDER_EMBEDDING_MODEL="text-embedding-3-small")
    paragraphs = [f"Paragraph {n} tells of lamp number {n}, which burns. " * 3 for n in range(150)]
    paragraphs[100] += " [[hang times=1]]"
    with Platform(settings) as platform, platform.client(max_retries=8) as client:
        base = client.knowledge_bases.create("Killed", chunk_size=200)
        upstream.forget()
        text = ("lamps.txt", "\n\n".join(paragraphs).encode())
        begun = client.knowledge_bases.upload_document(base.id, text, wait=False)
        until(lambda: len(upstream.calls("/v1/embeddings")) == 2)
        assert client.knowledge_bases.get_document(base.id, begun.id).stage == "embed"
        platform.kill()
        lose_files(platform)
        platform.start()

        document = finished(client, base.id, begun.id)
        assert document.processing_status == "completed"
        texts = [text for call in upstream.calls("/v1/embeddings") for text in call["body"]["input"]]
        assert len(texts) == document.chunk_count + 64  # the batch that hung is asked for again, no other
        assert stored(platform, "chunks") == stored(platform, "vectors") == document.chunk_count


def test_documents_that_were_accepted_are_there_after_a_kill_at_any_moment(platform: Platform) -> None:
    with platform.client(max_retries=8) as client:
        base = client.knowledge_bases.create("Many")
        begun = []
        for n in range(24):
            text = (f"{n}.txt", f"Lamp number {n} burns oil{n}.".encode())
            begun.append(client.knowledge_bases.upload_document(base.id, text, wait=False).id)
            if n % 8 == 7:
                restart(platform)
        documents = [finished(client, base.id, doc_id) for doc_id in begun]
        assert {document.processing_status for document in documents} == {"completed"}
        assert len(set(begun)) == stored(platform, "documents") == stored(platform, "chunks") == 24


def test_a_newer_index_survives_kill_9(platform: Platform) -> None:
    with platform.client(max_retries=8) as client:
        base = client.knowledge_bases.create("Anew")
        for n in range(5):
            text = (f"{n}.txt", f"Lamp number {n} burns oil.\n\n{BOOK[:200_000]}".encode())
            client.knowledge_bases.upload_document(base.id, text)
        client.knowledge_bases.update(base.id, **SMALL)
        until(lambda: stored(platform, "chunks", "version = 2") > 0, pause=0.002)
        assert client.knowledge_bases.get(base.id).index_status == "reindexing"
        restart(platform)

        until(lambda: client.knowledge_bases.get(base.id).index_status == "ready")
        total = client.knowledge_bases.get(base.id).total_chunks
        assert stored(platform, "chunks", "version = 2") == stored(platform, "chunks") == total
        assert len(client.knowledge_bases.search("Lamp number 3", base.id, top_k=1)) == 1


def test_a_document_whose_worker_dies_each_time_fails_with_a_reason(upstream: Upstream) -> None:
    settings = of_upstream(
        upstream, NEXUS_PROVIDER_EMBEDDING_MODEL="text-embedding-3-small", NEXUS_MAX_ATTEMPTS="2"
    )
    with Platform(settings) as platform, platform.client(max_retries=8) as client:
        base = client.knowledge_bases.create("Poison")
        text = f"poison [[kill={platform.data_dir / 'pid'}]]".encode()
        begun = client.knowledge_bases.upload_document(base.id, ("poison.txt", text), wait=False)
        for _ in range(2):
            until(lambda: not platform.running)
            with suppress(ConfigurationError):  # it may die before it answers
                platform.start()
        document = finished(client, base.id, begun.id)
        assert (document.processing_status, document.error_code) == ("failed", "WORKER_LOST")
        assert (document.retryable, stored(platform, "chunks")) == (True, 0)


def test_a_document_whose_task_was_never_stored_gets_one(platform: Platform) -> None:
    with platform.client(max_retries=8) as client:
        base = client.knowledge_bases.create("Lost")
        document = client.knowledge_bases.upload_document(base.id, ("a.txt", b"The lamp burns oil."))
        platform.kill()
        with closing(sqlite3.connect(platform.data_dir / "nexus.db")) as connection, connection:
            connection.execute("DELETE FROM tasks")
            connection.execute("UPDATE documents SET processing_status = 'queued', stage = NULL")
        platform.start()
        assert finished(client, base.id, document.id).processing_status == "completed"
        assert stored(platform, "chunks") == 1
