"""What callers pass: the words of the contract, and the options of each call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Literal, TypeAlias, TypedDict

__all__ = [
    "AspectRatio",
    "ClientOptions",
    "FileInput",
    "ImageOptions",
    "InvokeOptions",
    "Message",
    "ReasoningEffort",
    "SpeechOptions",
    "TaskType",
    "TextOptions",
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
AspectRatio: TypeAlias = Literal["1:1", "16:9", "9:16", "4:3", "3:4", "21:9"]
ReasoningEffort: TypeAlias = Literal["minimal", "low", "medium", "high"]

Message: TypeAlias = Mapping[str, Any]
"""`{"role": "system" | "user" | "assistant" | "tool", "content": str | [parts]}`."""

_Content: TypeAlias = bytes | BinaryIO

FileInput: TypeAlias = str | os.PathLike[str] | _Content | tuple[str, _Content] | tuple[str, _Content, str]
"""A path, the bytes themselves, an open binary file, or `(name, bytes or file[, content type])`."""


class ClientOptions(TypedDict, total=False):
    """What a client can be told; each has an environment variable `NEXUS_…` of its name."""

    api_key: str | None
    base_url: str | None
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


class InvokeOptions(TypedDict, total=False):
    """What every task takes. An option that is `None` is left out."""

    provider: str | None
    """Who runs it; left out, the platform chooses."""
    model: str | None
    metadata: Mapping[str, str] | None
    """Your own labels; `tasks.list(metadata=…)` finds the task by them."""
    priority: int | None
    task_timeout: float | None
    """Seconds after which the platform gives the task up (`timeout` is how long the call waits)."""
    webhook: Mapping[str, Any] | None
    """`{"url": …, "events": […]}`, on a platform that has webhooks; one that has none refuses it."""
    config: Mapping[str, Any] | None
    """Further options, handed to the provider as they are."""


class TextOptions(InvokeOptions, total=False):
    """What a text takes besides its prompt."""

    messages: Sequence[Message] | None
    """A conversation, in place of the prompt."""
    system: str | None
    temperature: float | None
    """0 (the likeliest words) to 2."""
    top_p: float | None
    max_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    response_format: Mapping[str, Any] | None
    reasoning_effort: ReasoningEffort | None


class ImageOptions(InvokeOptions, total=False):
    """What a picture takes besides its prompt."""

    size: str | None
    """`"1024x768"`, in pixels."""
    aspect_ratio: AspectRatio | None
    quality: str | None
    format: str | None
    """`"png"`, `"jpeg"`, `"webp"`."""
    seed: int | None


class SpeechOptions(InvokeOptions, total=False):
    """What speech takes besides its text."""

    voice: str | None
    format: str | None
    """`"wav"`, `"mp3"` …"""
    speed: float | None
    """1.0 is the voice's own pace."""
