from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from nexusai.error import (
    APIError,
    InvalidRequestError,
    NotFoundError,
    TaskFailedError,
)
from tests.fixtures.sdk import BASE, Both

ALL = f"{BASE}/knowledge-bases"
ONE = f"{ALL}/kb_1"
DOCUMENTS = f"{ONE}/documents"
SHOWN = {
    "kb_id": "kb_1",
    "name": "manuals",
    "embedding_model": "m",
    "document_count": 2,
    "total_chunks": 9,
    "created_at": "2025-01-01T00:00:00Z",
    "updated_at": "2025-01-02T00:00:00Z",
}


def document(doc_id: str = "doc_1", **fields: Any) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "kb_id": "kb_1",
        "filename": "a.md",
        "processing_status": "completed",
        "chunk_count": 3,
        "uploaded_at": "2025-01-01T00:00:00Z",
        **fields,
    }


def asked(httpx_mock: HTTPXMock, number: int = -1) -> Any:
    return json.loads(httpx_mock.get_requests()[number].content)


def test_a_knowledge_base_is_made(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=ALL, status_code=201, json=SHOWN)
    kb = sdk(lambda client: client.knowledge_bases.create("manuals", embedding_model="m", chunk_size=500))

    assert (kb.id, kb.name, kb.document_count, kb.total_chunks) == ("kb_1", "manuals", 2, 9)
    assert kb.updated_at > kb.created_at
    assert asked(httpx_mock) == {"name": "manuals", "embedding_model": "m", "chunk_size": 500}
    assert httpx_mock.get_requests()[0].headers["idempotency-key"]


def test_a_knowledge_base_without_vectors(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=ALL, status_code=201, json=SHOWN)
    sdk(lambda client: client.knowledge_bases.create("manuals", embedding_model="none"))
    assert asked(httpx_mock) == {"name": "manuals", "embedding_model": None}


def test_knowledge_bases_are_listed(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="GET", url=ALL, json=[SHOWN, {**SHOWN, "kb_id": "kb_2"}])
    assert [kb.id for kb in sdk(lambda client: client.knowledge_bases.list())] == ["kb_1", "kb_2"]


def test_what_is_known_of_a_knowledge_base(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="GET", url=ONE, json=SHOWN)
    assert sdk(lambda client: client.knowledge_bases.get("kb_1")).embedding_model == "m"


def test_a_knowledge_base_is_changed_in_what_is_given(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="PATCH", url=ONE, json=SHOWN)
    sdk(lambda client: client.knowledge_bases.update("kb_1", description="All of them."))
    assert asked(httpx_mock) == {"description": "All of them."}


def test_a_knowledge_base_is_deleted(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="DELETE", url=ONE, status_code=204)
    assert sdk(lambda client: client.knowledge_bases.delete("kb_1")) is None


def serve_upload(httpx_mock: HTTPXMock, task: Any = None, accepted: Any = None, **fields: Any) -> None:
    """A document that is taken, and its task and itself as they are afterwards."""
    accepted = accepted or {"task_id": "task_1", "status": "queued", "doc_id": "doc_1"}
    httpx_mock.add_response(method="POST", url=DOCUMENTS, status_code=202, json=accepted)
    if task:
        httpx_mock.add_response(method="GET", url=f"{BASE}/tasks/task_1", json={"task_id": "task_1", **task})
    if fields:
        httpx_mock.add_response(method="GET", url=f"{DOCUMENTS}/doc_1", json=document(**fields))


DONE = {"status": "completed", "progress": 100, "output": {"doc_id": "doc_1"}}


