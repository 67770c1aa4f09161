"""Speech."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from nexusai._internal._invoke import invoke_body, words
from nexusai.models import AsyncTTSResponse, TTSResponse
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import SpeechOptions

__all__ = ["AsyncAudio", "Audio"]


def _body(text: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return invoke_body("text_to_speech", {"text": words("text", text)}, options)


class Audio(SyncResource):
    """Speech synthesis."""

    def synthesize(
        self, text: str, *, timeout: float | None = None, **options: Unpack[SpeechOptions]
    ) -> TTSResponse:
        """Speak a text and wait for the file, `timeout` seconds (the client's `poll_timeout` by default).

        Options beyond those of `SpeechOptions` go to the provider as they are. Raises `TaskFailedError`
        when the provider refused or broke, and `TaskTimeoutError`.
        """
        return cast(TTSResponse, self._finish(_body(text, options), timeout))

    text_to_speech = synthesize


class AsyncAudio(AsyncResource):
    """Speech synthesis."""

    async def synthesize(
        self, text: str, *, timeout: float | None = None, **options: Unpack[SpeechOptions]
    ) -> AsyncTTSResponse:
        """Speak a text and wait for the file, `timeout` seconds (the client's `poll_timeout` by default).

        Options beyond those of `SpeechOptions` go to the provider as they are. Raises `TaskFailedError`
        when the provider refused or broke, and `TaskTimeoutError`.
        """
        return cast(AsyncTTSResponse, await self._finish(_body(text, options), timeout))

    text_to_speech = synthesize
