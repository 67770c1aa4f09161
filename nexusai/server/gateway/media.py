"""The routes under `/v1` that OpenAI's clients call for pictures and sound."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from nexusai.providers.media import image_type
from nexusai.providers.types import (
    GeneratedImage,
    ImageRequest,
    SpeechRequest,
    TranscriptionRequest,
    TranscriptionResponse,
)
from nexusai.server.files.service import FileService
from nexusai.server.gateway.bodies import ImageBody, SpeechBody, read
from nexusai.server.gateway.calls import Calls, told, unless_gone
from nexusai.server.gateway.errors import answering, error_response
from nexusai.server.http import JsonResponse, Problem, too_large
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.service import KeyService

__all__ = ["MediaRoutes"]

_SOUND: Final[Mapping[str, str]] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_LARGEST_RECORDING: Final = 200 * 1024 * 1024


_openai = answering(error_response)


@dataclass(frozen=True, slots=True)
class MediaRoutes:
    calls: Calls
    keys: KeyService
    files: FileService
    max_body_bytes: int

    @_openai
    async def images(self, request: Request) -> Response:
        """Pictures of a prompt."""
        caller = await self.keys.admit(request, "invoke")
        body, extra = read(await self.calls.body(request, caller, self.max_body_bytes), ImageBody)
        provider, model = self.calls.resolve("images", body.model)
        asked = ImageRequest(
            model=model,
            prompt=body.prompt,
            size=_size(body.size),
            quality=body.quality if body.quality != "auto" else None,
            n=body.n or 1,
            format=body.output_format,
            extra=extra,
        )
        async with self.calls.under_way(caller):
            answer = await unless_gone(request, provider.generate_images(asked))
            links = body.response_format == "url"
            data = [await self._picture(request, caller, image, link=links) for image in answer.images]
        shown: dict[str, Any] = {"created": int(time.time()), "data": data}
        if answer.usage is not None:
            shown["usage"] = {
                "input_tokens": answer.usage.prompt_tokens,
                "output_tokens": answer.usage.completion_tokens,
                "total_tokens": answer.usage.total_tokens,
            }
        return JsonResponse(shown, headers=told(provider, answer))

    async def _picture(
        self, request: Request, caller: Caller, image: GeneratedImage, *, link: bool
    ) -> dict[str, Any]:
        shown = {"revised_prompt": image.revised_prompt} if image.revised_prompt else {}
        if not link:
            return {**shown, "b64_json": base64.b64encode(image.data).decode()}
        kind = image_type(image.data) or image.media_type
        file_id = await self.files.keep(
            caller.project.id, f"image.{kind.partition('/')[2]}", image.data, kind
        )
        return {**shown, "url": self.files.link(file_id, str(request.base_url))}

    @_openai
    async def speech(self, request: Request) -> Response:
        """A text, spoken."""
        caller = await self.keys.admit(request, "invoke")
        body, extra = read(await self.calls.body(request, caller, self.max_body_bytes), SpeechBody)
        provider, model = self.calls.resolve("speech", body.model)
        voice = body.voice.get("id") if isinstance(body.voice, dict) else body.voice
        asked = SpeechRequest(
            model=model,
            text=body.input,
            voice=voice,
            format=body.response_format or "mp3",
            speed=body.speed,
            extra=extra,
        )
        async with self.calls.under_way(caller):
            answer = await unless_gone(request, provider.synthesize(asked))
        kind = _SOUND.get(answer.format, "application/octet-stream")
        return Response(answer.data, media_type=kind, headers=told(provider, answer))

    @_openai
    async def transcriptions(self, request: Request) -> Response:
        """What is said in a recording, sent as multipart/form-data."""
        caller = await self.keys.admit(request, "invoke")
        async with request.form(max_files=1, max_part_size=self.max_body_bytes) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise Problem.field(["file"], "required", "missing")
            if (file.size or 0) > _LARGEST_RECORDING:
                raise too_large("recording", _LARGEST_RECORDING)
            sound, filename = await file.read(), file.filename or "audio.wav"
            said = {name: str(value) for name, value in form.items() if not isinstance(value, UploadFile)}
        self.calls.log.begin(caller, request.scope["path"], orjson.dumps({**said, "file": _size_of(sound)}))
        shape = said.get("response_format", "json")
        if shape not in ("json", "text", "verbose_json", "srt", "vtt"):
            raise Problem.field(["response_format"], "is json, text, verbose_json, srt or vtt")
        if not said.get("model"):
            raise Problem.field(["model"], "required", "missing")
        provider, model = self.calls.resolve("transcription", said["model"])
        asked = TranscriptionRequest(
            model=model,
            audio=sound,
            filename=filename,
            language=said.get("language"),
            prompt=said.get("prompt"),
            timestamps=shape in ("verbose_json", "srt", "vtt"),
        )
        async with self.calls.under_way(caller):
            answer = await unless_gone(request, provider.transcribe(asked))
        return _transcript(answer, shape, told(provider, answer))


def _size_of(data: bytes) -> str:
    """What is written down of a file's bytes."""
    return f"[{len(data)} bytes]"


def _size(size: str | None) -> tuple[int, int] | None:
    """Raises a 400 `Problem`."""
    if size in (None, "auto"):
        return None
    width, _, height = (size or "").partition("x")
    if not all(side.isdecimal() and len(side) < 6 and int(side) for side in (width, height)):
        raise Problem.field(["size"], "is WIDTHxHEIGHT in pixels, or auto")
    return int(width), int(height)


def _transcript(heard: TranscriptionResponse, shape: str, headers: Mapping[str, str]) -> Response:
    if shape == "text":
        return Response(heard.text + "\n", media_type="text/plain", headers=dict(headers))
    if shape in ("srt", "vtt"):
        return Response(_subtitles(heard, shape), media_type="text/plain", headers=dict(headers))
    shown: dict[str, Any] = {"text": heard.text}
    if shape == "verbose_json":
        segments = [
            {"id": number, "start": each.start, "end": each.end, "text": each.text}
            for number, each in enumerate(heard.segments or ())
        ]
        shown |= {
            "task": "transcribe",
            "language": heard.language or "",
            "duration": heard.duration or 0.0,
            "segments": segments,
        }
    return JsonResponse(shown, headers=headers)


def _subtitles(heard: TranscriptionResponse, shape: str) -> str:
    """SubRip or WebVTT; a recording whose parts have no times is one subtitle."""
    parts = [(each.start, each.end, each.text) for each in heard.segments or ()]
    parts = parts or [(0.0, heard.duration or 0.0, heard.text)]
    dot = "," if shape == "srt" else "."
    lines = [] if shape == "srt" else ["WEBVTT\n"]
    for number, (start, end, text) in enumerate(parts, 1):
        head = f"{number}\n" if shape == "srt" else ""
        lines.append(f"{head}{_moment(start, dot)} --> {_moment(end, dot)}\n{text.strip()}\n")
    return "\n".join(lines)


def _moment(seconds: float, dot: str) -> str:
    whole, part = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{dot}{part:03d}"
