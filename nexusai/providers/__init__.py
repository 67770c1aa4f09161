"""Every model behind one vocabulary. Works alone: a vendor's key is all that it needs.

    from nexusai.providers import AsyncClient

    async with AsyncClient("openai", api_key="…") as client:
        answer = await client.chat(model="gpt-4o-mini", messages="你好")

Names are loaded when they are first used, so importing this loads no HTTP library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexusai.providers.client import AsyncClient, HttpProvider, open_provider
    from nexusai.providers.config import ProviderConfig, config_for, configured
    from nexusai.providers.errors import (
        AdapterError,
        AuthenticationError,
        CapabilityError,
        ContentFilterError,
        ContextWindowError,
        RateLimitError,
        RetryableError,
        TimeoutError,
        ValidationError,
    )
    from nexusai.providers.reliability.retry import RetryPolicy
    from nexusai.providers.tokens import estimate_message_tokens, estimate_tokens
    from nexusai.providers.transport import HttpRequest, HttpResponse, HttpStream, Transport
    from nexusai.providers.transport_httpx import HttpxTransport
    from nexusai.providers.types import (
        Capability,
        ChatRequest,
        ChatResponse,
        Cost,
        FinishReason,
        GeneratedImage,
        ImageRequest,
        ImageResponse,
        Message,
        Provider,
        SpeechRequest,
        SpeechResponse,
        StreamChunk,
        Usage,
    )

__all__ = [
    "AdapterError",
    "AsyncClient",
    "AuthenticationError",
    "Capability",
    "CapabilityError",
    "ChatRequest",
    "ChatResponse",
    "ContentFilterError",
    "ContextWindowError",
    "Cost",
    "FinishReason",
    "GeneratedImage",
    "HttpProvider",
    "HttpRequest",
    "HttpResponse",
    "HttpStream",
    "HttpxTransport",
    "ImageRequest",
    "ImageResponse",
    "Message",
    "Provider",
    "ProviderConfig",
    "RateLimitError",
    "RetryPolicy",
    "RetryableError",
    "SpeechRequest",
    "SpeechResponse",
    "StreamChunk",
    "TimeoutError",
    "Transport",
    "Usage",
    "ValidationError",
    "config_for",
    "configured",
    "estimate_message_tokens",
    "estimate_tokens",
    "open_provider",
]

_MODULES = (
    "types",
    "errors",
    "tokens",
    "transport",
    "config",
    "reliability.retry",
    "client",
    "transport_httpx",
)
"""Where the names are, cheapest to import first."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in (import_module(f"{__name__}.{module}") for module in _MODULES):
            if name in module.__all__:
                return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
