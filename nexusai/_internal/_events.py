"""What is known of a stream of events. Pure: it reads bytes, and knows how to go on when they break off."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

from pydantic_core import from_json

from nexusai._internal._flow import EVENT_STREAM, Call, at
from nexusai._internal._poller import ended_badly
from nexusai._internal._retry import pause_before
from nexusai._internal._streaming import ServerSentEvent, SSEDecoder
from nexusai.error import (
    CODES,
    APIConnectionError,
    APIError,
    APITimeoutError,
    StreamError,
    TaskTimeoutError,
    class_for_status,
)
from nexusai.models import Task, TaskFailure

__all__ = ["EVENTS", "EventState"]

E = TypeVar("E")

EVENTS = {"Accept": EVENT_STREAM}


class EventState(ABC, Generic[E]):
    """What is known of one stream. It reads bytes, and says what to ask for next when the bytes run out.

    `opening` is the request that opens it. `idle` is the longest silence in seconds: of events, since
    comments only show that the line is up.
    """

    def __init__(self, opening: Call, *, retries: int, idle: float) -> None:
        self.finished: bool = False  # well or badly
        self.task_id: str | None = None
        self.opening = opening
        self._retries = retries
        self._idle = idle
        self._decoder = SSEDecoder()
        self._heard = 0.0
        self._begun = False
        self._last_event_id: str | None = None
        self._place = -1  # that id as a number
        self._placed = False  # whether the last event has an id of its own, so that others come after it
        self._resumed_after = -1
        self._fruitless = 0
        self._whole = False

    @abstractmethod
    def _message(self, event: ServerSentEvent) -> E | None:
        """What an event means to whoever reads the stream."""

    def _ended(self, failure: APIError) -> E | None:
        """What an `event: error` means: `failure`, which ends the stream."""
        raise failure

    @abstractmethod
    def _task(self, status: str, failure: TaskFailure | None = None) -> Task:
        """What is known of the task behind the stream."""

    def connect(self, now: float) -> Call:
        """The request that opens the stream, or opens it again after the last event that arrived."""
        self._decoder = SSEDecoder()
        self._heard = now
        if not self._begun or self.task_id is None:
            return self.opening
        self._resumed_after = self._place
        resume = {"Last-Event-ID": str(self._last_event_id)}
        path = at("tasks", self.task_id, "events")
        return Call("GET", path, headers={**EVENTS, **resume}, timeout=self._idle, retry=False)

    def read(self, data: bytes, now: float) -> Iterator[E]:
        """What `data` completes. Raises the error that the stream tells of, or that it is idle."""
        try:
            events = self._decoder.feed(data)
        except ValueError as error:
            raise self._end(StreamError(f"The stream cannot be read: {error}.")) from None
        if events:
            self._heard, self._begun = now, True
        elif now - self._heard > self._idle:
            raise self._end(self._silent())
        for event in events:
            place = _number(event.id)
            if 0 <= place <= self._resumed_after:
                continue  # a platform that starts over in place of resuming
            self._placed = place > self._place
            self._place, self._last_event_id = place, event.id
            self._fruitless = 0
            if event.event == "message" and event.data != "[DONE]":
                message = self._message(event)
            else:
                message = self._special(event)
            if message is not None:
                yield message

    def broke(self, error: APIError | None) -> float:
        """Seconds to wait before `connect`, after an error or an end that came too early.

        Raises when there is no going on: what ended the stream, or `StreamError`.
        """
        if error is not None and (self.finished or not self._begun):
            raise error
        if isinstance(error, APITimeoutError):
            raise self._end(self._silent()) from None
        self._fruitless += 1
        pause = None
        if self.task_id is not None and (self._placed or not self._begun):
            reason = error or APIConnectionError("", retryable=True)
            chance = random.uniform(0.5, 1.0)
            pause = pause_before(self._fruitless, reason, most=self._retries, left=math.inf, chance=chance)
        if pause is None:
            raise self._end(self._cut_off()) from error
        return pause

    def _special(self, event: ServerSentEvent) -> E | None:
        if event.event == "error":
            return self._ended(self._end(self._failure(event.data)))
        if event.event == "message" and event.data == "[DONE]":
            self.finished = self._whole = True
            return None
        return self._message(event)

    def _end(self, error: APIError) -> APIError:
        self.finished = True
        return error

    def _failure(self, data: str) -> APIError:
        """What an `event: error` says."""
        try:
            failure = TaskFailure.model_validate(from_json(data)["error"])
        except (ValueError, LookupError, TypeError):
            failure = TaskFailure(message="The stream ended with an error that it does not describe.")
        known = CODES.get(failure.code or "")
        if known is not None and self.task_id is not None:
            status = "cancelled" if failure.code == "CANCELLED" else "failed"
            return ended_badly(self._task(status, failure))
        kind = StreamError if known is None else class_for_status(known.status)
        message = f"{failure.message}{self._elsewhere()}".lstrip()
        return kind(message, error_code=failure.code, retryable=failure.retryable)

    def _silent(self) -> APIError:
        message = f"The stream had no event for {self._idle:g} s."
        if self.task_id is None:
            return APITimeoutError(message, retryable=True)
        message += (
            f" Its task may yet finish: error.handle.wait(), or client.tasks.wait({self.task_id!r}) in any "
            "process, waits for it."
        )
        return TaskTimeoutError(message, task=self._task("running"), retryable=True)

    def _cut_off(self) -> StreamError:
        message = "The stream ended before its last event, and could not be taken up again."
        return StreamError(message + self._elsewhere(), retryable=True)

    def _elsewhere(self) -> str:
        if self.task_id is None:
            return ""
        return f" client.tasks.wait({self.task_id!r}) has the whole answer once it exists."


def _number(event_id: str | None) -> int:
    """Ids are numbers that increase; -1 for what is none."""
    if event_id and len(event_id) <= 20 and event_id.isdecimal() and event_id.isascii():
        return int(event_id)
    return -1
