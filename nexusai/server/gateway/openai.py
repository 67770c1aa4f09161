"""The routes under `/v1` that OpenAI's clients call."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from nexusai.providers.media import image_type
from nexusai.providers.types import (
    ChatRequest,
    ChatResponse,
    EmbeddingRequest,
    GeneratedImage,
    ImageRequest,
    ModerationRequest,
    Provider,
    SpeechRequest,
    TranscriptionRequest,
    TranscriptionResponse,
)
from nexusai.server.files.service import FileService
from nexusai.server.gateway.bodies import (
    ChatBody,
    EmbeddingBody,
    ImageBody,
    ModerationBody,
    SpeechBody,
    read,
)
from nexusai.server.gateway.calls import Calls, StreamedResponse, costs_of, together, told, unless_gone
from nexusai.server.gateway.chat import ChunkWriter, answer_of, request_of
from nexusai.server.gateway.errors import answering, error_body, error_response, problem_of
from nexusai.server.http import JsonResponse, Problem, read_json, too_large
from nexusai.server.ids import new_id
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.service import KeyService
from nexusai.server.tasks.shorthand import base64_of

__all__ = ["OpenAIRoutes"]


SAME_PROTOCOL: Final = frozenset({"openai", "openai_compatible", "azure"})
"""Adapters whose vendors answer Chat Completions themselves."""
_SOUND: Final[Mapping[str, str]] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
MOST_AT_ONCE: Final = 8
"""Answers to one prompt, of a provider that gives one."""
_LARGEST_RECORDING: Final = 200 * 1024 * 1024


_openai = answering(error_response)


@dataclass(frozen=True, slots=True)
class OpenAIRoutes:
    calls: Calls
    keys: KeyService
    files: FileService
    max_body_bytes: int

    @_openai
    async def chat(self, request: Request) -> Response:
        """Chat Completions, whole or streamed, of any model of any provider."""
        caller = await self.keys.admit(request, "invoke")
        body, extra = read(await read_json(request, self.max_body_bytes), ChatBody)
        provider, model = self.calls.resolve("chat", body.model)
        same = provider.protocol in SAME_PROTOCOL
        if provider.protocol == "openai":
            extra["api"] = "chat"  # not the Responses API, whose answers are of another form
        asked = request_of(body, extra, model, same_protocol=same)
        many = 1 if same else body.n or 1
        if body.stream:
            if many > 1:
                raise Problem.field(["n"], f"{provider.name} streams one answer at a time")
            usage = body.stream_options is not None and body.stream_options.include_usage
            writer = ChunkWriter(_completion_id(), int(time.time()), model, include_usage=usage)
            return await self._streamed(request, caller, provider, asked, writer)
        if many > MOST_AT_ONCE:
            raise Problem.field(
                ["n"], f"{provider.name} gives one answer at a time: ask for at most {MOST_AT_ONCE}"
            )
        calls = [self._answer(caller, provider, asked) for _ in range(many)]
        answers = await unless_gone(request, together(calls))
        costs = [answer.cost for answer in answers]
        raw = answers[0].raw
        if same and isinstance(raw, dict) and "choices" in raw:
            return JsonResponse(raw, headers={"x-nexus-provider": provider.name} | costs_of(costs))
        shown = answer_of(answers, _completion_id(), int(time.time()))
        return JsonResponse(shown, headers={"x-nexus-provider": provider.name} | costs_of(costs))

    async def _answer(self, caller: Caller, provider: Provider, asked: ChatRequest) -> ChatResponse:
        async with self.calls.under_way(caller):
            return await provider.chat(asked)

    async def _streamed(
        self,
        request: Request,
        caller: Caller,
        provider: Provider,
        asked: ChatRequest,
        writer: ChunkWriter,
    ) -> Response:
        stream = await self.calls.begun(request, caller, provider, asked)

        async def lines() -> AsyncIterator[bytes]:
            try:
                async for chunk in stream.chunks():
                    if line := _line(writer.write(chunk)):
                        yield line
                if line := _line(writer.end()):
                    yield line
                yield b"data: [DONE]\n\n"
            except Exception as error:
                yield b"data: " + orjson.dumps(error_body(problem_of(error))) + b"\n\n"

        return StreamedResponse(stream, lines(), provider)

    @_openai
    async def embeddings(self, request: Request) -> Response:
        """Vectors of texts."""
        caller = await self.keys.admit(request, "invoke")
        body, extra = read(await read_json(request, self.max_body_bytes), EmbeddingBody)
        provider, model = self.calls.resolve("embeddings", body.model)
        texts = [body.input] if isinstance(body.input, str) else body.input
        asked = EmbeddingRequest(model, texts, body.dimensions, extra)
        async with self.calls.under_way(caller):
            answer = await unless_gone(request, provider.embed(asked))
        written: Callable[[Sequence[float]], Any] = base64_of if body.encoding_format == "base64" else list
        tokens = answer.usage.prompt_tokens if answer.usage else 0
        shown = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": written(vector)}
                for index, vector in enumerate(answer.embeddings)
            ],
            "model": answer.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return JsonResponse(shown, headers=told(provider, answer.cost))

    @_openai
    async def images(self, request: Request) -> Response:
        """Pictures of a prompt."""
        caller = await self.keys.admit(request, "invoke")
        body, extra = read(await read_json(request, self.max_body_bytes), ImageBody)
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
        return JsonResponse(shown, headers=told(provider, answer.cost))

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
        body, extra = read(await read_json(request, self.max_body_bytes), SpeechBody)
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
        return Response(answer.data, media_type=kind, headers=told(provider, answer.cost))

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
        return _transcript(answer, shape, told(provider, answer.cost))

    @_openai
    async def moderations(self, request: Request) -> Response:
        """What of some texts should not be there."""
        caller = await self.keys.admit(request, "invoke")
        body, extra = read(await read_json(request, self.max_body_bytes), ModerationBody)
        provider, model = self.calls.resolve("moderation", body.model)
        texts = [body.input] if isinstance(body.input, str) else body.input
        async with self.calls.under_way(caller):
            answer = await unless_gone(request, provider.moderate(ModerationRequest(model, texts, extra)))
        results = [
            {
                "flagged": result.flagged,
                "categories": result.categories,
                "category_scores": result.category_scores,
            }
            for result in answer.results
        ]
        shown = {"id": new_id("modr"), "model": answer.model, "results": results}
        return JsonResponse(shown, headers=told(provider, answer.cost))

    @_openai
    async def models(self, request: Request) -> Response:
        """The models that the key may use, as `provider/model`."""
        caller = await self.keys.admit(request, "read")
        return JsonResponse({"object": "list", "data": [_model(*each) for each in self._offered(caller)]})

    @_openai
    async def model(self, request: Request) -> Response:
        """One model, by its name alone or with its provider's."""
        caller = await self.keys.admit(request, "read")
        name = request.path_params["model"]
        for provider, model in self._offered(caller):
            if name in (model, f"{provider}/{model}"):
                return JsonResponse(_model(provider, model))
        raise Problem(
            "NOT_FOUND", f"There is no model {name[:100]!r} here: GET /v1/models names those there are."
        )

    def _offered(self, caller: Caller) -> list[tuple[str, str]]:
        return [
            (offer.provider, offer.model)
            for offer in self.calls.catalogue.offers()
            if caller.key is None or caller.key.may_use(offer.provider, offer.model)
        ]


def _completion_id() -> str:
    return f"chatcmpl-{new_id('c')[2:]}"


def _line(shown: Mapping[str, Any] | None) -> bytes:
    return b"data: " + orjson.dumps(shown) + b"\n\n" if shown is not None else b""


def _size(size: str | None) -> tuple[int, int] | None:
    """Raises a 400 `Problem`."""
    if size in (None, "auto"):
        return None
    width, _, height = (size or "").partition("x")
    if not all(side.isdecimal() and len(side) < 6 and int(side) for side in (width, height)):
        raise Problem.field(["size"], "is WIDTHxHEIGHT in pixels, or auto")
    return int(width), int(height)


def _model(provider: str, model: str) -> dict[str, Any]:
    return {"id": f"{provider}/{model}", "object": "model", "created": 0, "owned_by": provider}


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
