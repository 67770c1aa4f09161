"""Text: generated whole, in the background, or as a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nexusai._internal._budget import seconds_of
from nexusai._internal._invoke import invoke_body, listed, mapping, words
from nexusai._internal._parse import parsed, response_format
from nexusai._internal._stream import AsyncTextStream, TextStream
from nexusai._internal._stream_state import StreamState
from nexusai._internal._wait import apart
from nexusai.config import Config
from nexusai.error import InvalidRequestError
from nexusai.models import TextResponse
from nexusai.resources._handle import AsyncTaskHandle, TaskHandle
from nexusai.resources._inputs import with_pictures
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from pydantic import BaseModel
    from typing_extensions import Unpack

    from nexusai.types import TextOptions, TextWaitOptions

__all__ = ["AsyncText", "Text"]

M = TypeVar("M", bound="BaseModel")


def _body(prompt: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    config = dict(options)
    asked = _asked(prompt, config.pop("messages", None))
    images = config.pop("images", None)
    if images is not None:
        said = asked.get("messages") or [{"role": "user", "content": asked["prompt"]}]
        asked = {"messages": with_pictures(said, images)}
    system = config.pop("system", None)
    return invoke_body("text_generation", asked if system is None else {**asked, "system": system}, config)


def _asked(prompt: str | None, messages: Any) -> dict[str, Any]:
    if (prompt is None) is (messages is None):
        found = "neither" if prompt is None else "both"
        raise InvalidRequestError(f"Give a prompt or messages, one of them: there is {found}.")
    if prompt is not None:
        return {"prompt": words("prompt", prompt)}
    said = [mapping(f"messages[{number}]", one) for number, one in enumerate(listed("messages", messages))]
    if not said:
        raise InvalidRequestError("messages is empty: it needs at least what the user says.")
    return {"messages": said}


def _parsing(prompt: str | None, model: type[M], options: Mapping[str, Any]) -> dict[str, Any]:
    if options.get("response_format") is not None:
        raise TypeError("response_format is made of response_model here: give one of them")
    return _body(prompt, {**options, "response_format": response_format(model)})


def _stream(
    prompt: str | None, options: Mapping[str, Any], config: Config, timeout: float | None
) -> StreamState:
    idle = config.timeout if timeout is None else seconds_of(timeout)
    call, options = apart(options, waits=False)
    body = _body(prompt, {**options, "stream": None})
    return StreamState(body, retries=config.max_retries, idle=idle, key=call.get("idempotency_key"))


class Text(SyncResource):
    """Text generation."""

    def generate(self, prompt: str | None = None, **options: Unpack[TextWaitOptions]) -> TextResponse:
        """Generate a text and wait for it, `timeout` seconds (the client's `poll_timeout` by default).

        Give a `prompt`, or `messages`. Options beyond those of `TextWaitOptions` go to the provider as they
        are. Raises `TaskFailedError` when the model refused or broke, and `TaskTimeoutError`.
        """
        call, task = apart(options)
        return cast(TextResponse, self._finish(_body(prompt, task), **call))

    def parse(
        self, prompt: str | None = None, *, response_model: type[M], **options: Unpack[TextWaitOptions]
    ) -> M:
        """Generate data: the answer as a `response_model`, a class of pydantic's `BaseModel`.

        The model is held to its schema where the provider can. Raises `ParseError`, whose `text` has the
        answer, when that is no such data, and what `generate` raises.
        """
        call, task = apart(options)
        body = _parsing(prompt, response_model, task)
        return parsed(response_model, self._finish(body, **call))

    def generate_async(
        self, prompt: str | None = None, *, timeout: float | None = None, **options: Unpack[TextOptions]
    ) -> TaskHandle[TextResponse]:
        """Start generating: returns once the platform has the task, which `handle.wait()` waits for."""
        call, task = apart(options, waits=False)
        return self._submit(_body(prompt, task), timeout, **call)

    def stream(
        self, prompt: str | None = None, *, timeout: float | None = None, **options: Unpack[TextOptions]
    ) -> TextStream:
        """Generate a text and read it as it is written.

        `timeout` is the longest silence in seconds (the client's `timeout` by default).
        """
        state = _stream(prompt, options, self._driver.config, timeout)
        return TextStream(self._driver, state, self._handle_of)


class AsyncText(AsyncResource):
    """Text generation."""

    async def generate(self, prompt: str | None = None, **options: Unpack[TextWaitOptions]) -> TextResponse:
        """Generate a text and wait for it, `timeout` seconds (the client's `poll_timeout` by default).

        Give a `prompt`, or `messages`. Options beyond those of `TextWaitOptions` go to the provider as they
        are. Raises `TaskFailedError` when the model refused or broke, and `TaskTimeoutError`.
        """
        call, task = apart(options)
        return cast(TextResponse, await self._finish(_body(prompt, task), **call))

    async def parse(
        self, prompt: str | None = None, *, response_model: type[M], **options: Unpack[TextWaitOptions]
    ) -> M:
        """Generate data: the answer as a `response_model`, a class of pydantic's `BaseModel`.

        The model is held to its schema where the provider can. Raises `ParseError`, whose `text` has the
        answer, when that is no such data, and what `generate` raises.
        """
        call, task = apart(options)
        body = _parsing(prompt, response_model, task)
        return parsed(response_model, await self._finish(body, **call))

    async def generate_async(
        self, prompt: str | None = None, *, timeout: float | None = None, **options: Unpack[TextOptions]
    ) -> AsyncTaskHandle[TextResponse]:
        """Start generating: returns once the platform has the task, which `handle.wait()` waits for."""
        call, task = apart(options, waits=False)
        return await self._submit(_body(prompt, task), timeout, **call)

    def stream(
        self, prompt: str | None = None, *, timeout: float | None = None, **options: Unpack[TextOptions]
    ) -> AsyncTextStream:
        """Generate a text and read it as it is written.

        `timeout` is the longest silence in seconds (the client's `timeout` by default).
        """
        state = _stream(prompt, options, self._driver.config, timeout)
        return AsyncTextStream(self._driver, state, self._handle_of)
