"""Speech: made of a text, and heard as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from nexusai._internal._flow import Flow
from nexusai._internal._invoke import invoke_body, words
from nexusai._internal._poller import TaskPoller
from nexusai._internal._wait import apart
from nexusai.error import InvalidRequestError
from nexusai.models import AsyncTTSResponse, File, Task, TranscriptionResponse, TTSResponse, result_of
from nexusai.resources._inputs import check_stored, stored
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import FileInput, SpeechWaitOptions, TranscriptionWaitOptions

__all__ = ["AsyncAudio", "Audio"]


def _body(text: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return invoke_body("text_to_speech", {"text": words("text", text)}, options)


class _Transcription:
    """A transcription, checked; a local file is uploaded when it is run."""

    def __init__(self, file: Any, file_id: str | None, options: Mapping[str, Any]) -> None:
        if (file is None) is (file_id is None):
            found = "neither" if file is None else "both"
            raise InvalidRequestError(f"Give a file or a file_id, one of them: there is {found}.")
        if file is not None:
            check_stored("file", file)
        self._file = file
        self._file_id = None if file_id is None else words("file_id", file_id)
        self._body = invoke_body("speech_to_text", {}, options)

    def run(self, poller: TaskPoller, key: str | None) -> Flow[Task]:
        file_id = self._file_id or (yield from stored("file", self._file, key))
        return (yield from poller.finish({**self._body, "input": {"file_id": file_id}}, key))


class Audio(SyncResource):
    """Speech synthesis, and transcription."""

    def synthesize(self, text: str, **options: Unpack[SpeechWaitOptions]) -> TTSResponse:
        """Speak a text and wait for the file, `timeout` seconds (the client's `poll_timeout` by default).

        Options beyond those of `SpeechWaitOptions` go to the provider as they are. Raises `TaskFailedError`
        when the provider refused or broke, and `TaskTimeoutError`.
        """
        call, task = apart(options)
        return cast(TTSResponse, self._finish(_body(text, task), **call))

    text_to_speech = synthesize

    def transcribe(
        self,
        file: FileInput | File | None = None,
        *,
        file_id: str | None = None,
        **options: Unpack[TranscriptionWaitOptions],
    ) -> TranscriptionResponse:
        """Write down what is said in a sound, and wait for it: in a `file`, or in a stored one by its id.

        A file is uploaded first, within the same `timeout`. Options beyond those of
        `TranscriptionWaitOptions` go to the provider as they are. Raises what `synthesize` raises.
        """
        call, task = apart(options)
        key = call.pop("idempotency_key", None)
        asked = _Transcription(file, file_id, task)
        heard = self._attend(lambda poller: asked.run(poller, key), **call)
        return cast(TranscriptionResponse, result_of(heard, self._driver.fetch))


class AsyncAudio(AsyncResource):
    """Speech synthesis, and transcription."""

    async def synthesize(self, text: str, **options: Unpack[SpeechWaitOptions]) -> AsyncTTSResponse:
        """Speak a text and wait for the file, `timeout` seconds (the client's `poll_timeout` by default).

        Options beyond those of `SpeechWaitOptions` go to the provider as they are. Raises `TaskFailedError`
        when the provider refused or broke, and `TaskTimeoutError`.
        """
        call, task = apart(options)
        return cast(AsyncTTSResponse, await self._finish(_body(text, task), **call))

    text_to_speech = synthesize

    async def transcribe(
        self,
        file: FileInput | File | None = None,
        *,
        file_id: str | None = None,
        **options: Unpack[TranscriptionWaitOptions],
    ) -> TranscriptionResponse:
        """Write down what is said in a sound, and wait for it: in a `file`, or in a stored one by its id.

        A file is uploaded first, within the same `timeout`. Options beyond those of
        `TranscriptionWaitOptions` go to the provider as they are. Raises what `synthesize` raises.
        """
        call, task = apart(options)
        key = call.pop("idempotency_key", None)
        asked = _Transcription(file, file_id, task)
        heard = await self._attend(lambda poller: asked.run(poller, key), **call)
        return cast(TranscriptionResponse, result_of(heard, self._driver.fetch, asynchronous=True))
