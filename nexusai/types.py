"""What callers pass: the words of the contract, and the options of each call."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    import httpx

    from nexusai.models import File, Task

__all__ = [
    "AgentOptions",
    "AspectRatio",
    "ClientOptions",
    "ConversationFilter",
    "DefaultClientOptions",
    "EmbeddingWaitOptions",
    "FileInput",
    "ImageInput",
    "ImageOptions",
    "ImageWaitOptions",
    "InvokeOptions",
    "InvokeWaitOptions",
    "KeyChanges",
    "KeyOptions",
    "Logging",
    "Message",
    "ModelOptions",
    "OnBytes",
    "ProjectOptions",
    "ReasoningEffort",
    "SearchMode",
    "SpeechOptions",
    "SpeechWaitOptions",
    "TaskType",
    "TextOptions",
    "TextWaitOptions",
    "TranscriptionOptions",
    "TranscriptionWaitOptions",
    "TurnOptions",
    "TurnWaitOptions",
    "UsageFilter",
    "UsageGroup",
    "WaitOptions",
    "WatchOptions",
]

TaskType: TypeAlias = Literal[
    "text_generation",
    "image_generation",
    "speech_to_text",
    "text_to_speech",
    "embeddings",
    "moderation",
    "document_processing",
]
"""What kind of work a task is."""
AspectRatio: TypeAlias = Literal["1:1", "16:9", "9:16", "4:3", "3:4", "21:9"]
"""Width to height of a picture."""
ReasoningEffort: TypeAlias = Literal["minimal", "low", "medium", "high"]
"""How long a model that reasons may do so."""
SearchMode: TypeAlias = Literal["hybrid", "semantic", "keyword"]
"""By meaning, by word, or both together."""
UsageGroup: TypeAlias = Literal["key", "model", "provider", "project", "day"]
"""What one row of a report stands for."""

Message: TypeAlias = Mapping[str, Any]
"""`{"role": "system" | "user" | "assistant" | "tool", "content": str | [parts]}`."""

_Content: TypeAlias = bytes | BinaryIO

FileInput: TypeAlias = str | os.PathLike[str] | _Content | tuple[str, _Content] | tuple[str, _Content, str]
"""A path, the bytes themselves, an open binary file, or `(name, bytes or file[, content type])`."""

ImageInput: TypeAlias = "FileInput | File"
"""A picture: a path, the bytes, an open binary file, a `File`, or as a str the id of a file (`file_…`).

Where a model only looks at it, also its URL (`https:` or `data:`).
"""

OnBytes: TypeAlias = Callable[[int, "int | None"], object]
"""Is told the bytes sent so far, and the bytes there are (None for a pipe, whose length nobody knows)."""


class ClientOptions(TypedDict, total=False):
    """What a client can be told; each has an environment variable `NEXUS_…` of its name."""

    api_key: str | None
    """The key of the project, `nxs_…`."""
    base_url: str | None
    """The platform's address, with `/api/v1`."""
    timeout: float | None
    """Longest silence in seconds before a request is sent again or given up."""
    max_retries: int | None
    """How often a request is sent again after a failure that may pass."""
    poll_interval: float | None
    """Longest pause in seconds between two looks at a task, where the platform does not hold them."""
    poll_timeout: float | None
    """Seconds a call waits for its task, everything included; `float("inf")` waits for ever."""
    default_headers: Mapping[str, str] | None
    """Sent with every request to the platform, and nowhere else."""
    webhook_secret: str | None
    """`whsec_…`, what `webhooks.verify` checks the platform's calls with."""


class DefaultClientOptions(ClientOptions, total=False):
    """What `nexusai.configure` takes."""

    http_client: httpx.Client | None
    """Used as it is for every request, and never closed."""


class WatchOptions(TypedDict, total=False):
    """What every call takes that waits for a task, besides its `timeout`."""

    on_progress: Callable[[Task], Any] | None
    """Called with the task as it is at first, and whenever its status or progress has changed.

    It may be an async function on the async client. What it raises ends the wait.
    """
    progress: bool | None
    """Show a bar on stderr, if that is a terminal: by rich where it is installed, else a line of text."""
    on_timeout: Literal["detach", "cancel"] | None
    """Whether the task goes on when the wait was too long (`detach`, the default) or is cancelled."""
    on_interrupt: Literal["detach", "cancel"] | None
    """The same for Ctrl-C, and for the cancellation of the asyncio task that waits."""


