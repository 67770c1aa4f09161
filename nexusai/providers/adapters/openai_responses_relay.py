"""What is read of the Responses API's answers that pass as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nexusai.providers.adapters.openai_responses import (
    ENCRYPTED,
    error_in,
    finish_of,
    response_of,
    usage_of,
)
from nexusai.providers.adapters.openai_wire import failure, post_bytes
from nexusai.providers.adapters.reading import text_of
from nexusai.providers.adapters.relay import DONE, body_of, estimated, field_of, relaying
from nexusai.providers.adapters.vendors import is_reasoning
from nexusai.providers.config import ProviderConfig
from nexusai.providers.flow import Operation
from nexusai.providers.transport import HttpRequest
from nexusai.providers.types import FinishReason, RelayRequest, RelayResponse, Usage

__all__ = ["RESPONSES", "ResponsesTap", "build_relay", "response_facts"]

_OVER: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


def build_relay(config: ProviderConfig, request: RelayRequest) -> HttpRequest:
    """A request to the Responses API in its own words.

    A model that thinks is asked for its thoughts where nothing is kept: only then can they be given back.
    """
    put, asked = {}, field_of(request, "include") or []
    if is_reasoning(request.model) and request.fields.get("store") == b"false" and isinstance(asked, list):
        put = {"include": asked if ENCRYPTED in asked else [*asked, ENCRYPTED]}
    return post_bytes(config, request.model, "/responses", body_of(request, **put))


def response_facts(
    config: ProviderConfig, request: RelayRequest, body: Mapping[str, Any]
) -> tuple[Usage, FinishReason | None]:
    called = any(item.get("type") == "function_call" for item in body["output"])
    return usage_of(body) or estimated(request, ""), finish_of(config, request.model, body, called=called)


class ResponsesTap:
    """`done` once the response is over, well or not."""

    def __init__(self, config: ProviderConfig, request: RelayRequest) -> None:
        self.done: bool = False
        self.model: str | None = None
        self.id: str | None = None
        self.finish_reason: FinishReason | None = None
        self._config = config
        self._request = request
        self._called = False
        self._usage: Usage | None = None

    def read(self, event: Mapping[str, Any]) -> str | None:
        kind = event.get("type")
        if DONE in event:  # which gateways send after all
            return ""
        if kind == "error" or event.get("error"):
            raise error_in(self._config, self._request.model, event.get("error") or event)
        response = event.get("response")
        if isinstance(response, Mapping):
            self._opened_or_over(kind, response)
        elif kind == "response.output_item.added":
            self._called = self._called or event["item"].get("type") == "function_call"
        delta = event.get("delta")
        return delta if isinstance(delta, str) else ""

    def end(self) -> tuple[Usage | None, bytes]:
        if not self.done:
            raise failure(self._config, self._request.model, "ended the stream early, with the response open")
        return self._usage, b""

    def _opened_or_over(self, kind: Any, response: Mapping[str, Any]) -> None:
        self.model = text_of(response.get("model")) or self.model
        self.id = text_of(response.get("id")) or self.id
        if kind in _OVER:
            self._usage = usage_of(response)
            self.finish_reason = finish_of(self._config, self._request.model, response, called=self._called)
            self.done = True


RESPONSES: Final[Operation[RelayRequest, RelayResponse | None]] = relaying(
    build_relay, response_of, response_facts, ResponsesTap
)