def test_a_document_is_uploaded_and_waited_for(sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    (tmp_path / "a.md").write_text("# Hello")
    serve_upload(httpx_mock, DONE, chunk_count=3)
    told: list[float | None] = []
    made = sdk(
        lambda client: client.knowledge_bases.upload_document(
            "kb_1", tmp_path / "a.md", on_progress=lambda task: told.append(task.progress)
        )
    )

    assert (made.id, made.processing_status, made.chunk_count, made.finished) == (
        "doc_1",
        "completed",
        3,
        True,
    )
    assert told == [None, 100]
    sent = httpx_mock.get_requests()[0]
    assert b'name="file"; filename="a.md"' in sent.content
    assert sent.headers["idempotency-key"]


def test_a_document_need_not_be_waited_for(sdk: Both, httpx_mock: HTTPXMock):
    serve_upload(httpx_mock, processing_status="processing", stage="embed", progress=40)
    made = sdk(
        lambda client: client.knowledge_bases.upload_document("kb_1", ("a.md", b"# Hello"), wait=False)
    )
    assert (made.processing_status, made.stage, made.progress) == ("processing", "embed", 40)
    assert not made.finished


def test_what_is_not_waited_for_has_no_progress_to_tell(sdk: Both):
    with pytest.raises(TypeError, match="on_progress"):
        sdk(
            lambda client: client.knowledge_bases.upload_document(
                "kb_1", b"", wait=False, on_progress=lambda task: None
            )
        )


def test_a_document_that_only_its_finished_task_names(sdk: Both, httpx_mock: HTTPXMock):
    serve_upload(httpx_mock, DONE, {"task_id": "task_1"}, chunk_count=3)
    assert sdk(lambda client: client.knowledge_bases.upload_document("kb_1", b"x")).id == "doc_1"


def test_a_document_that_nothing_names_is_an_error(sdk: Both, httpx_mock: HTTPXMock):
    serve_upload(httpx_mock, accepted={"task_id": "task_1"})
    with pytest.raises(APIError, match="task_1 does not say which document"):
        sdk(lambda client: client.knowledge_bases.upload_document("kb_1", b"x", wait=False))


def test_a_document_that_cannot_be_processed_raises(sdk: Both, httpx_mock: HTTPXMock):
    serve_upload(
        httpx_mock, {"status": "failed", "error": {"code": "INVALID_REQUEST", "message": "No such format."}}
    )
    with pytest.raises(TaskFailedError, match="No such format"):
        sdk(lambda client: client.knowledge_bases.upload_document("kb_1", b"x"))


def test_a_document_with_labels_is_stored_before(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{BASE}/files", status_code=201, json={"file_id": "file_1"})
    serve_upload(httpx_mock, DONE, chunk_count=3)
    sdk(lambda client: client.knowledge_bases.upload_document("kb_1", b"x", metadata={"team": "a"}))
    assert asked(httpx_mock, 1) == {"file_id": "file_1", "metadata": {"team": "a"}}


def test_a_stored_file_is_not_left_behind(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{BASE}/files", status_code=201, json={"file_id": "file_1"})
    httpx_mock.add_response(method="POST", url=DOCUMENTS, status_code=404, json={"detail": "No kb_1."})
    httpx_mock.add_response(method="DELETE", url=f"{BASE}/files/file_1", json={"deleted_count": 1})
    with pytest.raises(NotFoundError, match="No kb_1"):
        sdk(lambda client: client.knowledge_bases.upload_document("kb_1", b"x", metadata={"team": "a"}))


def test_a_stored_file_becomes_a_document(sdk: Both, httpx_mock: HTTPXMock):
    serve_upload(httpx_mock, DONE, chunk_count=3)
    made = sdk(lambda client: client.knowledge_bases.add_document("kb_1", "file_1", metadata={"team": "a"}))
    assert made.id == "doc_1"
    assert asked(httpx_mock, 0) == {"file_id": "file_1", "metadata": {"team": "a"}}


def test_documents_are_listed(sdk: Both, httpx_mock: HTTPXMock):
    failed = document("doc_2", processing_status="failed", error="Broken.", error_code="X", retryable=False)
    httpx_mock.add_response(method="GET", url=DOCUMENTS, json=[document(), failed])
    first, second = sdk(lambda client: client.knowledge_bases.list_documents("kb_1"))
    assert (first.id, second.error, second.error_code, second.retryable) == ("doc_1", "Broken.", "X", False)


def test_a_document_is_looked_at(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="GET", url=f"{DOCUMENTS}/doc_1", json=document())
    assert sdk(lambda client: client.knowledge_bases.get_document("kb_1", "doc_1")).filename == "a.md"


def test_a_document_is_deleted(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="DELETE", url=f"{DOCUMENTS}/doc_1", status_code=204)
    assert sdk(lambda client: client.knowledge_bases.delete_document("kb_1", "doc_1")) is None


FOUND = {
    "query": "q",
    "results": [
        {
            "chunk_id": "chunk_1",
            "doc_id": "doc_1",
            "kb_id": "kb_1",
            "content": "Hello",
            "similarity_score": 0.9,
            "metadata": {"filename": "a.md", "page": 2, "chunk_index": 0},
        }
    ],
    "total_results": 1,
}


def test_a_search_gives_the_best_first(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", url=f"{ALL}/search", json=FOUND)
    response = sdk(
        lambda client: client.knowledge_bases.search(
            "q", ["kb_1", "kb_2"], similarity_threshold=0.5, filter={"team": "a"}
        )
    )

    (result,) = response
    assert (result.id, result.content, result.similarity_score) == ("chunk_1", "Hello", 0.9)
    assert (result.filename, result.page) == ("a.md", 2)
    assert asked(httpx_mock) == {
        "query": "q",
        "knowledge_base_ids": ["kb_1", "kb_2"],
        "top_k": 5,
        "similarity_threshold": 0.5,
        "mode": "hybrid",
        "filter": {"team": "a"},
    }


def test_one_knowledge_base_is_searched_by_its_id_alone(sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(json=FOUND)
    sdk(lambda client: client.knowledge_bases.search("q", "kb_1", top_k=3, mode="keyword"))
    assert asked(httpx_mock)["knowledge_base_ids"] == ["kb_1"]


@pytest.mark.parametrize(
    ("arguments", "message"), [(("", "kb_1"), "query is empty"), (("q", []), "knowledge_base_ids is empty")]
)
def test_a_search_for_nothing_or_nowhere_is_refused(arguments: Any, message: str, sdk: Both):
    with pytest.raises(InvalidRequestError, match=message):
        sdk(lambda client: client.knowledge_bases.search(*arguments))


class Shelf:
    """A platform that takes documents, one task each; it counts how many come at once."""

    def __init__(
        self, httpx_mock: HTTPXMock, failing: dict[str, Any] | None = None, *, awaited: bool = False
    ) -> None:
        self.failing = failing or {}
        self.names: list[str] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        take = self.take_async if awaited else self.take_sync
        httpx_mock.add_callback(take, method="POST", url=DOCUMENTS, is_reusable=True, is_optional=True)
        httpx_mock.add_callback(self.tell, method="GET", is_reusable=True, is_optional=True)

    def take_sync(self, request: httpx.Request) -> httpx.Response:
        self.count(+1)
        time.sleep(0.005)
        return self.take(request)

    async def take_async(self, request: httpx.Request) -> httpx.Response:
        self.count(+1)
        await asyncio.sleep(0.005)
        return self.take(request)

    def take(self, request: httpx.Request) -> httpx.Response:
        name = request.content.partition(b'filename="')[2].partition(b'"')[0].decode()
        with self._lock:
            number = len(self.names)
            self.names.append(name)
        if isinstance(self.failing.get(name), int):
            self.count(-1)
            return httpx.Response(self.failing[name], json={"detail": f"No {name}.", "error_code": "NO"})
        return httpx.Response(202, json={"task_id": f"task_{number}", "doc_id": f"doc_{number}"})

    def count(self, change: int) -> None:
        with self._lock:
            self._now += change
            self.most = max(self.most, self._now)

    def tell(self, request: httpx.Request) -> httpx.Response:
        kind, _, number = request.url.path.rpartition("/")[2].partition("_")
        name = self.names[int(number)]
        if kind == "doc":
            self.count(-1)
            failed = {"processing_status": "failed", "error": "Broken.", "error_code": "DOCUMENT_BROKEN"}
            fields = failed if name in self.failing else {}
            return httpx.Response(200, json=document(f"doc_{number}", filename=name, **fields))
        status = self.failing.get(name, {"status": "completed"})
        return httpx.Response(200, json={"task_id": f"task_{number}", **status})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "manuals"
    for name in ("b.md", "a.md", "c.txt", "deep/d.md", ".hidden.md", ".git/e.md"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    return made


def test_the_files_of_a_folder_become_documents_in_their_order(
    sdk: Both, httpx_mock: HTTPXMock, folder: Path
):
    Shelf(httpx_mock)
    made = sdk(lambda client: client.knowledge_bases.upload_documents("kb_1", folder))
    assert [one.filename for one in made] == ["a.md", "b.md", "c.txt", "d.md"]
    assert {one.processing_status for one in made} == {"completed"}


def test_a_pattern_chooses_among_the_files_of_a_folder(sdk: Both, httpx_mock: HTTPXMock, folder: Path):
    Shelf(httpx_mock)
    made = sdk(lambda client: client.knowledge_bases.upload_documents("kb_1", str(folder), pattern="*.md"))
    assert [one.filename for one in made] == ["a.md", "b.md"]


def test_files_in_any_form_keep_their_order(sdk: Both, httpx_mock: HTTPXMock, folder: Path):
    Shelf(httpx_mock)
    files = [("z.md", b"z"), folder / "deep", str(folder / "a.md")]
    made = sdk(lambda client: client.knowledge_bases.upload_documents("kb_1", files, concurrency=1))
    assert [one.filename for one in made] == ["z.md", "d.md", "a.md"]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_documents_come_at_once_than_is_asked(concurrency: int, sdk: Both, httpx_mock: HTTPXMock):
    shelf = Shelf(httpx_mock, awaited=sdk.asynchronous)
    files = [(f"{number}.md", b"x") for number in range(9)]
    made = sdk(lambda client: client.knowledge_bases.upload_documents("kb_1", files, concurrency=concurrency))
    assert [one.filename for one in made] == [name for name, _ in files]
    assert shelf.most == concurrency


def test_a_file_that_goes_wrong_stops_no_other(sdk: Both, httpx_mock: HTTPXMock):
    broken = {"status": "failed", "error": {"code": "PARSE", "message": "Broken.", "retryable": False}}
    Shelf(httpx_mock, {"b.md": 413, "c.md": broken})
    told: list[str] = []
    files = [(name, b"x") for name in ("a.md", "b.md", "c.md", "d.md")]
    made = sdk(
        lambda client: client.knowledge_bases.upload_documents(
            "kb_1", files, on_progress=lambda one: told.append(one.filename)
        )
    )

    assert [one.processing_status for one in made] == ["completed", "failed", "failed", "completed"]
    too_large, unreadable = made[1:3]
    assert (too_large.id, too_large.filename, too_large.error) == ("", "b.md", "No b.md.")
    assert unreadable.id.startswith("doc_")
    assert (unreadable.error, unreadable.error_code) == ("Broken.", "DOCUMENT_BROKEN")
    assert sorted(told) == ["a.md", "b.md", "c.md", "d.md"]


def test_an_async_function_may_hear_of_documents(httpx_mock: HTTPXMock):
    Shelf(httpx_mock)
    told: list[str] = []

    async def hear(made: Any) -> None:
        told.append(made.filename)

    Both(asynchronous=True)(
        lambda client: client.knowledge_bases.upload_documents("kb_1", [("a.md", b"x")], on_progress=hear)
    )
    assert told == ["a.md"]


def test_a_file_that_vanished_is_told_by_its_document(sdk: Both, httpx_mock: HTTPXMock, folder: Path):
    Shelf(httpx_mock)
    files = [folder / "a.md", ("gone.md", Gone())]
    first, second = sdk(lambda client: client.knowledge_bases.upload_documents("kb_1", files))
    assert (first.processing_status, second.processing_status) == ("completed", "failed")
    assert "gone" in second.error


class Gone:
    def read(self, size: int = -1) -> bytes:
        raise OSError("the disk is gone")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_is_wrong_with_all_files_raises_at_once(status: int, sdk: Both, httpx_mock: HTTPXMock):
    Shelf(httpx_mock, {"a.md": status})
    with pytest.raises(APIError, match=r"No a\.md"):
        sdk(lambda client: client.knowledge_bases.upload_documents("kb_1", [("a.md", b"x")]))


def test_what_is_not_done_in_time_goes_on_and_is_told(sdk: Both, httpx_mock: HTTPXMock, naps: list[float]):
    Shelf(httpx_mock, {"slow.md": {"status": "running"}})
    files = [("slow.md", b"x"), ("late.md", b"x")]
    slow, late = sdk(
        lambda client: client.knowledge_bases.upload_documents("kb_1", files, concurrency=1, timeout=5)
    )
    assert (slow.id, slow.processing_status, slow.retryable) == ("doc_0", "processing", True)
    assert "still running after 5 s" in slow.error
    assert (late.id, late.processing_status, late.retryable) == ("", "failed", True)


def test_without_a_timeout_there_is_time_for_each(sdk: Both, httpx_mock: HTTPXMock, naps: list[float]):
    Shelf(httpx_mock, {"slow.md": {"status": "running"}})
    files = [("slow.md", b"x"), ("late.md", b"x")]
    slow, _ = sdk(
        lambda client: client.knowledge_bases.upload_documents("kb_1", files, concurrency=1), poll_timeout=2
    )
    assert "after 4 s" in slow.error


def test_a_file_that_is_missing_is_said_before_anything_is_sent(sdk: Both, folder: Path):
    with pytest.raises(FileNotFoundError):
        sdk(lambda client: client.knowledge_bases.upload_documents("kb_1", [folder / "a.md", folder / "no"]))


def test_a_folder_without_a_match_is_said(sdk: Both, folder: Path):
    with pytest.raises(InvalidRequestError, match=r"no file that matches '\*\.pdf'"):
        sdk(lambda client: client.knowledge_bases.upload_documents("kb_1", folder, pattern="*.pdf"))


@pytest.mark.parametrize("concurrency", [0, True, 1.5])
def test_a_concurrency_that_is_no_number_of_uploads_is_refused(concurrency: Any, sdk: Both):
    with pytest.raises(InvalidRequestError, match="concurrency="):
        sdk(lambda client: client.knowledge_bases.upload_documents("kb_1", [], concurrency=concurrency))


def test_no_files_are_no_documents(sdk: Both):
    assert sdk(lambda client: client.knowledge_bases.upload_documents("kb_1", [])) == []