class WaitOptions(WatchOptions, total=False):
    """What every call takes that waits for a task."""

    timeout: float | None
    """Seconds the call may take, everything included; the client's `poll_timeout` by default."""


class InvokeOptions(TypedDict, total=False):
    """What every task takes. An option that is `None` is left out."""

    provider: str | None
    """Who runs it; left out, the platform chooses."""
    model: str | None
    """Which model, also as `provider/model`; left out, the provider's default."""
    metadata: Mapping[str, str] | None
    """Your own labels; `tasks.list(metadata=…)` finds the task by them."""
    priority: int | None
    """-100 to 100; a higher one starts earlier, 0 is usual."""
    task_timeout: float | None
    """Seconds after which the platform gives the task up (`timeout` is how long the call waits)."""
    webhook: Mapping[str, Any] | None
    """`{"url": …, "events": […]}`: an address that is called once the task has ended."""
    config: Mapping[str, Any] | None
    """Further options, handed to the provider as they are: those, too, that a type checker does not know."""
    idempotency_key: str | None
    """The same key with the same call is the same task, for a day; by default each call has a new one."""


class ModelOptions(TypedDict, total=False):
    """What a model that writes can be told about how to do so."""

    temperature: float | None
    """0 (the likeliest words) to 2."""
    top_p: float | None
    """The likeliest words that together have this probability, 0 to 1."""
    max_tokens: int | None
    """The longest answer."""
    stop: str | Sequence[str] | None
    """Text at which the answer ends; it is not part of it."""
    seed: int | None
    """The same seed gives the same answer, as far as the provider can."""
    presence_penalty: float | None
    """-2 to 2; above 0 favours new subjects."""
    frequency_penalty: float | None
    """-2 to 2; above 0 avoids words that were said often."""
    tools: Sequence[Mapping[str, Any]] | None
    """The functions that the model may ask for, in OpenAI's shape."""
    tool_choice: str | Mapping[str, Any] | None
    """`"auto"`, `"none"`, `"required"`, or the one tool to use."""
    response_format: Mapping[str, Any] | None
    """`{"type": "json_object"}`, or `json_schema` with the schema."""
    reasoning_effort: ReasoningEffort | None
    """How long a model that reasons may do so."""


class TextOptions(InvokeOptions, ModelOptions, total=False):
    """What a text takes besides its prompt."""

    messages: Sequence[Message] | None
    """A conversation, in place of the prompt."""
    images: Sequence[ImageInput] | None
    """Pictures that the prompt (or the last message of the user) is about."""
    system: str | None
    """What the model is told before anything else."""


class ImageOptions(InvokeOptions, total=False):
    """What a picture takes besides its prompt."""

    size: str | None
    """`"1024x768"`, in pixels."""
    aspect_ratio: AspectRatio | None
    """In place of a size."""
    quality: str | None
    """As the provider words it."""
    format: str | None
    """`"png"`, `"jpeg"`, `"webp"`."""
    seed: int | None
    """The same seed gives the same picture, as far as the provider can."""


class TranscriptionOptions(InvokeOptions, total=False):
    """What a transcription takes besides its file."""

    language: str | None
    """What is spoken, as ISO 639-1 (`"en"`, `"zh"`); left out, it is recognised."""
    timestamps: bool | None
    """Whether to say when each segment begins and ends."""


class SpeechOptions(InvokeOptions, total=False):
    """What speech takes besides its text."""

    voice: str | None
    """One of the provider's voices."""
    format: str | None
    """`"wav"`, `"mp3"` …"""
    speed: float | None
    """1.0 is the voice's own pace."""


class TextWaitOptions(TextOptions, WaitOptions, total=False):
    """What `text.generate` and `text.parse` take."""


class ImageWaitOptions(ImageOptions, WaitOptions, total=False):
    """What `images.generate` and its like take."""


class TranscriptionWaitOptions(TranscriptionOptions, WaitOptions, total=False):
    """What `audio.transcribe` takes."""


