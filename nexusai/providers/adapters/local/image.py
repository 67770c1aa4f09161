"""`local/image`: a landscape for the words of the prompt, labelled as a placeholder in the picture itself."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from nexusai.providers.adapters.local.scenery import choose
from nexusai.providers.errors import CapabilityError, ValidationError
from nexusai.providers.media import size_for
from nexusai.providers.types import GeneratedImage, ImageRequest

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["LABEL", "MODEL", "Order", "draw", "order"]

MODEL: Final = "local/image"
LABEL: Final = "placeholder · local/image"

_FORMATS: Final[Mapping[str, str]] = {"png": "PNG", "jpeg": "JPEG", "jpg": "JPEG", "webp": "WEBP"}
_LEAST, _MOST, _MOST_PICTURES = 16, 4096, 10
_CANVAS: Final = 2048
"""Longest side in pixels that is drawn; a larger picture is scaled up from it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to draw: a checked request. `format` is Pillow's name."""

    prompt: str
    width: int
    height: int
    format: str
    seed: int | None


def order(request: ImageRequest) -> Order:
    """Raises `ValidationError` for a wrong size, number or format and `CapabilityError` without Pillow."""
    width, height = request.size or size_for(request.aspect_ratio or "1:1")
    if not (_LEAST <= width <= _MOST and _LEAST <= height <= _MOST):
        raise _wrong(f"draws {_LEAST} to {_MOST} pixels a side, not {width}x{height}")
    if not 1 <= request.n <= _MOST_PICTURES:
        raise _wrong(f"draws 1 to {_MOST_PICTURES} pictures at a time, not {request.n}")
    format = _FORMATS.get((request.format or "png").lower())
    if format is None:
        raise _wrong(f"writes png, jpeg and webp, not {request.format!r}")
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise CapabilityError(
            "local/image draws with Pillow: pip install 'nexusai[local]'", provider="local", model=MODEL
        ) from None
    return Order(request.prompt, width, height, format, request.seed)


def _wrong(fact: str) -> ValidationError:
    return ValidationError(f"{MODEL} {fact}", provider="local", model=MODEL)


def draw(order: Order, index: int) -> GeneratedImage:
    """Picture number `index` of the order; the same picture every time."""
    from PIL import Image

    from nexusai.providers.adapters.local.landscape import landscape

    key = f"{order.seed}\n{index}\n{order.prompt}".encode("utf-8", "replace")
    chance = Random(int.from_bytes(hashlib.sha256(key).digest(), "big"))
    scale = min(2.0, _CANVAS / max(order.width, order.height))
    size = max(1, round(order.width * scale)), max(1, round(order.height * scale))
    picture = landscape(size, *choose(order.prompt, chance), chance)
    picture = picture.resize((order.width, order.height), Image.Resampling.LANCZOS)
    _label(picture)
    return GeneratedImage(_encode(picture, order.format), f"image/{order.format.lower()}")


def _label(picture: Picture) -> None:
    """The label in the lower left corner, on one line or two, as large as looks well."""
    from PIL import ImageDraw, ImageFont

    pen = ImageDraw.Draw(picture, "RGBA")
    for text, size in _sizes(picture.width):
        font = ImageFont.load_default(size)
        left, top, right, bottom = pen.multiline_textbbox((0, 0), text, font)
        pad = size * 0.6
        width, height = right - left + 2 * pad, bottom - top + 2 * pad
        if width + pad <= picture.width and height + pad <= picture.height:
            x, y = pad / 2 + size * 0.3, picture.height - height - pad / 2 - size * 0.3
            pen.rounded_rectangle((x, y, x + width, y + height), size * 0.5, fill=(12, 14, 28, 150))
            pen.multiline_text((x + pad - left, y + pad - top), text, (255, 255, 255, 235), font)
            return


def _sizes(width: int) -> Iterator[tuple[str, float]]:
    """Label and font size in pixels, the best first; what is below six pixels nobody could read."""
    best = max(12.0, width / 42)
    for text in (LABEL, LABEL.replace(" · ", "\n")):
        size = best
        while size >= 9:
            yield text, size
            size *= 0.85
    yield LABEL.replace(" · ", "\n"), 6.0


def _encode(picture: Picture, format: str) -> bytes:
    """The file; its comment says what the picture is where the pixels are too few for it."""
    from PIL.PngImagePlugin import PngInfo

    file = io.BytesIO()
    if format == "PNG":
        about = PngInfo()
        about.add_text("Comment", LABEL.replace("·", "-"))
        picture.save(file, "PNG", pnginfo=about, compress_level=4)
    elif format == "JPEG":
        picture.save(file, "JPEG", quality=90, comment=LABEL.encode())
    else:
        picture.save(file, "WEBP", quality=85, method=2)
    return file.getvalue()
