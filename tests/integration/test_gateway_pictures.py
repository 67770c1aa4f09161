"""Pictures under `/v1` that are made of others."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import openai
import pytest
from PIL import Image

from nexusai.testing import Platform
from tests.fixtures import gemini_upstream
from tests.fixtures.openai_upstream import Upstream

EDITS = "/v1/images/edits"


def png(colour: str = "red", size: int = 16) -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (size, size), colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def gemini() -> Iterator[Upstream]:
    with gemini_upstream.running_gemini() as running:
        yield running


@pytest.fixture(scope="module")
def platform(upstream: Upstream, gemini: Upstream) -> Iterator[Platform]:
    environ = {
        "OPENAI_API_KEY": upstream.api_key,
        "OPENAI_BASE_URL": upstream.base_url,
        "GEMINI_API_KEY": gemini.api_key,
        "GEMINI_BASE_URL": gemini.base_url,
    }
    with Platform(environ) as platform:
        yield platform


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[openai.OpenAI]:
    with ExitStack() as stack:
        base = f"{platform.url}/v1"
        yield stack.enter_context(openai.OpenAI(api_key=platform.api_key, base_url=base, max_retries=0))


def sent(upstream: Upstream) -> dict[str, Any]:
    body: dict[str, Any] = upstream.calls(EDITS)[-1]["body"]
    return body


def test_a_picture_is_edited_with_a_mask(client: openai.OpenAI, upstream: Upstream) -> None:
    made = client.images.edit(
        model="gpt-image-1",
        image=("boat.png", png()),
        mask=("mask.png", png("blue")),
        prompt="a red boat",
        size="1024x1024",
        n=2,
        extra_body={"input_fidelity": "high"},
    )

    assert made.data is not None
    assert len(made.data) == 2
    picture = base64.b64decode(made.data[0].b64_json or "")
    assert Image.open(io.BytesIO(picture)).size == (1024, 1024)
    asked = sent(upstream)
    assert base64.b64decode(asked["image"]["base64"]) == png()
    assert base64.b64decode(asked["mask"]["base64"]) == png("blue")
    assert (asked["prompt"], asked["n"], asked["input_fidelity"]) == ("a red boat", "2", "high")


def test_several_pictures_go_along_in_their_order(client: openai.OpenAI, upstream: Upstream) -> None:
    colours = ["red", "green", "blue"]
    client.images.edit(model="gpt-image-1", image=[png(colour) for colour in colours], prompt="together")

    pictures = [base64.b64decode(each["base64"]) for each in sent(upstream)["image[]"]]
    assert pictures == [png(colour) for colour in colours]


def test_a_provider_of_another_protocol_edits_as_well(client: openai.OpenAI, gemini: Upstream) -> None:
    made = client.images.edit(model="gemini/gemini-3.1-flash-image", image=png(), prompt="a green boat")

    assert made.data is not None
    assert base64.b64decode(made.data[0].b64_json or "")[:4] == b"\x89PNG"
    parts = gemini.calls()[-1]["body"]["contents"][0]["parts"]
    assert [part for part in parts if "inlineData" in part or "inline_data" in part]


async def test_the_asynchronous_client_edits_as_well(platform: Platform) -> None:
    async with openai.AsyncOpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client:
        made = await client.images.edit(model="gpt-image-1", image=png(), prompt="a boat")
    assert made.data is not None
    assert made.data[0].b64_json


def test_an_edited_picture_may_be_a_link(client: openai.OpenAI) -> None:
    made = client.images.edit(model="gpt-image-1", image=png(), prompt="a boat", response_format="url")
    assert made.data is not None
    assert httpx.get(made.data[0].url or "").content[:4] == b"\x89PNG"


def test_a_provider_that_cannot_is_a_400_that_names_who_can(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"local has no image_edit; these have: openai, gemini"):
        client.images.edit(model="local/image", image=png(), prompt="a boat")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"image": b"no picture at all"}, "image"),
        ({"mask": b"no picture at all"}, "mask"),
        ({"n": 0}, "n"),
        ({"size": "large"}, "size"),
        ({"prompt": ""}, "prompt"),
        ({"stream": True}, "stream"),
    ],
)
def test_what_is_wrong_is_named(client: openai.OpenAI, wrong: dict[str, Any], named: str) -> None:
    asked: dict[str, Any] = {"model": "gpt-image-1", "image": png(), "prompt": "a boat", **wrong}
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.edit(**asked)
    assert refused.value.param == named


def test_an_edit_without_a_picture_is_refused(platform: Platform) -> None:
    signed = {"Authorization": f"Bearer {platform.api_key}"}
    form: dict[str, Any] = {"data": {"prompt": "a boat"}, "files": {"other": png()}}
    answer = httpx.post(f"{platform.url}{EDITS}", headers=signed, **form)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "image")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": "multipart/form-data"}, b"{}", 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"no form", 400),
    ],
)
def test_a_body_that_is_no_form_is_refused(
    platform: Platform, headers: dict[str, str], body: bytes, status: int
) -> None:
    signed = {"Authorization": f"Bearer {platform.api_key}", **headers}
    for path in ("images/edits", "audio/transcriptions"):
        answer = httpx.post(f"{platform.url}/v1/{path}", content=body, headers=signed)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_variations_say_what_to_do_instead(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="/v1/images/edits"):
        client.post("/images/variations", cast_to=object)
