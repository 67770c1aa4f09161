from __future__ import annotations

import io
import sys

import pytest
from PIL import Image

from nexusai.providers.adapters.local.image import LABEL, draw, order
from nexusai.providers.errors import CapabilityError, ValidationError
from nexusai.providers.types import ImageRequest

SMALL = (96, 64)


def picture(prompt="sunset over the ocean", index=0, **options):
    return draw(order(ImageRequest(model="image", prompt=prompt, **options)), index)


def opened(image):
    with Image.open(io.BytesIO(image.data)) as found:
        found.load()
        return found


def test_a_picture_is_a_png_of_1024_pixels_a_side():
    found = opened(picture())
    assert (found.format, found.size, found.mode) == ("PNG", (1024, 1024), "RGB")


@pytest.mark.parametrize("size", [(16, 16), (96, 64), (64, 700), (2500, 40), (1792, 1024)])
def test_a_picture_has_the_size_that_is_asked(size: tuple[int, int]):
    assert opened(picture(size=size)).size == size


def test_the_largest_picture_can_be_drawn():
    assert opened(picture(size=(4096, 4096), format="jpeg")).size == (4096, 4096)


@pytest.mark.parametrize(
    ("format", "name"), [(None, "PNG"), ("png", "PNG"), ("jpeg", "JPEG"), ("jpg", "JPEG"), ("WebP", "WEBP")]
)
def test_a_picture_has_the_format_that_is_asked(format: str | None, name: str):
    image = picture(format=format, size=SMALL)
    assert (opened(image).format, image.media_type) == (name, f"image/{name.lower()}")


def test_the_same_order_is_the_same_picture():
    assert picture(seed=3, size=SMALL) == picture(seed=3, size=SMALL)


@pytest.mark.parametrize("other", [{"index": 1}, {"seed": 4}, {"prompt": "a red kite"}])
def test_another_prompt_seed_or_number_is_another_picture(other: dict[str, object]):
    options = {"prompt": "a blue kite", "seed": 3, "size": SMALL}
    assert picture(**options).data != picture(**{**options, **other}).data


@pytest.mark.parametrize(
    "prompt", ["ocean", "forest at night", "mountain", "night city", "city at noon", "沙漠", "花", ""]
)
def test_every_land_is_drawn_in_many_colours(prompt: str):
    assert len(opened(picture(prompt, size=SMALL)).getcolors(maxcolors=10_000)) > 200


def test_a_sunset_is_warmer_than_a_night():
    def red_less_blue(prompt: str) -> float:
        red, _, blue = (
            opened(picture(prompt, size=SMALL)).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        )
        return red - blue

    assert red_less_blue("sunset over hills") > red_less_blue("night over hills") + 40


def test_a_prompt_with_half_a_surrogate_pair_can_be_drawn():
    assert opened(picture("\ud800", size=SMALL)).size == SMALL


def corner(size: tuple[int, int]) -> Image.Image:
    """The lower left corner, where the label is."""
    found = opened(picture("sunset over the ocean", size=size)).convert("L")
    return found.crop((0, round(size[1] * 0.9), round(size[0] * 0.4), size[1]))


def test_the_label_is_white_on_dark_in_the_corner():
    darkest, brightest = corner((1024, 1024)).getextrema()
    assert darkest < 60
    assert brightest > 230


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_the_file_says_that_it_is_a_placeholder(format: str):
    about = opened(picture(format=format, size=(16, 16))).info
    assert b"placeholder" in (about.get("Comment", "").encode() or about["comment"])
    assert "placeholder" in LABEL


@pytest.mark.parametrize("size", [(15, 64), (64, 4097), (0, 0), (-5, 64)])
def test_a_size_out_of_range_is_refused(size: tuple[int, int]):
    with pytest.raises(ValidationError, match=rf"16 to 4096 pixels a side, not {size[0]}x{size[1]}"):
        order(ImageRequest(model="image", prompt="x", size=size))


@pytest.mark.parametrize("n", [0, -1, 11])
def test_a_number_of_pictures_out_of_range_is_refused(n: int):
    with pytest.raises(ValidationError, match="1 to 10 pictures"):
        order(ImageRequest(model="image", prompt="x", n=n))


def test_an_unknown_format_is_refused():
    with pytest.raises(ValidationError, match="png, jpeg and webp, not 'gif'"):
        order(ImageRequest(model="image", prompt="x", format="gif"))


def test_without_pillow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(CapabilityError, match=r"pip install 'nexusai\[local\]'"):
        order(ImageRequest(model="image", prompt="x"))
