"""Azure OpenAI: OpenAI's APIs at a resource's own address, where a model is the name of a deployment.

Without an `api_version` requests go to the v1 API (`/openai/v1`), which needs none; with a dated one to the
older API, whose paths name the deployment. Written from Microsoft's reference of the data plane.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit

from nexusai.providers.adapters.adapter import Adapter
from nexusai.providers.adapters.openai_compatible import (
    build_chat,
    build_embeddings,
    build_images,
    build_speech,
    build_stream,
    build_transcription,
    parse_chat,
    parse_embeddings,
    parse_error,
    parse_speech,
    parse_transcription,
)
from nexusai.providers.adapters.openai_media import pictures, speech_streamed
from nexusai.providers.adapters.openai_relay import (
    ChatTap,
    build_relay,
    chat_facts,
    embedding_facts,
    understood,
)
from nexusai.providers.adapters.openai_stream import ChatStream
from nexusai.providers.adapters.openai_wire import object_of
from nexusai.providers.adapters.relay import relaying
from nexusai.providers.config import ProviderConfig
from nexusai.providers.flow import exchange, streaming
from nexusai.providers.transport import HttpRequest
from nexusai.providers.types import (
    ChatRequest,
    EmbeddingRequest,
    ImageRequest,
    RelayRequest,
    SpeechRequest,
    TranscriptionRequest,
)

__all__ = ["ADAPTER"]

Request = TypeVar(
    "Request",
    ChatRequest,
    EmbeddingRequest,
    ImageRequest,
    RelayRequest,
    SpeechRequest,
    TranscriptionRequest,
)


def _at_azure(
    build: Callable[[ProviderConfig, Request], HttpRequest],
) -> Callable[[ProviderConfig, Request], HttpRequest]:
    def built(config: ProviderConfig, request: Request) -> HttpRequest:
        sent = build(replace(config, base_url=""), request)
        headers = {name: value for name, value in sent.headers.items() if name != "authorization"}
        if config.api_key:
            headers["api-key"] = config.api_key
        return replace(sent, url=_address(config, request.model, sent.url), headers=headers)

    return built


def _address(config: ProviderConfig, deployment: str, path: str) -> str:
    """The endpoint may be given with or without `/openai` and what follows it."""
    endpoint = urlsplit(config.base_url or "")
    root = f"{endpoint.scheme}://{endpoint.netloc}{endpoint.path.partition('/openai')[0]}/openai"
    version = config.options.get("api_version", "v1")
    if not re.match(r"\d{4}-", version):
        return f"{root}/v1{path}" + ("" if version == "v1" else f"?api-version={quote(version)}")
    return f"{root}/deployments/{quote(deployment, safe='')}{path}?api-version={quote(version)}"


ADAPTER: Final = Adapter(
    chat=exchange(_at_azure(build_chat), parse_chat),
    stream=streaming(_at_azure(build_stream), ChatStream, parse_chat),
    images=pictures(_at_azure(build_images)),
    speech=exchange(_at_azure(build_speech), parse_speech),
    speech_stream=speech_streamed(_at_azure(build_speech)),
    transcription=exchange(_at_azure(build_transcription), parse_transcription),
    embeddings=exchange(_at_azure(build_embeddings), parse_embeddings),
    relays={
        "chat": relaying(_at_azure(build_relay), object_of, chat_facts, ChatTap),
        "embeddings": relaying(_at_azure(build_relay), object_of, embedding_facts),
    },
    understood=understood,
    parse_error=parse_error,
)
