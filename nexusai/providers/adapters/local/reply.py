"""What a local chat model is about to say: decided, not yet waited for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nexusai.providers.errors import AdapterError
from nexusai.providers.types import FinishReason, Usage

__all__ = ["Reply"]


@dataclass(frozen=True, slots=True)
class Reply:
    """`latency` is seconds before the first word, `interval` seconds for each; `error` replaces the words."""

    content: str
    finish_reason: FinishReason
    usage: Usage
    extra: Mapping[str, Any] = field(default_factory=lambda: {"demo": True})
    latency: float = 0.0
    interval: float = 0.0
    error: AdapterError | None = None