class SpeechWaitOptions(SpeechOptions, WaitOptions, total=False):
    """What `audio.synthesize` takes."""


class InvokeWaitOptions(InvokeOptions, WaitOptions, total=False):
    """What `moderations.create` takes besides its texts."""


class EmbeddingWaitOptions(InvokeWaitOptions, total=False):
    """What `embeddings.create` takes besides its texts."""

    dimensions: int | None
    """Numbers in each vector, where the model leaves a choice."""


Logging: TypeAlias = Literal["off", "metadata", "full"]
"""What is written down of calls under `/v1`: nothing, their facts, or what was said as well."""


class ProjectOptions(TypedDict, total=False):
    """What a project takes besides its name."""

    rate_limits: Mapping[str, int] | None
    """The most of `requests_per_minute`, `tokens_per_minute` and `concurrent_tasks`; `{}` for any number."""
    budget: Mapping[str, float] | None
    """US dollars `per_day` and `per_month`, by the days and months of UTC; `{}` for any sum."""
    logging: Logging | None
    """What is written down of calls under `/v1`: nothing, their facts, or what was said as well."""


class KeyOptions(ProjectOptions, total=False):
    """What a key takes besides its name."""

    project: str | None
    """`proj_…`, for a key of the scope `platform`; the caller's own without."""
    scopes: Sequence[str] | None
    """`invoke` and `read` without; there are `admin` and `platform` too."""
    allowed_models: Sequence[str] | None
    """`provider/model`, with `*` for any; all of them without."""
    expires_at: datetime | str | None
    """When it stops working; never without."""


class KeyChanges(ProjectOptions, total=False):
    """What of a key can be changed; what is left out stays."""

    name: str | None
    """What it is called."""
    scopes: Sequence[str] | None
    """What it may do."""
    allowed_models: Sequence[str] | None
    """`provider/model`, with `*` for any: `["*"]` for all of them."""
    expires_at: datetime | str | None
    """When it stops working."""
    is_active: bool | None
    """Whether it opens anything."""


class UsageFilter(TypedDict, total=False):
    """Which calls a report of usage is about; all of them without."""

    key: str | None
    """Those of a key: `key_…`."""
    model: str | None
    """Those to a model, by its name alone."""
    provider: str | None
    """Those to a provider."""
    project: str | None
    """Those of a project: `proj_…`."""


class ConversationFilter(TypedDict, total=False):
    """Which logged conversations are meant; all of them without."""

    model: str | None
    """Those with a model, by its name alone."""
    key_id: str | None
    """Those of a key: `key_…`."""
    status: Literal["completed", "failed", "cut"] | None
    """How they ended."""
    from_: date | str | None
    """Those that began then or later."""
    to: date | str | None
    """Those that began before."""
    project: str | None
    """`proj_…`, for a key of the scope `platform`; the caller's own without."""


class AgentOptions(TypedDict, total=False):
    """What the agent of a session is made of: the fields of its `agent_config`."""

    provider: str | None
    """Who runs it; left out, the platform chooses."""
    model: str | None
    """Which model; left out, the provider's default."""
    temperature: float | None
    """0 (the likeliest words) to 2."""
    max_tokens: int | None
    """The longest answer."""
    system_prompt: str | None
    """What it is told before anything else."""
    knowledge_base_ids: Sequence[str] | None
    """The knowledge bases that it looks into."""
    tools: Sequence[Mapping[str, Any]] | None
    """The functions that it may ask for."""
    context: Mapping[str, Any] | None
    """How much of the history it sees: `{"max_messages": …, "max_tokens": …, "strategy": …}`."""


class TurnOptions(ModelOptions, total=False):
    """What one turn of a session has otherwise than its agent."""

    provider: str | None
    """Who runs it; left out, the agent's."""
    model: str | None
    """Which model; left out, the agent's."""
    config: Mapping[str, Any] | None
    """Further options, handed to the provider as they are."""
    idempotency_key: str | None
    """The same key with the same turn is the same turn, for a day; by default each has a new one."""


class TurnWaitOptions(TurnOptions, WaitOptions, total=False):
    """`TurnOptions`, and how the turn is waited for."""
