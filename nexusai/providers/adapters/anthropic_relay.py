"""What is read of the Messages API's answers that pass as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexusai.providers.adapters.anthropic_errors import error_of
from nexusai.providers.adapters.anthropic_stream import finish_reason, usage_of
from nexusai.providers.adapters.openai_wire import failure
from nexusai.providers.adapters.reading import count_of, text_of
from nexusai.providers.adapters.relay import estimated
from nexusai.providers.config import ProviderConfig
from nexusai.providers.types import FinishReason, RelayRequest, Usage

__all__ = ["MessageTap", "message_facts"]


def message_facts(
    config: ProviderConfig, request: RelayRequest, body: Mapping[str, Any]
) -> tuple[Usage, FinishReason | None]:
    blocks = body["content"]
    called = any(block["type"] == "tool_use" for block in blocks)
    usage = usage_of(body.get("usage"))
    if usage is None:
        usage = estimated(request, "".join(block.get("text") or "" for block in blocks))
    return usage, finish_reason(body.get("stop_reason"), called=called, answered=False)


class MessageTap:
    """`done` once the vendor said `message_stop`."""

    def __init__(self, config: ProviderConfig, request: RelayRequest) -> None:
        self.done: bool = False
        self.model: str | None = None
        self.id: str | None = None
        self.finish_reason: FinishReason | None = None
        self._config = config
        self._request = request
        self._counted: dict[str, Any] = {}

    def read(self, event: Mapping[str, Any]) -> str | None:
        kind = event.get("type")
        if kind == "content_block_delta":
            delta = event["delta"]
            said = delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
            return said if isinstance(said, str) else ""
        if kind == "error" or (kind is None and event.get("error")):
            raise error_of(self._config, self._request.model, 200, {}, event)
        if kind == "message_start":
            message = event["message"]
            self.model, self.id = text_of(message.get("model")), text_of(message.get("id"))
            self._count(message.get("usage"))
        elif kind == "message_delta":
            self._count(event.get("usage"))
            if reason := event["delta"].get("stop_reason"):
                self.finish_reason = finish_reason(reason, called=False, answered=False)
        elif kind == "message_stop":  # after which some say [DONE] as well
            self.done = True
        return ""

    def end(self) -> tuple[Usage | None, bytes]:
        if not self.done:
            what = "ended the stream early, without message_stop"
            raise failure(self._config, self._request.model, what)
        return usage_of(self._counted), b""

    def _count(self, usage: Any) -> None:
        """Counts are of the whole answer so far: none of them ever falls."""
        for name, found in usage.items() if isinstance(usage, Mapping) else ():
            count = count_of(found)
            if isinstance(found, Mapping) or (count is not None and count > self._counted.get(name, -1)):
                self._counted[name] = found if count is None else count
