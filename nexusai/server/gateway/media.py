"""The routes under `/v1` that OpenAI's clients call for pictures."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from nexusai.providers.media import image_type
from nexusai.providers.types import GeneratedImage, ImageRequest, Provider
from nexusai.server.files.service import FileService
from nexusai.server.gateway.bodies import ImageBody, read, read_form
from nexusai.server.gateway.calls import Calls, told
from nexusai.server.gateway.errors import answering, error_response
from nexusai.server.gateway.forms import fields_of, form_of, sizes_of
from nexusai.server.http import JsonResponse, Problem
from nexusai.server.keys.caller import Caller
from nexusai.server.keys.service import KeyService

__all__ = ["MediaRoutes"]

MOST_PICTURES: Final = 16
"""That are edited at once."""

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
        return await self._made(request, caller, provider, body, _request_of(body, extra, model))

    @_openai
    async def edits(self, request: Request) -> Response:
        """Pictures made of others, sent as multipart/form-data: `image` or `image[]`, and a `mask`."""
        caller = await self.keys.admit(request, "invoke")
        async with form_of(request, MOST_PICTURES + 1, self.max_body_bytes) as form:
            self.calls.log.begin(caller, request.scope["path"], orjson.dumps(sizes_of(form)))
            pictures = [
                await _picture_in(name, each) for name in ("image", "image[]") for each in form.getlist(name)
            ]
            mask = await _picture_in("mask", form["mask"]) if "mask" in form else None
            body, extra = read_form(fields_of(form), ImageBody)
        if not pictures:
            raise Problem.field(["image"], "required: one picture, or several as image[]", "missing")
        provider, model = self.calls.resolve("image_edit", body.model)
        asked = replace(_request_of(body, extra, model), images=pictures, mask=mask)
        return await self._made(request, caller, provider, body, asked)

    @_openai
    async def variations(self, request: Request) -> Response:
        """What only dall-e-2 could; nobody offers it any more."""
        await self.keys.admit(request, "invoke")
        raise Problem(
            "NOT_FOUND", "There are no variations here: POST /v1/images/edits with a prompt makes them."
        )

    async def _made(
        self, request: Request, caller: Caller, provider: Provider, body: ImageBody, asked: ImageRequest
    ) -> Response:
        if body.stream:
            raise Problem.field(["stream"], "pictures come whole: leave it out")
        async with self.calls.under_way(caller):
            answer = await self.calls.unless_gone(request, provider.generate_images(asked))
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


def _request_of(body: ImageBody, extra: dict[str, Any], model: str) -> ImageRequest:
    return ImageRequest(
        model=model,
        prompt=body.prompt,
        size=_size(body.size),
        quality=body.quality if body.quality != "auto" else None,
        n=body.n or 1,
        format=body.output_format,
        extra=extra,
    )


async def _picture_in(name: str, part: Any) -> bytes:
    """Raises a 400 `Problem` for what is no picture."""
    data = await part.read() if isinstance(part, UploadFile) else b""
    if image_type(data) is None:
        raise Problem.field([name], "is a file with a PNG, JPEG or WebP picture")
    return data


def _size(size: str | None) -> tuple[int, int] | None:
    """Raises a 400 `Problem`."""
    if size in (None, "auto"):
        return None
    width, _, height = (size or "").partition("x")
    if not all(side.isdecimal() and len(side) < 6 and int(side) for side in (width, height)):
        raise Problem.field(["size"], "is WIDTHxHEIGHT in pixels, or auto")
    return int(width), int(height)
