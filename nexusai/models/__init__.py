"""What the API answers, as pydantic models.

`nexusai.models.list()` and `nexusai.models.get(name)` are the default client's: the models that the platform
offers.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, cast

from nexusai.models._answer import Answer, Cost, NumberedPage, Page, Rows, Usage
from nexusai.models._batch import Batch, BatchCounts, BatchPage, BatchResult
from nexusai.models._event import TaskEvent
from nexusai.models._file import File, FilePage
from nexusai.models._knowledge import Document, KnowledgeBase, SearchResponse, SearchResult
from nexusai.models._media import (
    AsyncImage,
    AsyncTTSResponse,
    Fetch,
    Image,
    Linked,
    Segment,
    TranscriptionResponse,
    TTSResponse,
    pictures_of,
)
from nexusai.models._platform import (
    Conversation,
    ConversationPage,
    ConversationsDeleted,
    Key,
    KeyPage,
    Model,
    ModelPage,
    Project,
    ProjectPage,
    UsageReport,
    UsageRow,
)
from nexusai.models._session import (
    SessionFacts,
    SessionHistory,
    SessionMessage,
    SessionReply,
    SessionResponse,
)
from nexusai.models._task import Result, Task, TaskFailure, TaskPage
from nexusai.models._text import Delta, StreamChunk, TextResponse
from nexusai.models._vectors import EmbeddingResponse, ModerationResponse, ModerationResult
from nexusai.models._webhook import Delivery, DeliveryPage, Webhook, WebhookEvent, WebhookPage, WebhookSecret

__all__ = [
    "Answer",
    "AsyncImage",
    "AsyncTTSResponse",
    "Batch",
    "BatchCounts",
    "BatchPage",
    "BatchResult",
    "Conversation",
    "ConversationPage",
    "ConversationsDeleted",
    "Cost",
    "Delivery",
    "DeliveryPage",
    "Delta",
    "Document",
    "EmbeddingResponse",
    "Fetch",
    "File",
    "FilePage",
    "Image",
    "Key",
    "KeyPage",
    "KnowledgeBase",
    "Linked",
    "Model",
    "ModelPage",
    "ModerationResponse",
    "ModerationResult",
    "NumberedPage",
    "Page",
    "Project",
    "ProjectPage",
    "Result",
    "Rows",
    "SearchResponse",
    "SearchResult",
    "Segment",
    "SessionFacts",
    "SessionHistory",
    "SessionMessage",
    "SessionReply",
    "SessionResponse",
    "StreamChunk",
    "TTSResponse",
    "Task",
    "TaskEvent",
    "TaskFailure",
    "TaskPage",
    "TextResponse",
    "TranscriptionResponse",
    "Usage",
    "UsageReport",
    "UsageRow",
    "Webhook",
    "WebhookEvent",
    "WebhookPage",
    "WebhookSecret",
    "pictures_of",
    "result_of",
]

_RESULTS: Final[Mapping[str, tuple[type[Result], type[Result]]]] = {
    "text_generation": (TextResponse, TextResponse),
    "image_generation": (Image, AsyncImage),
    "speech_to_text": (TranscriptionResponse, TranscriptionResponse),
    "text_to_speech": (TTSResponse, AsyncTTSResponse),
    "embeddings": (EmbeddingResponse, EmbeddingResponse),
    "moderation": (ModerationResponse, ModerationResponse),
}
"""What each type of task makes: on the sync client, on the async one."""


def result_of(task: Task, fetch: Fetch, *, asynchronous: bool = False) -> Any:
    """The task's result in its own type; the task itself where its type has none here."""
    types = _RESULTS.get(task.task_type or "")
    if task.output and "response" in task.output:  # a turn of a session, whatever its type is called
        types = (SessionResponse, SessionResponse)
    if types is None:
        return task
    result = types[asynchronous].from_task(task)
    return result.bound(fetch) if isinstance(result, Linked) else result


def list(*, limit: int | None = None, cursor: str | None = None) -> ModelPage:
    """The models with their providers, abilities and prices; `page.next_cursor` is for the next page."""
    return cast(ModelPage, _offered().list(limit=limit, cursor=cursor))


def get(name: str) -> Model:
    """One model, by its name or as `provider/name`. Raises `NotFoundError`."""
    return cast(Model, _offered().get(name))


def _offered() -> Any:
    """The default client is of a layer above: it is loaded when it is asked for."""
    return import_module("nexusai._default").DefaultResource("models", "Models")
