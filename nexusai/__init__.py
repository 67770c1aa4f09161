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
from nexusai._default import DefaultResource, configure

if TYPE_CHECKING:
    from nexusai._internal._poller import TaskPoller
    from nexusai._internal._stream import AsyncTextStream, TextStream
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
    )
    from nexusai.models import (
        AsyncImage,
        AsyncTTSResponse,
        Cost,
        File,
        Image,
        StreamChunk,
        Task,
        TaskFailure,
        TaskPage,
        TextResponse,
        TTSResponse,
        Usage,
    )
    from nexusai.resources._handle import AsyncTaskHandle, TaskHandle
    from nexusai.resources.audio import Audio
    from nexusai.resources.files import Files
    from nexusai.resources.images import Images
    from nexusai.resources.tasks import Tasks
    from nexusai.resources.text import Text

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AsyncImage",
    "AsyncNexusAIClient",
    "AsyncTTSResponse",
    "AsyncTaskHandle",
    "AsyncTextStream",
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "Cost",
    "File",
    "Image",
    "InvalidRequestError",
    "NetworkError",
    "NexusAIClient",
    "NexusAIError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionError",
    "RateLimitError",
    "ServerError",
    "StreamChunk",
    "StreamError",
    "TTSResponse",
    "Task",
    "TaskCancelledError",
    "TaskError",
    "TaskFailedError",
    "TaskFailure",
    "TaskHandle",
    "TaskPage",
    "TaskPoller",
    "TaskTimeoutError",
    "TextResponse",
    "TextStream",
    "Usage",
    "ValidationError",
    "__version__",
    "api_key",
    "audio",
    "base_url",
    "configure",
    "files",
    "images",
    "tasks",
    "text",
]

api_key: str | None = None
"""The default client's key, when it is set before the first call."""

base_url: str | None = None
"""The default client's platform, when it is set before the first call."""

text: Text = cast("Text", DefaultResource("text", "Text"))
images: Images = cast("Images", DefaultResource("images", "Images"))
audio: Audio = cast("Audio", DefaultResource("audio", "Audio"))
files: Files = cast("Files", DefaultResource("files", "Files"))
tasks: Tasks = cast("Tasks", DefaultResource("tasks", "Tasks"))

_LIGHT_TO_HEAVY = ("error", "models", "_internal._poller", "_internal._stream", "resources._handle", "client")
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
