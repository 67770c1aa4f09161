"""How documents get into a knowledge base, one or many: their flows."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nexusai._internal._flow import Call, Emit, Flow, OutOfTime, Reply, Upload, ask, at, create, given
from nexusai._internal._invoke import listed, mapping, words
from nexusai._internal._poller import TaskPoller
from nexusai.error import (
    APIError,
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    PermissionError,
    TaskFailedError,
    TaskTimeoutError,
)
from nexusai.models import Document, File, Task
from nexusai.resources.files import upload_of

if TYPE_CHECKING:
    from nexusai.types import FileInput

__all__ = ["Files", "get", "limit_of", "processed", "uploads_of", "workers"]

Files: TypeAlias = "str | os.PathLike[str] | Iterable[FileInput]"
"""Several files; of a folder, those that are in it."""

_HOPELESS = (AuthenticationError, PermissionError, NotFoundError)  # for the other files as well


def get(kb_id: str, doc_id: str) -> Flow[Document]:
    """A document as it stands now."""
    return ask(Call("GET", at("knowledge-bases", kb_id, "documents", doc_id)), Document)


def processed(
    poller: TaskPoller,
    kb_id: str,
    source: Upload | str,
    metadata: Mapping[str, Any] | None,
    wait: bool = True,
) -> Flow[Document]:
    """The document of a file, or of the id of one: as it is once it can be found, or as it begins."""
    task = yield from _begin(poller, kb_id, source, metadata)
    return (yield from _followed(poller, kb_id, task, wait))


def _begin(
    poller: TaskPoller, kb_id: str, source: Upload | str, metadata: Mapping[str, Any] | None
) -> Flow[Task]:
    """The task that processes it. Labels go with a stored file alone: so it is stored before, and not left
    behind when the knowledge base does not take it.
    """
    path = at("knowledge-bases", kb_id, "documents")
    metadata = metadata and mapping("metadata", metadata)
    if not isinstance(source, Upload):
        words("file_id", source)
        return (yield from poller.accept(create(path, json=given(file_id=source, metadata=metadata))))
    if metadata is None:
        return (yield from poller.accept(create(path, upload=source)))
    reply: Reply = yield create("/files", upload=source)
    file_id = reply.parse(File).file_id
    try:
        return (yield from _begin(poller, kb_id, file_id, metadata))
    except APIError:
        yield Call("DELETE", at("files", file_id), retry=False)
        raise


def _followed(poller: TaskPoller, kb_id: str, task: Task, wait: bool = True) -> Flow[Document]:
    doc_id = _doc_id(task)
    if wait:
        task = yield from poller.wait(task)
        doc_id = doc_id or _doc_id(task)
    if doc_id is None:
        raise APIError(f"Task {task.task_id} does not say which document it is about.")
    return (yield from get(kb_id, doc_id))


def _doc_id(task: Task) -> str | None:
    return (task.model_extra or {}).get("doc_id") or (task.output or {}).get("doc_id")


def workers(
    poller: TaskPoller,
    kb_id: str,
    uploads: Sequence[Upload],
    metadata: Mapping[str, Any] | None,
    concurrency: int,
) -> list[Flow[None]]:
    """Flows that share the files; each emits `(number of the file, its document)`."""
    waiting = deque(enumerate(uploads))
    return [_work(poller, kb_id, waiting, metadata) for _ in range(min(concurrency, len(uploads)))]


def _work(
    poller: TaskPoller, kb_id: str, waiting: deque[tuple[int, Upload]], metadata: Mapping[str, Any] | None
) -> Flow[None]:
    while True:
        try:
            number, upload = waiting.popleft()
        except IndexError:
            return
        yield Emit((number, (yield from _attempt(poller, kb_id, upload, metadata))))


def _attempt(
    poller: TaskPoller, kb_id: str, upload: Upload, metadata: Mapping[str, Any] | None
) -> Flow[Document]:
    """One of many: what is wrong with it alone, its document tells."""
    task: Task | None = None
    try:
        task = yield from _begin(poller, kb_id, upload, metadata)
        return (yield from _followed(poller, kb_id, task))
    except (APIError, OSError, OutOfTime) as error:
        if task is None and isinstance(error, _HOPELESS):
            raise
        document = _unfinished(kb_id, upload, task, error)
        if isinstance(error, TaskFailedError) and document.doc_id:
            with suppress(APIError, OutOfTime):  # the platform's own words are better, where there are any
                known = yield from get(kb_id, document.doc_id)
                return known if known.processing_status == "failed" else document
        return document


def _unfinished(kb_id: str, upload: Upload, task: Task | None, error: Exception) -> Document:
    goes_on = task is not None and isinstance(error, (TaskTimeoutError, OutOfTime))
    document = Document(
        doc_id=(task and _doc_id(task)) or "",
        kb_id=kb_id,
        filename=upload.name,
        processing_status="processing" if goes_on else "failed",
        error=str(error),
        retryable=isinstance(error, OutOfTime),
    )
    if isinstance(error, APIError):
        document.error, document.error_code = error.message, error.error_code
        document.retryable = error.retryable
    return document


def uploads_of(files: Files, pattern: str) -> list[Upload]:
    """The files, as they are sent. Raises before anything is sent when one is missing, or there is none."""
    uploads = [upload_of(file) for file in _sources(files, pattern)]
    for upload in uploads:
        if isinstance(upload.content, Path):
            upload.content.stat()
    return uploads


def _sources(files: Files, pattern: str) -> Iterator[FileInput]:
    for file in listed("files", files, alone=(str, os.PathLike)):
        if file and isinstance(file, (str, os.PathLike)) and Path(file).is_dir():
            yield from _inside(Path(file), pattern)
        else:
            yield file


def _inside(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder in the order of their names, without hidden ones."""
    found = sorted(
        path
        for path in folder.glob(pattern)
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise InvalidRequestError(f"The folder {str(folder)!r} has no file that matches {pattern!r}.")
    return found


def limit_of(timeout: float | None, poll_timeout: float, files: int, concurrency: int) -> float:
    """Seconds for all files: given, or what one may take, as often as one comes after another."""
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise InvalidRequestError(f"concurrency={concurrency!r} is no number of uploads: it is 1 or more.")
    return poll_timeout * max(math.ceil(files / concurrency), 1) if timeout is None else timeout
