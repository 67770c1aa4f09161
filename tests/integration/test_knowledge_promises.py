"""What users complain of most where documents are searched: each complaint has its test here.

Documents that hang in processing, documents that look ready and are not, deleted documents that still answer,
a changed embedding model that breaks everything, Chinese words that are not found. That no kill leaves a
document behind is in `test_knowledge_survival.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nexusai import NexusAIClient
from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream
from tests.integration.conftest import of_upstream

MODEL = "text-embedding-3-small"


@pytest.fixture(scope="module")
def client(upstream: Upstream) -> Iterator[NexusAIClient]:
    """Of a platform whose provider makes vectors."""
    settings = of_upstream(upstream, NEXUS_PROVIDER_EMBEDDING_MODEL=MODEL)
    with Platform(settings) as platform, platform.client() as client:
        yield client


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return value


def ready(client: NexusAIClient, kb_id: str) -> Any:
    def look() -> Any:
        base = client.knowledge_bases.get(kb_id)
        return base if base.index_status == "ready" else None

    return until(look)


def found(client: NexusAIClient, kb_id: str, query: str, mode: Any = "hybrid") -> list[str]:
    return [hit.content for hit in client.knowledge_bases.search(query, kb_id, mode=mode, top_k=50)]


def test_no_document_stays_in_processing_whatever_becomes_of_it(client: NexusAIClient) -> None:
    base = client.knowledge_bases.create("Ends")
    files = {
        "fine.txt": b"The lamp burns oil.",
        "empty.txt": b"",
        "broken.pdf": b"%PDF-1.7\nnothing that a reader could use",
        "refused.txt": b"The provider refuses [[status=401]].",
        "kept waiting.txt": b"The provider is busy at first [[status=429 retry_after=0 times=1]].",
    }
    client.knowledge_bases.upload_documents(base.id, list(files.items()), timeout=60)

    ended = {document.filename: document for document in client.knowledge_bases.list_documents(base.id)}
    assert {name: document.error_code for name, document in ended.items()} == {
        "fine.txt": None,
        "empty.txt": "DOCUMENT_EMPTY",
        "broken.pdf": "DOCUMENT_BROKEN",
        "refused.txt": "PROVIDER_ERROR",
        "kept waiting.txt": None,
    }
    for document in ended.values():
        assert document.processing_status == ("failed" if document.error_code else "completed")
        assert bool(document.error) == bool(document.error_code)


def test_a_document_is_found_from_the_moment_that_it_is_called_completed(client: NexusAIClient) -> None:
    base = client.knowledge_bases.create("Ready")
    for n in range(8):
        text = f"Lamp{n} burns oil [[delay=0.1]]."
        begun = client.knowledge_bases.upload_document(base.id, (f"{n}.txt", text.encode()), wait=False)
        while not (document := client.knowledge_bases.get_document(base.id, begun.id)).finished:
            assert document.chunk_count == 0
        assert document.processing_status == "completed"
        assert found(client, base.id, f"lamp{n}", "keyword") == [text]
        assert found(client, base.id, text, "semantic")[0] == text
        assert client.knowledge_bases.get(base.id).total_chunks == n + 1


def test_a_document_that_is_not_completed_is_not_found(client: NexusAIClient) -> None:
    base = client.knowledge_bases.create("Not ready")
    text = "The beacon hangs [[hang]]."
    begun = client.knowledge_bases.upload_document(base.id, ("a.txt", text.encode()), wait=False)
    until(lambda: client.knowledge_bases.get_document(base.id, begun.id).stage == "embed")

    assert client.knowledge_bases.get_document(base.id, begun.id).processing_status == "processing"
    assert client.knowledge_bases.get(base.id).total_chunks == 0
    assert found(client, base.id, "beacon", "keyword") == []
    client.knowledge_bases.delete(base.id)


def test_a_deleted_document_answers_neither_by_words_nor_by_meaning_nor_in_a_newer_index(
    client: NexusAIClient,
) -> None:
    base = client.knowledge_bases.create("Deleted", embedding_model="local/embedding")
    texts = [f"Lamp {n} burns oil, and it burns at night [[delay=0.2]]." for n in range(4)]
    documents = [
        client.knowledge_bases.upload_document(base.id, (f"{n}.txt", text.encode()))
        for n, text in enumerate(texts)
    ]
    assert len(found(client, base.id, "lamp", "semantic")) == 4  # the vectors are in memory now

    client.knowledge_bases.delete_document(base.id, documents[0].id)
    for mode in ("keyword", "semantic", "hybrid"):
        assert sorted(found(client, base.id, "lamp burns", mode)) == texts[1:]

    assert client.knowledge_bases.update(base.id, embedding_model=MODEL).index_status == "reindexing"
    client.knowledge_bases.delete_document(base.id, documents[3].id)
    assert sorted(found(client, base.id, "lamp burns")) == texts[1:3]
    assert ready(client, base.id).total_chunks == 2
    for mode in ("keyword", "semantic", "hybrid"):
        assert sorted(found(client, base.id, "lamp burns", mode)) == texts[1:3]
    session = client.sessions.create(agent_type="rag", knowledge_base_ids=[base.id])
    cited = {citation["doc_id"] for citation in session.invoke("Which lamp burns?").citations or []}
    assert not cited & {documents[0].id, documents[3].id}


def test_a_changed_embedding_model_answers_at_every_moment_and_takes_in_what_comes_meanwhile(
    client: NexusAIClient,
) -> None:
    base = client.knowledge_bases.create("Changed", embedding_model="local/embedding")
    texts = [f"Lamp {n} burns oil [[delay=0.1]]." for n in range(6)]
    for n, text in enumerate(texts[:5]):
        client.knowledge_bases.upload_document(base.id, (f"{n}.txt", text.encode()))

    client.knowledge_bases.update(base.id, embedding_model=MODEL)
    begun = client.knowledge_bases.upload_document(base.id, ("5.txt", texts[5].encode()), wait=False)
    while client.knowledge_bases.get(base.id).index_status == "reindexing":
        for mode in ("keyword", "semantic", "hybrid"):
            answer = client.knowledge_bases.search("lamp oil", base.id, mode=mode, top_k=50)
            assert answer.mode == mode
            assert set(texts[:5]) <= {hit.content for hit in answer}
    until(lambda: client.knowledge_bases.get_document(base.id, begun.id).finished)

    assert ready(client, base.id).embedding_model == f"openai_compatible/{MODEL}"
    assert sorted(found(client, base.id, texts[5], "semantic")) == texts
    assert found(client, base.id, texts[5], "semantic")[0] == texts[5]


@pytest.mark.parametrize("query", ["鲸油", "灯塔", "守塔人", "铜钟多重？", "雾天敲什么", "1854年", "LED灯"])
def test_chinese_words_are_found(client: NexusAIClient, query: str) -> None:
    base = client.knowledge_bases.create("中文", embedding_model="local/embedding")
    texts = {
        "a.txt": "灯塔建于1854年，当年的灯烧鲸油，如今换成了LED灯。",
        "b.txt": "守塔人在雾天敲钟，那口铜钟重三百二十公斤。",
        "c.txt": "港口的天气预报每天早晨更新一次。",
    }
    for name, text in texts.items():
        client.knowledge_bases.upload_document(base.id, (name, text.encode("gb18030")))
    meant = texts["b.txt" if any(word in query for word in ("钟", "守塔", "敲")) else "a.txt"]
    assert found(client, base.id, query, "keyword")[0] == meant
