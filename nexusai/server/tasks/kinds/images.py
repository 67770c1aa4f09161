"""`image_generation`."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Annotated, Literal

from msgspec import Meta, Struct

from nexusai.providers.types import ImageRequest
from nexusai.server.http import Problem
from nexusai.server.tasks.kinds.kind import Job, Kind, NonEmpty, Output, origin, usage

__all__ = ["IMAGE_GENERATION", "ImageConfig", "ImageInput"]


class ImageInput(Struct, forbid_unknown_fields=True, kw_only=True):
    prompt: NonEmpty
    image_file_ids: list[str] | None = None
    mask_file_id: str | None = None


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
    if job.input.image_file_ids or job.input.mask_file_id:
        raise Problem.field(["input", "image_file_ids"], f"{job.provider.name} cannot edit images")
    request = ImageRequest(
        model=job.model,
        prompt=job.input.prompt,
        size=_size(config.size),
        aspect_ratio=config.aspect_ratio,
        quality=config.quality,
        n=config.num_images,
        format=config.format,
        seed=config.seed,
        extra=job.extra,
    )
    response = await job.provider.generate_images(request)
    sizes = [_dimensions(job, image.data) for image in response.images]  # before the first one is stored
    images = []
    for index, (image, (width, height)) in enumerate(zip(response.images, sizes, strict=True)):
        suffix = image.media_type.partition("/")[2]
        file_id = await job.media.keep(
            job.project, f"image-{index + 1}.{suffix}", image.data, image.media_type
        )
        images.append({"file_id": file_id, "width": width, "height": height, "index": index})
        job.progress(100 * (index + 1) / (len(response.images) + 1))
    output: Output = {"width": images[0]["width"], "height": images[0]["height"], "images": images}
    if response.images[0].revised_prompt:
        output["revised_prompt"] = response.images[0].revised_prompt
    if response.usage:
        output["usage"] = usage(response.usage)
    return output | origin(job, response.model, response.cost, response.extra)


def _size(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    width, _, height = size.partition("x")
    return int(width), int(height)


def _dimensions(job: Job, data: bytes) -> tuple[int, int]:
    """Width and height in pixels. Raises a 502 `Problem` for what is no picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data)) as image:
            width, height = image.size
    except (UnidentifiedImageError, OSError, ValueError):
        raise Problem(
            "PROVIDER_ERROR", f"{job.provider.name} answered with a picture that is none."
        ) from None
    return width, height


def _links(output: Output, link: Callable[[str], str]) -> Output:
    images = [image | {"image_url": link(image["file_id"])} for image in output["images"]]
    return {"image_url": images[0]["image_url"], **output, "images": images}


IMAGE_GENERATION = Kind("image_generation", "images", ImageInput, ImageConfig, generate_images, _links)
