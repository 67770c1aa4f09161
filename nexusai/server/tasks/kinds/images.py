"""`image_generation`: new pictures, and changed ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from nexusai.providers.media import image_type
from nexusai.providers.types import Capability, ImageRequest
from nexusai.server.http import Problem
from nexusai.server.tasks.kinds.kind import Job, Kind, NonEmpty, Output, origin, usage

__all__ = ["IMAGE_GENERATION", "ImageConfig", "ImageInput"]


_MOST_BYTES: Final = 50 * 1024 * 1024
"""Of all the pictures to edit together."""


class ImageInput(Struct, forbid_unknown_fields=True, kw_only=True):
    """`image_file_ids` are pictures to edit; the transparent part of the mask is where to."""

    prompt: NonEmpty
    image_file_ids: Annotated[list[NonEmpty], Meta(min_length=1, max_length=16)] | None = None
    mask_file_id: NonEmpty | None = None

    def __post_init__(self) -> None:
        if self.mask_file_id and not self.image_file_ids:
            raise ValueError("`mask_file_id` needs the picture in `image_file_ids`")


class ImageConfig(Struct, kw_only=True):
    size: (
        Annotated[str, Meta(pattern="^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$", description="WxH in pixels")] | None
    ) = None
    aspect_ratio: Literal["1:1", "16:9", "9:16", "4:3", "3:4", "21:9"] | None = None
    quality: str | None = None
    num_images: Annotated[int, Meta(ge=1, le=8)] = 1
    format: str | None = None
    seed: int | None = None
    cancel_on_disconnect: bool = False

    def __post_init__(self) -> None:
        if self.size and self.aspect_ratio:
            raise ValueError("give either `size` or `aspect_ratio`")


async def generate_images(job: Job) -> Output:
    config: ImageConfig = job.config
    images, mask = await _sources(job)
    request = ImageRequest(
        model=job.model,
        prompt=job.input.prompt,
        size=_size(config.size),
        aspect_ratio=config.aspect_ratio,
        quality=config.quality,
        n=config.num_images,
        format=config.format,
        seed=config.seed,
        images=images,
        mask=mask,
        extra=job.extra,
    )
    response = await job.provider.generate_images(request)
    sizes = [_made(job, image.data) for image in response.images]  # before the first one is stored
    made = []
    for index, (image, (width, height)) in enumerate(zip(response.images, sizes, strict=True)):
        suffix = image.media_type.partition("/")[2]
        file_id = await job.media.keep(
            job.project, f"image-{index + 1}.{suffix}", image.data, image.media_type
        )
        made.append({"file_id": file_id, "width": width, "height": height, "index": index})
        job.progress(100 * (index + 1) / (len(response.images) + 1))
    output: Output = {"width": made[0]["width"], "height": made[0]["height"], "images": made}
    if response.images[0].revised_prompt:
        output["revised_prompt"] = response.images[0].revised_prompt
    if response.usage:
        output["usage"] = usage(response.usage)
    return output | origin(job, response)


def _size(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    width, _, height = size.partition("x")
    return int(width), int(height)


async def _sources(job: Job) -> tuple[Sequence[bytes], bytes | None]:
    """The pictures to edit and their mask. Raises a 400 `Problem`."""
    images: tuple[bytes, ...] = ()
    left = _MOST_BYTES
    for number, file_id in enumerate(job.input.image_file_ids or ()):
        images += (await _picture(job, ["image_file_ids", number], file_id, left),)
        left -= len(images[-1])
    if job.input.mask_file_id is None:
        return images, None
    mask = await _picture(job, ["mask_file_id"], job.input.mask_file_id, left)
    if image_type(mask) != "image/png" or _dimensions(mask) != _dimensions(images[0]):
        raise Problem.field(["input", "mask_file_id"], "must be a PNG of the same size as the first picture")
    return images, mask


async def _picture(job: Job, place: list[str | int], file_id: str, most: int) -> bytes:
    """A stored picture of at most so many bytes. Raises a 400 `Problem` that names the place of its id."""
    loc = ["input", *place]
    try:
        async with job.media.on_disk(job.project, file_id) as file:
            size = (await asyncio.to_thread(file.path.stat)).st_size
            if size > most:
                raise Problem.field(loc, f"all pictures together have more than {_MOST_BYTES >> 20} MiB")
            data = await asyncio.to_thread(file.path.read_bytes)
    except Problem as problem:
        raise Problem.field(loc, problem.errors[0]["msg"] if problem.errors else problem.detail) from None
    if image_type(data) is None or _dimensions(data) is None:
        raise Problem.field(loc, f"the file {file_id!r} is no picture that can be read")
    return data


def _made(job: Job, data: bytes) -> tuple[int, int]:
    """Width and height of what the provider made. Raises a 502 `Problem` for what is no picture."""
    size = _dimensions(data)
    if size is None:
        raise Problem("PROVIDER_ERROR", f"{job.provider.name} answered with a picture that is none.")
    return size


def _dimensions(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels; None for what is no picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data)) as image:
            width, height = image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return width, height


def _needs(input: ImageInput) -> Capability:
    return "image_edit" if input.image_file_ids else "images"


def _links(output: Output, link: Callable[[str], str]) -> Output:
    images = [image | {"image_url": link(image["file_id"])} for image in output["images"]]
    return {"image_url": images[0]["image_url"], **output, "images": images}


IMAGE_GENERATION = Kind(
    "image_generation", "images", ImageInput, ImageConfig, generate_images, _links, needs=_needs
)
