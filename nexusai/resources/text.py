"""Text: generated whole, in the background, or as a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from nexusai._internal._budget import seconds_of
from nexusai._internal._invoke import invoke_body, words
from nexusai._internal._stream import AsyncTextStream, TextStream
from nexusai._internal._stream_state import StreamState
from nexusai.config import Config
from nexusai.error import InvalidRequestError
from nexusai.models import TextResponse
from nexusai.resources._handle import AsyncTaskHandle, TaskHandle
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import TextOptions

__all__ = ["AsyncText", "Text"]


def _body(prompt: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    config = dict(options)
    input = {"system": config.pop("system", None), **_asked(prompt, config.pop("messages", None))}
    return invoke_body(
        "text_generation", {name: value for name, value in input.items() if value is not None}, config
    )


def _asked(prompt: str | None, messages: Any) -> dict[str, Any]:
    if (prompt is None) is (messages is None):
        found = "neither" if prompt is None else "both"
        raise InvalidRequestError(f"Give a prompt or messages, one of them: there is {found}.")
    if prompt is not None:
        return {"prompt": words("prompt", prompt)}
    if isinstance(messages, (str, bytes, Mapping)):
        raise TypeError(
            f"messages is a list of messages, not one {type(messages).__name__}; a text is a prompt"
        )
    listed = list(messages)
    if not listed:
        raise InvalidRequestError("messages is empty: it needs at least what the user says.")
    return {"messages": listed}


def _stream(
    prompt: str | None, options: Mapping[str, Any], config: Config, timeout: float | None
) -> StreamState:
    idle = config.timeout if timeout is None else seconds_of(timeout)
    return StreamState(_body(prompt, {**options, "stream": None}), retries=config.max_retries, idle=idle)


class Text(SyncResource):
    """Text generation."""

    def generate(
        self, prompt: str | None = None, *, timeout: float | None = None, **options: Unpack[TextOptions]
    ) -> TextResponse:
        """Generate a text and wait for it, `timeout` seconds (the client's `poll_timeout` by default).

        Give a `prompt`, or `messages`. Options beyond those of `TextOptions` go to the provider as they are.
        Raises `TaskFailedError` when the model refused or broke, and `TaskTimeoutError`.
        """
        return cast(TextResponse, self._finish(_body(prompt, options), timeout))

    def generate_async(
        self, prompt: str | None = None, *, timeout: float | None = None, **options: Unpack[TextOptions]
    ) -> TaskHandle[TextResponse]:
        """Start generating: returns once the platform has the task, which `handle.wait()` waits for."""
        return self._submit(_body(prompt, options), timeout)

    def stream(
        self, prompt: str | None = None, *, timeout: float | None = None, **options: Unpack[TextOptions]
    ) -> TextStream:
        """Generate a text and read it as it is written.

        `timeout` is the longest silence in seconds (the client's `timeout` by default).
        """
        return TextStream(self._driver, _stream(prompt, options, self._driver.config, timeout))


class AsyncText(AsyncResource):
    """Text generation."""

    async def generate(
        self, prompt: str | None = None, *, timeout: float | None = None, **options: Unpack[TextOptions]
    ) -> TextResponse:
        """Generate a text and wait for it, `timeout` seconds (the client's `poll_timeout` by default).

        Give a `prompt`, or `messages`. Options beyond those of `TextOptions` go to the provider as they are.
        Raises `TaskFailedError` when the model refused or broke, and `TaskTimeoutError`.
        """
        return cast(TextResponse, await self._finish(_body(prompt, options), timeout))

    async def generate_async(
        self, prompt: str | None = None, *, timeout: float | None = None, **options: Unpack[TextOptions]
    ) -> AsyncTaskHandle[TextResponse]:
        """Start generating: returns once the platform has the task, which `handle.wait()` waits for."""
        return await self._submit(_body(prompt, options), timeout)

    def stream(
        self, prompt: str | None = None, *, timeout: float | None = None, **options: Unpack[TextOptions]
    ) -> AsyncTextStream:
        """Generate a text and read it as it is written.

        `timeout` is the longest silence in seconds (the client's `timeout` by default).
        """
        return AsyncTextStream(self._driver, _stream(prompt, options, self._driver.config, timeout))
