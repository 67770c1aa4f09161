"""`text_to_speech`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Annotated

from msgspec import Meta, Struct

from nexusai.providers.types import SpeechRequest
from nexusai.server.tasks.kinds.kind import Job, Kind, Output, origin
from nexusai.server.tasks.kinds.lengths import length_told

__all__ = ["TEXT_TO_SPEECH", "SpeechConfig", "SpeechInput"]


class SpeechInput(Struct, forbid_unknown_fields=True, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=100_000)]


class SpeechConfig(Struct, kw_only=True):
    voice: str | None = None
    format: str = "wav"
    speed: Annotated[float, Meta(ge=0.25, le=4)] | None = None
    cancel_on_disconnect: bool = False


async def synthesize(job: Job) -> Output:
    config: SpeechConfig = job.config
    request = SpeechRequest(
        model=job.model,
        text=job.input.text,
        voice=config.voice,
        format=config.format,
        speed=config.speed,
        extra=job.extra,
    )
    response = await job.provider.synthesize(request)
    media_type = _SOUND.get(response.format, f"audio/{response.format}")
    file_id = await job.media.keep(job.project, f"speech.{response.format}", response.data, media_type)
    seconds = await asyncio.to_thread(length_told, BytesIO(response.data))
    duration = None if seconds is None else round(seconds, 3)
    output: Output = {"file_id": file_id, "format": response.format, "duration": duration}
    return output | origin(job, response)


_SOUND: Mapping[str, str] = {"mp3": "audio/mpeg", "opus": "audio/ogg", "m4a": "audio/mp4", "pcm": "audio/L16"}


def _links(output: Output, link: Callable[[str], str]) -> Output:
    return {"audio_url": link(output["file_id"]), **output}


TEXT_TO_SPEECH = Kind("text_to_speech", "speech", SpeechInput, SpeechConfig, synthesize, _links)
