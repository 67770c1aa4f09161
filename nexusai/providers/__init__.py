"""Every model behind one vocabulary. Works alone: a vendor's key is all that it needs.

    from nexusai.providers import Client

    client = Client("anthropic", api_key="…")
    answer = client.chat(model="claude-sonnet-4-5", messages="你好")

Names are loaded when they are first used, so importing this loads no HTTP library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexusai.providers.adapters.adapter import Adapter
    from nexusai.providers.adapters.vendor import Vendor
    from nexusai.providers.client import AsyncClient, Client
    from nexusai.providers.config import ProviderConfig, config_for, configured, load_config
    from nexusai.providers.costs import CostTracker
    from nexusai.providers.errors import (
        AdapterError,
        AuthenticationError,
        BudgetExceededError,
        CapabilityError,
        CircuitOpenError,
        ContentFilterError,
        ContextWindowError,
        RateLimitError,
        RetryableError,
        TimeoutError,
        ValidationError,
    )
    from nexusai.providers.pricing import Prices
    from nexusai.providers.provider import AsyncProvider, open_provider, open_providers
    from nexusai.providers.record import CallRecord
    from nexusai.providers.reliability.breaker import CircuitBreaker
    from nexusai.providers.reliability.limiter import RateLimit
    from nexusai.providers.reliability.retry import RetryPolicy
    from nexusai.providers.reliability.router import Deployment, Route, Router
    from nexusai.providers.structured import Code
    from nexusai.providers.telemetry import LogHook, OpenTelemetryHook
    from nexusai.providers.tokens import (
        TokenCount,
        count_tokens,
        estimate_message_tokens,
        estimate_tokens,
        fit_max_tokens,
    )
    from nexusai.providers.trace import upstream_headers
    from nexusai.providers.transport import HttpRequest, HttpResponse, HttpStream, SyncTransport, Transport
    from nexusai.providers.transport_aiohttp import AiohttpTransport
    from nexusai.providers.transport_http import HttpTransport
    from nexusai.providers.transport_httptools import HttptoolsTransport
    from nexusai.providers.transport_httpx import HttpxTransport
    from nexusai.providers.types import (
        Capability,
        ChatRequest,
        ChatResponse,
        Cost,
        EmbeddingRequest,
        EmbeddingResponse,
        FinishReason,
        GeneratedImage,
        ImageRequest,
        ImageResponse,
        Judgement,
        Message,
        ModerationRequest,
        ModerationResponse,
        Provider,
        Segment,
        SpeechRequest,
        SpeechResponse,
        StreamChunk,
        TranscriptionRequest,
        TranscriptionResponse,
        Usage,
    )

__all__ = [
    "Adapter",
    "AdapterError",
    "AiohttpTransport",
    "AsyncClient",
    "AsyncProvider",
    "AuthenticationError",
    "BudgetExceededError",
    "CallRecord",
    "Capability",
    "CapabilityError",
    "ChatRequest",
    "ChatResponse",
    "CircuitBreaker",
    "CircuitOpenError",
    "Client",
    "Code",
    "ContentFilterError",
    "ContextWindowError",
    "Cost",
    "CostTracker",
    "Deployment",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "FinishReason",
    "GeneratedImage",
    "HttpRequest",
    "HttpResponse",
    "HttpStream",
    "HttpTransport",
    "HttptoolsTransport",
    "HttpxTransport",
    "ImageRequest",
    "ImageResponse",
    "Judgement",
    "LogHook",
    "Message",
    "ModerationRequest",
    "ModerationResponse",
    "OpenTelemetryHook",
    "Prices",
    "Provider",
    "ProviderConfig",
    "RateLimit",
    "RateLimitError",
    "RetryPolicy",
    "RetryableError",
    "Route",
    "Router",
    "Segment",
    "SpeechRequest",
    "SpeechResponse",
    "StreamChunk",
    "SyncTransport",
    "TimeoutError",
    "TokenCount",
    "TranscriptionRequest",
    "TranscriptionResponse",
    "Transport",
    "Usage",
    "ValidationError",
    "Vendor",
    "config_for",
    "configured",
    "count_tokens",
    "estimate_message_tokens",
    "estimate_tokens",
    "fit_max_tokens",
    "load_config",
    "open_provider",
    "open_providers",
    "upstream_headers",
]

_MODULES = (
    "types",
    "errors",
    "transport",
    "config",
    "tokens",
    "reliability.retry",
    "reliability.breaker",
    "reliability.limiter",
    "reliability.router",
    "pricing",
    "costs",
    "structured",
    "adapters.vendor",
    "adapters.adapter",
    "record",
    "provider",
    "client",
    "trace",
    "telemetry",
    "transport_http",
    "transport_httpx",
    "transport_aiohttp",
    "transport_httptools",
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
