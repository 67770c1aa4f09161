"""Every AI model by one key and one contract.

    from nexusai import NexusAIClient

    client = NexusAIClient()
    print(client.text.generate("Say hello in Chinese."))

or, on a client that is made at the first call, `nexusai.text.generate("Say hello in Chinese.")`.

Importing this loads nothing else: every name is loaded when it is first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from nexusai.__version__ import __version__
from nexusai._default import DefaultResource, configure, verifier

if TYPE_CHECKING:
    from nexusai._internal._poller import TaskPoller
    from nexusai._internal._stream import AsyncTaskEventStream, AsyncTextStream, TaskEventStream, TextStream
    from nexusai.client import AsyncNexusAIClient, NexusAIClient
    from nexusai.error import (
        APIConnectionError,
        APIError,
        APITimeoutError,
        AuthenticationError,
        ConfigurationError,
        ConflictError,
        InvalidRequestError,
        NetworkError,
        NexusAIError,
        NotFoundError,
        ParseError,
        PayloadTooLargeError,
        PermissionError,
        RateLimitError,
        ServerError,
        StreamError,
        TaskCancelledError,
        TaskError,
        TaskFailedError,
        TaskTimeoutError,
        ValidationError,
        WebhookVerificationError,
    )
    from nexusai.models import (
        AsyncImage,
        AsyncTTSResponse,
        Batch,
        BatchResult,
        Conversation,
        Cost,
        Document,
        EmbeddingResponse,
        File,
        FilePage,
        Image,
        Key,
        KnowledgeBase,
        Model,
        ModerationResponse,
        SearchResponse,
        SearchResult,
        Segment,
        SessionHistory,
        SessionMessage,
        SessionResponse,
        StreamChunk,
        Task,
        TaskEvent,
        TaskFailure,
        TaskPage,
        TextResponse,
        TranscriptionResponse,
        TTSResponse,
        Usage,
        UsageReport,
        Webhook,
        WebhookEvent,
    )
    from nexusai.resources._handle import AsyncTaskHandle, TaskHandle
    from nexusai.resources._session import AsyncSession, Session, SessionPage
    from nexusai.resources.audio import Audio
    from nexusai.resources.batches import Batches
    from nexusai.resources.conversations import Conversations
    from nexusai.resources.embeddings import Embeddings
    from nexusai.resources.files import Files
    from nexusai.resources.images import Images
    from nexusai.resources.keys import Keys
    from nexusai.resources.knowledge_bases import KnowledgeBases
    from nexusai.resources.moderations import Moderations
    from nexusai.resources.projects import Projects
    from nexusai.resources.sessions import Sessions
    from nexusai.resources.tasks import Tasks
    from nexusai.resources.text import Text
    from nexusai.resources.usage import UsageReports
    from nexusai.resources.webhooks import Webhooks

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AsyncImage",
    "AsyncNexusAIClient",
    "AsyncSession",
    "AsyncTTSResponse",
    "AsyncTaskEventStream",
    "AsyncTaskHandle",
    "AsyncTextStream",
    "AuthenticationError",
    "Batch",
    "BatchResult",
    "ConfigurationError",
    "ConflictError",
    "Conversation",
    "Cost",
    "Document",
    "EmbeddingResponse",
    "File",
    "FilePage",
    "Image",
    "InvalidRequestError",
    "Key",
    "KnowledgeBase",
    "Model",
    "ModerationResponse",
    "NetworkError",
    "NexusAIClient",
    "NexusAIError",
    "NotFoundError",
    "ParseError",
    "PayloadTooLargeError",
    "PermissionError",
    "RateLimitError",
    "SearchResponse",
    "SearchResult",
    "Segment",
    "ServerError",
    "Session",
    "SessionHistory",
    "SessionMessage",
    "SessionPage",
    "SessionResponse",
    "StreamChunk",
    "StreamError",
    "TTSResponse",
    "Task",
    "TaskCancelledError",
    "TaskError",
    "TaskEvent",
    "TaskEventStream",
    "TaskFailedError",
    "TaskFailure",
    "TaskHandle",
    "TaskPage",
    "TaskPoller",
    "TaskTimeoutError",
    "TextResponse",
    "TextStream",
    "TranscriptionResponse",
    "Usage",
    "UsageReport",
    "ValidationError",
    "Webhook",
    "WebhookEvent",
    "WebhookVerificationError",
    "__version__",
    "api_key",
    "audio",
    "base_url",
    "batches",
    "configure",
    "conversations",
    "embeddings",
    "files",
    "images",
    "keys",
    "knowledge_bases",
    "moderations",
    "projects",
    "sessions",
    "tasks",
    "text",
    "usage",
    "webhooks",
]

api_key: str | None = None
"""The default client's key."""

base_url: str | None = None
"""The default client's platform."""

text: Text = cast("Text", DefaultResource("text", "Text"))
images: Images = cast("Images", DefaultResource("images", "Images"))
audio: Audio = cast("Audio", DefaultResource("audio", "Audio"))
embeddings: Embeddings = cast("Embeddings", DefaultResource("embeddings", "Embeddings"))
moderations: Moderations = cast("Moderations", DefaultResource("moderations", "Moderations"))
sessions: Sessions = cast("Sessions", DefaultResource("sessions", "Sessions"))
knowledge_bases: KnowledgeBases = cast("KnowledgeBases", DefaultResource("knowledge_bases", "KnowledgeBases"))
files: Files = cast("Files", DefaultResource("files", "Files"))
tasks: Tasks = cast("Tasks", DefaultResource("tasks", "Tasks"))
batches: Batches = cast("Batches", DefaultResource("batches", "Batches"))
conversations: Conversations = cast("Conversations", DefaultResource("conversations", "Conversations"))
usage: UsageReports = cast("UsageReports", DefaultResource("usage", "UsageReports"))
projects: Projects = cast("Projects", DefaultResource("projects", "Projects"))
keys: Keys = cast("Keys", DefaultResource("keys", "Keys"))
webhooks: Webhooks = cast("Webhooks", DefaultResource("webhooks", "Webhooks", verify=verifier))

_LIGHT_TO_HEAVY = (
    "error",
    "models",
    "_internal._poller",
    "_internal._stream",
    "resources._handle",
    "resources._session",
    "client",
)
_SUBMODULES = {"error", "models", "types"}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"nexusai.{name}")
    if name in __all__:
        for place in _LIGHT_TO_HEAVY:
            module = import_module(f"nexusai.{place}")
            if name in module.__all__:
                return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module 'nexusai' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
