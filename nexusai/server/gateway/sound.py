"""The routes under `/v1` that OpenAI's clients call for sound."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from nexusai.providers.errors import AdapterError
from nexusai.providers.tokens import estimate_tokens
from nexusai.providers.types import (
    Provider,
    SpeechChunk,
    SpeechRequest,
    TranscriptionRequest,
    TranscriptionResponse,
    Usage,
)
from nexusai.server.gateway.bodies import SpeechBody, read
from nexusai.server.gateway.calls import Calls, Stream, StreamedResponse, cost_told, told
from nexusai.server.gateway.errors import answering, error_body, error_response, problem_of
from nexusai.server.gateway.forms import fields_of, form_of, sizes_of
from nexusai.server.http import JsonResponse, Problem
from nexusai.server.keys.service import KeyService

__all__ = ["SoundRoutes"]

logger: logging.Logger = logging.getLogger("nexusai.server.gateway")

_SOUND: Final[Mapping[str, str]] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}

_openai = answering(error_response)


@dataclass(frozen=True, slots=True)
class SoundRoutes:
    calls: Calls
    keys: KeyService
    max_body_bytes: int

    @_openai
    async def speech(self, request: Request) -> Response:
        """A text, spoken: the sound passes as the provider makes it."""
        caller = await self.keys.admit(request, "invoke")
        body, extra = read(await self.calls.body(request, caller, self.max_body_bytes), SpeechBody)
        provider, model = self.calls.resolve("speech", body.model)
        voice = body.voice.get("id") if isinstance(body.voice, dict) else body.voice
        in_events = body.stream_format == "sse"
        if in_events and _tells_events(provider, model):
            extra["stream_format"] = "sse"
        asked = SpeechRequest(
            model=model,
            text=body.input,
            voice=voice,
            format=body.response_format or "mp3",
            speed=body.speed,
            extra=extra,
        )
        stream = await self.calls.begun(request, caller, provider.speak(asked))
        first = stream.first
        cost = cost_told(first.cost if first is not None else None)
        if in_events:
            return StreamedResponse(stream, _events(stream, body.input), provider, cost)
        kind = _SOUND.get(first.format if first is not None else "", "application/octet-stream")
        return SoundResponse(stream, _sound(stream), provider, {**cost, "Content-Type": kind})

    @_openai
    async def translations(self, request: Request) -> Response:
        """What only whisper-1 could."""
        await self.keys.admit(request, "invoke")
        raise Problem(
            "NOT_FOUND",
            "There are no translations of sound here: POST /v1/audio/transcriptions, and have a chat model "
            "translate the text.",
        )

    @_openai
    async def transcriptions(self, request: Request) -> Response:
        """What is said in a recording, sent as multipart/form-data."""
        caller = await self.keys.admit(request, "invoke")
        async with form_of(request, 1, self.max_body_bytes) as form:
            self.calls.log.begin(caller, request.scope["path"], orjson.dumps(sizes_of(form)))
            file, said = form.get("file"), fields_of(form)
            if not isinstance(file, UploadFile):
                raise Problem.field(["file"], "required", "missing")
            sound, filename = await file.read(), file.filename or "audio.wav"
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
            answer = await self.calls.unless_gone(request, provider.transcribe(asked))
        return _transcript(answer, shape, told(provider, answer))


class SoundResponse(StreamedResponse):
    """Sound that breaks off has no end: no client takes half of it for the whole."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except (AdapterError, Problem) as error:
            logger.warning("a sound broke off on its way: %s", error)


async def _sound(stream: Stream[SpeechChunk]) -> AsyncGenerator[bytes, None]:
    async for chunk in stream:
        yield chunk.data


async def _events(stream: Stream[SpeechChunk], text: str) -> AsyncGenerator[bytes, None]:
    """Events of a provider that tells them, and such events of the sound of any other."""
    passed = False
    try:
        async for chunk in stream:
            passed = chunk.is_events
            sound = {"type": "speech.audio.delta", "audio": base64.b64encode(chunk.data).decode()}
            yield chunk.data if passed else _event(sound)
        if not passed:
            used = Usage(estimate_tokens(text), 0)
            usage = {
                "input_tokens": used.prompt_tokens,
                "output_tokens": 0,
                "total_tokens": used.total_tokens,
            }
            yield _event({"type": "speech.audio.done", "usage": usage})
    except Exception as error:
        yield _event(error_body(problem_of(error)))


def _event(told: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(told) + b"\n\n"


def _tells_events(provider: Provider, model: str) -> bool:
    """OpenAI's models do, but for the first ones."""
    return provider.protocol in ("openai", "azure") and not model.startswith("tts-1")


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
