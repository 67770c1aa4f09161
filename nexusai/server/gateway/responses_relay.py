"""Responses of a vendor that speaks this API itself: they pass as they come, but for what we keep. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from nexusai.providers.types import RelayRequest
from nexusai.server.gateway.responses_items import for_openai, without_names
from nexusai.server.gateway.responses_stream import wire
from nexusai.server.responses.models import Item

__all__ = ["Passage", "relay_request"]

_OURS: Final = frozenset({"background", "conversation", "previous_response_id", "store"})
"""Fields about what is kept: nobody but the platform keeps anything."""
_EVENT: Final = re.compile(rb"(.+?)(?:\n\r?\n|\r\r)", re.DOTALL)
_NUMBER: Final = re.compile(rb'"sequence_number":\s*(\d+)')
_TOLD: Final = re.compile(
    rb'"type":\s*"response\.(created|queued|in_progress|completed|incomplete|output_item\.done)"'
)
_OVER: Final = ("response.completed", "response.incomplete")


def relay_request(
    passing: RelayRequest, asked: str | Sequence[Item], before: Sequence[Item], items: Sequence[Item]
) -> RelayRequest:
    """`asked` is the input as it came, and passes so where it is all; `items` are what it stands for."""
    fields = {name: value for name, value in passing.fields.items() if name not in _OURS}
    sent = for_openai([*without_names(before), *items])
    if before or (sent != asked and not isinstance(asked, str)):
        fields["input"] = orjson.dumps(sent)
    return replace(passing, fields={**fields, "store": b"false"})


class Passage:
    """A stream that passes: `ours` is what the response says of itself in place of the vendor's words."""

    def __init__(self, ours: Mapping[str, Any], model: str) -> None:
        self.response: dict[str, Any] = {"object": "response", "model": model, **ours}
        """Whole once it is over."""
        self.is_over: bool = False
        self._ours, self._model = ours, model
        self._output: list[Item] = []
        self._last: dict[str, Any] = {"sequence_number": -1}

    def read(self, data: bytes) -> Iterator[bytes]:
        """Events to pass on: all but the last, which `end` gives."""
        for found in _EVENT.finditer(data):
            if not self.is_over and (number := _NUMBER.search(found[1])):
                self._last = {"sequence_number": int(number[1])}
            event = _read(found[1]) if _TOLD.search(found[1]) else {}
            if event.get("type") == "response.output_item.done":
                self._output.append(event["item"])
            if not isinstance(event.get("response"), dict):
                yield found[0]
                continue
            self.response = event["response"] = {"model": self._model, **event["response"], **self._ours}
            if event["type"] in _OVER:
                self.is_over, self._last = True, event
            else:
                yield wire(event)

    def end(self) -> bytes:
        """The last event of a response that is over."""
        return wire({**self._last, "response": self.response})

    def fail(self, code: str | None, message: str) -> Iterator[dict[str, Any]]:
        """The end of a response that broke, as `EventWriter` has it."""
        number, error = self._last["sequence_number"], {"code": code, "message": message}
        self.response |= {"status": "failed", "error": error, "output": self._output}
        response = dict(self.response)
        yield {"type": "response.failed", "sequence_number": number + 1, "response": response}
        told = {"type": "server_error", "param": None, **error}
        yield {"type": "error", "sequence_number": number + 2, "param": None, **error, "error": told}


def _read(event: bytes) -> dict[str, Any]:
    lines = event.splitlines()
    found: dict[str, Any] = orjson.loads(b"".join(line[5:] for line in lines if line.startswith(b"data:")))
    return found
