from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from nexusai.providers.types import Cost, GeneratedImage, ImageRequest, ImageResponse, Usage
from nexusai.server.http import Problem
from nexusai.server.tasks.kinds import KINDS, images
from tests.fixtures.jobs import Attempt, Vendor
from tests.fixtures.server import OTHER_PROJECT, PROJECT

PROMPT = b'{"prompt":"a cat"}'


def picture(
    width: int = 4, height: int = 3, format: str = "PNG", revised: str | None = None
) -> GeneratedImage:
    file = BytesIO()
    Image.new("RGB", (width, height)).save(file, format)
    return GeneratedImage(file.getvalue(), f"image/{format.lower()}", revised)


def attempt(*images: GeneratedImage, **answer: Any) -> Attempt:
    return Attempt("image_generation", Vendor(ImageResponse(images or [picture()], "used-model", **answer)))


async def test_the_prompt_alone_is_enough():
    tried = attempt()

    await tried.run(PROMPT)

    assert tried.request == ImageRequest("given-model", "a cat")


@pytest.mark.parametrize(
    ("config", "size", "ratio"),
    [({}, None, None), ({"size": "512x768"}, (512, 768), None), ({"aspect_ratio": "21:9"}, None, "21:9")],
)
async def test_the_size_or_the_ratio_goes_to_the_provider(
    config: dict[str, Any], size: tuple[int, int] | None, ratio: str | None
):
    tried = attempt()

    await tried.run(PROMPT, config)

    assert (tried.request.size, tried.request.aspect_ratio) == (size, ratio)


async def test_the_config_goes_to_the_provider():
    tried = attempt()

    await tried.run(
        PROMPT,
        {
            "quality": "hd",
            "num_images": 2,
            "format": "webp",
            "seed": 3,
            "style": "vivid",
            "cancel_on_disconnect": True,
        },
    )

    request = tried.request
    assert (request.quality, request.n, request.format, request.seed) == ("hd", 2, "webp", 3)
    assert request.extra == {"style": "vivid"}


@pytest.mark.parametrize(
    ("config", "loc"),
    [
        ({"size": "big"}, ["config", "size"]),
        ({"size": "0x10"}, ["config", "size"]),
        ({"size": "10x10x10"}, ["config", "size"]),
        ({"size": "100000x10"}, ["config", "size"]),
        ({"size": [10, 10]}, ["config", "size"]),
        ({"aspect_ratio": "2:1"}, ["config", "aspect_ratio"]),
        ({"size": "10x10", "aspect_ratio": "1:1"}, ["config"]),
        ({"num_images": 0}, ["config", "num_images"]),
        ({"num_images": 9}, ["config", "num_images"]),
        ({"seed": "x"}, ["config", "seed"]),
    ],
)
def test_a_wrong_option_is_named(config: dict[str, Any], loc: list[str]):
    with pytest.raises(Problem) as refused:
        KINDS["image_generation"].parse(PROMPT, config)

    assert refused.value.errors[0]["loc"] == loc


@pytest.mark.parametrize(
    ("input", "loc"),
    [
        (b"{}", ["input", "prompt"]),
        (b'{"prompt":""}', ["input", "prompt"]),
        (b'{"prompt":"a","text":"b"}', ["input", "text"]),
        (b'{"prompt":"a","image_file_ids":"file_1"}', ["input", "image_file_ids"]),
        (b'{"prompt":"a","image_file_ids":[]}', ["input", "image_file_ids"]),
        (b'{"prompt":"a","image_file_ids":[%s"f"]}' % (b'"f",' * 16), ["input", "image_file_ids"]),
        (b'{"prompt":"a","mask_file_id":"file_1"}', ["input"]),
    ],
)
def test_a_wrong_input_is_named(input: bytes, loc: list[str]):
    with pytest.raises(Problem) as refused:
        KINDS["image_generation"].parse(input, {})

    assert refused.value.errors[0]["loc"] == loc


def edit(*sources: GeneratedImage, mask: GeneratedImage | None = None) -> tuple[Attempt, bytes]:
    """An attempt at changing pictures that are stored, and its input."""
    tried = attempt()
    ids = [tried.media.put(f"{number}.png", image.data) for number, image in enumerate(sources)]
    input: dict[str, Any] = {"prompt": "a hat", "image_file_ids": ids}
    if mask is not None:
        input["mask_file_id"] = tried.media.put("mask.png", mask.data)
    return tried, json.dumps(input).encode()


