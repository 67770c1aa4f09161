"""Which part of a conversation the model gets to see. Pure: messages in, positions out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from nexusai.providers.models import Model
from nexusai.providers.tokens import estimate_message_tokens, estimate_tokens
from nexusai.providers.types import Message
from nexusai.server.sessions.models import Context

__all__ = ["Limits", "cut", "fitting", "limits", "pending_calls", "repaired", "transcript"]

LAST_MESSAGES: Final = 20
"""What `last_n` keeps when no number is given."""

UNKNOWN_WINDOW: Final = 32_768
"""Tokens that a model is taken to have room for when nobody knows."""

_LEAST_ROOM: Final = 256


class Limits(NamedTuple):
    """Of the messages that the model sees; the system prompt is not counted among them."""

    messages: int | None
    tokens: int

    @property
    def halved(self) -> Limits:
        """Room to grow, so that a summary is not due again with the next turn."""
        return Limits(self.messages and max(1, self.messages // 2), self.tokens // 2)


def limits(context: Context | None, model: Model | None, reply: int | None, fixed: int) -> Limits:
    """For a model whose answer may have `reply` tokens, and whose instructions and tools take `fixed`.

    An estimate may be a tenth too low: as much of the window stays free.
    """
    context = context or Context()
    window = (model and model.context_window) or UNKNOWN_WINDOW
    longest = window // 4 if model is None else min(window // 4, model.max_output_tokens or window)
    room = max(window * 10 // 11 - min(reply or longest, window // 2) - fixed, _LEAST_ROOM)
    wanted = context.max_messages or (LAST_MESSAGES if context.strategy == "last_n" else None)
    return Limits(wanted, min(room, context.max_tokens or room))


def cut(messages: Sequence[Message], within: Limits) -> int:
    """How many of the oldest messages stay out.

    The cut falls before a message of the user, so that no tool call loses its result, and the current
    exchange, from the last such message on, is always whole.
    """
    starts = [number for number, message in enumerate(messages) if message["role"] == "user"] or [0]
    kept, count, tokens = starts[-1], 0, 0
    end = len(messages)
    for start in reversed([0, *starts[1:]]):
        count += end - start
        tokens += estimate_message_tokens(messages[start:end])
        if start < kept and (tokens > within.tokens or count > (within.messages or count)):
            break
        kept, end = min(start, kept), start
    return kept


def fitting(texts: Sequence[str], tokens: int) -> int:
    """How many of the first texts have room, one at least."""
    for number, text in enumerate(texts):
        tokens -= estimate_tokens(text)
        if tokens < 0:
            return max(number, 1)
    return len(texts)


def pending_calls(messages: Sequence[Message]) -> list[str]:
    """The ids of the tool calls at the end of a conversation that wait for their results."""
    answered: set[str] = set()
    for message in reversed(messages):
        if message["role"] != "tool":
            calls = message.get("tool_calls") or ()
            return [call["id"] for call in calls if call.get("id") and call["id"] not in answered]
        answered.add(message["tool_call_id"])
    return []


def repaired(messages: Sequence[Message]) -> list[Message]:
    """The conversation with every tool call answered and every result called for: vendors refuse others."""
    whole: list[Message] = []
    for message, results in _answered(messages):
        calls = message.get("tool_calls") or ()
        asked = {call.get("id") for call in calls}
        results = [result for result in results if result["tool_call_id"] in asked]
        given = {result["tool_call_id"] for result in results}
        left = [call for call in calls if call.get("id") in given]
        if len(left) < len(calls):
            message = {name: message[name] for name in ("role", "content")} | (
                {"tool_calls": left} if left else {}
            )
            if not left and not message["content"]:
                continue
        whole += [message, *results]
    return whole


def _answered(messages: Sequence[Message]) -> Iterator[tuple[Message, list[Message]]]:
    """Each message with the results of tools that come right after it."""
    starts = [number for number, message in enumerate(messages) if message["role"] != "tool"]
    for start, end in zip(starts, [*starts[1:], len(messages)], strict=True):
        yield messages[start], list(messages[start + 1 : end])


def transcript(messages: Sequence[Message], tokens: int) -> str:
    """A conversation as text, one message a paragraph; of one that is too long the end."""
    lines = [f"{str(message['role']).capitalize()}: {_words(message)}" for message in messages]
    text = "\n\n".join(lines)
    length = estimate_tokens(text)
    return text if length <= tokens else text[-max(len(text) * tokens // length, 1) :]


def _words(message: Message) -> str:
    calls = [call.get("function") or {} for call in message.get("tool_calls") or ()]
    called = [f"(calls {call.get('name')} with {call.get('arguments')})" for call in calls]
    return " ".join([*([message["content"]] if message.get("content") else []), *called])
