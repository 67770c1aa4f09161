"""What both clients know: how arguments become requests, and requests flows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from nexusai.error import ConfigurationError
from nexusai.providers.calls import Calls
from nexusai.providers.config import ProviderConfig, config_for, configured
from nexusai.providers.costs import CostTracker
from nexusai.providers.endpoint import Endpoint, OperationName
from nexusai.providers.errors import AdapterError, ValidationError
from nexusai.providers.flow import Flow
from nexusai.providers.structured import CODE_TOOL, Code, code_in, model_in, schema_of
from nexusai.providers.tokens import TokenCount, count_tokens, fit_max_tokens
from nexusai.providers.transport import Transport
from nexusai.providers.types import (
    Capability,
    ChatRequest,
    EmbeddingRequest,
    EmbeddingResponse,
    ImageRequest,
    ImageResponse,
    Message,
    ModerationRequest,
    ModerationResponse,
    SpeechRequest,
    SpeechResponse,
    TranscriptionRequest,
    TranscriptionResponse,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["BaseClient", "Prompt", "default_transport", "endpoints_for"]

M = TypeVar("M", bound="BaseModel")
Prompt: TypeAlias = "str | Sequence[Message]"

_CALL_OPTIONS: Final = ("tags", "session", "timeout")
_NO_SUCH_ROUTE: Final = (404, 405, 501)
_CODE_INSTRUCTION: Final = "Answer with one fenced code block and nothing else."


def endpoints_for(
    provider: str | None,
    providers: Mapping[str, ProviderConfig] | None,
    api_key: str | None,
    base_url: str | None,
    settings: Mapping[str, Any],
) -> dict[str, Endpoint]:
    """One provider by name, the ones given, or all that the environment switches on.

    Raises `ConfigurationError` when there is none, or something of one is missing.
    """
    if providers is not None:
        configs = dict(providers)
    elif provider is not None:
        configs = {provider: config_for(provider, os.environ, api_key=api_key, base_url=base_url, **settings)}
    else:
        configs = configured(os.environ)
    if not configs:
        raise ConfigurationError(
            'No provider is configured: name one, Client("openai", api_key="…"), or set a key such as '
            "OPENAI_API_KEY, ANTHROPIC_API_KEY or DEEPSEEK_API_KEY."
        )
    return {name: Endpoint.of(config, name) for name, config in configs.items()}


def default_transport() -> Transport:
    """Over httptools or aiohttp where they are installed, which take less processor time than httpx."""
    if find_spec("aiohttp") is not None and find_spec("httptools") is not None:
        from nexusai.providers.transport_httptools import HttptoolsTransport

        return HttptoolsTransport()
    if find_spec("aiohttp") is not None:
        from nexusai.providers.transport_aiohttp import AiohttpTransport

        return AiohttpTransport()
    from nexusai.providers.transport_httpx import HttpxTransport

    return HttpxTransport()


class BaseClient:
    """What both clients know: the calls, and how arguments become requests."""

    def __init__(self, calls: Calls, costs: CostTracker) -> None:
        self._calls = calls
        self._costs = costs

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.providers)})"

    @property
    def costs(self) -> CostTracker:
        """What the calls of this client have cost so far, by model and by tag."""
        return self._costs

    @property
    def providers(self) -> list[str]:
        """The names of the providers that are configured, most preferred first."""
        return list(self._calls.endpoints)

    def _flow(
        self,
        operation: OperationName,
        kind: type[Any],
        capability: Capability,
        model: str | None,
        options: Mapping[str, Any],
    ) -> Flow[Any]:
        """`options` are fields of the request and of the call; others go to the vendor as they are."""
        given = dict(options)
        call = {name: given.pop(name) for name in _CALL_OPTIONS if name in given}
        known = {field.name for field in fields(kind)} - {"model", "extra"}
        request = {name: given.pop(name) for name in known & given.keys()}
        extra = {**given.pop("extra", {}), **given}
        made = kind(model=model or self._default_model(capability), **request, extra=extra)
        return self._calls.call(operation, made, **call)

    def _chat(
        self, messages: Prompt, model: str | None, options: Mapping[str, Any], *, stream: bool = False
    ) -> Flow[Any]:
        given = dict(options)
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        model = model or self._default_model("chat")
        if given.pop("fit_max_tokens", False):
            given["max_tokens"] = fit_max_tokens(
                messages, self._calls.first(model).model, given.get("max_tokens")
            )
        given["messages"] = messages
        return self._flow("stream" if stream else "chat", ChatRequest, "chat", model, given)

    def _pictures(self, prompt: str, model: str | None, options: Mapping[str, Any]) -> Flow[ImageResponse]:
        wanted: Capability = "image_edit" if options.get("images") else "images"
        return self._flow("images", ImageRequest, wanted, model, {**options, "prompt": prompt})

    def _speech(self, text: str, model: str | None, options: Mapping[str, Any]) -> Flow[SpeechResponse]:
        return self._flow("speech", SpeechRequest, "speech", model, {**options, "text": text})

    def _transcription(
        self, audio: bytes, model: str | None, options: Mapping[str, Any]
    ) -> Flow[TranscriptionResponse]:
        given = {**options, "audio": audio}
        return self._flow("transcription", TranscriptionRequest, "transcription", model, given)

    def _vectors(
        self, texts: Sequence[str], model: str | None, options: Mapping[str, Any]
    ) -> Flow[EmbeddingResponse]:
        return self._flow("embeddings", EmbeddingRequest, "embeddings", model, {**options, "texts": texts})

    def _judgements(
        self, texts: Sequence[str], model: str | None, options: Mapping[str, Any]
    ) -> Flow[ModerationResponse]:
        return self._flow("moderation", ModerationRequest, "moderation", model, {**options, "texts": texts})

    def _counted(self, messages: Prompt, model: str | None) -> Flow[TokenCount]:
        """By the vendor where it offers that, else here."""
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        model = model or self._default_model("chat")
        target = self._calls.first(model)
        if self._calls.endpoints[target.provider].adapter.count_tokens is not None:
            try:
                tokens = yield from self._calls.call("count_tokens", ChatRequest(model, messages))
                return TokenCount(tokens, "provider")
            except AdapterError as error:
                if error.status not in _NO_SUCH_ROUTE:  # a proxy before the vendor may not have it
                    raise
        return count_tokens(messages, target.model)

    def _coded(self, messages: Prompt, model: str | None, options: Mapping[str, Any]) -> Flow[Code]:
        model = model or self._default_model("chat")
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if "tools" in self._calls.endpoints[self._calls.first(model).provider].capabilities:
            choice = {"type": "function", "function": {"name": "write_code"}}
            options = {**options, "tools": [CODE_TOOL], "tool_choice": choice}
        else:
            messages = [{"role": "system", "content": _CODE_INSTRUCTION}, *messages]
        return code_in((yield from self._chat(messages, model, options)))

    def _parsed(
        self, messages: Prompt, response_model: type[M], model: str | None, options: Mapping[str, Any]
    ) -> Flow[M]:
        asked = {**options, "response_format": schema_of(response_model)}
        return model_in(response_model, (yield from self._chat(messages, model, asked)))

    def _default_model(self, capability: Capability) -> str:
        for name, endpoint in self._calls.endpoints.items():
            if model := endpoint.default_model(capability):
                return f"{name}/{model}"
        raise ValidationError(
            f"name a model: {', '.join(self._calls.endpoints)} has no default one for {capability}"
        )