async def test_stored_pictures_go_to_the_provider_in_their_order():
    one, other, mask = picture(4, 3, "JPEG"), picture(8, 8, "WEBP"), picture(4, 3)
    tried, input = edit(one, other, mask=mask)

    await tried.run(input, {"size": "64x64"})

    assert tried.request == ImageRequest(
        "given-model", "a hat", size=(64, 64), images=(one.data, other.data), mask=mask.data
    )


async def test_the_changed_picture_is_the_output():
    tried, input = edit(picture())

    output = await tried.run(input)

    assert [image["file_id"] for image in output["images"]] == ["file_2"]


@pytest.mark.parametrize(
    ("source", "capability"), [(b"", "images"), (b',"image_file_ids":["file_1"]', "image_edit")]
)
def test_what_changes_a_picture_needs_a_provider_that_can(source: bytes, capability: str):
    kind = KINDS["image_generation"]
    assert kind.needs is not None

    assert kind.needs(kind.parse(b'{"prompt":"a"%b}' % source, {})[0]) == capability


@pytest.mark.parametrize("stored", [b"hello world", picture().data[:20], b""])
async def test_a_file_that_is_no_picture_is_refused_by_its_place(stored: bytes):
    tried, input = edit(picture(), GeneratedImage(stored, "image/png"))

    with pytest.raises(Problem, match="no picture that can be read") as refused:
        await tried.run(input)
    assert refused.value.errors[0]["loc"] == ["input", "image_file_ids", 1]
    assert tried.vendor.asked == []


async def test_a_picture_of_another_project_is_not_there():
    tried = attempt()
    tried.media.put("theirs.png", picture().data, OTHER_PROJECT)

    with pytest.raises(Problem, match="there is no file 'file_1'") as refused:
        await tried.run(b'{"prompt":"a","image_file_ids":["file_1"]}')
    assert refused.value.errors[0]["loc"] == ["input", "image_file_ids", 0]


async def test_pictures_that_are_too_large_together_are_refused(monkeypatch):
    monkeypatch.setattr(images, "_MOST_BYTES", 100)
    tried, input = edit(picture(), picture())

    with pytest.raises(Problem, match="all pictures together") as refused:
        await tried.run(input)
    assert refused.value.errors[0]["loc"] == ["input", "image_file_ids", 1]


@pytest.mark.parametrize("mask", [picture(5, 3), picture(4, 3, "JPEG")])
async def test_a_mask_that_does_not_fit_is_refused(mask: GeneratedImage):
    tried, input = edit(picture(4, 3), mask=mask)

    with pytest.raises(Problem, match="a PNG of the same size") as refused:
        await tried.run(input)
    assert refused.value.errors[0]["loc"] == ["input", "mask_file_id"]


async def test_the_pictures_are_kept_with_their_measures():
    one, other = picture(4, 3, "PNG", revised="a fat cat"), picture(5, 6, "WEBP")
    tried = attempt(one, other, cost=Cost(0.04), extra={"demo": True})

    output = await tried.run(PROMPT)

    assert output == {
        "width": 4,
        "height": 3,
        "images": [
            {"file_id": "file_1", "width": 4, "height": 3, "index": 0},
            {"file_id": "file_2", "width": 5, "height": 6, "index": 1},
        ],
        "revised_prompt": "a fat cat",
        "provider": "vendor",
        "model": "used-model",
        "cost": {"amount": 0.04, "currency": "USD", "estimated": False},
        "demo": True,
    }
    assert tried.media.kept == {
        "file_1": (PROJECT, "image-1.png", "image/png", one.data),
        "file_2": (PROJECT, "image-2.webp", "image/webp", other.data),
    }


async def test_the_progress_grows_with_every_picture():
    tried = attempt(picture(), picture(), picture())

    await tried.run(PROMPT)

    assert tried.progress == [25, 50, 75]


async def test_tokens_are_told_where_they_are_counted():
    assert (await attempt(usage=Usage(7, 9)).run(PROMPT))["usage"]["total_tokens"] == 16
    assert "usage" not in await attempt().run(PROMPT)


async def test_the_links_are_made_when_the_output_is_shown():
    tried = attempt(picture(), picture())

    shown = tried.shown(await tried.run(PROMPT), "https://x/{}".format)

    assert shown["image_url"] == "https://x/file_1"
    assert [image["image_url"] for image in shown["images"]] == ["https://x/file_1", "https://x/file_2"]


@pytest.mark.parametrize("data", [b"hello world", picture().data[:20]])
async def test_what_is_no_picture_is_the_provider_s_fault_and_leaves_no_file(data: bytes):
    tried = attempt(picture(), GeneratedImage(data, "image/png"))

    with pytest.raises(Problem, match="vendor") as refused:
        await tried.run(PROMPT)

    assert (refused.value.code, tried.media.kept) == ("PROVIDER_ERROR", {})
