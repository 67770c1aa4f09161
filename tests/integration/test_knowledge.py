"""Knowledge bases from end to end: documents in, passages found, on both clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nexusai import ConflictError, InvalidRequestError, NotFoundError, TaskFailedError
from nexusai.testing import Platform
from tests.fixtures.documents import pdf
from tests.fixtures.openai_upstream import Upstream
from tests.integration.conftest import Use, of_upstream

LIGHTHOUSE = "# 灯塔\n\n灯塔建于1854年。它的灯烧鲸油。\n\n## The light\n\nToday it runs on sunlight.\n"
MODEL = "text-embedding-3-small"


def file(text: str, name: str = "notes.md") -> tuple[str, bytes, str]:
    return name, text.encode(), "text/plain"


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value


@pytest.fixture(scope="module")
def embedding(upstream: Upstream) -> Iterator[Platform]:
    """A platform whose provider makes vectors."""
    with Platform(of_upstream(upstream, NEXUS_PROVIDER_EMBEDDING_MODEL=MODEL)) as platform:
        yield platform


def embedded_texts(upstream: Upstream) -> list[str]:
    calls = upstream.calls("/v1/embeddings")
    return [text for call in calls for text in call["body"]["input"]]


def ready(client: Any, kb_id: str) -> Any:
    """The knowledge base once no newer index is being built."""
    return until(
        lambda: base if (base := client.knowledge_bases.get(kb_id)).index_status != "reindexing" else None
    )


def test_a_document_is_found_by_its_words_in_chinese_and_english(sdk: Use) -> None:
    base = sdk(lambda client: client.knowledge_bases.create("Lights", description="Of the coast"))
    document = sdk(lambda client: client.knowledge_bases.upload_document(base.id, file(LIGHTHOUSE)))

    assert (document.processing_status, document.stage, document.progress) == ("completed", "index", 100)
    assert (document.file_type, document.chunk_count, document.filename) == ("md", 2, "notes.md")
    assert document.content_preview.startswith("灯塔 灯塔建于1854年。")
    for query, text in (
        ("鲸油", "它的灯烧鲸油"),
        ("what does it run on today?", "Today it runs on sunlight"),
    ):
        found = sdk(lambda client, query=query: client.knowledge_bases.search(query, base.id, top_k=1))
        assert text in found.results[0].content
        assert 0 < found.results[0].similarity_score <= 1
        assert found.results[0].metadata["filename"] == "notes.md"
        assert found.mode == "keyword"  # no provider makes vectors, and the answer says so
    base = sdk(lambda client: client.knowledge_bases.get(base.id))
    assert (base.document_count, base.total_chunks, base.embedding_model) == (1, 2, None)


def test_the_page_of_a_pdf_stands_beside_the_hit(sdk: Use) -> None:
    base = sdk(lambda client: client.knowledge_bases.create("Pages"))
    manual = pdf([[(12, "The first page is about oil.")], [(12, "The second page is about wicks.")]])
    sdk(lambda client: client.knowledge_bases.upload_document(base.id, ("manual.pdf", manual)))

    found = sdk(lambda client: client.knowledge_bases.search("wicks", base.id))

    assert [(hit.metadata["filename"], hit.metadata["page"]) for hit in found] == [("manual.pdf", 2)]


def test_labels_narrow_a_search(sdk: Use) -> None:
    base = sdk(lambda client: client.knowledge_bases.create("Labelled"))
    for year in (1854, 1901):
        text = file(f"The lamp of {year} burns oil.", f"{year}.txt")
        sdk(
            lambda client, text=text, year=year: client.knowledge_bases.upload_document(
                base.id, text, metadata={"year": year, "tags": ["lamp"]}
            )
        )

    def years(**filter: Any) -> set[int]:
        found = sdk(lambda client: client.knowledge_bases.search("oil", base.id, filter=filter))
        return {hit.metadata["year"] for hit in found}

    assert years(year=1854) == {1854}
    assert years(year={"gte": 1900}) == {1901}
    assert years(tags="lamp") == {1854, 1901}
    with pytest.raises(InvalidRequestError, match="filter"):
        years(year={"around": 1900})


def test_the_same_bytes_are_the_same_document(sdk: Use) -> None:
    base = sdk(lambda client: client.knowledge_bases.create("Twice"))
    first = sdk(lambda client: client.knowledge_bases.upload_document(base.id, file("Once only.", "a.txt")))
    again = sdk(lambda client: client.knowledge_bases.upload_document(base.id, file("Once only.", "b.txt")))

    assert (again.id, again.filename) == (first.id, "a.txt")
    assert len(sdk(lambda client: client.knowledge_bases.list_documents(base.id))) == 1
    assert len(sdk(lambda client: client.knowledge_bases.search("once", base.id))) == 1


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.txt", b"", "DOCUMENT_EMPTY"),
        ("broken.pdf", b"%PDF-1.7\nnothing that a reader could use", "DOCUMENT_BROKEN"),
        ("picture.md", b"\x89PNG\r\n\x1a\n" + bytes(64), "DOCUMENT_UNSUPPORTED"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_failed_document_with_a_reason(
    sdk: Use, name: str, content: bytes, code: str
) -> None:
    base = sdk(lambda client: client.knowledge_bases.create("Broken"))
    with pytest.raises(TaskFailedError) as caught:
        sdk(lambda client: client.knowledge_bases.upload_document(base.id, (name, content)))

    document = sdk(lambda client: client.knowledge_bases.list_documents(base.id))[0]
    assert (document.processing_status, document.error_code, document.retryable) == ("failed", code, False)
    assert document.error == caught.value.message
    assert sdk(lambda client: client.knowledge_bases.get(base.id)).total_chunks == 0


def test_a_deleted_document_never_answers_again(sdk: Use) -> None:
    base = sdk(lambda client: client.knowledge_bases.create("Gone"))
    document = sdk(lambda client: client.knowledge_bases.upload_document(base.id, file("Secret words.")))
    sdk(lambda client: client.knowledge_bases.delete_document(base.id, document.id))

    assert len(sdk(lambda client: client.knowledge_bases.search("secret words", base.id))) == 0
    with pytest.raises(NotFoundError):
        sdk(lambda client: client.knowledge_bases.get_document(base.id, document.id))
    with pytest.raises(NotFoundError):  # it came with the document
        sdk(lambda client: client.files.get(document.file_id))


def test_a_file_in_use_is_deleted_only_by_force(sdk: Use, embedded: Platform) -> None:
    base = sdk(lambda client: client.knowledge_bases.create("Files"))
    stored = sdk(lambda client: client.files.upload(file("The keeper was called Ida.")))
    document = sdk(lambda client: client.knowledge_bases.add_document(base.id, stored.file_id))
    with pytest.raises(ConflictError, match=document.id):
        sdk(lambda client: client.files.delete(stored.file_id))

    sdk(lambda client: client.files.delete(stored.file_id, force=True))
    with pytest.raises(NotFoundError):
        sdk(lambda client: client.files.get(stored.file_id))
    assert sdk(lambda client: client.knowledge_bases.search("Ida", base.id)).results  # the words stay
    sdk(lambda client: client.knowledge_bases.delete(base.id))
    with pytest.raises(NotFoundError):
        sdk(lambda client: client.knowledge_bases.list_documents(base.id))


def test_a_document_as_text(embedded: Platform) -> None:
    def text(client: Any, file_id: str, **config: str) -> Any:
        return client.tasks.submit("document_processing", {"file_id": file_id}, config=config).wait().output

    with embedded.client() as client:
        stored = client.files.upload(file(LIGHTHOUSE))
        marked, plain = (text(client, stored.file_id, output=output) for output in ("markdown", "text"))
        assert marked["content"] == LIGHTHOUSE.strip()
        assert plain["content"] == LIGHTHOUSE.replace("## ", "").replace("# ", "").strip()
        assert marked["metadata"]["filename"] == "notes.md"
        with pytest.raises(TaskFailedError, match="there is no file"):
            text(client, "file_none")


def test_vectors_come_in_batches_and_each_text_is_paid_for_once(
    embedding: Platform, upstream: Upstream
) -> None:
    paragraphs = [f"Paragraph {n} tells of lamp number {n}, which burns. " * 3 for n in range(150)]
    with embedding.client() as client:
        base = client.knowledge_bases.create("Vectors", chunk_size=200)
        assert base.embedding_model == f"openai_compatible/{MODEL}"
        upstream.forget()
        document = client.knowledge_bases.upload_document(base.id, file("\n\n".join(paragraphs), "a.txt"))
        sizes = [len(call["body"]["input"]) for call in upstream.calls("/v1/embeddings")]
        assert sizes == [64, 64, 22]
        task = client.tasks.get(document.task_id)
        assert (task.provider, task.model) == ("openai_compatible", MODEL)
        assert task.output["usage"]["total_tokens"] > 0

        upstream.forget()
        changed = [*paragraphs[:75], "Something entirely new.", *paragraphs[75:]]
        client.knowledge_bases.upload_document(base.id, file("\n\n".join(changed), "b.txt"))
        new = embedded_texts(upstream)
        assert 0 < len(new) <= 2  # an overlap may carry it into the next chunk
        assert all("Something entirely new." in text for text in new)

        found = client.knowledge_bases.search(new[0], base.id, mode="semantic", top_k=1)
        assert (found.mode, found.results[0].content) == ("semantic", new[0])


def test_another_model_is_prepared_beside_the_one_that_answers(
    embedding: Platform, upstream: Upstream
) -> None:
    with embedding.client() as client:
        base = client.knowledge_bases.create("Changed", embedding_model="local/embedding")
        for n in range(3):
            client.knowledge_bases.upload_document(base.id, file(f"Lamp {n} burns oil.", f"{n}.txt"))
        base = client.knowledge_bases.update(base.id, embedding_model=MODEL, chunk_size=300)
        assert (base.embedding_model, base.chunk_overlap) == (f"openai_compatible/{MODEL}", 60)
        assert len(client.knowledge_bases.search("lamp oil", base.id)) == 3

        assert ready(client, base.id).index_status == "ready"
        found = client.knowledge_bases.search("Lamp 1 burns oil.", base.id, mode="semantic")
        assert (found.mode, found.results[0].content) == ("semantic", "Lamp 1 burns oil.")
        assert (len(found), client.knowledge_bases.get(base.id).total_chunks) == (3, 3)


def test_a_model_that_refuses_changes_nothing_that_answers(embedding: Platform) -> None:
    with embedding.client() as client:
        base = client.knowledge_bases.create("Refused", embedding_model="local/embedding")
        client.knowledge_bases.upload_document(base.id, file("The lamp [[status=400]] burns oil."))
        base = client.knowledge_bases.update(base.id, embedding_model=MODEL)

        base = ready(client, base.id)
        assert (base.index_status, client.tasks.get(base.index_task_id).status) == ("failed", "failed")
        assert base.index_error
        found = client.knowledge_bases.search("lamp oil", base.id)
        assert (len(found), found.mode) == (1, "hybrid")
        client.knowledge_bases.update(base.id, embedding_model="local/embedding")
        assert ready(client, base.id).index_status == "ready"


def test_a_provider_that_is_down_fails_the_document_and_may_be_tried_again(embedding: Platform) -> None:
    text = file("It fails [[status=403 times=2]] twice.")  # twice: when it is one of a batch, and alone
    with embedding.client() as client:
        base = client.knowledge_bases.create("Down")
        document = client.knowledge_bases.upload_documents(base.id, [text])[0]
        assert (document.processing_status, document.error_code) == ("failed", "PROVIDER_ERROR")

        until(lambda: client.knowledge_bases.upload_documents(base.id, [text])[0].finished)
        again = client.knowledge_bases.upload_document(base.id, text)
        assert (again.processing_status, again.error) == ("completed", None)
        assert len(client.knowledge_bases.list_documents(base.id)) == 1


def test_a_search_falls_back_to_words_while_the_model_is_away(embedding: Platform) -> None:
    query = "lamp [[status=401]]"
    with embedding.client() as client:
        base = client.knowledge_bases.create("Away")
        client.knowledge_bases.upload_document(base.id, file("The lamp burns oil."))
        found = client.knowledge_bases.search(query, base.id)
        assert (found.mode, len(found)) == ("keyword", 1)


def test_a_document_that_is_deleted_on_its_way_is_gone(embedding: Platform) -> None:
    with embedding.client() as client:
        base = client.knowledge_bases.create("On the way")
        document = client.knowledge_bases.upload_document(base.id, file("It hangs [[hang]]."), wait=False)
        until(lambda: client.knowledge_bases.get_document(base.id, document.id).stage == "embed")
        client.knowledge_bases.delete_document(base.id, document.id)
        until(lambda: client.tasks.get(document.task_id).status == "cancelled")
        assert client.knowledge_bases.list_documents(base.id) == []
        assert len(client.knowledge_bases.search("hangs", base.id, mode="keyword")) == 0


def test_a_document_whose_task_is_cancelled_says_so(embedding: Platform) -> None:
    with embedding.client() as client:
        base = client.knowledge_bases.create("Cancelled")
        document = client.knowledge_bases.upload_document(base.id, file("It hangs [[hang]]."), wait=False)
        until(lambda: client.knowledge_bases.get_document(base.id, document.id).stage == "embed")
        client.tasks.cancel(document.task_id)
        document = client.knowledge_bases.get_document(base.id, document.id)
        assert (document.processing_status, document.error_code) == ("failed", "CANCELLED")


def test_what_a_session_is_asked_is_answered_from_its_knowledge_bases(embedded: Platform) -> None:
    with embedded.client() as client:
        base = client.knowledge_bases.create("For a session")
        document = client.knowledge_bases.upload_document(base.id, file(LIGHTHOUSE))
        session = client.sessions.create(agent_type="rag", knowledge_base_ids=[base.id])
        answer = session.invoke("灯塔的灯烧什么?")
        assert "鲸油" in answer.text
        assert answer.citations[0]["doc_id"] == document.id
